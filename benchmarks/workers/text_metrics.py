"""Text metrics beside their originals: 3,000 pairs of Open-i findings, and of two joined; then 100,000 pairs of all.

    python benchmarks/workers/text_metrics.py SHARED [--pairs 3000]
    python benchmarks/workers/text_metrics.py SHARED --all 100000

CPU seconds, medians of ``--repeats``. Libraries and WordNet are loaded before the clock runs, on either side; radbench
forgets every text, word and chunk before each of its runs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported: the figures are for one core

import numpy as np
from radbench.metrics.functional import score
from radbench.metrics.text.tokens import LEXICON

from radbench.registry import find_metric

sys.path.insert(0, str(Path(__file__).parent))
from openi import findings, joined, pairs

ALL = (
    "bleu-1", "bleu-2", "bleu-3", "bleu-4", "bleu:smooth=exp", "bleu:tok=split,avg=sample",
    "bleu:tok=split,case=lower,smooth=nltk4,avg=sample", "bleu-2-cxr", "bleu:tok=split,smooth=pycoco", "rouge-1", "rouge-2",
    "rouge-l", "rouge-l:tok=space,beta=1.2", "rouge-lsum", "rouge-1:tok=rouge-stem", "meteor", "cider", "exact-match", "token-f1",
    "token-precision", "token-recall",
)  # fmt: skip


def timed(work: Callable[[], Sequence[float]], repeats: int) -> tuple[float, list[float]]:
    """Median CPU seconds and the values of the last run."""
    seconds, values = [], list[float]()
    for _ in range(repeats):
        start = time.process_time()
        values = list(work())
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), values


def ours(specs: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
    LEXICON.clear()
    return [s.value for s in score(specs, hypotheses, references, resamples=1).values()]


def compare(hypotheses: list[str], references: list[str], repeats: int) -> dict[str, Any]:
    import nltk
    from nltk.translate.meteor_score import meteor_score
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU

    wordnet = nltk_wordnet()
    both = list(zip(hypotheses, references, strict=True))
    scorer = RougeScorer(["rouge1", "rougeL"])

    def rouge() -> list[float]:
        found = [scorer.score(r, h) for h, r in both]
        return [float(np.mean([s[key].fmeasure for s in found])) for key in ("rouge1", "rougeL")]

    tokenised = [(nltk.word_tokenize(h), nltk.word_tokenize(r)) for h, r in both]
    spaced = [" ".join(h) for h, _ in tokenised], [" ".join(r) for _, r in tokenised]

    def meteor(tokens: list[tuple[list[str], list[str]]]) -> list[float]:
        return [float(np.mean([meteor_score([r], h, wordnet=wordnet) for h, r in tokens]))]

    cases: dict[str, tuple[Callable[[], Sequence[float]], Callable[[], Sequence[float]]]] = {
        "BLEU-4, sacrebleu corpus_score": (
            lambda: [BLEU().corpus_score(hypotheses, [references]).score / 100],
            lambda: ours(["bleu:smooth=exp"], hypotheses, references),
        ),
        "ROUGE-1 and L, rouge_score": (rouge, lambda: ours(["rouge-1", "rouge-l"], hypotheses, references)),
        "METEOR on tokens, NLTK": (lambda: meteor(tokenised), lambda: ours(["meteor:tok=split"], *spaced)),
        "METEOR with its tokeniser, NLTK": (
            lambda: meteor([(nltk.word_tokenize(h), nltk.word_tokenize(r)) for h, r in both]),
            lambda: ours(["meteor"], hypotheses, references),
        ),
    }
    out = {}
    for name, (theirs, mine) in cases.items():
        original, expected = timed(theirs, 1 if "METEOR" in name else repeats)
        seconds, values = timed(mine, repeats)
        difference = max(abs(a - b) for a, b in zip(expected, values, strict=True))
        out[name] = {"original_seconds": original, "seconds": seconds, "difference": difference}
    return out


def nltk_wordnet() -> Any:
    """NLTK's reader over the installed database, in a copy with the table of file names that NLTK wants."""
    import shutil
    import tempfile

    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from radbench.metrics.text.wordnet import find

    source = find()
    if source is None:
        sys.exit(find_metric("meteor").unavailable())
    root = Path(tempfile.mkdtemp())
    folder = root / "corpora" / "wordnet"
    shutil.copytree(source, folder, ignore=lambda d, names: [n for n in names if (Path(d) / n).is_dir()])
    lexnames = "".join(f"{i:02d}\tname{i}\t{1 + i % 4}\n" for i in range(45))  # METEOR asks for no file's name
    (folder / "lexnames").write_text(lexnames)
    nltk.data.path.insert(0, str(root))
    return WordNetCorpusReader(str(folder), None)


def all_metrics(hypotheses: list[str], references: list[str]) -> dict[str, Any]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.process_time()
    values = ours(ALL, hypotheses, references)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"metrics": len(values), "seconds": seconds, "before_mib": before, "peak_mib": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("shared", type=Path)
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--all", type=int, default=0, metavar="N")
    options = parser.parse_args()
    texts, source = findings(options.shared)
    out: dict[str, Any] = {"source": source}
    if options.all:
        hypotheses, references = pairs(joined(texts), options.all)
        out |= {"pairs": options.all, **all_metrics(hypotheses, references)}
    else:
        ours(["bleu-1", "rouge-l", "meteor"], ["no effusion"], ["no pleural effusion"])
        for name, some in (("one report", texts), ("two joined", joined(texts))):
            hypotheses, references = pairs(some, options.pairs)
            words = statistics.mean(len(t.split()) for t in references)
            out[name] = {"words": words, **compare(hypotheses, references, options.repeats)}
    print(json.dumps(out))


main()
