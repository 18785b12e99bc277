"""Where a RadGraph checkpoint lies and what its files say: ``config.json``, ``vocabulary/``, ``weights.th``, the encoder's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from radbench.metrics.clinical import fingerprints
from radbench.metrics.clinical.weights import BERT_VOCABULARY, complete, find, missing

from radbench.caches import user_caches
from radbench.errors import ConfigError

LAYOUT = (("config.json",), ("vocabulary",), ("weights.th",))
ENCODER = (("config.json",), *BERT_VOCABULARY)


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
                max_pieces=None if (pieces_limit := pieces.get("max_length")) is None else int(pieces_limit),
                max_span_width=int(reader["max_span_width"]),
                spans_per_word=float(modules["relation"]["spans_per_word"]),
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


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on this machine: its folder, what it says, and the folders of its encoder's config and tokeniser."""

    folder: Path
    settings: Settings
    encoder: Path
    tokenizer: Path

    @classmethod
    def find(cls, model: str, weights: str = "") -> Checkpoint:
        """The checkpoint of a model. Raises ConfigError where a part is missing or cannot be read."""
        if (folder := checkpoint_folder(model, weights)) is None:
            what, _, how = missing(model, LAYOUT, weights).partition("; ")
            raise ConfigError(what, remedy=how)
        settings = Settings.read(folder, model)
        encoder, tokenizer = (encoder_folder(folder, name) for name in (settings.encoder, settings.tokenizer))
        if encoder is None or tokenizer is None:
            name = settings.tokenizer if encoder else settings.encoder
            raise ConfigError(
                f"config and vocabulary of {name}, the encoder of {model}, not found beside {folder} or in the usual caches",
                remedy=f"radbench fetch weights {model}",
            )
        return cls(folder, settings, encoder, tokenizer)

    def fingerprint(self) -> str:
        """Twelve hex digits that name all files that decide an annotation, however their folders are called."""
        files = [self.folder / "config.json", self.folder / "weights.th"]
        files += self.folder.glob("vocabulary/*_labels.txt")
        for folder in dict.fromkeys((self.encoder, self.tokenizer)):
            files += fingerprints.present(folder)
        return fingerprints.fingerprint(files)


def checkpoint_folder(model: str, weights: str = "") -> Path | None:
    """The folder of a model's checkpoint: in ``weights`` if given, else where radbench or the radgraph package keeps it."""
    if (found := find(model, LAYOUT, weights)) is not None or weights:
        return found
    package = user_caches() / "radgraph" / "0.1.18" / model
    return package if complete(package, LAYOUT) else None


def encoder_folder(folder: Path, name: str) -> Path | None:
    """Config and tokeniser of a checkpoint's encoder, never its weights.

    Looked for beside the checkpoint (``encoder/``), at the path that ``name`` is, where ``radbench fetch weights`` puts
    them, and in the Hugging Face cache.
    """
    name = name.rstrip("/")
    places = (folder / "encoder", Path(name), folder.parent / name.rpartition("/")[2])
    return next((p for p in places if complete(p, ENCODER)), None) or find(name, ENCODER)
