"""Result files of other harnesses: lmms-eval, VLMEvalKit and ReXrank, as ``replay:`` reads them.

lmms-eval (``*_samples_<task>.jsonl`` of ``--log_samples``): a row is known by ``doc_id``, its place in the test split, and
holds the reference it was scored against. VLMEvalKit (``<model>_<dataset>.tsv``, ``.xlsx`` or ``.json``): ``index`` and
``prediction``, ``thinking`` where it split one off. ReXrank (a submission's JSON): study -> ``model_prediction``. Layouts read
from EvolvingLMMs-Lab/lmms-eval (``loggers/evaluation_tracker.py``), open-compass/VLMEvalKit (``vlmeval/inference.py``) and
rajpurkarlab/ReXrank (``example_files``). Both harnesses hand the text of an error over as an answer; here it is an error.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from radbench.model_adapters.messages import split_reasoning

from radbench.errors import ConfigError, DataError
from radbench.records import Answer, Failure, Labels, Sample, Target, Text
from radbench.specs import literal

_SENTINELS = ("[LMMS_EVAL_REQUEST_FAILED", "Failed to obtain answer")  # both stand at the beginning
_AGREEING = (
    0.95  # of the references that a file repeats at least this share must be ours: by chance half of them may be
)


@dataclass(frozen=True, slots=True)
class Row:
    """One answer of another harness: by which name it knows the sample, and references it scored against, where told."""

    name: str
    answer: Answer
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Foreign:
    """A result file of another harness. ``by``: whether names are sample ids or places in the split, from 0."""

    harness: Literal["lmms-eval", "VLMEvalKit", "ReXrank"]
    rows: tuple[Row, ...]
    by: Literal["id", "position"]

    def matched(self, samples: Iterable[Sample], target: str) -> dict[str, Answer]:
        """Sample id -> answer. Raises :class:`DataError` where nothing fits, or the references are others.

        Numbers that are no ids are places, from 0, where the file's references or its length prove that.
        """
        listed = list(samples)
        ids = {s.id: s for s in listed}
        found: dict[str, Answer] = {}
        agreeing: list[bool] = []
        for row in self.rows:
            sample = self._by_name(row.name, ids) if self.by == "id" else _by_place(row.name, listed)
            if sample is None:
                continue
            if sample.id in found:
                raise DataError(
                    f"two rows of the {self.harness} file are of one sample", remedy="give one answer a sample"
                )
            found[sample.id] = row.answer
            if row.references:
                ours = _references(sample.targets[target])
                agreeing.append(any(_plain(r) in ours for r in row.references))
        numbers = all(row.name.isdigit() for row in self.rows)
        if self.by == "id" and not found and numbers:
            return Foreign(self.harness, self.rows, "position").matched(listed, target)
        if found and not agreeing and numbers and len(found) < max(len(self.rows), len(listed)):
            raise DataError(
                f"the {self.harness} file counts its rows and repeats no reference, and {len(found)} of its"
                f" {len(self.rows)} numbers fit the {len(listed)} samples: they may be another split, or begin at 1",
                remedy="write JSON lines of {task, sample, text} instead",
            )
        if not found:
            raise DataError(
                f"none of the {len(self.rows)} names of the {self.harness} file is the id of a sample of the task",
                remedy="radbench run --dry-run shows ids; or write JSON lines of {task, sample, text}",
            )
        if agreeing and sum(agreeing) < _AGREEING * len(agreeing):
            raise DataError(
                f"only {sum(agreeing)} of {len(agreeing)} references in the {self.harness} file are the task's of that"
                " sample: the rows are another split, or in another order",
                remedy="write JSON lines of {task, sample, text} instead",
            )
        return found

    @staticmethod
    def _by_name(name: str, ids: Mapping[str, Sample]) -> Sample | None:
        """MIMIC's studies have an ``s`` before their number on disk; Open-i's reports a suffix ``_IM-...``."""
        aliases = (name, f"s{name}", name.partition("_IM-")[0])
        return next((ids[alias] for alias in aliases if alias in ids), None)


def _by_place(name: str, listed: Sequence[Sample]) -> Sample | None:
    return listed[int(name)] if name.isdigit() and int(name) < len(listed) else None


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(".")


def _references(target: Target) -> set[str]:
    if isinstance(target, Text):
        return {_plain(t) for t in target.alternatives}
    return {_plain(", ".join(target.names))} if isinstance(target, Labels) else set()


def read_foreign(path: Path) -> Foreign | None:
    """The file as another harness wrote it; None where it is none of theirs. Raises :class:`ConfigError`, :class:`DataError`."""
    suffix = path.suffix.lower()
    if suffix in (".pkl", ".pickle"):
        raise ConfigError(
            f"{path}: pickled predictions are not read", remedy="let VLMEvalKit write PRED_FORMAT=tsv or json"
        )
    if suffix in (".tsv", ".csv", ".xlsx"):
        rows = _sheet(path) if suffix == ".xlsx" else _table(path, "\t" if suffix == ".tsv" else ",")
        return Foreign("VLMEvalKit", tuple(_vlmevalkit(rows, path)), "id")
    if suffix == ".json":
        return _from_json(path)
    with path.open(encoding="utf-8", errors="replace") as f:
        first = next((line for line in f if line.strip()), "")
    if '"doc_id"' not in first or '"filtered_resps"' not in first:
        return None
    return Foreign("lmms-eval", tuple(_lmms_eval(path)), "position")


def _from_json(path: Path) -> Foreign | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None  # JSON lines under another name, perhaps
    if isinstance(found, list):
        return Foreign("VLMEvalKit", tuple(_vlmevalkit(found, path)), "id")
    if isinstance(found, dict) and found and all(isinstance(v, dict) for v in found.values()):
        missing = [k for k, v in found.items() if not isinstance(v.get("model_prediction"), str)]
        if len(missing) == len(found):
            return None
        rows = (Row(k, _answer(v["model_prediction"])) for k, v in found.items() if k not in set(missing))
        return Foreign("ReXrank", tuple(rows), "id")
    return None


def _lmms_eval(path: Path) -> Iterator[Row]:
    with path.open("rb") as f:
        for number, line in enumerate(f, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                record = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise DataError(f"{where}: not JSON in UTF-8 ({error})") from None
            if not isinstance(record, dict) or not isinstance(record.get("doc_id"), int):
                raise DataError(f"{where}: expected an object with a whole number 'doc_id'")
            said = record.get("resps", record.get("filtered_resps"))  # as the model said it, before any filter
            while isinstance(said, list) and len(said) == 1:
                said = said[0]
            if not isinstance(said, str):
                raise DataError(
                    f"{where}: the response is {type(said).__name__}, expected one text",
                    remedy="log-likelihoods of options are not imported; run a generate_until task",
                )
            yield Row(str(record["doc_id"]), _answer(said), _listed(str(record.get("target", ""))))


def _vlmevalkit(rows: Iterable[Any], path: Path) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or row.get("index") in (None, "") or "prediction" not in row:
            found = sorted(map(str, row)) if isinstance(row, dict) else type(row).__name__
            raise DataError(f"{path}, row {number}: expected 'index' and 'prediction'", found=f"it has {found}")
        index = row["index"]
        name = str(int(index)) if isinstance(index, float) and index.is_integer() else str(index)
        answer, right = "" if row["prediction"] is None else str(row["prediction"]), row.get("answer")
        # The right answer of a multiple choice is the letter of a column.
        references = {str(r) for r in (right, row.get(str(right))) if r not in (None, "")}
        yield Row(name, _answer(answer, row.get("thinking")), tuple(sorted(references)))


def _listed(target: str) -> tuple[str, ...]:
    """lmms-eval writes a reference, or a list of them, as text."""
    found = literal(target) if target.startswith("[") else target
    return tuple(str(t) for t in (found if isinstance(found, list) else [found]) if t != "")


def _table(path: Path, separator: str) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a report with its reasoning passes the default of 128 kB
    with path.open(encoding="utf-8-sig", newline="") as f:
        try:
            yield from csv.DictReader(f, delimiter=separator)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not a table in UTF-8 ({error})") from None


def _sheet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import openpyxl
    except ImportError:
        raise ConfigError(f"{path}: reading .xlsx needs openpyxl", remedy="pip install 'radbench[data]'") from None
    from zipfile import BadZipFile

    try:
        rows = openpyxl.load_workbook(path, read_only=True, data_only=True).active.iter_rows(values_only=True)
        header = [str(cell) for cell in next(rows, ())]
    except (BadZipFile, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: no .xlsx workbook ({error})") from None
    for row in rows:
        if any(cell is not None for cell in row):
            yield dict(zip(header, row, strict=False))


def _answer(text: str, thinking: object = None) -> Answer:
    if text.startswith(_SENTINELS):
        return Answer(failure=Failure("transport", "the other harness recorded a failed request"))
    answer, reasoning = split_reasoning(text)
    return Answer(text=answer, reasoning=str(thinking) if thinking else reasoning)
