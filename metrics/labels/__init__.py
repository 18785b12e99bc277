"""Metrics of closed label sets: accuracy, F1, agreement, ranking."""
