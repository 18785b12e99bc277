"""RAD-ChestCT (Zenodo record 6406114, on request; Draelos et al., Medical Image Analysis 2021).

Layout::

    trn00001.npz ... val... tst...    one scan each; key ``ct``, (slices, H, W), Hounsfield units
    img{train,valid,test}_Abnormality_and_Location_Labels.csv    NoteAcc_DEID, a 0/1 column a pair "abnormality*location"
    CT_Scan_Metadata_Complete_35747.csv    NoteAcc_DEID, MRN_DEID, ... (optional here: it names the patients)

Scans may also lie in ``images/`` or ``npz/``. The first slice is the top one: axis 0 points inferior, 1 posterior, 2 left
(column names of the extrema table).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from radbench.tasks.readers.files import column, csv_rows, hash_files, require, unwrapped

from radbench.errors import DataError, shown
from radbench.images.windows import preset
from radbench.records import Image, Labels, Sample

_ACCESS = "on-request"
_SPLITS = {"train": ("imgtrain", "trn"), "val": ("imgvalid", "val"), "test": ("imgtest", "tst")}
_LABELS = "Abnormality_and_Location_Labels.csv"
_METADATA = "CT_Scan_Metadata_Complete_35747.csv"
_ZERO, _ONE = frozenset({"0", "0.0"}), frozenset({"1", "1.0"})
_READABLE = {  # where putting blanks for underscores is not enough
    "bandlike_or_linear": "band-like or linear opacity", "cabg": "coronary artery bypass graft",
    "catheter_or_port": "catheter or port", "clip": "surgical clip", "dilation_or_ectasia": "dilation or ectasia",
    "gi_tube": "gastrointestinal tube", "groundglass": "ground-glass opacity", "nodulegr1cm": "nodule larger than 1 cm",
    "other_path": "other pathology", "pacemaker_or_defib": "pacemaker or defibrillator",
    "postsurgical": "postsurgical change", "scattered_calc": "scattered calcifications", "scattered_nod": "scattered nodules",
    "staple": "surgical staple", "soft_tissue": "soft tissue abnormality", "tree_in_bud": "tree-in-bud opacity",
}  # fmt: skip


class RadChestCT:
    """One sample a scan, with the abnormalities that any of their locations marks.

    Splits: train, val, test by the label tables; every scan's prefix must agree. Choices: the abnormalities of the header
    in readable words. Cluster: the patient (MRN_DEID) where the metadata table lies beside, else the scan.
    ``window`` is a preset of :data:`radbench.images.windows.PRESETS`; ``images`` the folder of npz files.
    """

    def __init__(self, root: Path, *, images: Path | None = None, window: str = "lung") -> None:
        preset(window)
        root = unwrapped(root, *(f"{table}_{_LABELS}" for table, _ in _SPLITS.values()))
        self._root, self._window = root, window
        self._images = images or next((root / n for n in ("images", "npz") if (root / n).is_dir()), root)

    def samples(self, split: str) -> Iterator[Sample]:
        path, prefix = self._table(split)
        names: list[str] = []
        choices: tuple[str, ...] = ()
        for line, row in csv_rows(require(path, f"the RAD-ChestCT labels of the split '{split}'")):
            scan = str(column(row, "NoteAcc_DEID", path, line)).strip().removesuffix(".npz")
            if not scan.startswith(prefix):
                raise DataError(
                    f"{path}, line {line}: NoteAcc_DEID is {shown(scan, _ACCESS)}, expected a scan of the split '{split}'",
                    remedy=f"its scans begin with '{prefix}'",
                )
            if not names:
                names = _abnormalities(row, path)
                choices = tuple(dict.fromkeys(n for n in names if n))
            present = _present(row, names, path, line)
            yield Sample(
                id=scan,
                cluster=self._patients.get(scan, scan),
                targets={"answer": Labels(tuple(n for n in choices if n in present))},
                images=(self._scan(scan),),
                choices=choices,
                strata={"findings": "present" if present else "none"},
            )

    def fingerprint(self) -> str:
        tables = [self._table(split)[0] for split in _SPLITS]
        return hash_files(t for t in (*tables, self._root / _METADATA) if t.exists())

    def _scan(self, name: str) -> Image:
        path = str(self._images / f"{name}.npz")
        return Image(path, member="ct", kind="volume", window=self._window, axes="IPL")

    def _table(self, split: str) -> tuple[Path, str]:
        if split not in _SPLITS:
            raise DataError(f"RAD-ChestCT has no split '{split}' but {', '.join(_SPLITS)}")
        table, prefix = _SPLITS[split]
        return self._root / f"{table}_{_LABELS}", prefix

    @cached_property
    def _patients(self) -> dict[str, str]:
        """Patient by scan; empty where the metadata table is not there."""
        path = self._root / _METADATA
        if not path.exists():
            return {}
        return {
            str(column(row, "NoteAcc_DEID", path, line)).strip().removesuffix(".npz"): str(
                column(row, "MRN_DEID", path, line)
            )
            for line, row in csv_rows(path)
        }


def readable(abnormality: str) -> str:
    """``pleural_effusion`` as "pleural effusion"."""
    return _READABLE.get(abnormality, abnormality.replace("_", " "))


def _abnormalities(row: dict[str, str], path: Path) -> list[str]:
    """For every column in turn the readable abnormality, "" for a column that is no pair."""
    names = [readable(c.partition("*")[0].strip()) if "*" in c else "" for c in row]
    if not any(names):
        raise DataError(f"{path}: no column 'abnormality*location'", remedy="compare with the published label tables")
    return names


def _present(row: dict[str, str], names: list[str], path: Path, line: int) -> set[str]:
    marked = [(name, v) for name, v in zip(names, row.values(), strict=True) if name and v not in _ZERO]
    for name, value in marked:
        if value.strip() not in _ONE:
            raise DataError(f"{path}, line {line}: a column of '{name}' holds {shown(value, _ACCESS)}, expected 0 or 1")
    return {name for name, _ in marked}
