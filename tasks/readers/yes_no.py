"""RadBench's disease diagnosis (RadFM, arXiv 2308.02463): "Is {disease} shown in this image?", as many yes as no.

Questions are made from any reader whose samples name the labels of an image. The authors' own draw is known only from
their released lists, see :mod:`radbench.tasks.readers.radfm_diagnosis`; this one is drawn by hashes of seed, disease and
sample, so that the order of a table does not matter.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radbench.dataset import Reader, lazy
from radbench.errors import ConfigError, DataError
from radbench.records import Labels, Sample

if TYPE_CHECKING:
    import numpy as np

YES_NO = ("yes", "no")
_ANSWERS = {True: {"answer": Labels(("yes",))}, False: {"answer": Labels(("no",))}}
NO_DISEASE = frozenset({"no finding", "no findings", "normal", "none", "negative", "healthy"})
OTHERS = (
    "other", "other disease", "other diseases", "other lesion", "other lesions", "other pathology", "pleural other",
    "support devices",
)  # fmt: skip
_READABLE = {
    "brocho-pneumonia": "bronchopneumonia", "copd": "chronic obstructive pulmonary disease",
    "cpam": "congenital pulmonary airway malformation", "diagphramatic hernia": "diaphragmatic hernia",
    "effusion": "pleural effusion", "enlarged pa": "enlarged pulmonary artery", "ild": "interstitial lung disease",
    "nodule/mass": "nodule or mass", "spondylolysthesis": "spondylolisthesis", "covid-19": "COVID-19",
}  # fmt: skip


@cache
def readable(name: str) -> str:
    """A label as it stands in a question: lower case, blanks for underscores, misspellings and abbreviations resolved."""
    words = " ".join(name.replace("_", " ").lower().split())
    return _READABLE.get(words, words)


class BalancedQuestions:
    """Yes/no questions on the labels of another reader's samples: for every disease as many yes as no.

    ``source`` is ``"module:Class"``, opened as ``Class(root, **options)``, or a reader. Its samples name what is present in
    the target ``answer`` (Labels) and what could be in ``choices``, which leave out what is uncertain of that sample. A
    disease is asked of an image that has it and of one that lacks it. Not asked: names for the absence of
    disease, and ``leave_out``, by default what names no one disease. All of the rarer answer are taken and as many of the
    other, drawn; ``per_image`` bounds the questions an image gets, rare diseases first. Splits, clusters (the image where the
    source has none), further strata and access are the source's.

    Slot and stratum: disease. ``questions="released"`` gives the authors' list ``table`` in ``lists`` instead, see
    :class:`radbench.tasks.readers.radfm_diagnosis.BalancedList`.
    """

    def __init__(
        self,
        root: Path,
        *,
        source: str | Reader,
        options: Mapping[str, Any] | None = None,
        per_image: int | None = None,
        seed: int = 0,
        leave_out: Sequence[str] = OTHERS,
        questions: str = "official",
        lists: Path | str | None = None,
        table: str = "",
        path_map: str = "",
    ) -> None:
        if per_image is not None and per_image < 1:
            raise ConfigError(f"per_image is {per_image}, expected at least 1")
        if questions not in ("official", "released"):
            raise ConfigError(f"questions '{questions}', expected 'official' or 'released'")
        self._released: Reader | None = None
        if questions == "released":
            from radbench.tasks.readers.radfm_diagnosis import BalancedList

            self._released = BalancedList(root, lists=lists, table=table, path_map=path_map)
            return
        opened = lazy(source).resolve()(root, **(options or {})) if isinstance(source, str) else source
        self._source: Reader = opened
        self._per_image, self._seed = per_image, seed
        self._not_asked = NO_DISEASE | {readable(name) for name in leave_out}

    def samples(self, split: str) -> Iterator[Sample]:
        if self._released is not None:
            yield from self._released.samples(split)
            return
        chosen = self._choose(self._pool(split))
        for position, sample in enumerate(self._source.samples(split)):
            for disease, present in chosen.get(position, ()):
                yield _question(sample, disease, present)

    def fingerprint(self) -> str:
        if self._released is not None:
            return self._released.fingerprint()
        made_with = f"{self._per_image} {self._seed} {sorted(self._not_asked)}"
        return f"{self._source.fingerprint()}-{blake2b(made_with.encode(), digest_size=4).hexdigest()}"

    def _pool(self, split: str) -> _Pool:
        pool = _Pool()
        for sample in self._source.samples(split):
            pool.add(sample.id, self._present(sample), self._possible(sample))
        return pool

    def _present(self, sample: Sample) -> frozenset[str]:
        said = sample.targets.get("answer")
        if not isinstance(said, Labels):
            raise DataError("yes/no questions need a reader of labels: its samples have no set of labels as 'answer'")
        return _asked(said.names, self._not_asked)

    def _possible(self, sample: Sample) -> frozenset[str]:
        if not sample.choices:
            raise DataError("yes/no questions need a reader whose samples name the possible labels (choices)")
        return _asked(sample.choices, self._not_asked)

    def _choose(self, pool: _Pool) -> dict[int, list[tuple[str, bool]]]:
        """The questions by the position of their sample."""
        import numpy as np

        digests, used = pool.digests(), np.zeros(len(pool), np.uint16)
        counts = {disease: len(pool.positions(disease, True)) for disease in pool.diseases()}
        chosen: dict[int, list[tuple[str, bool]]] = {}
        for disease in sorted(counts, key=lambda d: (counts[d], d)):
            groups = {present: pool.positions(disease, present) for present in (True, False)}
            if self._per_image is not None:
                groups = {present: p[used[p] < self._per_image] for present, p in groups.items()}
            n = min(map(len, groups.values()))
            for present, positions in groups.items():
                drawn = positions[np.argsort(_ranks(digests[positions], disease, self._seed), kind="stable")[:n]]
                used[drawn] += 1
                for position in drawn.tolist():
                    chosen.setdefault(position, []).append((disease, present))
        for questions in chosen.values():
            questions.sort()
        return chosen


@dataclass(slots=True)
class _Pool:
    """What a split holds, 12 bytes a sample: a digest of its id and the number of its combination of labels."""

    _digests: array[int] = field(default_factory=lambda: array("Q"))
    _kinds: array[int] = field(default_factory=lambda: array("I"))
    _numbers: dict[tuple[frozenset[str], ...], int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._kinds)

    def add(self, name: str, present: frozenset[str], possible: frozenset[str]) -> None:
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self._digests.append(int.from_bytes(digest, "big"))
        kind = (present, possible - present)
        self._kinds.append(self._numbers.setdefault(kind, len(self._numbers)))

    def diseases(self) -> set[str]:
        """Those that some sample has."""
        return set().union(*(present for present, _ in self._numbers))

    def digests(self) -> np.ndarray:
        import numpy as np

        return np.asarray(self._digests, np.uint64)

    def positions(self, disease: str, present: bool) -> np.ndarray:
        """Where the samples are that have a disease, or that lack it by their labels."""
        import numpy as np

        told = np.array([disease in (kind[0] if present else kind[1]) for kind in self._numbers], bool)
        return np.flatnonzero(told[np.asarray(self._kinds, np.uint32)])


@cache
def _asked(names: tuple[str, ...], not_asked: frozenset[str]) -> frozenset[str]:
    return frozenset(map(readable, names)) - not_asked


def _ranks(digests: np.ndarray, disease: str, seed: int) -> np.ndarray:
    """A random-looking order of samples for a disease: their digests with the disease's, mixed (SplitMix64's finalizer)."""
    import numpy as np

    salt = int.from_bytes(blake2b(f"{seed}\0{disease}".encode(), digest_size=8).digest(), "big")
    mixed = digests ^ np.uint64(salt)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _question(sample: Sample, disease: str, present: bool) -> Sample:
    return Sample(
        id=f"{sample.id}|{disease}",
        cluster=sample.cluster or sample.id,
        targets=_ANSWERS[present],
        images=sample.images,
        slots={**sample.slots, "disease": disease},
        choices=YES_NO,
        strata={**sample.strata, "disease": disease},
        access=sample.access,
    )
