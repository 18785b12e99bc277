"""The Python entry: one call from model and tasks to scored results."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from radbench.errors import Exit, Interrupted
from radbench.folder import MANIFEST, RunFolder, Shard
from radbench.images import cache_clear
from radbench.plan import Plan, RunConfig, make_plan
from radbench.progress import Silent
from radbench.records import Model
from radbench.runner import Outcome, Progress, answer_all, sample_batches

log = logging.getLogger("radbench")


class Engine(Protocol):
    """What answers and scores a run's plan. Every engine gives the same results.

    Raises :class:`RadbenchError`. An engine opens what it needs by itself; ``close`` gives it back and may come twice.
    ``check`` says what it cannot run before there is a folder.
    """

    def check(self, plan: Plan) -> None: ...

    def answer_all(self, plan: Plan, folder: RunFolder, shard: Shard, progress: Progress) -> Outcome: ...

    def score(self, plan: Plan, folder: RunFolder) -> dict[str, Any]: ...

    def close(self) -> None: ...


class _Local:
    """This process."""

    def check(self, plan: Plan) -> None:
        pass

    def answer_all(self, plan: Plan, folder: RunFolder, shard: Shard, progress: Progress) -> Outcome:
        return answer_all(plan, folder, shard, progress)

    def score(self, plan: Plan, folder: RunFolder) -> dict[str, Any]:
        from radbench.scoring import score

        return score(plan, folder)

    def close(self) -> None:
        pass


LOCAL: Engine = _Local()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished session: where the run lies, what it scored, what this session asked.

    ``results`` is the content of results.json, None where other shards still owe answers.
    """

    path: Path
    results: Mapping[str, Any] | None
    outcome: Outcome
    waiting: int = 0

    def table(self) -> str:
        """The result table as text."""
        from radbench.report import table

        if self.results is None:
            return f"{self.waiting} requests are left to other shards; nothing is scored yet"
        return table(self.results)

    def exit_code(self, allowed_failures: float = 1.0) -> Exit:
        """OK, or INCOMPLETE where answers are missing or a larger share than allowed failed in some task."""
        if self.results is None:
            return Exit.OK
        tasks = self.results["tasks"].values()
        too_many = any(sum(t["failures"].values()) > allowed_failures * max(t["n"], 1) for t in tasks)
        too_many |= any(0 < t["n"] == t["failures"].get("input") for t in tasks)  # not one picture could be read
        return Exit.INCOMPLETE if too_many or not self.results["complete"] else Exit.OK


def evaluate(
    model: str | Model | Callable[..., Any],
    tasks: str | Iterable[str],
    *,
    out: str | Path | None = None,
    data: str | Path | Iterable[str | Path] | None = None,
    seed: int = 0,
    limit: int | None = None,
    draws: int = 1,
    resamples: int = 1000,
    level: float = 0.95,
    shard: str | None = None,
    progress: Progress | None = None,
    allow_restricted_endpoint: str | None = None,
    engine: Engine = LOCAL,
) -> Evaluation:
    """Evaluate a model on tasks; going on with the run in ``out`` if there is one.

    ``model`` is a spec such as ``knn:k=5``, a ``module:function``, a :class:`radbench.records.Model` or a function of
    one request. ``tasks`` are names, ``suite/*`` patterns or paths of YAML task files. ``data`` is the root that holds a
    folder a dataset, or ``NAME=PATH`` entries. Restricted data go to a server elsewhere only where its base URL is given
    as ``allow_restricted_endpoint``. ``engine`` is where to compute: this process, or ``radbench.ray_engine.ray_engine()``.
    Raises :class:`radbench.RadbenchError`.
    """
    names = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    places = (str(data),) if isinstance(data, str | Path) else tuple(str(d) for d in data or ())
    spec = model if isinstance(model, str) else f"python:{getattr(model, '__name__', type(model).__name__)}"
    config = RunConfig(spec, names, places, seed, limit, draws, resamples, level, allow_restricted_endpoint)
    return run(
        config,
        Path(out) if out else default_folder(config),
        Shard.parse(shard) if shard else Shard(),
        progress or Silent(),
        None if isinstance(model, str) else model,
        engine,
    )


def run(
    config: RunConfig,
    path: Path,
    shard: Shard,
    progress: Progress,
    model: Model | Callable[..., Any] | None = None,
    engine: Engine = LOCAL,
) -> Evaluation:
    """Ask what has no answer yet, then score if nothing is left to other shards."""
    from radbench.scoring import settled_results

    cache_clear()  # files may have changed since an earlier run of this process
    try:
        plan = make_plan(config.anchored(), model)
        engine.check(plan)
        folder = RunFolder(path)
        folder.claim(plan.manifest, plan.identity())
        with run_log(folder):
            settled = settled_results(folder, plan)
            if settled is not None and not any(p.pictures for p in plan.tasks):
                return Evaluation(path, settled, Outcome())  # with pictures their keys are looked at: one may be new
            log.info("session of shard %s starts: %s on %s", shard.stem, config.model, ", ".join(config.tasks))
            outcome = engine.answer_all(plan, folder, shard, progress)
            log.info("asked %d, had %d, failures %s", outcome.asked, outcome.reused, dict(outcome.failures))
            if shard.count > 1 and (waiting := unanswered(plan, folder)):
                return Evaluation(path, None, outcome, waiting)
            if settled is not None and not outcome.asked:
                return Evaluation(path, settled, outcome)
            return Evaluation(path, engine.score(plan, folder), outcome)
    except KeyboardInterrupt:
        if not (path / MANIFEST).exists():
            raise Interrupted("interrupted before anything was asked", remedy="run it again") from None
        raise Interrupted(f"interrupted; what was answered is in {path}", remedy=f"radbench resume {path}") from None
    finally:
        engine.close()


def unanswered(plan: Plan, folder: RunFolder) -> int:
    """How many distinct requests of a run have no answer at all yet; failures that a resume asks again are not waited for."""
    from radbench.answers import DoneKeys

    done = DoneKeys(folder.answer_files(), final_only=False)
    return sum(
        sum(done.missing([task.renderer.key(s, d) for s in batch for d in range(task.renderer.draws)]))
        for task in plan.tasks
        for batch in sample_batches(task)
    )


def default_folder(config: RunConfig) -> Path:
    """``runs/<model>-<tasks>``: the same arguments find the same folder, so that running again goes on."""
    tasks = [Path(t).stem if t.endswith((".yaml", ".yml")) else t for t in config.tasks]
    name = f"{config.model}-{'+'.join(tasks)}"
    slug = re.sub(r"[^\w.=+-]+", "-", name).strip("-")
    if len(slug) > 80:
        slug = f"{slug[:70]}-{sha256(name.encode()).hexdigest()[:8]}"
    return Path("runs") / slug


@contextmanager
def run_log(folder: RunFolder) -> Iterator[None]:
    """Everything logged during a session also goes to ``run.log``."""
    handler = logging.FileHandler(folder.path / "run.log", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
