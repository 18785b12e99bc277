"""radbench: evaluation of radiology vision-language models.

A run is a folder: running appends answers to it, scoring reads answers and writes statistics, reporting reads
statistics. See :func:`evaluate` for the Python entry and ``radbench --help`` for the command line.

Importing this package imports nothing heavy: the public names are resolved on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "evaluate": "radbench.api",
    "compare": "radbench.analysis.compare",
    "check": "radbench.gate.check",
    "Task": "radbench.task",
    "Group": "radbench.task",
    "Sample": "radbench.records",
    "Request": "radbench.records",
    "Answer": "radbench.records",
    "Image": "radbench.records",
    "Text": "radbench.records",
    "Labels": "radbench.records",
    "Box": "radbench.records",
    "Boxes": "radbench.records",
    "Mask": "radbench.records",
    "RadbenchError": "radbench.errors",
}

__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604 - the names are resolved by __getattr__

if TYPE_CHECKING:
    from radbench.analysis.compare import compare as compare
    from radbench.api import evaluate as evaluate
    from radbench.errors import RadbenchError as RadbenchError
    from radbench.gate.check import check as check
    from radbench.records import Answer as Answer
    from radbench.records import Box as Box
    from radbench.records import Boxes as Boxes
    from radbench.records import Image as Image
    from radbench.records import Labels as Labels
    from radbench.records import Mask as Mask
    from radbench.records import Request as Request
    from radbench.records import Sample as Sample
    from radbench.records import Text as Text
    from radbench.task import Group as Group
    from radbench.task import Task as Task


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'radbench' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)
