"""``radbench compare``."""

from __future__ import annotations

import json
from collections.abc import Sequence

from radbench.cli.base import split_names
from radbench.errors import ConfigError, nearest

FORMS = ("text", "md")


def run(
    paths: Sequence[str],
    tasks: Sequence[str],
    metrics: Sequence[str],
    axes: Sequence[str],
    form: str,
    as_json: bool,
) -> int:
    """Print a comparison as a table, Markdown or JSON. The lists may hold names joined by commas."""
    from radbench.analysis.compare import compare

    if form not in FORMS:
        raise ConfigError(f"--format {form}: {nearest(form, FORMS)}", remedy="radbench compare --help")
    found = compare(paths, split_names(tasks), split_names(metrics), split_names(axes))
    if as_json:
        print(json.dumps(found))
        return 0
    from radbench.analysis.compare_text import as_markdown, as_text

    print(as_text(found) if form == "text" else as_markdown(found), end="")
    return 0
