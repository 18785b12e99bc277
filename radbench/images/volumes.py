"""NIfTI and NRRD volumes, and the turn to RAS+ that every volume takes."""

from __future__ import annotations

import gzip
import io
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import numpy as np

from radbench.errors import ImageError
from radbench.images.limits import check_finite, check_voxels
from radbench.images.picture import Picture
from radbench.records import Image


def to_ras(image: Image, path: Path, volume: np.ndarray, affine: np.ndarray, digest: str) -> Picture:
    """Reorient (flips and axis swaps only, no resampling) so that axes point right, anterior, superior."""
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    check_finite(path, volume)
    turn = io_orientation(affine)
    if np.isnan(turn).any():
        raise ImageError(f"{path}: the affine is degenerate, an axis has no direction")
    turned = np.ascontiguousarray(apply_orientation(volume, turn), dtype=np.float32)
    new_affine = affine @ inv_ornt_aff(turn, volume.shape)
    spacing = tuple(float(s) for s in np.sqrt((new_affine[:3, :3] ** 2).sum(axis=0)))
    return Picture(turned, digest, spacing, new_affine, ("RAS",), image.window)


def affine_of_axes(axes: str, shape: tuple[int, ...]) -> np.ndarray:
    """The affine of an array whose axes point as ``axes`` says (``IPL``: inferior, posterior, left), 1 mm a voxel."""
    from nibabel.orientations import axcodes2ornt, inv_ornt_aff

    return np.linalg.inv(inv_ornt_aff(axcodes2ornt(tuple(axes)), shape))


def _single_volume(image: Image, path: Path, array: np.ndarray) -> np.ndarray:
    """The 3D array of a 3D file, or the chosen frame of a 4D one."""
    if array.ndim == 4:
        index = image.frame or 0
        if index >= array.shape[3]:
            raise ImageError(f"{path}: frame {index} asked for, the file has {array.shape[3]}")
        return array[..., index]
    if array.ndim != 3:
        raise ImageError(f"{path}: {array.ndim} dimensions, expected 3 (or 4 with a frame)")
    return array


def read_nifti(image: Image, path: Path) -> Picture:
    import nibabel

    data = path.read_bytes()
    loaded = nibabel.load(path)
    check_voxels(path, *loaded.shape)
    if path.name.lower().endswith(".gz"):
        wanted = int(loaded.dataobj.offset) + int(np.prod(loaded.shape)) * loaded.dataobj.dtype.itemsize
        loaded = type(loaded).from_bytes(_gunzip(path, io.BytesIO(data), wanted))
    array = _single_volume(image, path, np.asanyarray(loaded.dataobj))
    affine = np.asarray(loaded.affine, float)
    if image.axes:  # the dataset states the axes because its headers do not
        affine = affine_of_axes(image.axes, array.shape)
    return to_ras(image, path, array, affine, sha256(data).hexdigest())


def _gunzip(path: Path, file: IO[bytes], wanted: int) -> bytes:
    """The declared bytes of a gzip stream, and no more in memory; its checksum is verified where the stream ends there.

    nibabel and pynrrd stop before the checksum and would hand damaged voxels on.
    """
    with gzip.GzipFile(fileobj=file) as unpacked:
        raw = unpacked.read(wanted)
        unpacked.read(1 << 16)  # reaching the end raises BadGzipFile on a wrong checksum
    if len(raw) < wanted:
        raise ImageError(f"{path}: {len(raw)} bytes after unpacking, the header declares {wanted}")
    return raw


def read_nrrd(image: Image, path: Path) -> Picture:
    import nrrd

    with path.open("rb") as f:
        header = nrrd.read_header(f)
        start = f.tell()
    check_voxels(path, *header["sizes"])
    attached = "data file" not in header and "datafile" not in header
    if attached and str(header.get("encoding")) in ("gzip", "gz"):
        array = _nrrd_gzip(path, header, start)  # reads no more than the header declares
    else:
        array, _ = nrrd.read(str(path))
    directions = header.get("space directions")
    if array.ndim == 4 and directions is not None:  # the axis without a direction counts frames; it goes last
        lists = [i for i, d in enumerate(directions) if d is None or np.isnan(np.asarray(d, float)).any()]
        array = np.moveaxis(array, lists[0], -1) if lists else array
    affine = _nrrd_affine(header)
    with path.open("rb") as f:
        digest = sha256(f.read()).hexdigest()
    return to_ras(image, path, _single_volume(image, path, array), affine, digest)


def _nrrd_gzip(path: Path, header: Any, start: int) -> np.ndarray:
    import nrrd.reader

    dtype = np.dtype(nrrd.reader._determine_datatype(header))
    sizes = [int(s) for s in header["sizes"]]
    wanted = int(np.prod(sizes)) * dtype.itemsize
    with path.open("rb") as f:
        f.seek(start)
        raw = _gunzip(path, f, wanted)
    return np.frombuffer(raw, dtype).reshape(sizes, order="F")


def _nrrd_affine(header: Any) -> np.ndarray:
    """Voxel to RAS mm, from space directions and origin (space left-posterior-superior unless said otherwise)."""
    affine = np.eye(4)
    directions = header.get("space directions")
    if directions is not None:
        rows = [np.asarray(d, float) for d in directions if d is not None and not np.isnan(np.asarray(d, float)).any()]
        if len(rows) == 3:
            affine[:3, :3] = np.stack(rows, axis=1)
    elif "spacings" in header:
        affine[:3, :3] = np.diag([float(s) for s in header["spacings"][:3]])
    if "space origin" in header:
        affine[:3, 3] = np.asarray(header["space origin"], float)
    space = str(header.get("space", "left-posterior-superior")).lower()
    if space in ("left-posterior-superior", "lps"):
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    if space in ("left-anterior-superior", "las"):
        return np.diag([-1.0, 1.0, 1.0, 1.0]) @ affine
    return affine
