"""Console entry point: ``radbench`` and ``python -m radbench``."""

from __future__ import annotations

import sys


def main() -> None:
    if sys.argv[1:] == ["--version"]:  # answered without building the command tree
        from radbench import __version__

        print(f"radbench {__version__}")
        return
    from radbench.cli import run_cli

    sys.exit(run_cli())


if __name__ == "__main__":
    main()
