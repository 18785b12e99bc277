"""Tasks: one module per suite, ``readers/`` one file per dataset distribution, ``parsers`` from answers to values."""
