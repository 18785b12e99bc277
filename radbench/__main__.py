"""Console entry point: ``radbench`` and ``python -m radbench``."""

from __future__ import annotations

import sys


def main() -> None:
    """``--version`` and ``--help`` are answered without building the command tree; a test keeps help.txt current."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from radbench import __version__

        print(f"radbench {__version__}")
    elif arguments in (["--help"], []):
        with open(__file__.replace("__main__.py", "cli/help.txt"), encoding="utf-8") as f:
            sys.stdout.write(f.read())
    else:
        from radbench.cli import run_cli

        run_cli()


if __name__ == "__main__":
    main()
