"""Findings of a report without a model: rule labels, contradictions with the reference, template collapse."""
