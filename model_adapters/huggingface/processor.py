"""The processor's side of a Hugging Face model: conversations to chat-template prompts to tensors, and tokens to text."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from radbench.model_adapters.huggingface.loading import Source
from radbench.model_adapters.messages import Turn

from radbench.errors import ConfigError, ImageError, ModelError

Conversation = list[dict[str, Any]]
_PAD_NAMES = ("<pad>", "<|pad|>", "<unk>")
_PICTURE_TOKENS = ("image_token", "boi_token", "eoi_token", "start_image_token", "end_image_token", "video_token")
_PROBE = "radbench probes the system turn"
# Pictures and texts in their order and nothing else: for base models, which were taught no turns.
_PLAIN = (
    "{{%- for m in messages %}}{{%- for p in m['content'] %}}{{%- if p['type'] == 'image' %}}{image}"
    "{{%- else %}}{{{{ p['text'] }}}}{{%- endif %}}{{%- endfor %}}{{%- endfor %}}"
)


class Prompts:
    """A processor with its chat template, padding on the left. ``options`` go to the template (``enable_thinking``)."""

    def __init__(
        self, source: Source, trust_remote_code: bool, template: str | None, options: Mapping[str, Any] | None = None
    ) -> None:
        from transformers import AutoProcessor

        try:
            self.processor: Any = AutoProcessor.from_pretrained(
                source.folder, trust_remote_code=trust_remote_code, local_files_only=True
            )
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise ConfigError(
                f"the processor of '{source.name}' cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        self.tokenizer: Any = getattr(self.processor, "tokenizer", self.processor)
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token_id is None:
            known = self.tokenizer.get_vocab()
            self.tokenizer.pad_token = next((n for n in _PAD_NAMES if n in known), self.tokenizer.eos_token)
        self.pad: int = self.tokenizer.pad_token_id
        self._options = {"chat_template": self._template(template), **(options or {})}
        self._system = _PROBE in self._probe()
        names = [str(getattr(self.processor, n, None) or "") for n in _PICTURE_TOKENS]
        self._reserved = frozenset(n for n in names if len(n) > 2)

    def _template(self, template: str | None) -> str:
        if template == "plain":
            token = getattr(self.processor, "image_token", None) or "<image>"
            return _PLAIN.format(image=str(token))
        if template is not None:
            return Path(template).expanduser().read_text(encoding="utf-8")
        own = getattr(self.processor, "chat_template", None) or getattr(self.tokenizer, "chat_template", None)
        own = own.get("default") if isinstance(own, dict) else own
        if own is None:
            raise ConfigError(
                "the model's processor has no chat template", remedy="template=plain or template=FILE.jinja"
            )
        return str(own)

    def _probe(self) -> str:
        """What the template makes of a system turn; nothing where it refuses one."""
        from jinja2 import TemplateError

        turns = [Turn("system", (_PROBE,)), Turn("user", ("?",))]
        try:
            return self.text([{"role": t.role, "content": _parts(t)} for t in turns])
        except TemplateError:
            return ""

    def conversation(self, turns: Sequence[Turn]) -> Conversation:
        """Turns as chat templates want them. Where the template has no system turn it becomes the user's first words.

        Raises :class:`ImageError` on a text that holds what stands for a picture: pictures would be shown elsewhere.
        """
        texts = [p for t in turns for p in t.parts if isinstance(p, str)]
        if held := sorted(r for r in self._reserved if any(r in text for text in texts)):
            raise ImageError(f"the text holds '{held[0]}', which stands for a picture in this model")
        messages = [{"role": t.role, "content": _parts(t)} for t in turns]
        if len(messages) > 1 and messages[0]["role"] == "system" and not self._system:
            first = messages[1]
            content = [*messages[0]["content"], {"type": "text", "text": "\n\n"}, *first["content"]]
            messages[:2] = [{"role": first["role"], "content": content}]
        return messages

    def text(self, conversation: Conversation) -> str:
        """The prompt before the processor puts a picture's tokens in the place of its one token."""
        return str(self.processor.apply_chat_template(conversation, add_generation_prompt=True, **self._options))

    def inputs(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """Tensors of a batch. Never truncated. Raises :class:`ModelError` where the processor padded on the right."""
        how: dict[str, Any] = {"padding": True}
        if "processor_kwargs" in inspect.signature(self.processor.apply_chat_template).parameters:
            how = {"processor_kwargs": how}  # transformers 5
        found = self.processor.apply_chat_template(
            list(conversations), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
            **self._options, **how,
        )  # fmt: skip
        if not bool(found["attention_mask"][:, -1].all()):
            raise ModelError("the processor pads prompts on the right: answers of a batch would be wrong")
        return dict(found)

    def pixels(self, picture: Any) -> dict[str, Any]:
        """What the vision encoder gets of one picture. Raises :class:`ModelError`."""
        images = getattr(self.processor, "image_processor", None)
        if images is None:
            raise ModelError(f"{type(self.processor).__name__} has no image processor: no embeddings")
        return dict(images(images=[picture], return_tensors="pt"))

    def shown(self, conversation: Conversation) -> str:
        """The prompt as sent, special tokens included; a picture's repeated tokens once with their count."""
        ids = self.inputs([conversation])["input_ids"][0].tolist()
        special, shown, plain = set(self.tokenizer.all_special_ids), "", list[int]()
        for token, run in groupby(ids):
            count = len(list(run))
            if count < 3 or (token not in special and not self._is_added(token)):
                plain += [token] * count
                continue
            shown += f"{self.tokenizer.decode(plain)}{self.tokenizer.decode([token])}×{count}"
            plain = []
        return shown + str(self.tokenizer.decode(plain))

    def _is_added(self, token: int) -> bool:
        return token in self.tokenizer.added_tokens_decoder

    def continued(self, prompt: str, continuation: str) -> list[int]:
        """Token ids of a continuation, as they follow the prompt: both are tokenised together."""
        alone = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        both = self.tokenizer(prompt + continuation, add_special_tokens=False)["input_ids"]
        if both[: len(alone)] == alone:
            return list(both[len(alone) :])
        return list(self.tokenizer(continuation, add_special_tokens=False)["input_ids"])

    def lead(self, prompt: str) -> str:
        """What stands between the prompt and an answer: a space after ``ASSISTANT:``, nothing after a line's end."""
        apart = not prompt or prompt[-1].isspace() or prompt.endswith(tuple(self.tokenizer.all_special_tokens))
        return "" if apart else " "


def _parts(turn: Turn) -> list[dict[str, Any]]:
    return [{"type": "text", "text": p} if isinstance(p, str) else {"type": "image", "image": p} for p in turn.parts]
