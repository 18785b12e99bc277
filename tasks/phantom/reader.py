"""The phantom cohort as samples. A folder written by :func:`radbench.tasks.phantom.cohort.write_cohort`: ``cases.jsonl``,
one case a line, beside the pictures, volumes and label maps that it names.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from radbench.tasks.phantom.samples import KINDS
from radbench.tasks.phantom.sampling import SHARES
from radbench.tasks.phantom.sets import balanced, candidate
from radbench.tasks.phantom.spec import GENERATOR_VERSION, Case
from radbench.tasks.phantom.study import Study, main_picture
from radbench.tasks.readers.files import json_lines

from radbench.caches import cache_root
from radbench.errors import ConfigError, DataError, nearest
from radbench.images.decode import file_sha256
from radbench.records import Sample

DERIVED_VERSION = 2  # of texts, questions and samples: raise it where the same cases would read differently
SPLITS = ("train", "val", "test")
MAX_CASES = 100_000
_SIZES = range(32, 513, 8)
_TABLE = "cases.jsonl"
_OPTIONS = "radbench describe phantom/vqa"
_ELSEWHERE = "set XDG_CACHE_HOME to a folder you can write to, or pass --data phantom=FOLDER, a cohort written before"

log = logging.getLogger("radbench")


class Phantom:
    """Samples of one task kind (:data:`radbench.tasks.phantom.samples.KINDS`), derived from the cases' records.

    ``root`` holds the cohort; without one it is written to the user's cache on first use, once for all kinds, from
    ``cases``, ``size`` (pixels), ``seed`` and ``difficulty`` (0 to 1). Cluster: the patient. Splits: train, val, test, by
    patient. Raises :class:`DataError` where the folder holds no cohort, :class:`ConfigError` on an unknown kind or an
    option that no cohort can have.
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
        _check_whole("cases", cases, range(len(SHARES), MAX_CASES + 1))
        _check_whole("size", size, _SIZES)
        _check_whole("seed", seed, range(2**32))
        if isinstance(difficulty, bool) or not isinstance(difficulty, int | float) or not 0 <= difficulty <= 1:
            raise ConfigError(f"phantom: difficulty is {difficulty!r}, expected a number from 0 to 1", remedy=_OPTIONS)
        self._kind, self._given, self._looked = kind, root, False
        self._cases, self._size, self._seed, self._difficulty = cases, size, seed, float(difficulty)
        if root is not None and not (root / _TABLE).is_file():
            raise DataError(
                f"{root}: not a phantom cohort, it has no {_TABLE}",
                remedy="write one with radbench.tasks.phantom.cohort.write_cohort(folder)",
            )

    @property
    def root(self) -> Path:
        """The cohort's folder, written first where it is the cache's. Raises :class:`DataError` where that fails."""
        if self._given is not None:
            return self._given
        folder = self._cached
        if not self._looked:
            if not _is_made(folder):
                self._write(folder)
            self._look(folder)
            self._looked = True
        return folder

    @property
    def on_first_use(self) -> str | None:
        """What the first use does, for commands that only tell; None where the cohort is there. Nothing is written.

        Raises :class:`DataError` where it could not be written.
        """
        if self._given is not None or _is_made(self._cached):
            return None
        folder = next(p for p in self._cached.parents if os.path.lexists(p) or p == p.parent)
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
            raise _unwritable(self._cached, f"{folder} is no folder that you may write to")
        share = self._cases / 240 * max((self._size / 128) ** 2.7, 0.4)  # of the time and space of the default cohort
        seconds = f"{15 * share:.0f} s" if share < 8 else f"{share / 4:,.0f} min"
        return f"made on first use (about {seconds}, {21 * share:,.0f} MB)"

    @property
    def _cached(self) -> Path:
        return (
            cache_root()
            / "phantom"
            / (
                f"v{GENERATOR_VERSION}-seed{self._seed}-cases{self._cases}-size{self._size}-difficulty{self._difficulty!r}"
            )
        )

    def _look(self, folder: Path) -> None:
        """The cache's cohort has every case and picture. Raises :class:`DataError`."""
        count = 0
        for line, values in self._lines(folder / _TABLE):
            count += 1
            for picture in self._case(folder / _TABLE, line, values).pictures:
                for name in filter(None, (picture.path, picture.labels, picture.finding_labels)):
                    if not (folder / name).exists():
                        raise DataError(f"{folder / name}: missing", remedy=self._again)
        if count != self._cases:
            raise DataError(f"{folder / _TABLE}: {count:,} of {self._cases:,} cases", remedy=self._again)

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

    @property
    def _again(self) -> str:
        if self._given is not None:
            return "write the cohort again with this version of radbench"
        return f"delete {self._cached}; it is made again"

    def _read(self, split: str) -> Iterator[Case]:
        table = self.root / _TABLE
        for line, values in self._lines(table):
            if values.get("split") == split:
                yield self._case(table, line, values)

    def _lines(self, table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            yield from json_lines(table)
        except DataError as error:
            raise DataError(error.message, remedy=self._again) from None

    def _case(self, table: Path, line: int, values: dict[str, Any]) -> Case:
        try:
            return Case.from_json(values)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(
                f"{table}, line {line}: not a case of generator version {GENERATOR_VERSION} ({error})",
                remedy=self._again,
            ) from None

    def _priors(self, split: str) -> dict[str, Case]:
        """The earlier studies that a later one of the split names."""
        wanted = {case.prior for case in self._read(split) if case.prior}
        return {case.id: case for case in self._read(split) if case.id in wanted}

    def _balanced(self, split: str) -> dict[str, list[tuple[str, bool]]]:
        return balanced([candidate(c, p) for c in self._read(split) if (p := main_picture(c))], self._seed)

    def _write(self, folder: Path) -> None:
        """Write the cohort beside its place and move it there, one process at a time. Raises :class:`DataError`."""
        from radbench.tasks.phantom.cohort import write_cohort

        half = folder.with_name(f"{folder.name}.part")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _locked(folder.with_name(f"{folder.name}.lock")):
                if _is_made(folder):
                    return  # another process wrote it meanwhile
                for stale in (half, *folder.parent.glob(f".{half.name}-*")):  # of a process that was killed
                    shutil.rmtree(stale, ignore_errors=True)
                log.warning("the phantom cohort of %d cases is made in %s, once", self._cases, folder)
                write_cohort(half, seed=self._seed, cases=self._cases, size=self._size, difficulty=self._difficulty)
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(half, folder)
        except OSError as error:
            raise _unwritable(folder, error.strerror or str(error)) from error


def _check_whole(name: str, value: object, allowed: range) -> None:
    if type(value) is not int or value not in allowed:
        step = f", a multiple of {allowed.step}" if allowed.step > 1 else ""
        raise ConfigError(
            f"phantom: {name} is {value!r}, expected a whole number from {allowed[0]:,} to {allowed[-1]:,}{step}",
            remedy=_OPTIONS,
        )


def _is_made(folder: Path) -> bool:
    return os.path.isfile(folder / _TABLE)  # False, not an error, where the folder may not be entered


def _unwritable(folder: Path, why: str) -> DataError:
    return DataError(f"the phantom cohort cannot be written to {folder} ({why})", remedy=_ELSEWHERE)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file, gone afterwards. Whoever got one that was deleted meanwhile holds nothing, and tries again."""
    while True:
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                ours = os.path.samestat(os.fstat(lock.fileno()), path.stat())
            except FileNotFoundError:
                ours = False
            if ours:
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
