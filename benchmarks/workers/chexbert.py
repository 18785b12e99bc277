"""CheXbert labels of unique Open-i findings: radbench and f1chexbert on the same random weights of the official shape.

One thread, fp32; labels must be equal. bfloat16 is timed apart, with the share of labels that agree. Random weights take
the time of the official ones; their labels mean nothing. Needs torch, transformers 4 and f1chexbert.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: the figure is for one thread

import f1chexbert.f1chexbert as peer
import numpy as np
import torch
from openi import findings
from radbench.metrics.clinical.chexbert import Labeler
from radbench.metrics.clinical.chexbert_labels import binary_labels
from transformers import BertConfig, BertModel

VOCABULARY = 30522


def make_weights(folder: Path, texts: list[str]) -> None:
    """``chexbert/chexbert.pth`` and ``bert-base-uncased/``: BERT-base with random weights, its vocabulary the texts' words."""
    words = dict.fromkeys(w for t in texts for w in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", t.lower()))
    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    known = list(
        dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters), *words])
    )
    known = known[:VOCABULARY] + [f"[unused{i}]" for i in range(VOCABULARY - len(known))]
    bert = folder / "bert-base-uncased"
    bert.mkdir()
    (bert / "vocab.txt").write_text("\n".join(known) + "\n", encoding="utf-8")
    config = BertConfig()
    config.save_pretrained(bert)
    torch.manual_seed(0)
    state = {f"module.bert.{k}": v for k, v in BertModel(config).state_dict().items()}
    for i in range(14):
        state[f"module.linear_heads.{i}.weight"] = torch.randn(4 if i < 13 else 2, config.hidden_size)
        state[f"module.linear_heads.{i}.bias"] = torch.zeros(4 if i < 13 else 2)
    (folder / "chexbert").mkdir()
    path = folder / "chexbert" / "chexbert.pth"
    torch.save({"model_state_dict": state}, path)
    # A random encoder puts all texts close together: without the common direction the heads tell them apart.
    mean = Labeler(str(folder), device="cpu").embeddings(texts[:8]).mean(axis=0)
    unit = torch.from_numpy(mean / np.linalg.norm(mean))
    for i in range(14):
        weight = state[f"module.linear_heads.{i}.weight"]
        state[f"module.linear_heads.{i}.weight"] = weight - (weight @ unit)[:, None] * unit
    torch.save({"model_state_dict": state}, path)


def timed(work: Any) -> tuple[Any, float]:
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/openi_reports")
    parser.add_argument("--reports", type=int, default=120, help="unique reports")
    parser.add_argument("--short", type=int, default=40, help="how many of them in bfloat16 (slow without bf16 units)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    texts, source = findings(options.shared)
    unique = random.Random(0).sample(sorted(set(texts)), options.reports)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_weights(folder, unique)
        ours, short = (Labeler(name, dtype=d, device="cpu") for d in ("float32", "bfloat16"))
        here = Path.cwd()
        os.chdir(folder)  # where f1chexbert finds the vocabulary
        peer.CACHE_DIR = str(folder / "chexbert")
        theirs = peer.F1CheXbert(device="cpu")
        os.chdir(here)
        for warm in (
            lambda: ours.read(["warm up"]),
            lambda: short.read(["warm up"]),
            lambda: theirs.get_label("warm up"),
        ):
            warm()
        expected, seconds = timed(lambda: [theirs.get_label(t) for t in unique])
        classes, own_seconds = timed(lambda: ours.classes(unique))
        short_classes, short_seconds = timed(lambda: short.classes(unique[: options.short]))
    labels, some = binary_labels(classes), len(short_classes)
    print(
        json.dumps(
            {
                "reports": len(unique),
                "source": source,
                "word_pieces": float(np.mean([len(ours.tokens(t)) for t in unique])),
                "f1chexbert_per_second": len(unique) / seconds,
                "ours_per_second": len(unique) / own_seconds,
                "ratio": seconds / own_seconds,
                "labels_equal": labels.tolist() == expected,
                "positive_share": float(labels.mean()),
                "bf16_reports": some,
                "bf16_per_second": some / short_seconds,
                "bf16_ratio": (some / short_seconds) / (len(unique) / seconds),
                "bf16_class_agreement": float((short_classes == classes[:some]).mean()),
                "bf16_label_agreement": float((binary_labels(short_classes) == labels[:some]).mean()),
            }
        )
    )


main()
