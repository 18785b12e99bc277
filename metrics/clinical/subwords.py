"""Subword tokens of BERT and RoBERTa checkpoints, from their vocabulary files through the ``tokenizers`` library.

transformers 4 and 5 build other tokenizers from the same folder (5 lost RoBERTa's ``add_prefix_space`` at call time), so
neither is asked: these are the ids of transformers 4's Python tokenizers, which the original metrics were published with.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radbench.errors import ConfigError

_UNLIMITED = 1 << 20  # transformers writes 1e30 where a tokenizer has no limit of its own


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenizer: ids of a text without the two special ones, which :meth:`framed` puts around them."""

    tokenizer: Any
    start: int
    end: int
    limit: int  # of a framed text
    spaced: bool  # RoBERTa: a text begins as a word after a space does

    def ids(self, text: str) -> list[int]:
        """Ids of the text as it stands; lone surrogates, which no checkpoint has seen, count as U+FFFD."""
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if self.spaced and text and not text[0].isspace():
            text = " " + text
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def framed(self, text: str) -> tuple[int, ...]:
        """Start, ids, end; cut at the end to ``limit``."""
        return (self.start, *self.ids(text)[: self.limit - 2], self.end)


def load_tokens(folder: Path) -> Tokens:
    """The tokenizer of a model folder: vocab.txt (BERT), vocab.json + merges.txt (RoBERTa) or tokenizer.json.

    Raises :class:`ConfigError` where files are absent or damaged.
    """
    from tokenizers import Tokenizer

    options = read_json(folder / "tokenizer_config.json")
    config = read_json(folder / "config.json")
    try:
        if (folder / "vocab.txt").exists():
            tokenizer = _word_pieces(folder / "vocab.txt", bool(options.get("do_lower_case", True)))
        elif (folder / "vocab.json").exists():
            tokenizer = _byte_pairs(folder)
        else:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.no_truncation()
            tokenizer.no_padding()
    except Exception as error:
        raise ConfigError(
            f"{folder}: the vocabulary cannot be read ({error})", remedy="fetch the folder's files again"
        ) from error
    spaced = tokenizer.token_to_id("<s>") is not None and tokenizer.token_to_id("[CLS]") is None
    if spaced:
        from tokenizers.pre_tokenizers import ByteLevel

        tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    start, end = (tokenizer.token_to_id(t) for t in (("<s>", "</s>") if spaced else ("[CLS]", "[SEP]")))
    if start is None or end is None:
        raise ConfigError(f"{folder}: the vocabulary has neither [CLS] and [SEP] nor <s> and </s>")
    positions = int(config.get("max_position_embeddings", 512)) - (2 if spaced else 0)
    limit = min(positions, int(min(options.get("model_max_length", _UNLIMITED), _UNLIMITED)))
    return Tokens(tokenizer, start, end, limit, spaced)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where the file is absent. Raises :class:`ConfigError` where it is no JSON."""
    try:
        loaded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON ({error})", remedy="fetch it again") from error
    return loaded if isinstance(loaded, dict) else {}


def _word_pieces(vocabulary: Path, lowercase: bool) -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    with open(vocabulary, encoding="utf-8") as lines:
        index = {line.rstrip("\n"): i for i, line in enumerate(lines)}
    tokenizer = Tokenizer(WordPiece(index, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens([t for t in ("[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]") if t in index])
    return tokenizer


def _byte_pairs(folder: Path) -> Any:
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import BPE

    index = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    merges = [
        (a, b)
        for line in lines
        if not line.startswith("#version") and line.count(" ") == 1
        for a, b in [line.split(" ")]
    ]
    tokenizer = Tokenizer(BPE(index, merges, unk_token="<unk>"))
    special = [AddedToken(t, special=True, normalized=False) for t in ("<s>", "</s>", "<unk>", "<pad>") if t in index]
    if "<mask>" in index:
        special.append(AddedToken("<mask>", lstrip=True, special=True, normalized=False))
    tokenizer.add_special_tokens(special)
    return tokenizer
