"""vLLM's offline engine, where the package ``vllm`` is installed (it needs a GPU): ``vllm:MODEL,tensor_parallel_size=2``.

The messages are those of ``openai:``, so a model answers alike behind ``vllm serve`` and here. ``vllm serve MODEL`` with
``openai:http://127.0.0.1:8000/v1,model=MODEL`` is the other way, for an environment that cannot hold vLLM.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from radbench.model_adapters.identity import of_path
from radbench.model_adapters.messages import MultiImage, Pictures, split_reasoning
from radbench.model_adapters.server.faults import masked
from radbench.model_adapters.server.messages import Messages, json_object
from radbench.model_adapters.server.replies import written_scores

from radbench.errors import ConfigError, ImageError
from radbench.options import flag, number, one_of, whole
from radbench.records import Answer, Failure, Request


class VLLM:
    """``vllm:MODEL``: a hub id or a folder, answered in batches of ``batch`` by ``LLM.chat``.

    ``engine`` is JSON, or the path of a JSON file, with further arguments of ``vllm.LLM``, such as
    ``{"limit_mm_per_prompt":{"image":8}}``; ``template`` the same for ``chat_template_kwargs``. ``logprobs=N`` asks for the
    N likeliest tokens and gives scores where an answer is one of the request's options. ``cut_off=keep`` scores answers cut
    off at the token limit. Pictures: see :class:`radbench.model_adapters.messages.Pictures`.
    """

    capabilities = frozenset({"text", "multi_image", "volumes"})  # and logprobs where asked for
    paths = ("model", "engine", "template")

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        quantization: str | None = None,
        tensor_parallel_size: int = 1,
        max_model_len: int | None = None,
        gpu_memory_utilization: float = 0.9,
        trust_remote_code: bool = False,
        engine: str | Mapping[str, Any] | None = None,
        template: str | Mapping[str, Any] | None = None,
        batch: int = 256,
        max_new_tokens: int | None = None,
        logprobs: int | None = None,
        cut_off: Literal["fail", "keep"] = "fail",
        multi_image: MultiImage = "all",
        slices: int = 8,
        window: str | None = None,
        longest: int | None = None,
    ) -> None:
        one_of("cut_off", cut_off, ("fail", "keep"))
        flag("trust_remote_code", trust_remote_code)
        whole("batch", batch)
        whole("tensor_parallel_size", tensor_parallel_size)
        number("gpu_memory_utilization", gpu_memory_utilization, above=True)
        for name, some in (
            ("max_new_tokens", max_new_tokens),
            ("logprobs", logprobs),
            ("max_model_len", max_model_len),
        ):
            whole(name, some, optional=True)
        if find_spec("vllm") is None:
            remedy = "pip install vllm, or serve the model elsewhere and use openai:URL"
            raise ConfigError("vllm: the package vllm is missing", remedy=remedy)
        self._model, self._batch, self._keep = str(model), batch, cut_off == "keep"
        self._max_new_tokens, self._logprobs = max_new_tokens, logprobs
        self._pictures = Pictures(multi_image, slices, window, longest)
        self._messages = Messages(self._pictures)
        self._template = json_object("vllm: template", template)
        self._engine: dict[str, Any] = {
            "model": self._model, "revision": revision, "dtype": dtype, "quantization": quantization,
            "tensor_parallel_size": tensor_parallel_size, "max_model_len": max_model_len,
            "gpu_memory_utilization": gpu_memory_utilization, "trust_remote_code": trust_remote_code,
            **json_object("vllm: engine", engine),
        }  # fmt: skip
        self._llm: Any = None
        if logprobs:
            self.capabilities |= {"logprobs"}

    def fingerprint(self) -> Mapping[str, str]:
        path = Path(self._model).expanduser()
        local = path.exists()
        name = path.name if local else self._model
        machine = ("model", "tensor_parallel_size", "gpu_memory_utilization")
        engine = {k: v for k, v in self._engine.items() if v is not None and k not in machine}
        said = {
            "engine": json.dumps(engine, sort_keys=True), "pictures": self._pictures.said(),
            "cut_off": "keep" if self._keep else "fail", "max_new_tokens": self._max_new_tokens,
            "logprobs": self._logprobs, "template": json.dumps(self._template, sort_keys=True) if self._template else None,
            "weights": of_path(path) if local else None,
        }  # fmt: skip
        options = {k: str(v) for k, v in said.items() if v is not None}
        return {"adapter": "vllm", "name": f"vllm:{name}", "model": name, **options}

    def shown(self, request: Request) -> str:
        """The messages as JSON, pictures as ``<image WxH, N bytes>``. Raises :class:`ImageError`."""
        return self._messages.shown(request)

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        drawn = iter(requests)
        while batch := list(islice(drawn, self._batch)):
            ready: list[tuple[Request, list[dict[str, Any]]]] = []
            for request in batch:
                try:
                    ready.append((request, self._messages.of(request)))
                except ImageError as error:
                    yield request, Answer(failure=Failure("input", error.message))
            yield from self._answered(ready)

    def _answered(self, ready: list[tuple[Request, list[dict[str, Any]]]]) -> Iterator[tuple[Request, Answer]]:
        """A batch at once; where the engine refuses it, one by one, so that one prompt too long costs one sample."""
        if not ready:
            return
        llm, started = self._loaded(), perf_counter()
        try:
            outputs = llm.chat(
                [messages for _, messages in ready],
                [self._sampling(request) for request, _ in ready],
                use_tqdm=False,
                **({"chat_template_kwargs": self._template} if self._template else {}),
            )
        except (ValueError, TypeError) as error:  # vLLM's own checks of a prompt; an engine that died ends the run
            if len(ready) > 1:
                for one in ready:
                    yield from self._answered([one])
                return
            request = ready[0][0]
            said = f"{type(error).__name__}: {masked(str(error), request.text)}"
            yield request, Answer(failure=Failure("input", said))
            return
        seconds = (perf_counter() - started) / len(ready)
        for (request, _), output in zip(ready, outputs, strict=True):
            yield request, self._read(request, output, seconds)

    def _loaded(self) -> Any:
        if self._llm is None:
            from vllm import LLM

            self._llm = LLM(**{k: v for k, v in self._engine.items() if v is not None})
        return self._llm

    def _sampling(self, request: Request) -> Any:
        from vllm import SamplingParams

        generation = request.generation
        return SamplingParams(
            temperature=generation.temperature,
            top_p=generation.top_p,
            max_tokens=self._max_new_tokens or generation.max_new_tokens,
            stop=list(generation.stop) or None,
            seed=generation.seed + request.draw,
            logprobs=self._logprobs,
        )

    def _read(self, request: Request, output: Any, seconds: float) -> Answer:
        best = output.outputs[0]
        text, reasoning = split_reasoning(best.text)
        usage = {"input_tokens": float(len(output.prompt_token_ids or ())), "output_tokens": float(len(best.token_ids))}
        failure = None
        if best.finish_reason == "length" and not (self._keep and text.strip()):
            failure = Failure("cut_off", "the answer reached the token limit")
        elif not text.strip():
            failure = Failure("empty", "no text")
        scores = None
        if self._logprobs and best.logprobs and failure is None and reasoning is None:
            first = [(str(t.decoded_token), float(t.logprob)) for t in best.logprobs[0].values()]
            scores = written_scores(text, first, request.choices)
        return Answer(text, failure=failure, usage=usage, reasoning=reasoning, seconds=seconds, scores=scores)
