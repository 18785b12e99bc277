"""The workers of one hosted model: requests handed out as they become free, losses counted."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any, NamedTuple

from radbench.model_adapters.hosting.wire import Lost, WorkerProcess, fields_of

from radbench.errors import ImageError, ModelError
from radbench.records import Answer, Failure, Request

log = logging.getLogger("radbench")

_IN_A_ROW = 3  # losses of a worker without an answer between them, after which the run stops


class Loss(NamedTuple):
    """How a worker was lost, and its last words, which may repeat the request."""

    how: str
    said: str


class Crew:
    """``processes`` side by side. ``greet`` checks what a worker says of itself, ``turns`` are a request's as it sees them."""

    def __init__(
        self, name: str, processes: Sequence[WorkerProcess], greet: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self.name, self.processes, self._greet = name, processes, greet
        weakref.finalize(self, _close_all, processes)  # also at the interpreter's exit

    def answer(
        self,
        requests: Iterable[Request],
        turns: Callable[[Request], list[Any]],
        answer_of: Callable[[Mapping[str, Any]], Answer],
    ) -> Iterator[tuple[Request, Answer]]:
        """Raises :class:`ModelError` where a model cannot be loaded, or its worker is lost three times in a row."""
        free: SimpleQueue[WorkerProcess] = SimpleQueue()
        for process in self.processes:
            process.stopped = False
            free.put(process)
        waiting: dict[Future[Answer | Loss], Request] = {}
        in_a_row, finished = 0, False
        pool = ThreadPoolExecutor(len(self.processes), thread_name_prefix="radbench-worker")
        try:
            for request in _and_none(requests):
                if request is not None:
                    waiting[pool.submit(self._ask, request, free, turns, answer_of)] = request
                while waiting and (request is None or len(waiting) > len(self.processes)):
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        answer = future.result()
                        in_a_row = in_a_row + 1 if isinstance(answer, Loss) else 0
                        if isinstance(answer, Loss):
                            if in_a_row >= _IN_A_ROW:
                                raise ModelError(
                                    f"model '{self.name}': {in_a_row} requests in a row lost their worker: it {answer.how}",
                                    said=answer.said,
                                    remedy="the answers so far are safe: mend the model, then radbench resume",
                                )
                            answer = Answer(failure=Failure("model", f"the worker {answer.how}"))
                        yield waiting.pop(future), answer
            finished = True
        finally:
            if not finished:
                for process in self.processes:
                    process.stop()
            pool.shutdown(cancel_futures=True)

    def _ask(
        self,
        request: Request,
        free: SimpleQueue[WorkerProcess],
        turns: Callable[[Request], list[Any]],
        answer_of: Callable[[Mapping[str, Any]], Answer],
    ) -> Answer | Loss:
        process = free.get()
        try:
            shown = turns(request)
            if not process.alive:
                self._start(process)
            reply = process.ask(shown, fields_of(request))
            if cuda_is_gone(reply):
                process.close()
        except ImageError as error:
            return Answer(failure=Failure("input", error.message))
        except Lost as lost:
            return Loss(str(lost), process.last_words())
        finally:
            free.put(process)
        return answer_of(reply)

    def _start(self, process: WorkerProcess) -> None:
        hello = process.start()
        try:
            self._greet(hello)
        except ModelError:  # nothing may be asked of it
            process.close(0)
            raise


def cuda_is_gone(reply: Mapping[str, Any]) -> bool:
    """Whether the model met an error after which nothing works in its process."""
    return "CUDA error" in reply.get("error", {}).get("message", "")


def _and_none(requests: Iterable[Request]) -> Iterator[Request | None]:
    yield from requests
    yield None


def _close_all(processes: Sequence[WorkerProcess]) -> None:
    for process in processes:
        process.close()
