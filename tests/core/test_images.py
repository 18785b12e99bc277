"""Decoding: what models see is right, and every damaged file is one clear error."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from radbench import Image
from radbench.errors import ConfigError, ImageError
from radbench.images import cache_clear, load_mask, warm
from radbench.images import decode as decoding
from radbench.images.windows import apply_window, preset, to_uint8
from radbench.records import Mask


def png(path: Path, array: np.ndarray) -> Path:
    from PIL import Image as PIL

    PIL.fromarray(array).save(path)
    return path


def nifti(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def dicom(path: Path, pixels: np.ndarray | None, **tags: object) -> Path:
    """A minimal but valid DICOM file; ``tags`` override the header."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    d = pydicom.Dataset()
    d.file_meta = meta
    d.SOPClassUID, d.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    d.Modality, d.PatientID, d.SeriesInstanceUID = "CT", "made-up", "1.2.3"
    if pixels is not None:
        d.Rows, d.Columns = pixels.shape[-2:]
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.BitsAllocated = d.BitsStored = pixels.dtype.itemsize * 8
        d.HighBit, d.PixelRepresentation = d.BitsStored - 1, int(pixels.dtype.kind == "i")
        if pixels.ndim == 3:
            d.NumberOfFrames = len(pixels)
        d.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(d, name, value)
    d.save_as(path, enforce_file_format=True)
    return path


# --- what is decoded is right ---


def test_grey_colour_and_palette_rasters(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert (Image(str(png(tmp_path / "g.png", grey))).load().array == grey).all()
    colour = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    picture = Image(str(png(tmp_path / "c.tiff", colour))).load()
    assert (picture.array == colour).all()
    assert picture.size == (8, 8)
    assert picture.pil().size == (8, 8)
    assert picture.grey().shape == (8, 8)


def test_sixteen_bit_pictures_use_their_range_or_a_window(tmp_path: Path) -> None:
    values = np.linspace(1000, 5000, 64).reshape(8, 8).astype(np.uint16)
    path = str(png(tmp_path / "x.png", values))
    shown = Image(path).load()
    assert (shown.array.min(), shown.array.max()) == (0, 255)
    assert "16-bit" in shown.steps[0]
    windowed = Image(path, window="2000/1000").load().array
    assert (windowed == apply_window(values.astype(float), 2000, 1000)).all()


def test_window_presets_and_their_errors() -> None:
    assert preset("lung") == (-600, 1500)
    assert preset("40/80") == (40, 80)
    assert apply_window(np.array([-40.0, 40.0, 120.0]), 40, 160).tolist() == [0, 128, 255]
    with pytest.raises(ConfigError, match="did you mean 'lung'"):
        preset("lungs")
    with pytest.raises(ConfigError):
        preset("40/0")
    assert to_uint8(np.full((2, 2), 7.0)).tolist() == [[0, 0], [0, 0]]


def test_dicom_rescale_window_and_monochrome1(tmp_path: Path) -> None:
    stored = np.arange(100, dtype=np.uint16).reshape(10, 10)
    plain = dicom(tmp_path / "a.dcm", stored, RescaleSlope=2, RescaleIntercept=-50, RescaleType="HU")
    assert (Image(str(plain), window="50/100").load().array == apply_window(stored * 2.0 - 50, 50, 100)).all()
    assert Image(str(plain)).load().steps == ("rescale", "range")
    own = dicom(tmp_path / "b.dcm", stored, WindowCenter=50, WindowWidth=20)
    array = Image(str(own)).load().array
    assert (array[stored < 40] == 0).all()
    assert (array[stored > 60] == 255).all()
    inverted = dicom(tmp_path / "c.dcm", stored, PhotometricInterpretation="MONOCHROME1")
    assert (Image(str(inverted)).load().array == 255 - to_uint8(stored)).all()


def test_multi_frame_dicom_frames_and_volume(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 200, (3, 6, 5), np.uint16)
    path = str(dicom(tmp_path / "m.dcm", stored))
    assert (Image(path, frame=2).load().array == to_uint8(stored[2])).all()
    volume = Image(path, kind="volume").load()
    assert volume.size == (5, 6, 3)
    with pytest.raises(ImageError, match="frame 3 asked for, the object has 3"):
        Image(path, frame=3).load()


def series(folder: Path, order: list[int], count: int = 4, skip: int | None = None) -> Path:
    """Axial slices 2.5 mm apart, 0.5 x 0.75 mm pixels; slice z holds the value z."""
    folder.mkdir()
    for number, z in enumerate(order):
        if z == skip:
            continue
        dicom(
            folder / f"{number}.dcm", np.full((6, 8), z, np.int16), ImagePositionPatient=[-10, -20, 100 + 2.5 * z],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[0.75, 0.5], RescaleSlope=10, RescaleIntercept=-1000,
        )  # fmt: skip
    return folder


def test_a_dicom_series_is_a_volume_in_ras_with_spacing(tmp_path: Path) -> None:
    volume = Image(str(series(tmp_path / "s", [2, 0, 3, 1])), kind="series").load()
    assert volume.size == (8, 6, 4)
    assert volume.spacing == pytest.approx((0.5, 0.75, 2.5))
    assert volume.array[0, 0].tolist() == [-1000, -990, -980, -970]  # inferior to superior whatever the file order
    assert volume.affine is not None
    corner = volume.affine @ [7, 5, 0, 1]  # LPS (-10, -20, 100) is RAS (10, 20, 100): the last voxel of both axes
    assert corner[:3] == pytest.approx([10, 20, 100])


def test_a_series_with_a_hole_a_twin_or_a_second_series_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="one is missing"):
        Image(str(series(tmp_path / "hole", [0, 1, 2, 3], skip=1)), kind="series").load()
    with pytest.raises(ImageError, match="same position"):
        Image(str(series(tmp_path / "twin", [0, 1, 1, 2])), kind="series").load()
    two = series(tmp_path / "two", [0, 1])
    dicom(two / "x.dcm", np.zeros((6, 8), np.int16), SeriesInstanceUID="9.9", ImagePositionPatient=[0, 0, 0])
    with pytest.raises(ImageError, match="holds 2 series"):
        Image(str(two), kind="series").load()
    (tmp_path / "none").mkdir()
    with pytest.raises(ImageError, match="no DICOM slice"):
        Image(str(tmp_path / "none"), kind="series").load()


def test_nifti_and_nrrd_are_turned_to_ras(tmp_path: Path) -> None:
    import nrrd

    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    affine = np.diag([-1.5, 2, 3, 1.0])  # x runs to the left
    volume = Image(str(nifti(tmp_path / "v.nii.gz", array, affine)), kind="volume").load()
    assert (volume.array == array[::-1]).all()
    assert volume.spacing == pytest.approx((1.5, 2, 3))
    header = {"space": "left-posterior-superior", "space directions": np.diag([1.5, -2, 3]), "space origin": [0, 0, 0]}
    for encoding in ("gzip", "raw"):
        nrrd.write(str(tmp_path / f"{encoding}.nrrd"), array, {**header, "encoding": encoding})
        turned = Image(str(tmp_path / f"{encoding}.nrrd"), kind="volume").load()
        assert (turned.array == volume.array).all()
        assert turned.spacing == pytest.approx(volume.spacing)


def test_npz_members(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (3, 4, 4), np.uint8)
    np.savez(tmp_path / "x.npz", train_images=images)
    picture = Image(str(tmp_path / "x.npz"), member="train_images", frame=1).load()
    assert (picture.array == images[1]).all()
    with pytest.raises(ImageError, match="no array 'test_images'; it holds train_images"):
        Image(str(tmp_path / "x.npz"), member="test_images").load()
    np.savez(tmp_path / "o.npz", evil=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ImageError, match="without Python objects"):
        Image(str(tmp_path / "o.npz"), member="evil").load()


def written_npz(path: Path, shape: tuple[int, ...], body: bytes) -> Path:
    """An npz whose array ``mask`` declares ``shape`` of bytes and holds ``body``."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("mask.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": shape})
        member.write(body)
    return path


def test_an_npz_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radbench.images.cache._SMALL_BYTES", 1 << 20)
    small = written_npz(tmp_path / "small.npz", (1000, 1000), bytes(1_000_000))
    assert decoding.decode_labels(Image(str(small))).shape == (1000, 1000)  # an empty mask shrinks as much
    real = written_npz(tmp_path / "real.npz", (2, 1000, 1000), np.random.default_rng(0).bytes(2_000_000))
    assert Image(str(real), member="mask", frame=1).load().size == (1000, 1000)
    blank = written_npz(tmp_path / "blank.npz", (2, 1000, 1000), bytes(2_000_000))
    liar = written_npz(tmp_path / "liar.npz", (1000, 1000, 1000, 2), bytes(100))
    vast = written_npz(tmp_path / "vast.npz", (10**6, 10**6), bytes(100))

    def unpacked(*_: object, **__: object) -> None:
        raise AssertionError("the array was read")

    monkeypatch.setattr("numpy.lib.format.read_array", unpacked)
    for path, message in ((blank, "2,000,000 values.*bomb"), (liar, "bomb"), (vast, "1,000,000,000,000 bytes")):
        with pytest.raises(ImageError, match=message):
            decoding.decode_labels(Image(str(path)))
        with pytest.raises(ImageError, match=message):
            Image(str(path), member="mask", frame=0).load()


def test_real_volumes_match_their_masks(shared: Path) -> None:
    """TotalSegmentator's CT series and label map describe the same grid; bone is bright under its own label."""
    folder = shared / "totalseg_ct_mr"
    ct = Image(str(folder / "example_ct_dicom"), kind="series").load()
    labels = Image(str(folder / "example_seg_dicom.nii.gz"), kind="volume").load()
    assert ct.size == labels.size == (512, 512, 20)
    assert ct.spacing == pytest.approx(labels.spacing, abs=1e-3)
    assert ct.affine is not None
    assert labels.affine is not None
    assert ct.affine == pytest.approx(labels.affine, abs=0.05)
    inside, outside = ct.array[labels.array > 0], ct.array[labels.array == 0]
    assert inside.mean() > outside.mean() + 300  # organs against mostly air
    brain = Image(str(shared / "pyradiomics" / "brain1_image.nrrd"), kind="volume").load()
    tumour = load_mask(Mask(image=Image(str(shared / "pyradiomics" / "brain1_label.nrrd"), kind="volume")))
    assert brain.size == tumour.shape
    assert tumour.sum() == 4137


# --- every damaged file is one clear error ---


def broken(tmp_path: Path, case: str) -> Image:
    """A damaged file of each kind."""
    grey = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    path = tmp_path / case
    if case == "truncated.png":
        whole = png(tmp_path / "whole.png", grey).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif case == "bomb.png":

        def chunk(kind: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        header = struct.pack(">IIBBBBB", 200_000, 200_000, 8, 0, 0, 0, 0)
        pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b""))
    elif case == "nan.nii.gz":
        values = np.zeros((4, 4, 4), np.float32)
        values[1, 1, 1] = np.nan
        return Image(str(nifti(path, values)), kind="volume")
    elif case == "corrupt.nii.gz":
        data = bytearray(nifti(tmp_path / "ok.nii.gz", np.random.default_rng(0).random((16, 16, 16))).read_bytes())
        data[len(data) // 2 : len(data) // 2 + 100] = bytes(100)
        path.write_bytes(bytes(data))
        return Image(str(path), kind="volume")
    elif case == "cut.nii.gz":
        data = nifti(tmp_path / "ok.nii.gz", np.random.default_rng(0).random((16, 16, 16))).read_bytes()
        path.write_bytes(data[: len(data) // 2])
        return Image(str(path), kind="volume")
    elif case == "bomb.nii.gz":
        import nibabel

        header = nibabel.Nifti1Header()
        header.set_data_shape((30_000, 30_000, 3000))
        with gzip.open(path, "wb") as f:
            f.write(header.binaryblock + bytes(4))
        return Image(str(path), kind="volume")
    elif case == "empty_pixels.dcm":
        dicom(path, None)
    elif case == "short.dcm":
        dicom(path, np.zeros((8, 8), np.uint16), PixelData=b"\0\0")
    elif case == "random.jpg":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif case == "bomb.nrrd":
        path.write_bytes(
            b"NRRD0004\ntype: short\ndimension: 3\nsizes: 30000 30000 30000\nencoding: gzip\nendian: little\n\n"
        )
        return Image(str(path), kind="volume")
    elif case == "short.nrrd":
        body = gzip.compress(bytes(10))
        path.write_bytes(
            b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nencoding: gzip\nendian: little\n\n" + body
        )
        return Image(str(path), kind="volume")
    elif case == "zero.png":
        path.write_bytes(b"")
    return Image(str(path))


CASES = {
    "truncated.png": "cannot be decoded",
    "bomb.png": "decompression bomb",
    "nan.nii.gz": "1 of 64 values are NaN",
    "corrupt.nii.gz": "cannot be decoded",
    "cut.nii.gz": "cannot be decoded",
    "bomb.nii.gz": "decompression bomb",
    "empty_pixels.dcm": "without pixels",
    "short.dcm": "cannot be decoded",
    "random.jpg": "cannot be decoded",
    "bomb.nrrd": "decompression bomb",
    "short.nrrd": "the header declares",
    "zero.png": "cannot be decoded",
    "missing.png": "no such file",
}


@pytest.mark.parametrize("case", CASES)
def test_a_damaged_file_is_one_clear_error(case: str, tmp_path: Path) -> None:
    image = broken(tmp_path, case)
    with pytest.raises(ImageError, match=CASES[case]) as caught:
        image.load()
    assert case in str(caught.value)
    assert len(str(caught.value)) < 700
    with pytest.raises(ImageError):
        warm(image).result()  # the same from a thread


def whole_file(tmp_path: Path, kind: str) -> Image:
    """A valid small file of each format."""
    rng = np.random.default_rng(0)
    path = tmp_path / f"ok{kind}"
    if kind == ".npz":
        np.savez_compressed(path, images=rng.integers(0, 255, (2, 8, 8), np.uint8))
        return Image(str(path), member="images", frame=0)
    if kind == ".dcm":
        return Image(str(dicom(path, rng.integers(0, 255, (8, 8), np.uint16), WindowCenter=50, WindowWidth=20)))
    if kind in (".nii", ".nii.gz"):
        return Image(str(nifti(path, rng.random((4, 5, 6)).astype(np.float32))), kind="volume")
    if kind == ".nrrd":
        import nrrd

        nrrd.write(str(path), rng.random((4, 5, 6)))
        return Image(str(path), kind="volume")
    return Image(str(png(path, rng.integers(0, 255, (12, 12, 3), np.uint8))))


@pytest.mark.filterwarnings("ignore")  # the decoders' own
@pytest.mark.parametrize("kind", [".png", ".jpg", ".tif", ".dcm", ".nii", ".nii.gz", ".nrrd", ".npz"])
def test_any_mutation_of_a_file_is_a_picture_or_one_clear_error(kind: str, tmp_path: Path) -> None:
    image = whole_file(tmp_path, kind)
    assert image.load().array.size > 0
    whole = Path(image.path).read_bytes()
    rng = np.random.default_rng(1)
    failures = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(int(rng.integers(1, 6))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        Path(image.path).write_bytes(bytes(data[: int(rng.integers(len(data) // 2, len(data) + 1))]))
        cache_clear()
        try:
            assert image.load().array.size > 0
        except ImageError as error:
            failures += 1
            assert str(tmp_path) in str(error)
    assert failures > 10


def test_a_nrrd_bomb_is_not_unpacked_beyond_its_header(tmp_path: Path) -> None:
    """A gzip stream far longer than the header declares: only what is declared is read."""
    body = gzip.compress(bytes(50_000_000))
    path = tmp_path / "long.nrrd"
    path.write_bytes(b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nencoding: gzip\nendian: little\n\n" + body)
    assert Image(str(path), kind="volume").load().size == (4, 4, 4)


# --- keys and cache ---


def test_a_replaced_file_has_another_key_and_is_decoded_anew(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    image = Image(str(path))
    first = image.key()
    path.unlink()
    assert "missing" in image.key()
    png(path, np.ones((9, 9), np.uint8))
    assert image.key() not in (first, Image(str(tmp_path / "b.png")).key())
    assert Image(str(path), window="lung").key() != image.key()


def test_the_cache_is_bounded_and_keeps_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from radbench.images import cache

    decoded: list[str] = []
    real = decoding.decode
    monkeypatch.setattr(cache, "decode", lambda image: decoded.append(image.path) or real(image))
    monkeypatch.setattr(cache, "_cache", cache._Cache(limit=5 * (10_000 + 1024)))
    images = [Image(str(png(tmp_path / f"{i}.png", np.full((100, 100), i, np.uint8)))) for i in range(12)]
    for image in images:
        image.load()
    assert len(cache._cache._entries) == 5
    images[-1].load()
    assert len(decoded) == 12
    images[0].load()
    assert len(decoded) == 13


def test_many_threads_decode_one_picture_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from radbench.images import cache

    cache_clear()
    decoded: list[str] = []
    real = decoding.decode
    monkeypatch.setattr(cache, "decode", lambda image: decoded.append(image.path) or real(image))
    image = Image(str(png(tmp_path / "a.png", np.zeros((200, 200), np.uint8))))
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(lambda _: image.load(), range(40)))
    assert len(decoded) == 1
    assert all(p is pictures[0] for p in pictures)


@pytest.mark.parametrize(("shape", "expected"), [((20, 30), (20, 30)), ((20, 30, 3), (20, 30))])
def test_size_is_rows_by_columns(shape: tuple[int, ...], expected: tuple[int, int], tmp_path: Path) -> None:
    assert Image(str(png(tmp_path / "a.png", np.zeros(shape, np.uint8)))).load().size == expected


def test_slices_look_the_radiological_way(tmp_path: Path) -> None:
    """In RAS, the patient's right is low x: on the picture it must be on the left, anterior on top."""
    array = np.zeros((10, 20, 5), np.float32)
    array[:, :, 2] = 50
    array[0, 19, 2] = 100  # right-most... low x is left in RAS index, high y is anterior
    picture = Image(str(nifti(tmp_path / "v.nii", array)), kind="volume").load().slices(1)[0]
    grey = np.asarray(picture.convert("L"))
    assert grey.shape == (20, 10)
    row, column = np.unravel_index(int(grey.argmax()), grey.shape)
    assert (row, column) == (0, 9)  # low x (the patient's left in RAS+) is shown on the viewer's right
