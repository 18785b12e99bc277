"""Metrics: one module per family, each with rows of statistics, a reducer, a signature and a card."""
