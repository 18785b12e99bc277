"""Fetching open datasets from the Hugging Face hub, and unpacking the archives inside them.

Nothing else in radbench downloads data, and nothing here touches data that need an agreement: those are named with the
page where one asks for them.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from radbench.dataset import Dataset
from radbench.errors import OPEN_ACCESS, ConfigError

MAX_MEMBERS = 5_000_000
MAX_RATIO = 200  # unpacked to packed bytes of a whole archive; pictures hardly shrink, tables by ten
_SMALL = 64 << 20  # an archive that unpacks to less is not measured by its ratio
_COPY = 1 << 20


def fetch(dataset: Dataset, out: Path, hub: str | None = None) -> Path:
    """Download an open dataset's hub copy to its folder below ``out`` and unpack its archives there; the folder.

    ``hub`` names a copy other than the first of ``dataset.hub``. What is there already is not downloaded again. Raises
    :class:`ConfigError` where the data are not open, no copy is known, the network fails or an archive is not safe.
    """
    check_open(dataset)
    repository = hub or next(iter(dataset.hub), None)
    if repository is None or dataset.folder is None:
        raise ConfigError(f"no hub copy of '{dataset.name}' is known", remedy=by_hand(dataset))
    folder = out / dataset.folder
    download(repository, folder)
    for archive in sorted(folder.rglob("*.zip")):
        unpack(archive, archive.parent)
    return folder


def fetchable(dataset: Dataset) -> bool:
    """Whether :func:`fetch` can bring a dataset: open, with a hub copy."""
    return dataset.access in OPEN_ACCESS and bool(dataset.hub) and dataset.folder is not None


def check_open(dataset: Dataset) -> None:
    """Raise :class:`ConfigError` where a dataset is not for everybody to download."""
    if dataset.access not in OPEN_ACCESS:
        raise ConfigError(
            f"'{dataset.name}' is {dataset.access} data (licence: {dataset.licence}) and is not fetched",
            remedy=by_hand(dataset),
        )


def by_hand(dataset: Dataset) -> str:
    """What to do where nothing can be fetched."""
    where = f"{dataset.source} ({dataset.homepage})" if dataset.homepage else dataset.source
    verb = "from:" if dataset.access in OPEN_ACCESS else "ask for access and download it yourself:"
    folder = f", then --data {dataset.name}=FOLDER; the folder it expects: radbench data check {dataset.name}"
    return f"{verb} {where}{folder}"


def download(repository: str, folder: Path) -> None:
    """One snapshot of a hub dataset, as files in ``folder``. Raises :class:`ConfigError`."""
    if find_spec("huggingface_hub") is None:
        raise ConfigError("huggingface_hub is not installed", remedy="pip install 'radbench[data]'")
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        huggingface_hub.snapshot_download(repository, repo_type="dataset", local_dir=folder)
    except HFValidationError:
        raise ConfigError(f"'{repository}' is no hub id", remedy="--hub OWNER/NAME") from None
    except (OSError, HfHubHTTPError, RuntimeError) as error:  # RuntimeError: the hub's own transfer library
        cause = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise ConfigError(
            f"the hub dataset {repository} could not be downloaded to {folder}: {cause}",
            remedy="check the network and the disk, then run the same command again: it goes on where it stopped",
        ) from error


# --- archives ---


def unpack(archive: Path, folder: Path) -> int:
    """Unpack a zip file below ``folder``; how many files were written (those there with their size are kept).

    The whole list of members is checked before anything is written: no path outside the folder, no link, no encryption,
    no bomb, enough disk. Raises :class:`ConfigError`.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [m for m in zipped.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
            _check(archive, members, folder)
            written = 0
            for member in members:
                target = folder / member.filename
                if target.is_file() and target.stat().st_size == member.file_size:
                    continue
                _check_place(archive, target, folder)
                _extract(zipped, member, target)
                written += 1
            return written
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ConfigError(f"{archive} cannot be unpacked: {error}", remedy="delete it and fetch again") from error


def _check(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    remedy = "nothing was unpacked; report it to the owner of the copy"
    for member in members:
        path = PurePosixPath(member.filename)
        outside = path.is_absolute() or ".." in path.parts or "\\" in member.filename or not path.parts
        outside = outside or path.parts[0][1:2] == ":"  # a drive
        if outside or stat.S_ISLNK(member.external_attr >> 16):
            what = "a path outside its folder" if outside else "a link"
            raise ConfigError(f"{archive}: the member {member.filename!r} is {what}", remedy=remedy)
        if member.flag_bits & 1:
            raise ConfigError(f"{archive} is encrypted", remedy="unpack it yourself")
    total, packed = sum(m.file_size for m in members), archive.stat().st_size
    if len(members) > MAX_MEMBERS or (total > _SMALL and total > MAX_RATIO * packed):
        raise ConfigError(
            f"{archive}: {len(members):,} files of {total:,} bytes from {packed:,} packed; a bomb?", remedy=remedy
        )
    if total > (free := shutil.disk_usage(folder).free):
        raise ConfigError(
            f"{archive} unpacks to {total / 1e9:.1f} GB, {free / 1e9:.1f} GB are free", remedy="make room, or --out DIR"
        )


def _check_place(archive: Path, target: Path, folder: Path) -> None:
    """No link that is there already may lead a member out of the folder."""
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{archive}: {target.parent} is a link out of {folder}", remedy="remove the link")


def _extract(zipped: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """One member, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.part")
    draft.unlink(missing_ok=True)  # it could be a link
    try:
        with zipped.open(member) as source, draft.open("wb") as out:
            shutil.copyfileobj(source, out, _COPY)
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
