"""The answer pass: pending keys, pictures decoded ahead by threads, answers appended as they stream in."""

from __future__ import annotations

import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice
from traceback import format_tb
from typing import Protocol

from radbench.answers import DoneKeys, encode_answer
from radbench.care.inventory import strictest
from radbench.errors import OPEN_ACCESS, DataError, ImageError, Interrupted, ModelError, RadbenchError, shown
from radbench.folder import AnswerWriter, RunFolder, Shard
from radbench.images.picture import Picture
from radbench.plan import Plan, TaskPlan
from radbench.records import Answer, Box, Failure, Request, Sample

BATCH = 256
LOOKAHEAD = 16  # requests whose pictures are decoded ahead of the model; of volumes two

log = logging.getLogger("radbench")


class Progress(Protocol):
    """Where progress is shown: a bar on a terminal, plain lines elsewhere, nothing for ``--json``."""

    def start(self, task: str, total: Callable[[], int]) -> None:
        """``total`` counts the task's answers; it may take a while and is called only where it is shown."""

    def advance(self, count: int) -> None: ...
    def finish(self) -> None: ...


@dataclass(slots=True)
class Outcome:
    """What one session did."""

    asked: int = 0
    reused: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    access: dict[str, str] = field(default_factory=dict)  # task -> what rules its messages: its own, or a sample's
    reasons: dict[tuple[str, str], str] = field(default_factory=dict)  # (task, kind) -> the first message


def answer_all(plan: Plan, folder: RunFolder, shard: Shard, progress: Progress) -> Outcome:
    """Ask whatever has no answer yet. Raises :class:`Interrupted` on Ctrl-C or SIGTERM, with everything flushed."""
    outcome = Outcome()
    with folder.writer(shard) as writer:
        done = DoneKeys(folder.answer_files())
        try:
            for task_plan in plan.tasks:
                try:
                    _answer_task(plan, task_plan, _Pass(writer, done, shard, outcome, progress))
                except DataError as error:
                    if len(plan.tasks) == 1:
                        raise
                    # The other tasks go on; scoring meets the fault again and marks this one.
                    log.error("%s stops: %s", task_plan.task.name, error)
        except KeyboardInterrupt:
            writer.flush()
            raise Interrupted(
                f"interrupted: {outcome.asked} answers of this session are in {folder.path}",
                remedy=f"radbench resume {folder.path}",
            ) from None
    return outcome


@dataclass(slots=True)
class _Pass:
    """What the answer pass of one session shares between tasks."""

    writer: AnswerWriter
    done: DoneKeys
    shard: Shard
    outcome: Outcome
    progress: Progress
    hashes: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    open: set[bytes] = field(default_factory=set)  # keys the model was given and has not answered

    def lent(self, requests: Iterator[Request]) -> Iterator[Request]:
        """The requests, noting that the model now has them."""
        for request in requests:
            self.open.add(request.key)
            yield request

    def returned(self, given: object) -> tuple[Request, Answer]:
        """What a model yielded, checked. Raises :class:`ModelError`."""
        pair = given if isinstance(given, tuple) and len(given) == 2 else (None, None)
        request, answer = pair
        if not isinstance(request, Request) or not isinstance(answer, Answer):
            raise ModelError(f"the model yielded {type(given).__name__}, expected a pair of the request and an Answer")
        if request.key not in self.open:
            raise ModelError("the model answered a request twice, or one it was not given")
        self.open.remove(request.key)
        return request, answer

    def record(self, request: Request, answer: Answer) -> None:
        answer = normalised(answer)
        mask = None if answer.mask is None else self.writer.add_mask(request, answer.mask)
        self.writer.append(encode_answer(request, answer, self.hashes.pop(request.key, ()), mask))
        self.outcome.asked += 1
        if answer.failure is not None:
            self.outcome.failures[answer.failure.kind] += 1
            self.outcome.reasons.setdefault((request.task, answer.failure.kind), answer.failure.message)
        self.progress.advance(1)


def normalised(answer: Answer) -> Answer:
    """An answer that can be written: texts as text, coordinates finite floats; else a counted failure.

    What it cost is left out where it is no finite number: no answer is lost for that.
    """
    usage = {str(k): float(v) for k, v in answer.usage.items() if isinstance(v, int | float) and math.isfinite(v)}
    seconds = answer.seconds if answer.seconds is not None and math.isfinite(answer.seconds) else None
    answer = replace(answer, usage=usage, seconds=seconds) if answer.usage or answer.seconds is not None else answer
    text: object = answer.text
    if text is not None and not isinstance(text, str):
        return _unusable(f"text is {type(text).__name__}")
    if answer.mask is not None and not hasattr(answer.mask, "astype"):
        return _unusable(f"mask is {type(answer.mask).__name__}, expected a bool array")
    if answer.scores is not None:
        try:
            scores = {str(option): float(score) for option, score in answer.scores.items()}
        except (AttributeError, TypeError, ValueError) as error:
            return _unusable(f"scores: {error}; expected a number for each option")
        if not all(map(math.isfinite, scores.values())):
            return replace(answer, scores=None, failure=Failure("unparsable", "a score is not finite"))
        answer = replace(answer, scores=scores)
    if answer.boxes is None:
        return answer
    try:
        boxes = tuple(Box(str(b.label), *(float(c) for c in (b.x0, b.y0, b.x1, b.y1, b.score))) for b in answer.boxes)
    except (AttributeError, TypeError, ValueError) as error:
        return _unusable(f"boxes: {error}; expected radbench.Box with four numbers")
    if not all(math.isfinite(c) for b in boxes for c in (b.x0, b.y0, b.x1, b.y1, b.score)):
        return replace(answer, boxes=None, failure=Failure("unparsable", "a box coordinate is not finite"))
    return replace(answer, boxes=boxes)


def _unusable(why: str) -> Answer:
    return Answer(failure=Failure("model", f"the model's answer cannot be used: {why}"))


def _answer_task(plan: Plan, task_plan: TaskPlan, session: _Pass) -> None:
    session.outcome.access[task_plan.task.name] = strictest(task_plan.task.dataset)
    shards = session.shard.count
    session.progress.start(task_plan.task.name, lambda: -(-task_plan.size() // shards))  # about an equal share
    pending = _pending(task_plan, session)
    assert plan.model is not None  # a plan for scoring asks nothing
    if "blind" not in plan.model.capabilities:
        pending = _with_pictures(pending, session)
    try:
        for given in plan.model.answer(session.lent(pending)):
            session.record(*session.returned(given))
    except ModelError as error:
        raise error.discreet(session.outcome.access[task_plan.task.name]) from None
    except RadbenchError:
        raise
    except Exception as error:  # whatever other people's model code raises
        access = session.outcome.access[task_plan.task.name]
        if access in OPEN_ACCESS:
            log.exception("the model stopped")
        else:  # where, without what it said
            log.error("the model stopped: %s\n%s", type(error).__name__, "".join(format_tb(error.__traceback__)))
        raise ModelError(
            f"the model stopped on task '{task_plan.task.name}': {type(error).__name__}",
            said=str(error),
            remedy="run.log has the traceback; the answers so far are safe: mend the model, then radbench resume",
        ).discreet(access) from None
    finally:
        session.progress.finish()


def _pending(plan: TaskPlan, session: _Pass) -> Iterator[Request]:
    """Requests of this shard without an answer, each distinct request once."""
    render, draws, owns = plan.renderer.render, range(plan.renderer.draws), session.shard.owns
    for batch in _checked_batches(plan):
        for sample in batch:  # a set may mix licences
            if sample.access and sample.access not in OPEN_ACCESS:
                session.outcome.access[plan.task.name] = sample.access
        requests = [r for s in batch for d in draws if owns((r := render(s, d)).key)]
        asked = 0
        for request, missing in zip(requests, session.done.missing([r.key for r in requests]), strict=True):
            if missing:
                asked += 1
                yield request
        reused = len(requests) - asked
        session.outcome.reused += reused
        session.progress.advance(reused)


def sample_batches(plan: TaskPlan, size: int = BATCH) -> Iterator[list[Sample]]:
    """The run's samples in batches."""
    samples = plan.samples()
    while batch := list(islice(samples, size)):
        yield batch


def _checked_batches(plan: TaskPlan) -> Iterator[list[Sample]]:
    """Batches, with :class:`DataError` raised on a sample id that comes twice."""
    seen: set[int] = set()
    for batch in sample_batches(plan):
        before = len(seen)
        seen.update([hash(s.id) for s in batch])
        if len(seen) != before + len(batch):
            raise _duplicate(plan)
        yield batch


def _duplicate(plan: TaskPlan) -> DataError:
    positions: dict[str, int] = {}
    for position, sample in enumerate(plan.samples(), 1):
        if sample.id in positions:
            return DataError(
                f"task '{plan.task.name}': sample {position} has the id {shown(sample.id, plan.task.access)} of sample"
                f" {positions[sample.id]}",
                remedy="give every row an id of its own",
            )
        positions[sample.id] = position
    return DataError(f"task '{plan.task.name}': the reader gave samples in another order the second time")


def _with_pictures(requests: Iterator[Request], session: _Pass) -> Iterator[Request]:
    """Keep pictures of the next requests decoding in threads; a request whose picture fails is not asked."""
    from radbench.images import warm

    waiting: deque[tuple[Request, list[Future[Picture]]]] = deque()
    volumes = 0  # of the requests waiting: each may be hundreds of megabytes

    def next_ready() -> Request | None:
        nonlocal volumes
        request, futures = waiting.popleft()
        volumes -= any(i.kind != "2d" for i in request.images)
        try:
            if futures:
                session.hashes[request.key] = tuple(f.result().sha256[:16] for f in futures)
        except ImageError as error:
            session.record(request, Answer(failure=Failure("input", str(error))))
            return None
        return request

    for request in requests:
        waiting.append((request, [warm(image) for image in request.images]))
        volumes += any(i.kind != "2d" for i in request.images)
        if (len(waiting) > LOOKAHEAD or volumes > 2) and (ready := next_ready()) is not None:
            yield ready
    while waiting:
        if (ready := next_ready()) is not None:
            yield ready
