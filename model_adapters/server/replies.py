"""A chat completion as an answer: its text, reasoning, usage, and probabilities of a closed set's options."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from radbench.model_adapters.messages import split_reasoning

from radbench.records import Answer, Failure

LARGEST = 64 << 20  # bytes of a response, unpacked
_TEXT_PARTS = frozenset({"text", "output_text"})


def unpacked(raw: bytes, coding: str) -> bytes:
    """A body by its Content-Encoding; none is asked for. Raises ValueError on one that unpacks to more than LARGEST."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return raw
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError("a content encoding that was not asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip or zlib, by the header
    try:
        found = unpacker.decompress(raw, LARGEST + 1)
    except zlib.error:
        raise ValueError("broken compression") from None
    if len(found) > LARGEST:
        raise ValueError(f"they unpack to more than {LARGEST >> 20} MiB")
    if not unpacker.eof:
        raise ValueError("broken compression")
    return found


def read_completion(content: bytes, content_type: str = "") -> dict[str, Any]:
    """A response body as one chat completion, also where the server streams it unasked, as ``transformers serve`` does.

    Raises ValueError, which never quotes the body.
    """
    streamed = content_type.startswith("text/event-stream")
    try:
        payload = _unstreamed(content.decode()) if streamed else json.loads(content)
    except (UnicodeDecodeError, RecursionError, json.JSONDecodeError):
        raise ValueError("not JSON") from None
    except (AttributeError, TypeError):
        raise ValueError("a stream that is no chat completion") from None
    if not isinstance(payload, dict) or not isinstance(payload.get("choices"), list):
        raise ValueError("JSON that is no chat completion")
    return payload


def _unstreamed(events: str) -> dict[str, Any]:
    """Server-sent events of chat.completion.chunk objects, put together. Raises ValueError where the end is missing."""
    said: dict[str, str] = {}
    finish, usage, logprobs = None, None, None
    for line in events.split("\n"):  # not splitlines: JSON may hold other line ends as they are
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        chunk = json.loads(data)
        if not isinstance(chunk, dict) or "error" in chunk:
            raise ValueError("a stream that holds an error")
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            for name in ("content", "reasoning_content", "reasoning", "refusal"):
                if isinstance(delta.get(name), str):
                    said[name] = said.get(name, "") + delta[name]
            finish, logprobs = choice.get("finish_reason") or finish, logprobs or choice.get("logprobs")
    if finish is None:
        raise ValueError("a stream that breaks off")
    choice = {"message": said, "finish_reason": finish, "logprobs": logprobs}
    return {"choices": [choice], "usage": usage}


def read_reply(payload: Mapping[str, Any], keep_cut_off: bool = False) -> Answer:
    """The first choice of a completion, read in this order: refused, cut off, empty, else its text.

    What is between thinking tags or in the fields ``reasoning_content`` and ``reasoning`` is kept apart. An answer cut off
    at the token limit is a failure that keeps its text, unless ``keep_cut_off``.
    """
    usage = read_usage(payload)
    choices = payload.get("choices") or [None]
    choice = choices[0]
    if not isinstance(choice, dict):
        return Answer(failure=Failure("empty", "the completion has no choice"), usage=usage)
    message = choice.get("message")
    if not isinstance(message, dict):
        message = {}
    text, refusal = _content(message)
    field = message.get("reasoning_content") or message.get("reasoning")
    text, thought = split_reasoning(text) if text is not None else (None, None)
    said = [t.strip() for t in (field, thought) if isinstance(t, str) and t.strip()]
    failure = _failure(choice, message, text, refusal, keep_cut_off)
    return Answer(text or refusal, failure=failure, usage=usage, reasoning="\n".join(said) or None)


def _content(message: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The text and the refusal of a message, whose content may be a text or a list of parts."""
    content, refusal = message.get("content"), message.get("refusal")
    refusals = [refusal] if isinstance(refusal, str) and refusal.strip() else []
    if isinstance(content, list):
        parts = [p for p in content if isinstance(p, dict)]
        refusals += [str(p["refusal"]) for p in parts if p.get("refusal")]
        content = "".join(str(p.get("text") or "") for p in parts if p.get("type", "text") in _TEXT_PARTS)
    return content if isinstance(content, str) else None, "\n".join(refusals) or None


def _failure(
    choice: Mapping[str, Any], message: Mapping[str, Any], text: str | None, refusal: str | None, keep_cut_off: bool
) -> Failure | None:
    reason = choice.get("finish_reason")
    if refusal is not None:
        return Failure("refused", "the model declined")
    if reason == "content_filter":
        return Failure("refused", "the server's content filter")
    if reason == "length" and not (keep_cut_off and text and text.strip()):
        return Failure("cut_off", "the answer reached the token limit")
    if text and text.strip():
        return None
    return Failure("empty", "a tool call instead of a text" if message.get("tool_calls") else "no text")


def read_usage(payload: Mapping[str, Any]) -> dict[str, float]:
    """Tokens as the server counted them: input_tokens, output_tokens, reasoning_tokens; what it does not tell is absent."""
    usage = payload.get("usage")
    if not isinstance(usage, dict):
        return {}
    details = usage.get("completion_tokens_details")
    found = {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
        "reasoning_tokens": details.get("reasoning_tokens") if isinstance(details, dict) else None,
    }
    return {k: float(v) for k, v in found.items() if isinstance(v, int | float) and math.isfinite(v) and v >= 0}


def first_tokens(payload: Mapping[str, Any]) -> list[tuple[str, float]] | None:
    """(token, log-probability) of the likeliest first tokens; None where the server gives none."""
    try:
        top = payload["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return [(str(t["token"]), float(t["logprob"])) for t in top] or None
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def option_scores(tokens: Iterable[tuple[str, float]], options: Sequence[str]) -> dict[str, float] | None:
    """Each option's share, 0 to 1, of the probability of first tokens that begin exactly one option.

    Case, spaces and quotes do not count, so that " yes", "Yes" and "yes" add up. None where no token tells two options
    apart: then most of the probability is on tokens that begin several ("left" of "left lung" and "left kidney"), or on
    none. An option that no listed token begins has 0.
    """
    shares, unclear = dict.fromkeys(options, 0.0), 0.0
    for token, logprob in tokens:
        start = token.strip(" \t\r\n\"'`*([{▁Ġ").rstrip(".,:;!)]}").casefold()
        begun = [o for o in options if start and o.strip().casefold().startswith(start)]
        probability = math.exp(min(logprob, 0.0)) if logprob == logprob else 0.0
        if len(begun) == 1:
            shares[begun[0]] += probability
        elif begun:
            unclear += probability
    total = sum(shares.values())
    if total <= unclear or total == 0:
        return None
    return {option: share / total for option, share in shares.items()}


def written_scores(
    text: str, tokens: Iterable[tuple[str, float]] | None, options: Sequence[str]
) -> dict[str, float] | None:
    """Scores of a written answer from its first tokens; None where it is not one of the options."""
    return option_scores(tokens, options) if tokens and names_one(text, options) else None


def names_one(text: str, options: Sequence[str]) -> bool:
    """Whether a text begins with one of the options and names no other: only then do first tokens rank the options."""
    named = [o for o in options if re.search(rf"(?<!\w){re.escape(o)}(?!\w)", text, re.IGNORECASE)]
    return len(named) == 1 and text.lstrip(" \n\"'*").casefold().startswith(named[0].casefold())
