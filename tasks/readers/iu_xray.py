"""IU-Xray: the Open-i chest X-ray reports of Indiana University, in the original XML and in the Kaggle copy.

::

    ecgen-radiology/<n>.xml (perhaps below NLMCXR_reports/), or NLMCXR_reports.tgz as it is; NLMCXR_png/<image>.png
        uId/@id; AbstractText of Label COMPARISON, INDICATION, FINDINGS, IMPRESSION; parentImage/@id
    indiana_reports.csv        uid, MeSH, Problems, image, indication, comparison, findings, impression
    indiana_projections.csv    uid, filename, projection (Frontal / Lateral);  images/images_normalized/<filename>

Sources: openi.nlm.nih.gov (CC BY-NC-ND; Demner-Fushman et al., JAMIA 2016); raddar/chest-xrays-indiana-university.
"""

from __future__ import annotations

import re
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from radbench.tasks.readers.files import column, csv_rows, hash_files, hash_listing, require, visible
from radbench.tasks.readers.json_stream import json_document
from radbench.tasks.readers.report_samples import (
    MODALITY,
    context,
    length_stratum,
    report_targets,
    view_stratum,
    wanted_section,
)
from radbench.tasks.readers.sectioning import one_line

from radbench.errors import DataError, shown
from radbench.records import Image, Sample

_PARTS = ("findings", "impression", "indication", "comparison")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which reports are asked about, and what of them.

    ``section`` is findings, impression or report (both); reports without it are left out. ``both`` leaves out reports that
    lack findings or impression whatever the section (MedInterp). ``min_images`` leaves out reports with fewer pictures: 104
    of Open-i's name none. ``split_ids`` is a JSON file of study ids by split (``{"test": ["CXR2384_IM-0942", ...]}``, as
    R2Gen's annotation has them): the splits are then its own, and reports it does not name are left out.
    """

    section: str = "report"
    both: bool = False
    min_images: int = 1
    split_ids: Path | None = None

    def reports(self, split: str) -> frozenset[str] | None:
        """Report numbers of a split, None for all. Raises :class:`radbench.errors.DataError` for an unknown split."""
        if self.split_ids is None:
            if split not in ("all", "test"):
                raise DataError(f"IU-Xray has no split '{split}' but all (test: all too)", remedy="pass 'split_ids'")
            return None
        ids = json_document(require(self.split_ids, "study ids by split"))
        if not isinstance(ids, dict) or not isinstance(ids.get(split), list):
            names = ", ".join(map(str, ids)) if isinstance(ids, dict) else type(ids).__name__
            raise DataError(f"{self.split_ids}: no list of study ids for split '{split}'", found=f"it has {names}")
        return frozenset(_number(str(i["id"] if isinstance(i, dict) else i)) for i in ids[split])

    def sample(self, number: str, texts: dict[str, str], images: tuple[Image, ...]) -> Sample | None:
        targets = report_targets(texts["findings"], texts["impression"], wanted_section(self.section))
        if targets is None or (self.both and "report" not in targets) or len(images) < self.min_images:
            return None
        indication, comparison = texts["indication"], texts["comparison"]
        views = tuple(i.view for i in images)
        slots = {
            "modality": MODALITY, "views": ", ".join(v for v in views if v), "indication": indication,
            "comparison": comparison, "history": "", "context": context(indication, comparison),
        }  # fmt: skip
        strata = {"view": view_stratum(views), "n_images": str(len(images)), "report_length": length_stratum(targets)}
        return Sample(f"CXR{number}", f"CXR{number}", targets, images, slots, strata=strata)

    def describe(self) -> str:
        ids = hash_files([self.split_ids]) if self.split_ids is not None else ""
        return repr((wanted_section(self.section), self.both, self.min_images, ids))


class OpenI:
    """The original XML, from its folder or straight from the archive.

    The XML tells no projection: the first ``max_images`` pictures it names are taken, two by default, which mostly are the
    frontal and the lateral one; their views stay unknown. ``images`` is the folder of NLMCXR_png.tgz, by default
    ``NLMCXR_png`` in ``root``. Splits: ``all``, also called ``test``, or those of ``split_ids``. Cluster: the report, since
    patients are not named (one report a patient is the rule). Sample id ``CXR<n>``. Targets ``findings``, ``impression``,
    ``report``, ``answer``. Slots: modality, views, indication, comparison, history (empty), context. Strata: view, n_images,
    report_length. Other options: :class:`Choice`. Raises :class:`radbench.errors.DataError`.
    """

    def __init__(
        self,
        root: Path,
        *,
        images: Path | None = None,
        section: str = "report",
        both: bool = False,
        min_images: int = 1,
        max_images: int = 2,
        split_ids: Path | None = None,
    ) -> None:
        self._source = _xml_source(root)
        png = root / "NLMCXR_png"
        self._images = images or (png if png.is_dir() or not (root / "images").is_dir() else root / "images")
        wanted_section(section)
        self._choice, self._max_images = Choice(section, both, min_images, split_ids), max_images

    def samples(self, split: str) -> Iterator[Sample]:
        asked = self._choice.reports(split)
        for name, data in self._documents():
            number, texts, pictures = _parsed(self._source, name, data)
            if asked is not None and number not in asked:
                continue
            images = tuple(Image(f"{self._images}/{p}.png", study=f"CXR{number}") for p in pictures[: self._max_images])
            sample = self._choice.sample(number, texts, images)
            if sample is not None:
                yield sample

    def _documents(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of every XML file, in the order of the archive, or of the numbers in a folder."""
        if self._source.is_dir():
            for path in sorted(_xml_files(self._source), key=_by_number):
                yield path.name, path.read_bytes()
            return
        try:
            with tarfile.open(self._source, "r|*") as archive:
                for member in archive:
                    wanted = member.isfile() and member.name.endswith(".xml") and visible(PurePosixPath(member.name))
                    file = archive.extractfile(member) if wanted else None
                    if file is not None:
                        yield member.name, file.read()
        except (tarfile.TarError, EOFError, OSError) as error:
            raise DataError(f"{self._source}: cannot be read ({error})", remedy="download the archive again") from None

    def fingerprint(self) -> str:
        listed = sorted(_xml_files(self._source)) if self._source.is_dir() else []
        digest = hash_listing(self._source, listed) if listed else hash_files([self._source])
        return sha256(f"{digest} {self._choice.describe()} {self._max_images}".encode()).hexdigest()[:16]


class Kaggle:
    """The Kaggle copy: the first frontal and the first lateral picture of a report, whichever there are.

    ``images`` is the folder of the pictures, by default ``images/images_normalized`` in ``root``. All else as :class:`OpenI`.
    """

    def __init__(
        self,
        root: Path,
        *,
        images: Path | None = None,
        section: str = "report",
        both: bool = False,
        min_images: int = 1,
        split_ids: Path | None = None,
    ) -> None:
        self._reports = require(root / "indiana_reports.csv", "the table of reports of the Kaggle copy")
        self._projections = require(root / "indiana_projections.csv", "the table of projections of the Kaggle copy")
        nested = (root / "images" / "images_normalized", root / "images_normalized", root / "images")
        self._images = images or next((f for f in nested if f.is_dir()), nested[0])
        wanted_section(section)
        self._choice = Choice(section, both, min_images, split_ids)

    def samples(self, split: str) -> Iterator[Sample]:
        asked = self._choice.reports(split)
        pictures = self._first_pictures()
        for line, row in csv_rows(self._reports):
            number = _number(column(row, "uid", self._reports, line))
            texts = {name: one_line(column(row, name, self._reports, line)) for name in _PARTS}
            if asked is not None and number not in asked:
                continue
            named = pictures.get(number, {})
            images = tuple(
                Image(f"{self._images}/{named[view]}", view=view, study=f"CXR{number}")
                for view in ("Frontal", "Lateral")
                if view in named
            )
            sample = self._choice.sample(number, texts, images)
            if sample is not None:
                yield sample

    def _first_pictures(self) -> dict[str, dict[str, str]]:
        """The first file of each projection, by report: some seven thousand rows."""
        first: dict[str, dict[str, str]] = {}
        for line, row in csv_rows(self._projections):
            uid, name, view = (column(row, c, self._projections, line) for c in ("uid", "filename", "projection"))
            if view not in ("Frontal", "Lateral"):
                raise DataError(
                    f"{self._projections}, line {line}: projection is {shown(view)}, expected Frontal or Lateral"
                )
            first.setdefault(_number(uid), {}).setdefault(view, name)
        return first

    def fingerprint(self) -> str:
        tables = hash_files([self._reports, self._projections])
        return sha256(f"{tables} {self._choice.describe()}".encode()).hexdigest()[:16]


def _xml_files(folder: Path) -> Iterator[Path]:
    return filter(visible, folder.glob("*.xml"))


def _xml_source(root: Path) -> Path:
    """The folder of XML files, or the archive. Raises :class:`radbench.errors.DataError`."""
    if root.is_file():
        return root
    for folder in (root / "ecgen-radiology", root / "NLMCXR_reports" / "ecgen-radiology", root):
        if folder.is_dir() and next(_xml_files(folder), None):
            return folder
    return require(root / "NLMCXR_reports.tgz", "ecgen-radiology/*.xml or the archive NLMCXR_reports.tgz")


def _parsed(source: Path, name: str, data: bytes) -> tuple[str, dict[str, str], list[str]]:
    """Report number, texts by section and names of pictures of one XML file. Raises :class:`radbench.errors.DataError`."""
    try:
        document = ET.fromstring(data)
    except ET.ParseError as error:
        raise DataError(f"{source}, {name}: not XML ({error})", remedy="download the reports again") from None
    uid = document.find("uId")
    if uid is None or not uid.get("id"):
        raise DataError(f"{source}, {name}: no uId with an id, expected an Open-i report")
    texts = dict.fromkeys(_PARTS, "")
    for part in document.iter("AbstractText"):
        label = (part.get("Label") or "").lower()
        if label in texts:
            texts[label] = one_line(f"{texts[label]} {''.join(part.itertext())}")
    return _number(uid.get("id", "")), texts, [p for i in document.iter("parentImage") if (p := i.get("id"))]


def _number(name: str) -> str:
    """``2384`` of a uid 2384, CXR2384, CXR2384_IM-0942."""
    found = re.match(r"(?:CXR)?(\d+)", name.strip())
    return found.group(1) if found else name.strip()


def _by_number(path: Path) -> tuple[int, str]:
    return (int(path.stem) if path.stem.isdigit() else -1, path.stem)
