"""What the report datasets have in common: which sections are the target, the prompt's context, subgroups by length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from radbench.tasks.readers.sectioning import one_line

from radbench.errors import ConfigError, nearest
from radbench.records import Target, Text

MODALITY = "Chest X-Ray"  # MedDr's word for chest radiographs
_SECTIONS = {"findings": "findings", "impression": "impression", "report": "report", "target": "report"}
_LENGTHS = ((25, "1-25 words"), (50, "26-50 words"), (100, "51-100 words"))


def wanted_section(section: str) -> str:
    """``findings``, ``impression`` or ``report``, which MedInterp calls ``target``. Raises ConfigError for another."""
    return _SECTIONS[one_of(section, _SECTIONS, "section of a report")]


def one_of(value: str, known: Iterable[str], option: str) -> str:
    """An option's value if it is known. Raises :class:`radbench.errors.ConfigError`."""
    if value not in (names := tuple(known)):
        raise ConfigError(f"no {option} '{value}': {nearest(value, names)}")
    return value


def report_targets(findings: str, impression: str, section: str) -> dict[str, Target] | None:
    """Targets ``findings``, ``impression`` and, where there are both, ``report``: findings followed by impression.

    The one asked for is ``answer`` too; None where the report does not have it. Lines are joined.
    """
    texts = {"findings": one_line(findings), "impression": one_line(impression)}
    if all(texts.values()):
        texts["report"] = f"{texts['findings']} {texts['impression']}"
    if not texts.get(section):
        return None
    return {"answer": Text((texts[section],)), **{name: Text((text,)) for name, text in texts.items() if text}}


def length_stratum(targets: Mapping[str, Target]) -> str:
    """The length of the reference in words, in four classes (ours: RadVLBench names the axis, not its classes)."""
    answer = targets["answer"]
    words = len(answer.first.split()) if isinstance(answer, Text) else 0
    return next((name for most, name in _LENGTHS if words <= most), "over 100 words")


def context(indication: str = "", comparison: str = "", age: int | None = None, gender: str = "") -> str:
    """What MedVersa puts before the instruction, a line each for what is known, with a line break at the end.

    Age is a decade ("60-70"), as in its released examples. (MedVersa, released loader and demonstration.)
    """
    lines = (
        ("Age:", "" if age is None else f"{age // 10 * 10}-{age // 10 * 10 + 10}."),
        ("Gender:", f"{gender}." if gender else ""),
        ("Indication: ", one_line(indication)),
        ("Comparison: ", one_line(comparison)),
    )
    return "".join(f"{name}{text}\n" for name, text in lines if text)


def view_stratum(views: tuple[str | None, ...]) -> str:
    """``frontal``, ``lateral``, ``frontal+lateral`` or ``unknown``, from the views of a sample's current pictures."""
    kinds = {view_kind(v) for v in views} - {""}
    return "+".join(sorted(kinds)) or "unknown"


def view_kind(view: str | None) -> str:
    """``frontal`` for AP, PA and their positions, ``lateral``, or an empty text for anything else."""
    words = (view or "").upper().replace("-", " ").split()
    if {"LATERAL", "LL"} & set(words):
        return "lateral"
    if {"AP", "PA", "FRONTAL", "ANTEROPOSTERIOR", "POSTEROANTERIOR"} & set(words):
        return "frontal"
    return ""
