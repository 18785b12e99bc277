"""RadBench's rules for splitting what has no official split (RadFM, arXiv 2308.02463), as pure functions.

Everything drawn from PubMed Central is split by paper: a paper with any test sample is in no training set. The Rad3D
series is split by publication date: cases before 2023 train, the rest test. Draws are hashes of a seed and a name, so
that neither the order nor the number of other samples matters.
"""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Collection, Mapping
from hashlib import blake2b
from typing import Literal

from radbench.errors import ConfigError, DataError

Split = Literal["train", "test"]
LEFT_OUT = "left out"


def by_hash(name: str, seed: int, test_share: float) -> Split:
    """``test`` for about ``test_share`` (0 to 1) of all names. Raises :class:`ConfigError` for another share."""
    if not 0 <= test_share <= 1:
        raise ConfigError(f"test share {test_share}, expected 0 to 1")
    digest = blake2b(f"{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") < test_share * 2**64 else "train"


def paper_level(papers_of_samples: Mapping[str, Collection[str]], seed: int, test_share: float) -> dict[str, str]:
    """The split of every sample: ``test``, ``train`` or ``left out``, from the papers it was drawn from.

    Papers are drawn; a sample of any drawn paper is a test sample; a sample that shares a paper with a test sample is
    left out of training. Since papers are drawn by name, several datasets of the same papers split alike.
    """
    test = {
        sample
        for sample, papers in papers_of_samples.items()
        if any(by_hash(paper, seed, test_share) == "test" for paper in papers)
    }
    return exclude_papers(papers_of_samples, test)


def exclude_papers(papers_of_samples: Mapping[str, Collection[str]], test: Collection[str]) -> dict[str, str]:
    """As :func:`paper_level` for test samples that are given: other samples of their papers are left out."""
    chosen = set(test)
    closed = {paper for sample in chosen for paper in papers_of_samples[sample]}
    return {
        sample: "test" if sample in chosen else LEFT_OUT if closed.intersection(papers) else "train"
        for sample, papers in papers_of_samples.items()
    }


def by_date(date: str | datetime.date, before: str = "2023-01-01") -> Split:
    """``train`` for dates before ``before``, else ``test``; ISO dates, perhaps only a month or a year.

    Raises :class:`DataError` for another form and for a month or year that ``before`` lies within.
    """
    (limit, _), (first, last) = _span(before), _span(date)
    if last < limit:
        return "train"
    if first >= limit:
        return "test"
    raise DataError(f"date '{date}' is not exact enough to lie before or after {before}")


def _span(date: str | datetime.date) -> tuple[datetime.date, datetime.date]:
    """First and last day of a date, month or year."""
    if isinstance(date, datetime.datetime):
        return date.date(), date.date()
    if isinstance(date, datetime.date):
        return date, date
    parts = date.strip()[:10].split("-")
    try:
        year, *rest = (int(p) for p in parts)
        if len(parts[0]) != 4 or len(rest) > 2:
            raise ValueError
        month = rest[0] if rest else None
        day = rest[1] if len(rest) > 1 else None
        first = datetime.date(year, month or 1, day or 1) if 0 not in rest else None
    except ValueError:
        first = None
    if first is None:
        raise DataError(f"'{date}' is no date", remedy="expected YYYY-MM-DD, YYYY-MM or YYYY")
    last_month = month or 12
    return first, datetime.date(year, last_month, day or calendar.monthrange(year, last_month)[1])
