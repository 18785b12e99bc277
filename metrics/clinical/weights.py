"""Where the weights of the clinical metrics are looked for, and what fetches them.

Scoring never downloads: a metric without its weights is unavailable and says what brings them. Only ``radbench fetch
weights`` calls :func:`fetch`.
"""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from radbench.caches import cache_root, user_caches
from radbench.errors import ConfigError, nearest

# A requirement is a set of file names of which one must be there; "a+b" is a file that needs another.
Needs = tuple[tuple[str, ...], ...]
BERT_VOCABULARY: Needs = (("vocab.txt", "tokenizer.json"),)
MODEL: Needs = (
    ("config.json",),
    ("vocab.json+merges.txt", "vocab.txt", "tokenizer.json"),
    ("model.safetensors", "pytorch_model.bin"),
)


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


def home() -> Path:
    """The folder that holds one folder of weights a name."""
    return cache_root() / "weights"


def _other_cache(name: str) -> Iterator[Path]:
    """Where the package that the weights come from keeps them."""
    if name == "chexbert":  # f1chexbert: appdirs' user cache
        yield user_caches() / "chexbert"


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

    own = places(name, folder)
    if (found := next((p for p in own if complete(p, needs)), None)) is not None or folder:
        return found
    return next((p for p in _hub_cache(name, needs) if complete(p, needs)), None)


def complete(place: Path, needs: Needs) -> bool:
    """Whether a folder has all files of ``needs``."""
    return not _absent(place, needs)


def _absent(place: Path, needs: Needs) -> list[str]:
    """The requirements that a folder does not meet, in words."""
    return [
        " or ".join(files)
        for files in needs
        if not any(all((place / part).exists() for part in file.split("+")) for file in files)
    ]


def missing(name: str, needs: Needs, folder: str = "") -> str:
    """One short sentence: what was not found, where, and the command that brings it."""
    begun = next((p for p in places(name, folder) if 0 < len(_absent(p, needs)) < len(needs)), None)
    if begun:
        what = f"{begun} has no {', '.join(_absent(begun, needs))}"
    else:
        what = f"{name} not found in {folder or home()}{'' if folder else ' or the usual caches'}"
    return f"{what}; {_how(name, folder)}"


def _how(name: str, folder: str = "") -> str:
    if name in KNOWN:
        return f"radbench fetch weights {name}" + (f" --out {folder}" if folder else "")
    return f"download the repository {name} and give its folder as weights=FOLDER"


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
            _unpack(path, target, weights.needs)
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


def _unpack(archive: Path, target: Path, needs: Needs) -> None:
    """Put what an archive holds, with or without a folder around it, into ``target``: all of it or nothing."""
    remedy = f"delete {archive} and fetch again"
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".unpacking-", dir=target) as draft:
        try:
            with gzip.open(archive) as stream:
                with tarfile.open(fileobj=stream, mode="r|") as tar:
                    tar.extractall(draft, filter="data")  # refuses members outside the folder
                while stream.read(1 << 20):  # to the end, where the checksum is
                    pass
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise ConfigError(f"{archive} cannot be unpacked: {error}", remedy=remedy) from error
        root = Path(draft)
        inside = next((p for p in (root, *filter(Path.is_dir, root.iterdir())) if complete(p, needs)), None)
        if inside is None:
            raise ConfigError(f"{archive} has no {', '.join(_absent(root, needs))}", remedy=remedy)
        for member in inside.iterdir():
            if (place := target / member.name).is_dir():
                shutil.rmtree(place)
            member.replace(place)
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
