"""Where the weights of the clinical metrics are looked for, what fetches them, and the digest that names them.

Scoring never downloads: a metric without its weights is unavailable and says what brings them. Only ``radbench fetch
weights`` calls :func:`fetch`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from radbench.errors import ConfigError, nearest

# A requirement is a set of file names of which one must be there.
Needs = tuple[tuple[str, ...], ...]
BERT_VOCABULARY: Needs = (("vocab.txt", "tokenizer.json"),)
MODEL: Needs = (
    ("config.json",),
    ("vocab.json", "vocab.txt", "tokenizer.json"),
    ("model.safetensors", "pytorch_model.bin"),
)
_FILES = {"config.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer_config.json", "tokenizer.json"}


@dataclass(frozen=True, slots=True)
class Weights:
    """One thing that ``radbench fetch weights`` brings: a folder with the files in ``needs``."""

    name: str
    what: str
    repository: str  # on the Hugging Face hub
    files: tuple[str, ...]  # what is downloaded; a .tar.gz is unpacked
    needs: Needs
    aliases: tuple[str, ...] = ()  # other names of the repository in the hub's cache
    brings: tuple[str, ...] = ()  # other weights that it cannot do without


def _archive(name: str) -> Weights:
    return Weights(
        name,
        f"the DyGIE++ checkpoint of RadGraph F1, model type {name} (about 500 MB)",
        "StanfordAIMI/RRG_scorers",
        (f"{name}.tar.gz",),
        (("config.json",), ("vocabulary",), ("weights.th",)),
    )


KNOWN: dict[str, Weights] = {
    w.name: w
    for w in (
        Weights(
            "chexbert",
            "the CheXbert labeler (Smit et al. 2020, about 1.3 GB)",
            "StanfordAIMI/RRG_scorers",
            ("chexbert.pth",),
            (("chexbert.pth",),),
            brings=("bert-base-uncased",),
        ),
        Weights(
            "bert-base-uncased",
            "the word pieces that CheXbert reads (no weights)",
            "google-bert/bert-base-uncased",
            ("config.json", "vocab.txt", "tokenizer_config.json"),
            BERT_VOCABULARY,
            aliases=("bert-base-uncased",),
        ),
        Weights(
            "distilroberta-base",
            "the encoder of BERTScore in RadCliQ and MultiMedEval (about 330 MB)",
            "distilbert/distilroberta-base",
            ("config.json", "vocab.json", "merges.txt", "tokenizer_config.json", "model.safetensors"),
            MODEL,
            aliases=("distilroberta-base",),
        ),
        _archive("radgraph"),
        _archive("radgraph-xl"),
        _archive("modern-radgraph-xl"),
    )
}


def caches() -> Path:
    """Where this user's caches live: ``$XDG_CACHE_HOME``, else ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def home() -> Path:
    """The folder that holds one folder of weights a name."""
    return caches() / "radbench" / "weights"


def _other_cache(name: str) -> Iterator[Path]:
    """Where the package that the weights come from keeps them."""
    if name == "chexbert":  # f1chexbert: appdirs' user cache
        yield caches() / "chexbert"


def _hub_cache(name: str, needs: Needs) -> Iterator[Path]:
    """Snapshots in the Hugging Face cache; nothing is downloaded."""
    if find_spec("huggingface_hub") is None:
        return
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    known = KNOWN.get(name)
    for repository in (known.repository, *known.aliases) if known else (name,):
        for file in needs[0]:
            try:
                path = try_to_load_from_cache(repository, file)
            except HFValidationError:  # a name that no repository can have, such as a path
                return
            if isinstance(path, str):
                yield Path(path).parent


def places(name: str, folder: str = "") -> list[Path]:
    """Where ``name`` is looked for, in order, besides the Hugging Face cache: only in ``folder`` where one is given."""
    if folder:
        given = Path(folder).expanduser()
        return [given / name.rpartition("/")[2], given]
    return [home() / name.rpartition("/")[2], *_other_cache(name)]


def find(name: str, needs: Needs, folder: str = "") -> Path | None:
    """The first folder that has all files of ``needs``, or None."""

    def complete(place: Path) -> bool:
        return all(any((place / file).exists() for file in files) for files in needs)

    own = places(name, folder)
    if (found := next((p for p in own if complete(p)), None)) is not None or folder:
        return found
    return next((p for p in _hub_cache(name, needs) if complete(p)), None)


def missing(name: str, needs: Needs, folder: str = "") -> str:
    """One sentence: what was not found, where, and the command that brings it."""
    files = ", ".join(" or ".join(f) for f in needs)
    where = ", ".join(str(p) for p in places(name, folder)) + ("" if folder else " and the Hugging Face cache")
    known = KNOWN.get(name)
    how = f"radbench fetch weights {name}" if known else f"download the repository {name}"
    return (
        f"{name} not found: no folder with {files} in {where}; {how}, or give the folder that has it as weights=FOLDER"
    )


def absent_packages(*modules: str) -> str | None:
    """None, or one sentence naming the packages that cannot be imported and what installs them."""
    absent = [m for m in modules if find_spec(m) is None]
    return f"{', '.join(absent)} not installed: pip install 'radbench[clinical]'" if absent else None


def required(name: str, needs: Needs, folder: str = "") -> Path:
    """:func:`find`, or a :class:`ConfigError` that says how to get it."""
    if (found := find(name, needs, folder)) is None:
        message, _, remedy = missing(name, needs, folder).partition("; ")
        raise ConfigError(message, remedy=remedy)
    return found


def present(folder: Path, *names: str) -> list[Path]:
    """The files of a model folder that decide its numbers; ``names`` are further ones beside config and vocabulary."""
    return sorted(p for n in {*_FILES, *names} if (p := folder / n).is_file())


def fingerprint(files: Sequence[Path]) -> str:
    """12 hexadecimal digits of the SHA-256 over the names and full SHA-256 digests of files: weights by content."""
    joined = "".join(f"{p.name}:{_digest(p)}\n" for p in sorted(files, key=lambda p: p.name))
    return hashlib.sha256(joined.encode()).hexdigest()[:12]


def _digest(path: Path) -> str:
    status = path.stat()
    return _content_digest(str(path.resolve()), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _content_digest(path: str, size: int, mtime: int) -> str:
    """SHA-256 of a file, remembered across processes by path, size and time: a checkpoint takes seconds to read."""
    memory = home() / "digests.json"
    key = f"{path}|{size}|{mtime}"
    try:
        remembered = json.loads(memory.read_text())
    except (OSError, ValueError):
        remembered = {}
    if isinstance(remembered, dict) and isinstance(remembered.get(key), str):
        return str(remembered[key])
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if size > 10_000_000 and isinstance(remembered, dict):
        _remember(memory, {**remembered, key: digest})
    return digest


def _remember(memory: Path, digests: dict[str, str]) -> None:
    draft = memory.with_name(f"{memory.name}.{os.getpid()}")
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(digests))
        draft.replace(memory)
    except OSError:  # a home that cannot be written only costs the seconds again
        return


def fetch(name: str, folder: str = "") -> list[Path]:
    """Download the weights ``name`` and what they cannot do without below ``folder`` (default: :func:`home`).

    Returns the folders that are now complete. Raises :class:`ConfigError` where the name is unknown, huggingface_hub is
    absent or the download fails. The owners' licences apply; nothing is redistributed by radbench.
    """
    if name not in KNOWN:
        raise ConfigError(
            f"no weights are called '{name}': {nearest(name, KNOWN)}", remedy="radbench fetch weights NAME"
        )
    if find_spec("huggingface_hub") is None:
        raise ConfigError("huggingface_hub is not installed", remedy="pip install 'radbench[clinical]'")
    root = Path(folder).expanduser() if folder else home()
    weights = KNOWN[name]
    target = root / name
    for file in weights.files:
        path = _download(weights.repository, file, target)
        if file.endswith(".tar.gz"):
            _unpack(path, target)
    done = [target]
    for other in weights.brings:
        done += fetch(other, str(root))
    for encoder in _named_models(target):
        place = target / "encoder"  # where RadGraph looks for its encoder first
        _download(encoder, "config.json", place)
        try:
            _download(encoder, "vocab.txt", place)
        except ConfigError:  # ModernBERT has no word pieces
            _download(encoder, "tokenizer.json", place)
    return done


def _download(repository: str, file: str, target: Path) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(repository, file, local_dir=target))
    except (OSError, HfHubHTTPError) as error:
        raise ConfigError(
            f"{repository}/{file} could not be downloaded to {target}: {error}",
            remedy=f"check the network and the disk, or copy the file to {target}",
        ) from error


def _unpack(archive: Path, target: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")  # refuses members outside the folder
    except (tarfile.TarError, OSError) as error:
        raise ConfigError(
            f"{archive} cannot be unpacked: {error}", remedy=f"delete {archive} and fetch again"
        ) from error
    archive.unlink()


def _named_models(folder: Path) -> list[str]:
    """The encoders that a RadGraph configuration names: hub repositories of which tokenizer and config are needed."""
    config = folder / "config.json"
    if not (folder / "weights.th").exists() or not config.exists():
        return []
    found: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            found.update(v for k, v in value.items() if k == "model_name" and isinstance(v, str))
            for child in value.values():
                walk(child)
        elif isinstance(value, list):
            for child in value:
                walk(child)

    walk(json.loads(config.read_text()))
    return sorted(found)
