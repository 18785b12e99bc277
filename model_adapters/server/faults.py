"""What a server's error response means, told without repeating anything of the prompt."""

from __future__ import annotations

import json
import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from radbench.records import FailureKind

if TYPE_CHECKING:
    import httpx

_RETRIED = frozenset({408, 409, 425, 429})  # and everything from 500
_BUSY = frozenset({429, 503})
_UNACCEPTABLE = frozenset({400, 413, 415, 422})  # this request will never be accepted
_OVERDRAWN = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_SHOWN = 200  # characters of a server's own message


class Fault(Exception):
    """An attempt without an answer.

    ``kind`` is what it is counted as once retries are used up. ``retry``: whether another attempt may help, after ``wait``
    seconds where the server says so. ``busy``: the server has too much to do. ``wrong``: address, key or model name must be
    wrong where this is the first thing the server says. ``said`` is the server's own message, masked; ``words`` are all of
    its words, for recognising an option that it wants otherwise, and never shown. ``remedy``: what a person can do.
    """

    def __init__(
        self,
        what: str,
        kind: FailureKind = "transport",
        *,
        said: str = "",
        remedy: str = "",
        retry: bool = False,
        wait: float | None = None,
        busy: bool = False,
        wrong: bool = False,
        words: frozenset[str] = frozenset(),
    ) -> None:
        self.message = f"{what}: {said}" if said else what
        super().__init__(self.message)
        self.what, self.said, self.remedy = what, said, remedy
        self.kind, self.retry, self.wait, self.busy, self.wrong, self.words = kind, retry, wait, busy, wrong, words


def fault_of(response: httpx.Response, content: bytes, prompt: str) -> Fault:
    """The fault that a response other than 200 with that content stands for."""
    status = response.status_code
    code, text = _said(content)
    words = frozenset(re.findall(r"\w+", f"{code} {text}".casefold()))
    what, said = f"HTTP {status}", ": ".join(filter(None, (masked(code, prompt), masked(text, prompt))))
    if "content_filter" in words or "responsibleaipolicyviolation" in words:
        return Fault(what, "refused", said=said, words=words)
    if status in _UNACCEPTABLE:
        return Fault(what, "input", said=said, words=words)
    if status in _RETRIED or status >= 500:
        wait = retry_after(response.headers.get("Retry-After"))
        return Fault(what, said=said, retry=not words & _OVERDRAWN, wait=wait, busy=status in _BUSY, words=words)
    if 300 <= status < 400:
        what += ", a redirect, which is not followed"
    return Fault(what, said=said, wrong=True, words=words)


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or the time until an HTTP date. None where it says nothing."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def masked(text: str, prompt: str) -> str:
    """A server's text, one line of at most 200 characters, without any word that stands in the prompt.

    Servers quote what they could not read, and whether the data are restricted is not known here. Every word found
    anywhere in the prompt becomes an ellipsis, as does everything too long to be a word (base64).
    """
    lower = prompt.casefold()

    def word(match: re.Match[str]) -> str:
        return "…" if len(match[0]) > 40 or match[0].casefold() in lower else match[0]

    line = re.sub(r"…(\W*…)+", "…", re.sub(r"\w+", word, " ".join(text.split())))
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."


def _said(content: bytes) -> tuple[str, str]:
    """A server's error code (or type) and message: OpenAI's and vLLM's form, Ollama's, FastAPI's. Empty where unknown."""
    try:
        body: Any = json.loads(content)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(body, dict):
        return "", ""
    error = body.get("error", body.get("detail", body))
    if isinstance(error, list):  # FastAPI's validation errors; their "input" would quote the request
        fields = [f"{'.'.join(map(str, e.get('loc', ())))}: {e.get('msg', '')}" for e in error if isinstance(e, dict)]
        return "", "; ".join(fields)
    if not isinstance(error, dict):
        return "", str(error)
    code = error.get("code") if isinstance(error.get("code"), str) else error.get("type")
    inner = error.get("innererror")
    also = str(inner["code"]) if isinstance(inner, dict) and "code" in inner else ""
    return " ".join(filter(None, (str(code or ""), also))), str(error.get("message") or "")
