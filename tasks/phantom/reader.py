"""The phantom cohort as samples. A folder written by :func:`radbench.tasks.phantom.cohort.write_cohort`: ``cases.jsonl``,
one case a line, beside the pictures, volumes and label maps that it names.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from radbench.tasks.phantom.samples import KINDS
from radbench.tasks.phantom.sets import balanced, candidate
from radbench.tasks.phantom.spec import GENERATOR_VERSION, Case
from radbench.tasks.phantom.study import Study, main_picture
from radbench.tasks.readers.files import json_lines

from radbench.errors import ConfigError, DataError, nearest
from radbench.images.decode import file_sha256
from radbench.records import Sample

DERIVED_VERSION = 1  # of texts, questions and samples: raise it where the same cases would read differently
SPLITS = ("train", "val", "test")
_TABLE = "cases.jsonl"


class Phantom:
    """Samples of one task kind (:data:`radbench.tasks.phantom.samples.KINDS`), derived from the cases' records.

    ``root`` holds the cohort; without one it is written to the user's cache on first use, once for all kinds, from
    ``cases``, ``size`` (pixels), ``seed`` and ``difficulty`` (0 to 1). Cluster: the patient. Splits: train, val, test, by
    patient. Raises :class:`DataError` where the folder holds no cohort, :class:`ConfigError` on an unknown kind.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        kind: str,
        cases: int = 240,
        size: int = 128,
        seed: int = 0,
        difficulty: float = 0.3,
    ) -> None:
        if kind not in KINDS:
            raise ConfigError(f"the phantom cohort has no kind '{kind}': {nearest(kind, KINDS)}")
        self._kind, self._given = kind, root
        self._cases, self._size, self._seed, self._difficulty = cases, size, seed, difficulty
        if root is not None and not (root / _TABLE).is_file():
            raise DataError(
                f"{root}: not a phantom cohort, it has no {_TABLE}",
                remedy="write one with radbench.tasks.phantom.cohort.write_cohort(folder)",
            )

    @property
    def root(self) -> Path:
        """The cohort's folder, written first where it is the cache's."""
        if self._given is not None:
            return self._given
        name = (
            f"v{GENERATOR_VERSION}-seed{self._seed}-cases{self._cases}-size{self._size}-difficulty{self._difficulty:g}"
        )
        folder = Path.home() / ".cache" / "radbench" / "phantom" / name
        if not (folder / _TABLE).is_file():
            self._write(folder)
        return folder

    def samples(self, split: str) -> Iterator[Sample]:
        """The samples of a split in the order of the cases. Raises :class:`DataError` on an unknown split."""
        if split not in SPLITS:
            raise DataError(f"the phantom cohort has no split '{split}', only {', '.join(SPLITS)}")
        kind, root = KINDS[self._kind], self.root
        priors = self._priors(split) if kind.prior else {}
        asked = self._balanced(split) if kind.balanced else {}
        for case in self._read(split):
            prior = priors.get(case.prior or "")
            if kind.prior and case.prior and prior is None:
                raise DataError(f"{root / _TABLE}: case '{case.id}' has the prior '{case.prior}', which is not there")
            yield from kind.make(Study(root, case, prior, asked.get(case.id, ()), self._kind))

    def fingerprint(self) -> str:
        """Generator and wording versions, options and the table of cases."""
        options = (
            (self._kind, self._cases, self._size, self._seed, self._difficulty) if self._given is None else self._kind
        )
        return sha256(
            f"{GENERATOR_VERSION}|{DERIVED_VERSION}|{options}|{file_sha256(self.root / _TABLE)}".encode()
        ).hexdigest()[:16]

    def _read(self, split: str) -> Iterator[Case]:
        table = self.root / _TABLE
        for line, values in json_lines(table):
            if values.get("split") != split:
                continue
            try:
                yield Case.from_json(values)
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise DataError(
                    f"{table}, line {line}: not a case of generator version {GENERATOR_VERSION} ({error})",
                    remedy="write the cohort again with this version of radbench",
                ) from None

    def _priors(self, split: str) -> dict[str, Case]:
        """The earlier studies that a later one of the split names."""
        wanted = {case.prior for case in self._read(split) if case.prior}
        return {case.id: case for case in self._read(split) if case.id in wanted}

    def _balanced(self, split: str) -> dict[str, list[tuple[str, bool]]]:
        return balanced([candidate(c, p) for c in self._read(split) if (p := main_picture(c))], self._seed)

    def _write(self, folder: Path) -> None:
        """Write the cohort beside its place and move it there, one process at a time."""
        from radbench.tasks.phantom.cohort import write_cohort

        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / _TABLE).is_file():
                return  # another process wrote it meanwhile
            half = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(half, ignore_errors=True)
            write_cohort(half, seed=self._seed, cases=self._cases, size=self._size, difficulty=self._difficulty)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(half, folder)
