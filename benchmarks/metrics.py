"""Metrics beside their originals on Open-i reports, one run: speed as ratios, and that the values are equal.

    python benchmarks/metrics.py [--shared ../shared] [--skip-large]

CPU seconds of one core. What is compared, and against what, is told by the workers this starts.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from run import machine, worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--skip-large", action="store_true", help="without 100,000 pairs and 5 million terms")
    options = parser.parse_args()
    print(machine(), "- one thread, CPU seconds")
    text = worker(sys.executable, "text_metrics.py", options.shared)
    for name in ("one report", "two joined"):
        print(f"\n3,000 pairs of {text['source']}, {name}, mean {text[name].pop('words'):.0f} words")
        for metric, found in text[name].items():
            ratio = found["original_seconds"] / found["seconds"]
            times = f"{found['original_seconds']:7.2f} s -> {found['seconds']:6.3f} s"
            print(f"  {metric:34} {times} = {ratio:5.1f}x   largest difference {found['difference']:.0e}")
    if not options.skip_large:
        every = worker(sys.executable, "text_metrics.py", options.shared, "--all", 100_000)
        print(f"\n{every['pairs']:,} pairs, two joined, {every['metrics']} text metrics together: {every['seconds']:.0f} s,"
              f" peak {every['peak_mib']:.0f} MiB (of which the pairs and Python {every['before_mib']:.0f})")  # fmt: skip
    terms = 0 if options.skip_large else 5_000_000
    concepts = worker(sys.executable, "concepts.py", options.shared, "--terms", terms)
    umls(concepts)
    chexbert = worker(sys.executable, "chexbert.py", "--shared", options.shared)
    print(f"\nCheXbert, {chexbert['reports']} unique reports, random weights of the official shape")
    print(f"  fp32: {chexbert['ratio']:.2f}x f1chexbert, labels {'equal' if chexbert['labels_equal'] else 'DIFFER'}")
    print(
        f"  bf16: {chexbert['bf16_ratio']:.2f}x f1chexbert, {chexbert['bf16_label_agreement']:.1%} of the labels as in fp32"
    )
    print(json.dumps({"text": text, "concepts": concepts, "chexbert": chexbert}), file=sys.stderr)


def umls(found: dict[str, Any]) -> None:
    """The part on concept extraction: against QuickUMLS on one dictionary, then a dictionary of a licensed release's size."""
    same, large = found["same"], found["large"]
    ratio, agreement, rate = same["ratio"], same["agreement"], same["quickumls_per_second"]
    print(f"\nUMLS concepts, {same['terms']:,} terms, QuickUMLS 1.4.2 on {same['pipeline']}: {rate:.0f} reports/s")
    print(
        f"  3,000 pairs: {ratio['pairs']:.0f}x; {same['reports']:,} distinct reports, none seen before: {ratio['distinct']:.0f}x"
    )
    precision, recall, f1 = (agreement[f"cui_{part}"] for part in ("precision", "recall", "f1"))
    print(
        f"  found CUIs against QuickUMLS's (threshold .7): precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}"
    )
    if large:
        times = f"built in {large['build_seconds']:.0f} s, loaded in {large['load_seconds']:.3f} s"
        memory = (
            f"{large['resident_loaded_mib']:.0f} MiB resident, {large['resident_searched_mib']:.0f} after all reports"
        )
        print(f"  {large['terms']:,} terms: {times}, {memory}, {large['ratio']:.0f}x")


main()
