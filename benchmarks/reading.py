"""How fast readers list a large dataset, against the bare csv and json modules, and how much memory they keep.

Every measurement is a process of its own; times are ratios within one run, peaks are compared with listing a hundredth.
``python benchmarks/reading.py [--rows N]``
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 3
QUESTION = "Is there evidence of a pleural effusion in the right lower zone of the image?"


def write_pmc_vqa(root: Path, rows: int) -> Path:
    """A PMC-VQA version 1 table."""
    root.mkdir(parents=True)
    path = root / "test.csv"
    header = ["Figure_path", "Question", "Answer", "Choice A", "Choice B", "Choice C", "Choice D", "Answer_label"]
    with path.open("w", encoding="utf-8", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(header)
        for i in range(rows):
            choices = [f" {letter}:{name}" for letter, name in zip("ABCD", ("CT", "MRI", "X-ray", "PET"), strict=True)]
            writer.writerow([f"PMC{i // 3:07d}_fig{i % 3}.jpg", QUESTION, "MRI", *choices, "B"])
    return path


def write_slake(root: Path, rows: int) -> Path:
    """A SLAKE test file: one JSON list."""
    root.mkdir(parents=True)
    path = root / "test.json"
    items = [
        {
            "img_id": i // 8, "img_name": f"xmlab{i // 8}/source.jpg", "question": QUESTION, "answer": "No", "q_lang": "en",
            "location": "Lung", "modality": "CT", "answer_type": "CLOSED", "base_type": "vqa", "content_type": "Abnormality",
            "triple": ["vhead", "_", "_"], "qid": i,
        }
        for i in range(rows)
    ]  # fmt: skip
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


def write_table(root: Path, rows: int) -> Path:
    """A table of one's own, as a task file reads it."""
    root.mkdir(parents=True)
    path = root / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["id", "image", "question", "answer", "patient"])
        for i in range(rows):
            writer.writerow([i, f"p{i // 4}.png", QUESTION, "no", f"patient-{i // 9}"])
    return path


KINDS = {"PMC-VQA, CSV": write_pmc_vqa, "SLAKE, JSON list": write_slake, "own table, CSV": write_table}


def bare(path: Path) -> int:
    """What the standard library needs to parse the file."""
    if path.suffix == ".json":
        with path.open(encoding="utf-8") as f:
            return len(json.load(f))
    with path.open(encoding="utf-8", newline="") as f:
        return sum(1 for _ in csv.reader(f)) - 1


def listed(kind: str, path: Path) -> int:
    """Every sample through the reader."""
    if kind.startswith("PMC"):
        from radbench.tasks.readers.pmc_vqa import PmcVqa

        return sum(1 for _ in PmcVqa(path.parent).samples("test"))
    if kind.startswith("SLAKE"):
        from radbench.tasks.readers.slake import Slake

        return sum(1 for _ in Slake(path.parent).samples("test"))
    from radbench.tasks.readers.table import Table

    columns = {"cluster": "patient"}
    return sum(1 for _ in Table(str(path), str(path.parent), columns, "vqa").samples("test"))


def measure(kind: str, path: Path, what: str) -> None:
    import radbench.tasks.readers.pmc_vqa
    import radbench.tasks.readers.slake
    import radbench.tasks.readers.table  # noqa: F401 - what is measured is the listing

    started = time.process_time()
    count = bare(path) if what == "bare" else listed(kind, path)
    seconds = time.process_time() - started
    print(json.dumps({"count": count, "seconds": seconds, "peak": peak_kib()}))


def peak_kib() -> int:
    """The most memory this process has held. Linux counts a parent's in ``ru_maxrss``; this starts with the program."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def in_process(kind: str, path: Path, what: str) -> dict[str, float]:
    """The best of a few rounds, each in a process of its own."""
    command = [sys.executable, __file__, "--kind", kind, "--path", str(path), "--what", what]
    rounds = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(ROUNDS)
    ]
    return min(rounds, key=lambda r: r["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--kind", choices=list(KINDS))
    parser.add_argument("--path", type=Path)
    parser.add_argument("--what", choices=("bare", "samples"))
    arguments = parser.parse_args()
    if arguments.kind:
        measure(arguments.kind, arguments.path, arguments.what)
        return
    print(f"listing {arguments.rows:,} rows, CPU seconds, best of {ROUNDS}")
    with tempfile.TemporaryDirectory() as folder:
        for number, (kind, write) in enumerate(KINDS.items()):
            path = write(Path(folder) / f"{number}-whole", arguments.rows)
            part = write(Path(folder) / f"{number}-part", arguments.rows // 100)
            parsed, samples = in_process(kind, path, "bare"), in_process(kind, path, "samples")
            small = in_process(kind, part, "samples")
            assert samples["count"] == parsed["count"] == arguments.rows
            print(
                f"  {kind:18} bare {parsed['seconds']:5.2f} s -> samples {samples['seconds']:5.2f} s"
                f" = {samples['seconds'] / parsed['seconds']:4.1f}x   peak {samples['peak'] / 1024:4.0f} MiB,"
                f" {(samples['peak'] - small['peak']) / 1024:+.0f} against a hundredth of the rows"
            )


if __name__ == "__main__":
    main()
