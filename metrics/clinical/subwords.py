"""Subword tokens of BERT and RoBERTa checkpoints, from their vocabulary files through the ``tokenizers`` library.

transformers 4 and 5 build other tokenizers from the same folder (5 lost RoBERTa's ``add_prefix_space`` at call time), so
neither is asked: these are the ids of transformers 4's Python tokenizers, which the original metrics were published with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radbench.errors import ConfigError

AGAIN = "fetch the file again, or name another folder with weights=FOLDER"
_UNLIMITED = 1 << 20  # transformers writes 1e30 where a tokenizer has no limit of its own


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenizer: ids of a text without the two special ones, which :meth:`framed` puts around them."""

    tokenizer: Any
    start: int
    end: int
    limit: int  # of a framed text
    spaced: bool  # RoBERTa: a text begins as a word after a space does
    file: Path  # of the vocabulary

    def ids(self, text: str) -> list[int]:
        """Ids of the text as it stands; lone surrogates, which no checkpoint has seen, count as U+FFFD."""
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if self.spaced and text and not text[0].isspace():
            text = " " + text
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def framed(self, text: str) -> tuple[int, ...]:
        """Start, ids, end; cut at the end to ``limit``."""
        return (self.start, *self.ids(text)[: self.limit - 2], self.end)

    def require_rows(self, rows: int) -> None:
        """Raises :class:`ConfigError` where a table of ``rows`` embeddings is not that of this vocabulary.

        A vocab.txt that was cut short still reads. tokenizer.json does not, and the tables of its models are often padded.
        """
        size = 1 + max(self.tokenizer.get_vocab(with_added_tokens=True).values())
        if size > rows or (size < rows and self.file.name != "tokenizer.json"):
            raise ConfigError(f"{self.file} has {size} pieces, but the model has embeddings of {rows}", remedy=AGAIN)


def load_tokens(folder: Path) -> Tokens:
    """The tokenizer of a model folder: vocab.txt (BERT), vocab.json + merges.txt (RoBERTa) or tokenizer.json.

    Raises :class:`ConfigError` where files are absent or damaged.
    """
    options = read_json(folder / "tokenizer_config.json")
    config = read_json(folder / "config.json")
    names = (["vocab.txt"], ["vocab.json", "merges.txt"], ["tokenizer.json"])
    found = next((n for n in names if all((folder / part).exists() for part in n)), names[-1])
    file = folder / found[0]
    try:
        tokenizer = _READERS[file.name](file, options)
    except Exception as error:  # tokenizers raises the base class itself
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"{' or '.join(found)} of {folder} cannot be read: {why}", remedy=AGAIN) from error
    spaced = tokenizer.token_to_id("<s>") is not None and tokenizer.token_to_id("[CLS]") is None
    if spaced:
        from tokenizers.pre_tokenizers import ByteLevel

        tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    special = ("<s>", "</s>", "<unk>") if spaced else ("[CLS]", "[SEP]", "[UNK]")
    start, end, unknown = (tokenizer.token_to_id(t) for t in special)
    if start is None or end is None or unknown is None:
        raise ConfigError(f"{file} has neither [CLS], [SEP] and [UNK] nor <s>, </s> and <unk>", remedy=AGAIN)
    positions = number(config, "max_position_embeddings", 512, 3) - (2 if spaced else 0)
    limit = int(min(positions, number(options, "model_max_length", _UNLIMITED, 3)))
    return Tokens(tokenizer, start, end, limit, spaced, file)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where the file is absent. Raises :class:`ConfigError` where it is none."""
    try:
        loaded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON ({error})", remedy=AGAIN) from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path} holds a {type(loaded).__name__}, expected an object", remedy=AGAIN)
    return loaded


def number(options: Mapping[str, Any], name: str, default: float, least: float = 1) -> float:
    """A number of a configuration. Raises :class:`ConfigError` naming another value, or one below ``least``."""
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
        raise ConfigError(
            f"{name} in the model's configuration is {value!r}, expected a number from {least} on", remedy=AGAIN
        )
    return value


def _whole_tokenizer(file: Path, options: Mapping[str, Any]) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _word_pieces(file: Path, options: Mapping[str, Any]) -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    with open(file, encoding="utf-8") as lines:
        index = {line.rstrip("\n"): i for i, line in enumerate(lines)}
    tokenizer = Tokenizer(WordPiece(index, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = BertNormalizer(lowercase=bool(options.get("do_lower_case", True)))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens([t for t in ("[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]") if t in index])
    return tokenizer


def _byte_pairs(file: Path, options: Mapping[str, Any]) -> Any:
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import BPE

    index = json.loads(file.read_text(encoding="utf-8"))
    lines = file.with_name("merges.txt").read_text(encoding="utf-8").split("\n")
    merges = [
        (a, b)
        for line in lines
        if not line.startswith("#version") and line.count(" ") == 1
        for a, b in [line.split(" ")]
    ]
    tokenizer = Tokenizer(BPE(index, merges, unk_token="<unk>"))
    made = {a + b for a, b in merges}
    unmade = sum(len(piece) > 1 and piece not in made and piece[0] != "<" for piece in index)
    if unmade > len(index) // 100:  # merges that were cut short still read, and split texts into other pieces
        raise ValueError(f"merges.txt makes all but {unmade} of {len(index)} pieces")
    special = [AddedToken(t, special=True, normalized=False) for t in ("<s>", "</s>", "<unk>", "<pad>") if t in index]
    if "<mask>" in index:
        special.append(AddedToken("<mask>", lstrip=True, special=True, normalized=False))
    tokenizer.add_special_tokens(special)
    return tokenizer


_READERS: dict[str, Callable[[Path, Mapping[str, Any]], Any]] = {
    "vocab.txt": _word_pieces,
    "vocab.json": _byte_pairs,
    "tokenizer.json": _whole_tokenizer,
}
