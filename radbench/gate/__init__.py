"""The regression gate: a run against a baseline, a verdict, an exit code, reports for pipelines."""
