"""Fixtures every test may use. ``--shared=PATH`` points at the real datasets; without them their tests skip, counted."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from golden_rows import TABLE
from hypothesis import settings
from miniatures import SUITE_ROWS

if importlib.util.find_spec("torchvision"):  # make test-models: before anything imports it
    from miniatures.vlm import torchvision_shim

    torchvision_shim()

settings.register_profile("radbench", deadline=None, derandomize=True)  # shared machines are slow now and then
settings.load_profile("radbench")

GOLDEN = Path(__file__).parent / "golden"
_SKIP = "needs the shared datasets"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shared", default="../shared", help="folder with data/ (default ../shared)")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands what its tests measured over to the process that prints the tables."""
    if hasattr(session.config, "workeroutput"):
        stash = session.config.stash
        session.config.workeroutput["tables"] = [stash.get(TABLE, []), stash.get(SUITE_ROWS, {})]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    rows, suites = getattr(node, "workeroutput", {}).get("tables", ([], {}))
    stash = node.config.stash
    stash.setdefault(TABLE, []).extend(rows)
    stash.setdefault(SUITE_ROWS, {}).update(suites)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if _SKIP in str(r.longrepr)]
    if rows := config.stash.get(TABLE, []):
        heading = ("ours", "original", "keys", "values", "max difference")
        widths = [max(len(r[i]) for r in (heading, *rows)) for i in range(len(heading))]
        terminalreporter.section(f"golden values: {len(rows)} comparisons")
        for line in (heading, *rows):
            terminalreporter.write_line("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())
    if suites := config.stash.get(SUITE_ROWS, {}):
        lines = [("row and task", "reads", "renders", "parses", "metrics scored")]
        lines += [(name, *cells) for name, cells in sorted(suites.items())]
        widths = [max(len(line[i]) for line in lines) for i in range(5)]
        terminalreporter.section(f"suite rows on made-up official layouts: {len({n[:5] for n in suites})} rows")
        for cells in lines:
            terminalreporter.write_line("  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip())
    terminalreporter.write_line(f"{len(skipped)} tests skipped for want of {config.getoption('--shared')}/data")


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest) -> Path:
    """The folder of real datasets."""
    path = Path(request.config.getoption("--shared")).resolve() / "data"
    if not path.is_dir():
        pytest.skip(f"{_SKIP}: {path} is not there")
    return path


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Any]:
    return lambda name: json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may reach a network; processes of this machine stay reachable (AF_UNIX, the loopback addresses)."""
    import socket

    real = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to connect to {address}")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _fresh_pictures() -> Iterator[None]:
    from radbench.images import cache_clear

    yield
    cache_clear()


@pytest.fixture
def text_task(tmp_path: Path) -> Callable[..., Path]:
    """Writes a yes/no question task of ``n`` rows and returns its task file."""

    def write(n: int = 20, folder: str = "task", **fields: Any) -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        rows = (
            {
                "id": f"q{i}",
                "question": f"Question {i}?",
                "answer": "yes" if i % 3 else "no",
                "patient": f"p{i // 2}",
                "sex": "FM"[i % 2],
            }
            for i in range(n)
        )
        (root / "samples.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        task = {
            "name": "test/toy", "kind": "vqa", "metrics": ["exact-match"], "strata": ["sex"],
            "data": {"table": "samples.jsonl", "access": "open", "columns": {"cluster": "patient"}}, **fields,
        }  # fmt: skip
        path = root / "toy.yaml"
        path.write_text(json.dumps(task))
        return path

    return write
