"""Where a RadGraph checkpoint lies and what its files say: ``config.json``, ``vocabulary/``, ``weights.th``, the encoder's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from radbench.metrics.clinical.weights import caches, home

from radbench.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Settings:
    """What a checkpoint's ``config.json`` and ``vocabulary/`` say about its forward pass."""

    encoder: str  # a folder or the name of a model on the Hugging Face hub: its config
    tokenizer: str  # the same for the tokeniser
    max_pieces: int | None
    max_span_width: int
    spans_per_word: float
    dataset: str
    entities: tuple[str, ...]  # without the null label
    relations: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path, dataset: str) -> Settings:
        """The settings of a checkpoint folder. Raises ConfigError where it is no DyGIE++ checkpoint we can run.

        ``dataset`` is the label set asked for, named as the model; older archives call theirs ``None``.
        """
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            reader, model = config["dataset_reader"], config["model"]
            pieces, embedder = reader["token_indexers"]["bert"], model["embedder"]["token_embedders"]["bert"]
            modules = model["modules"]
            if modules.get("coref", {}).get("coref_prop", 0):
                raise unreadable(folder, "its spans are updated by coreference (coref_prop), which is not implemented")
            sets = sorted(p.name.removesuffix("__ner_labels.txt") for p in folder.glob("vocabulary/*__ner_labels.txt"))
            if dataset not in sets:
                if sets != ["None"]:
                    raise unreadable(folder, f"its label sets are {', '.join(sets) or 'missing'}, not {dataset}")
                dataset = "None"
            return cls(
                encoder=embedder["model_name"],
                tokenizer=pieces["model_name"],
                max_pieces=pieces.get("max_length"),
                max_span_width=reader["max_span_width"],
                spans_per_word=modules["relation"]["spans_per_word"],
                dataset=dataset,
                entities=_labels(folder / "vocabulary" / f"{dataset}__ner_labels.txt")[1:],
                relations=_labels(folder / "vocabulary" / f"{dataset}__relation_labels.txt"),
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise unreadable(folder, f"{type(error).__name__}: {error}") from None


def _labels(file: Path) -> tuple[str, ...]:
    lines = file.read_text(encoding="utf-8").split("\n")
    return tuple(lines[:-1] if lines[-1] == "" else lines)


def unreadable(folder: Path, why: str) -> ConfigError:
    """The error for a checkpoint that cannot be used."""
    remedy = "fetch it again with radbench fetch weights, or name another folder with weights=FOLDER"
    return ConfigError(f"{folder} is no RadGraph checkpoint that we can run: {why}", remedy=remedy)


def checkpoint_folder(model: str, weights: str = "") -> Path | None:
    """The folder of a model's checkpoint: in ``weights`` if given, else where radbench or the radgraph package keeps it."""
    if weights:
        candidates = [Path(weights).expanduser(), Path(weights).expanduser() / model]
    else:
        candidates = [home() / model, caches() / "radgraph" / "0.1.18" / model]
    return next((c for c in candidates if (c / "weights.th").is_file() and (c / "config.json").is_file()), None)


def encoder_folder(folder: Path, name: str) -> Path | None:
    """Config and tokeniser of a checkpoint's encoder, never its weights.

    Looked for beside the checkpoint (``encoder/``), at the path that ``name`` is, where ``radbench fetch weights`` puts
    them, and in the Hugging Face cache.
    """
    last = name.rstrip("/").rpartition("/")[2]
    for place in (folder / "encoder", Path(name), folder.parent / last, home() / last):
        if (place / "config.json").is_file():
            return place
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config, *words = (try_to_load_from_cache(name, f) for f in ("config.json", "vocab.txt", "tokenizer.json"))
    except HFValidationError:  # a path that is not on this machine
        return None
    return Path(config).parent if isinstance(config, str) and any(isinstance(w, str) for w in words) else None


def fingerprint(folder: Path) -> str:
    """Twelve hex digits that name the weights and label sets of a checkpoint, however its folder is called."""
    stat = (folder / "weights.th").stat()
    return _digest(folder, stat.st_size, stat.st_mtime_ns)


@cache
def _digest(folder: Path, size: int, modified: int) -> str:  # the last two: another file is another key
    from hashlib import file_digest, sha256

    digest = sha256()
    for file in (folder / "weights.th", *sorted(folder.glob("vocabulary/*_labels.txt"))):
        with file.open("rb") as stream:
            digest.update(file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]
