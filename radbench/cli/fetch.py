"""``radbench fetch``: the only command that reaches a network for metrics and models, and the one that indexes a UMLS release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from radbench.errors import ConfigError, nearest

NLTK_DATA = {"punkt_tab": "tokenizers/punkt_tab", "wordnet": "corpora/wordnet"}


def run(
    what: str,
    names: list[str],
    out: str,
    mrconso: str | None,
    mrsty: str | None,
    revision: str | None = None,
    code: bool = False,
    include: Sequence[str] = (),
) -> int:
    kinds = ("weights", "umls", "nltk", "model")
    if what not in kinds:
        raise ConfigError(
            f"cannot fetch '{what}': {nearest(what, kinds)}", remedy="radbench fetch weights|umls|nltk|model"
        )
    if (revision is not None or code or include) and what != "model":
        raise ConfigError(
            "--revision, --code and --include go with model", remedy="radbench fetch model ID --revision REVISION"
        )
    if what == "model":
        return _model(names, revision, code, include)
    if what != "weights" and names:
        raise ConfigError(f"'{what}' takes no names, got {', '.join(names)}", remedy=f"radbench fetch {what} --help")
    if what != "umls" and (mrconso or mrsty):
        raise ConfigError(
            "--mrconso and --mrsty go with umls", remedy="radbench fetch umls --mrconso FILE --mrsty FILE"
        )
    if what == "umls":
        return _umls(mrconso, mrsty, out)
    return _weights(names, out) if what == "weights" else _nltk(out)


def _model(names: list[str], revision: str | None, code: bool, include: Sequence[str]) -> int:
    if len(names) != 1:
        raise ConfigError("name one model of the Hugging Face hub", remedy="radbench fetch model google/medgemma-4b-it")
    from radbench.cli.fetch_model import fetch_model

    return fetch_model(names[0], revision, code, include)


def _weights(names: list[str], out: str) -> int:
    from radbench.metrics.clinical.weights import KNOWN, fetch

    if not names:
        for weights in KNOWN.values():
            print(f"{weights.name:20} {weights.what}\n{'':20} from {weights.repository} on the Hugging Face hub")
        print("\nTheir owners' licences apply. Fetch with: radbench fetch weights NAME")
        return 0
    for name in names:
        for folder in fetch(name, out):
            print(f"{name}: {folder}")
    return 0


def _umls(mrconso: str | None, mrsty: str | None, out: str) -> int:
    if not mrconso or not mrsty:
        raise ConfigError(
            "a UMLS release is licensed and not fetched: name its two files",
            remedy="radbench fetch umls --mrconso MRCONSO.RRF --mrsty MRSTY.RRF; licence: https://uts.nlm.nih.gov",
        )
    from radbench.metrics.concepts.rrf import build_from_rrf, default_folder

    target = Path(out).expanduser() if out else default_folder()
    index = build_from_rrf(mrconso, mrsty, target)
    print(f"{index.meta.terms:,} terms of {index.meta.concepts:,} concepts: {target}")
    print(f"use it with: umls-f1:dictionary={target}")
    return 0


def _nltk(out: str) -> int:
    """NLTK's punkt_tab and WordNet, unpacked. NLTK's downloader reports a failure by its result, not by an error."""
    from importlib.util import find_spec

    if find_spec("nltk") is None:
        raise ConfigError("NLTK is not installed", remedy="pip install 'radbench[text]'")
    import zipfile

    import nltk

    folder = Path(out).expanduser() if out else Path.home() / "nltk_data"
    for name, place in NLTK_DATA.items():
        if not nltk.download(name, download_dir=str(folder), quiet=True):
            raise ConfigError(
                f"NLTK's '{name}' could not be downloaded to {folder}", remedy="check the network and the disk"
            )
        archive = folder / f"{place}.zip"
        if archive.is_file() and not (folder / place).is_dir():
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(archive.parent)
        print(f"{name}: {folder / place}")
    return 0
