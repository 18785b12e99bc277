"""Writes the made-up copies the suites run on: ``python -m miniatures FOLDER``; prints the ``--data`` values of each task."""

from __future__ import annotations

import argparse
from pathlib import Path

from miniatures import data_for
from radbench.registry import all_tasks

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    root = parser.parse_args().folder
    for task in all_tasks().values():
        if task.published and not task.name.startswith("open/"):
            print(task.name, *(f"--data {value}" for value in data_for(root, task)))
