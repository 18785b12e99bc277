"""``hf:ID_OR_FOLDER``: any image-text-to-text model of transformers (4.57 and 5), by its own chat template.

MedGemma, Lingshu, Qwen-VL, InternVL (``-hf`` repositories), LLaVA, Gemma 3, Idefics and others. A hub id is looked up in
the local cache, never downloaded: ``radbench fetch model ID`` does that. Reading starts at :meth:`HuggingFace.answer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from radbench.model_adapters.huggingface.answering import Answering, Parts
from radbench.model_adapters.huggingface.loading import (
    Loading,
    check_template,
    find,
    find_adapter,
    said,
    template_identity,
)
from radbench.model_adapters.messages import MultiImage, Pictures

from radbench.options import number, one_of, whole
from radbench.records import Answer, Image, Request


class HuggingFace:
    """A vision-language model of transformers, in this process.

    ``model``: a hub id in the local cache (``revision``: branch, tag or commit) or a folder. ``adapter``: a LoRA folder or
    id (peft). ``dtype``, ``device``, ``device_map``, ``quantization`` (4bit: nf4 | 8bit; bitsandbytes) and ``attn`` are
    passed through. ``batch`` is the largest number of samples asked together; it is halved where memory runs out.
    ``choices=rank`` answers a closed set with its most likely option, ``generate`` lets the model write. Likelihoods are not
    divided by length: long options stay at a disadvantage. A task that wants several labels is none for ``rank``, which
    answers one; boxes and masks are never ranked.
    ``cut_off=fail`` counts an answer that met ``max_new_tokens`` (the task's where not given) as failed. ``system``
    replaces the task's system prompt. ``template``: a Jinja file, or ``plain`` (pictures and texts alone) for base models;
    ``enable_thinking`` is handed to the template. ``max_length``: most tokens of prompt and answer, else what the model's
    configuration says; a longer prompt fails, counted, and nothing is ever truncated. ``multi_image``, ``slices``,
    ``window``, ``longest``: see :class:`radbench.model_adapters.messages.Pictures`.

    Decoding is greedy unless the task sets a temperature; then each sample draws with a seed made of its key, so that its
    answer does not depend on its batch. In float32 batches of any make-up give the tokens of a batch of one; in 16-bit
    types a sum may round otherwise and a near tie fall differently: ``batch=1`` rules that out.
    """

    capabilities = frozenset({"text", "logprobs", "embed", "multi_image", "volumes"})
    paths = ("model", "adapter", "template")

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        device: str | None = None,
        device_map: Any = None,
        batch: int = 8,
        adapter: str | None = None,
        quantization: str | None = None,
        attn: str | None = None,
        trust_remote_code: bool = False,
        max_new_tokens: int | None = None,
        max_length: int | None = None,
        repetition_penalty: float = 1.0,
        system: str | None = None,
        template: str | None = None,
        enable_thinking: bool | None = None,
        choices: Literal["generate", "rank"] = "generate",
        cut_off: Literal["fail", "keep"] = "fail",
        multi_image: MultiImage = "all",
        slices: int = 8,
        window: str | None = None,
        longest: int | None = None,
    ) -> None:
        one_of("choices", choices, ("generate", "rank"))
        one_of("cut_off", cut_off, ("fail", "keep"))
        one_of("enable_thinking", enable_thinking, (None, True, False))
        whole("max_new_tokens", max_new_tokens, optional=True)
        whole("max_length", max_length, optional=True)
        number("repetition_penalty", repetition_penalty, above=True)
        loading = Loading(dtype, device, device_map, quantization, attn, trust_remote_code)
        self._pictures = Pictures(multi_image, slices, window, longest)
        source = find(str(model), None if revision is None else str(revision))
        check_template(source, template)
        thinking = {} if enable_thinking is None else {"enable_thinking": enable_thinking}
        self._parts = Parts(source, find_adapter(adapter), loading, template, thinking, float(repetition_penalty))
        system = None if system is None else str(system)
        self._answering = Answering(
            self._parts, self._pictures, batch, limit=max_new_tokens, max_length=max_length, system=system,
            rank=choices == "rank", keeps_cut_off=cut_off == "keep",
        )  # fmt: skip
        more = {"max_new_tokens": max_new_tokens, "max_length": max_length, "system": system, **thinking}
        self._said = {"choices": choices, "cut_off": cut_off, **{k: str(v) for k, v in more.items() if v is not None}}

    def fingerprint(self) -> Mapping[str, str]:
        """Reads configuration files, no weights. Raises :class:`ConfigError` on a type of model that transformers lacks."""
        parts, adapter = self._parts, self._parts.adapter
        return {
            "adapter": "hf",
            "name": f"hf:{parts.source.name}" + (f"+{adapter.name}" if adapter else ""),
            "revision": parts.source.identity,
            **parts.loading.said(parts.source.folder),
            "pictures": self._pictures.said(),
            "generation": said(parts.generation_config()),
            **({"adapter_weights": adapter.identity} if adapter else {}),
            **({"template": template_identity(parts.template)} if parts.template else {}),
            **self._said,
        }

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Answer]]:
        for batch in self._answering.batches.of(requests):
            yield from self._answering.answers(batch)

    def loglikelihood(self, requests: Sequence[Request], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """Of each request's continuations the summed log-probability (natural logarithm) after its prompt.

        A continuation is taken as it is: whether it starts with a space is the caller's choice. Right to the rounding of
        the dtype whatever else is in the batch. Raises :class:`ImageError` where a picture cannot be decoded, and
        :class:`ModelError` where memory runs out on one request alone.
        """
        return self._answering.loglikelihood(requests, continuations)

    def embed(self, images: Sequence[Image]) -> np.ndarray:
        """Mean of the visual tokens that the model's own vision encoder and projector hand to its language model.

        (n, d) float32, d the width of the language model; not normalised. Of a picture shown as several tiles the mean over
        all their tokens, of a volume the mean over its slices. So for LLaVA, Gemma 3, InternVL, Qwen-VL, Idefics 2 and 3;
        for another family the mean of what its ``get_image_features`` gives. Raises :class:`ImageError`, and
        :class:`ModelError` for a model without that.
        """
        prompts, network = self._parts.prompts, self._parts.network
        vectors = []
        for image in images:
            shown = [prompts.pixels(picture) for picture in self._pictures.of(image)]
            vectors.append(np.mean([network.features(pixels) for pixels in shown], axis=0, dtype=np.float64))
        return np.array(vectors, np.float32)

    def shown(self, request: Request) -> str:
        """The prompt as sent, special tokens included; a picture is its token and how often it stands there."""
        return self._parts.prompts.shown(self._answering.conversation(request))
