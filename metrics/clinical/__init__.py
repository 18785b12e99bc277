"""Metrics of clinical content that a trained model computes: CheXbert, RadGraph, BERTScore, and RadCliQ of them."""
