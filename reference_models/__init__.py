"""Torch reimplementations of RadFM, RadFound, MedDr and MedVersa (not written yet)."""
