"""``radbench score --predictions FILE --references FILE --metrics ...``: files of pairs, no task."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radbench.cli.base import split_names
from radbench.errors import ConfigError, DataError
from radbench.metrics.functional import PairError, Score, score
from radbench.registry import find_metric
from radbench.report import ARROWS, aligned, number

_IDS = ("id", "sample", "study", "study_id")
_CLUSTERS = ("cluster", "patient", "patient_id", "subject_id")
_SHAPES = ("labels", "boxes", "mask", "scores")
_VALUES = {
    "predictions": ("prediction", "text", "hypothesis", "answer", *_SHAPES),
    "references": ("reference", "references", "alternatives", "text", "report", "answer", "labels", "boxes", "mask"),
}
_FORMATS = ".txt (a text a line), .jsonl, .json, .csv or .tsv"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a file: its id and patient where it names them, and the value."""

    where: str
    id: str | None
    cluster: str | None
    value: Any


def run(
    predictions: str, references: str, metrics: list[str], choices: list[str], seed: int, resamples: int, as_json: bool
) -> int:
    specs = split_names(metrics)
    if not specs:
        raise ConfigError(
            "--references needs --metrics", remedy="such as --metrics bleu-4,rouge-l; radbench list metrics"
        )
    for spec in specs:
        find_metric(spec)  # a misspelt name is known before anything is read
    said, true = read_entries(Path(predictions), "predictions"), read_entries(Path(references), "references")
    paired, missing, unused = pair(said, true, predictions, references)
    if unused:
        print(f"radbench: {unused} predictions have no reference and are left out", file=sys.stderr)
    clusters = [t.cluster for _, t in paired]
    named = [c for c in clusters if c is not None]
    try:
        scores = score(
            specs, [None if p is None else p.value for p, _ in paired], [t.value for _, t in paired],
            clusters=named if len(named) == len(clusters) else None, choices=choices, resamples=resamples, seed=seed,
        )  # fmt: skip
    except PairError as error:
        prediction, reference = paired[error.index]
        entry = reference if error.side == "reference" or prediction is None else prediction
        raise DataError(
            f"{entry.where}: {error.what}", remedy=f"radbench describe metric {specs[0]} says what it scores"
        ) from None
    clustered = len(named) == len(clusters)
    print(_as_json(scores, missing) if as_json else _table(scores, len(paired), missing, clustered), end="")
    return 1 if all(s.unavailable for s in scores.values()) else 0


def pair(
    said: list[Entry], true: list[Entry], predictions: str, references: str
) -> tuple[list[tuple[Entry | None, Entry]], int, int]:
    """Pairs by id where both files have ids, else by position; predictions missing, and without a reference."""
    if all(e.id is not None for e in said) and all(e.id is not None for e in true):
        by_id = {e.id: e for e in said}
        paired = [(by_id.get(t.id), t) for t in true]
        missing = sum(t.id not in by_id for t in true)
        if missing == len(true):
            raise DataError(f"no id of {predictions} is one of {references}", remedy="both files name samples alike")
        return paired, missing, len(by_id.keys() - {t.id for t in true})
    if len(said) != len(true):
        raise DataError(
            f"{predictions} has {len(said)} entries, {references} {len(true)}",
            remedy="one entry a sample in the same order, or an 'id' in every entry of both files",
        )
    return list(zip(said, true, strict=True)), 0, 0


# --- reading ---


def read_entries(path: Path, role: str) -> list[Entry]:
    """The entries of a file. Raises :class:`DataError` naming file and line."""
    if not path.is_file():
        raise DataError(f"{path}: no such {role} file")
    reader = {".txt": _lines, ".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json, ".csv": _table_rows,
              ".tsv": _table_rows}.get(path.suffix.lower())  # fmt: skip
    if reader is None:
        raise DataError(f"{path}: cannot tell its format from its name", remedy=f"expected {_FORMATS}")
    try:
        entries = [_entry(value, where, role, path.parent) for where, value in reader(path)]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: a cell is not JSON ({error.msg})") from None
    except (csv.Error, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if not entries:
        raise DataError(f"{path}: no entries")
    ids = [e.id for e in entries if e.id is not None]
    if len(set(ids)) < len(ids):
        twice = len(ids) - len(set(ids))
        raise DataError(f"{path}: {twice} ids occur more than once", remedy="one entry a sample")
    return entries


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for n, line in enumerate(file, 1):
            yield f"{path}, line {n}", line.rstrip("\r\n")


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        for n, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield f"{path}, line {n}", json.loads(line)
                except json.JSONDecodeError as error:
                    raise DataError(f"{path}, line {n}: not JSON ({error.msg})") from None


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    if isinstance(content, dict):
        for key, value in content.items():
            yield f"{path}, '{key}'", {"id": key, **value} if isinstance(value, dict) else {"id": key, "text": value}
    elif isinstance(content, list):
        yield from ((f"{path}, entry {n}", value) for n, value in enumerate(content, 1))
    else:
        raise DataError(f"{path}: holds {type(content).__name__}, expected a list or an object of id -> text")


def _table_rows(path: Path) -> Iterator[tuple[str, Any]]:
    csv.field_size_limit(1 << 30)  # a report may be longer than the module's 131,072 characters
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        for row in reader:
            yield f"{path}, line {reader.line_num}", {k: v for k, v in row.items() if k is not None and v is not None}


def _entry(value: Any, where: str, role: str, folder: Path) -> Entry:
    if not isinstance(value, dict):
        return Entry(where, None, None, _checked(value, where))
    names = _VALUES[role]
    found = next((n for n in names if n in value), None)
    if found is None:
        raise DataError(f"{where}: none of {', '.join(names)}; found {', '.join(sorted(value)) or 'nothing'}")
    content = value[found]
    if found == "mask":
        content = _mask(str(content), folder)
    elif found == "boxes":
        content = _boxes(content)
    elif found == "labels" and isinstance(content, str):
        content = [part.strip() for part in content.split(";") if part.strip()]
    elif found == "scores" and isinstance(content, str):  # a cell of a table
        content = json.loads(content)
    elif found not in _SHAPES:
        content = _checked(content, where)
    return Entry(where, _first(value, _IDS), _first(value, _CLUSTERS), content)


def _checked(value: Any, where: str) -> Any:
    if value is None or isinstance(value, str) or (isinstance(value, list) and all(isinstance(v, str) for v in value)):
        return value
    raise DataError(f"{where}: {type(value).__name__}, expected a text or a list of texts")


def _first(value: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((str(value[n]) for n in names if value.get(n) not in (None, "")), None)


def _boxes(items: Any) -> Any:
    if not isinstance(items, list):
        return items

    def flat(item: Any) -> Any:
        given = isinstance(item, dict) and isinstance(item.get("box"), list) and "label" in item
        return (item["label"], *item["box"], *([item["score"]] if "score" in item else [])) if given else item

    return [flat(item) for item in items]


def _mask(name: str, folder: Path) -> Any:
    from radbench.images import load_mask
    from radbench.records import Image, Mask

    volume = name.lower().endswith((".nii", ".nii.gz", ".nrrd", ".nhdr"))
    return load_mask(Mask(image=Image(str(folder / name), kind="volume" if volume else "2d")))


# --- printing ---


def _table(scores: Mapping[str, Score], n: int, missing: int, clustered: bool) -> str:
    rows = [
        [f"{spec} {ARROWS[s.better]}", number(_or_none(s.value)), _span(s), str(s.n)]
        for spec, s in scores.items()
        if s.unavailable is None
    ]
    lines = [aligned(["metric", "value", "95 % interval", "n"], rows, right={1, 3})] if rows else []
    lines += ["", f"{n} pairs" + (f", {missing} without a prediction, which score worst" if missing else "") + "."]
    if not clustered:
        lines.append("Intervals treat pairs as independent: name patients in a field 'patient' where they are not.")
    undefined = [spec for spec, s in scores.items() if s.unavailable is None and s.value != s.value]
    if undefined:
        lines.append(
            f"{', '.join(undefined)}: undefined on these pairs; radbench describe metric NAME says what a value needs."
        )
    lines += [f"{spec} is unavailable: {s.unavailable}" for spec, s in scores.items() if s.unavailable is not None]
    lines += ["", *(s.signature for s in scores.values() if s.unavailable is None)]
    return "\n".join(lines) + "\n"


def _span(s: Score) -> str:
    return "-" if s.low != s.low else f"[{s.low:.4f}, {s.high:.4f}]"


def _or_none(value: float) -> float | None:
    return None if value != value else value


def _as_json(scores: Mapping[str, Score], missing: int) -> str:
    out = {
        spec: {
            "value": _or_none(s.value), "low": _or_none(s.low), "high": _or_none(s.high), "n": s.n, "better": s.better,
            "signature": s.signature, "unavailable": s.unavailable,
        }
        for spec, s in scores.items()
    }  # fmt: skip
    return json.dumps({"metrics": out, "missing": missing}) + "\n"
