"""Where a server is and with which key it is asked, checked before anything is sent. No error quotes what may be secret."""

from __future__ import annotations

import os
import re
from urllib.parse import SplitResult, urlsplit

from radbench.endpoints import is_loopback
from radbench.errors import ConfigError

_LOOKED_UP = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_NO_KEY = ("", "none", "None")


def base_url(url: object) -> str:
    """A checked base URL without a slash at its end. Raises :class:`ConfigError`."""
    remedy = "openai:http://127.0.0.1:8000/v1,model=NAME"
    text = str(url).rstrip("/")
    parts = _split("the base URL", text, remedy)
    if parts.path.endswith("/chat/completions"):
        raise ConfigError(
            f"openai: {text} ends in /chat/completions", remedy=f"give {text[: -len('/chat/completions')]}"
        )
    return text


def proxy_url(proxy: object, endpoint: str) -> str | None:
    """A checked proxy, or None. Raises :class:`ConfigError`; also for a server of this machine, which needs none."""
    if proxy is None:
        return None
    parts = _split("proxy", str(proxy).rstrip("/"), "proxy=http://HOST:PORT")
    if is_loopback(endpoint):
        raise ConfigError(
            f"openai: {endpoint} is this machine, which is not reached by a proxy", remedy="leave proxy out"
        )
    return f"{parts.scheme}://{parts.netloc}"


def _split(what: str, text: str, remedy: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigError(f"openai: {what} cannot be read", remedy=remedy) from None
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError(f"openai: {what} holds a user, a password, a query or a fragment", remedy=remedy)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigError(f"openai: {what} begins with no http://HOST or https://HOST", remedy=remedy)
    return parts


def key_variable(key: object) -> str:
    """The name of the variable that holds the key, empty for none. Raises :class:`ConfigError` where it may be the key.

    Specs are written to disk, so that a key must never stand in one. A name that is not set must be in capitals: several
    providers' keys are words of letters, digits and underscores.
    """
    name = str(key)
    if name in _NO_KEY:
        return ""
    if not _LOOKED_UP.fullmatch(name) or not (name in os.environ or name.isupper()):
        raise ConfigError(
            "openai: key names no environment variable (what was given is not shown: it may be the key itself)",
            remedy="export MY_KEY=..., then key=MY_KEY; key=none sends none. Take a key that stood in a command out of use",
        )
    return name


def authorization(variable: str, endpoint: str) -> dict[str, str]:
    """The header with the key. Raises :class:`ConfigError` where it is missing or cannot be sent."""
    key = os.environ.get(variable, "").strip() if variable else ""
    if not key:
        if not variable or is_loopback(endpoint):
            return {}
        raise ConfigError(
            f"openai: the environment variable {variable} holds no key for {endpoint}",
            remedy=f"export {variable}=..., or name another variable with key=NAME, or key=none",
        )
    if not (key.isascii() and key.isprintable()):  # httpx would quote it in its error
        raise ConfigError(f"openai: the environment variable {variable} holds more than printable ASCII")
    return {"Authorization": f"Bearer {key}"}
