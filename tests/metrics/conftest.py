"""Originals that need files of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from radbench.metrics.text import wordnet


@pytest.fixture(scope="session")
def installed_wordnet() -> wordnet.WordNet:
    """The machine's WordNet through our reader."""
    if reason := wordnet.unavailable():
        pytest.skip(reason)
    return wordnet.installed()


@pytest.fixture(scope="session")
def nltk_wordnet(installed_wordnet: wordnet.WordNet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """NLTK's reader on a copy of the files (it follows no links), with the lexnames that Debian leaves out."""
    nltk = pytest.importorskip("nltk")
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    root = tmp_path_factory.mktemp("nltk")
    folder = root / "corpora" / "wordnet"
    folder.mkdir(parents=True)
    for name in wordnet._FILES:
        shutil.copy(installed_wordnet.folder / name, folder / name)
    for name in ("index.sense", "cntlist.rev"):  # looked for, but not read for what is asked here
        (folder / name).touch()
    (folder / "lexnames").write_text("".join(f"{i:02d}\tname{i}\t1\n" for i in range(45)))
    nltk.data.path.insert(0, str(root))
    with pytest.warns(UserWarning, match="multilingual"):
        reader = WordNetCorpusReader(str(folder), None)
    yield reader
    nltk.data.path.remove(str(root))
