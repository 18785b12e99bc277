"""Where a model's requests go, and that restricted data go nowhere else than this machine unless a person said so."""

from __future__ import annotations

import re

from radbench.care.inventory import strictest
from radbench.dataset import Reader
from radbench.errors import OPEN_ACCESS, ConfigError
from radbench.records import Model, Remote
from radbench.task import LEAVE_ONE_CLUSTER_OUT, Task

# Nothing that two URL parsers could read in two ways: no user, no backslash, nothing beside the host.
_LOOPBACK = re.compile(
    r"https?://(?:localhost|127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})|\[::1\])(?::\d{1,5})?(?:/[\w./~-]*)?",
    re.IGNORECASE | re.ASCII,
)


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine by its very name: ``localhost``, 127.0.0.0/8 or ``::1``. Nothing is resolved."""
    found = _LOOPBACK.fullmatch(url)
    return found is not None and all(int(part or 0) < 256 for part in found.groups())


def check_endpoint(model: Model, task: Task, reader: Reader, allowed: str | None) -> None:
    """Raise :class:`ConfigError` where samples of restricted access would leave the machine; nothing has been sent then.

    ``allowed`` is the base URL a person gave as ``--allow-restricted-endpoint``; it must be the model's own.
    """
    if not isinstance(model, Remote) or is_loopback(model.endpoint):
        return
    if allowed is not None and allowed.rstrip("/") == model.endpoint.rstrip("/"):
        return
    restricted = {strictest(task.dataset)} - OPEN_ACCESS
    splits = {task.split, task.support or task.split} - {LEAVE_ONE_CLUSTER_OUT}
    if not restricted:  # a set may mix licences: every sample is looked at before the first one is sent
        restricted = {s.access for split in splits for s in reader.samples(split) if s.access} - OPEN_ACCESS
    if restricted:
        raise ConfigError(
            f"task '{task.name}' holds {' and '.join(sorted(restricted))} data, and {model.endpoint} is not this machine:"
            " nothing was sent",
            remedy="use a server on this machine; or, if the data's terms allow it,"
            f" --allow-restricted-endpoint {model.endpoint}",
        )
