"""Originals that need files of their own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

# lexnames(5WN): file number, name, part of speech; NLTK wants the table as a file, Debian's packages leave it out
_LEXNAMES = {
    3: "adj.all adj.pert", 4: "adv.all",
    1: "noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition noun.communication noun.event"
    " noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person noun.phenomenon noun.plant"
    " noun.possession noun.process noun.quantity noun.relation noun.shape noun.state noun.substance noun.time",
    2: "verb.body verb.change verb.cognition verb.communication verb.competition verb.consumption verb.contact verb.creation"
    " verb.emotion verb.motion verb.perception verb.possession verb.social verb.stative verb.weather",
}  # fmt: skip


@pytest.fixture(scope="session")
def nltk_wordnet(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """NLTK's own reader over the installed WordNet."""
    from radbench.metrics.text.wordnet import find, unavailable

    source = find()
    if source is None:
        pytest.skip(unavailable() or "")
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    folder: Path = tmp_path_factory.mktemp("nltk") / "wordnet"
    shutil.copytree(source, folder, ignore=lambda d, names: [n for n in names if (Path(d) / n).is_dir()])
    nltk.data.path.append(str(folder.parent))  # NLTK reads from its data folders only
    names = [(n, pos) for pos, listed in _LEXNAMES.items() for n in listed.split()] + [("adj.ppl", 3)]
    lines = [f"{i:02d}\t{name}\t{pos}" for i, (name, pos) in enumerate(names)]
    (folder / "lexnames").write_text("\n".join(lines) + "\n")
    return WordNetCorpusReader(str(folder), None)
