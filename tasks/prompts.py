"""The prompt strings printed in the papers, from ``data/prompts.json`` (sources stand in the file).

Papers write slots in their own ways; :func:`paper_prompts` gives them as our templates: ``{images}``, ``{image-1}``,
``{question}``, ``{choices}`` and named slots.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def _document() -> dict[str, Any]:
    text = files("radbench.tasks.data").joinpath("prompts.json").read_text(encoding="utf-8")
    return json.loads(text)


# MedInterp: '_*_' stands for the current images, '-*-' for the target; MedDr: '{Question}', '{Label Set}'; RadBench: <image-k>.
_SLOTS = (
    ("_*_", "{images}"), ("-*-", "{target}"), ("{Label Set}", "{choices}"), ("{Question}", "{question}"),
    ("{Modality}", "{modality}"), ("<image-1> <image-2>", "{images}"), ("<image-1>", "{image-1}"),
)  # fmt: skip


def paper_prompts(path: str, *, prefix: str = "", **fixed: str) -> tuple[str, ...]:
    """Templates at a path of prompts.json, e.g. ``MedInterp/instructions/segmentation``; ``fixed`` slots are filled in.

    ``prefix`` is a template of ours put before each, such as the context a paper describes without printing it.
    """
    node: Any = _document()
    for key in path.split("/"):
        node = node[key]
    prompts = [node] if isinstance(node, str) else node
    return tuple(prefix + _translate(p, fixed) for p in prompts)


def _translate(prompt: str, fixed: dict[str, str]) -> str:
    for theirs, ours in _SLOTS:
        prompt = prompt.replace(theirs, ours)
    for slot, value in fixed.items():
        prompt = prompt.replace("{" + slot + "}", value)
    return prompt


BOX_FORM = (
    'Answer with a JSON list of {{"label": name, "box": [x_min, y_min, x_max, y_max]}}, one entry a box, coordinates as fractions'
    " of the width and height of the image from 0 to 1. Leave out what is absent; if nothing is present answer []."
)
"""What a task asks of a model that answers only in text, read by the parser ``boxes`` with ``unit="fraction"``."""
