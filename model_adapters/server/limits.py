"""How much is asked of a server: requests at once, attempts, tokens and money."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from radbench.errors import ConfigError, ModelError
from radbench.options import number, whole

LONGEST_WAIT = 120.0  # seconds between two attempts, whatever Retry-After says


@dataclass(slots=True)
class Budget:
    """What a session may spend, and what it has spent: every attempt the server reported usage of, kept or not.

    Prices are per million tokens, in the currency of ``max_cost``.
    """

    max_tokens: float | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    tokens_in: float = 0.0
    tokens_out: float = 0.0

    def __post_init__(self) -> None:
        """Raise :class:`ConfigError` on an amount out of range."""
        for name, amount in (("price_in", self.price_in), ("price_out", self.price_out)):
            number(name, amount, optional=True)
        for name, cap in (("max_cost", self.max_cost), ("max_tokens_total", self.max_tokens)):
            number(name, cap, above=True, optional=True)
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise ConfigError("max_cost needs price_in and price_out", remedy="prices are per million tokens")

    @property
    def cost(self) -> float:
        return self.cost_of(self.tokens_in, self.tokens_out)

    def cost_of(self, tokens_in: float, tokens_out: float) -> float:
        return (tokens_in * (self.price_in or 0) + tokens_out * (self.price_out or 0)) / 1e6

    @property
    def capped(self) -> bool:
        return self.max_tokens is not None or self.max_cost is not None

    @property
    def has_prices(self) -> bool:
        return self.price_in is not None or self.price_out is not None

    def priced(self, usage: Mapping[str, float]) -> dict[str, float]:
        """An answer's usage with its cost, where there are prices."""
        if not self.has_prices or not usage:
            return dict(usage)
        return {**usage, "cost": self.cost_of(usage.get("input_tokens", 0.0), usage.get("output_tokens", 0.0))}

    def spend(self, usage: Mapping[str, float]) -> None:
        """Raises :class:`ModelError` where there is a cap and the server does not say what it used."""
        if not usage and self.capped:
            raise ModelError(
                "the server reports no token usage, so a budget cannot be kept",
                remedy="leave max_cost and max_tokens_total out",
            )
        self.tokens_in += usage.get("input_tokens", 0.0)
        self.tokens_out += usage.get("output_tokens", 0.0)

    @property
    def spent(self) -> str | None:
        """Which cap is reached, in words."""
        total = self.tokens_in + self.tokens_out
        if self.max_tokens is not None and total >= self.max_tokens:
            return f"{total:,.0f} tokens of max_tokens_total={self.max_tokens:,.0f}"
        if self.max_cost is not None and self.cost >= self.max_cost:
            return f"{self.cost:.4f} of max_cost={self.max_cost}"
        return None


@dataclass(slots=True)
class Gate:
    """How many requests are with the server at once: one more after as many successes, half after it was too busy.

    Additive increase and multiplicative decrease, as TCP has it; attempts sent before a decrease cause no further one.
    """

    bound: int
    limit: float = 0.0
    lowest: float = 0.0
    active: int = 0
    most: int = 0
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    _fell: float = 0.0

    def __post_init__(self) -> None:
        """Raise :class:`ConfigError` on a bound out of range."""
        whole("concurrency", self.bound)
        self.limit = self.lowest = float(self.bound)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        while self.active >= int(self.limit):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            yield
        finally:
            self.active -= 1
            free = int(self.limit) - self.active
            while free > 0 and self._waiting:
                turn = self._waiting.popleft()
                if not turn.done():
                    turn.set_result(None)
                    free -= 1

    def succeeded(self) -> None:
        self.limit = min(float(self.bound), self.limit + 1 / self.limit)

    def overwhelmed(self, sent: float) -> None:
        if sent >= self._fell:
            self._fell = time.monotonic()
            self.limit = max(1.0, self.limit / 2)
            self.lowest = min(self.lowest, self.limit)


@dataclass(frozen=True, slots=True)
class Persistence:
    """How long an attempt may take, how many follow it, and the seconds before the first of them (then twice as long)."""

    timeout: float = 300.0
    retries: int = 5
    backoff: float = 0.5

    def __post_init__(self) -> None:
        """Raise :class:`ConfigError` on a value out of range."""
        number("timeout", self.timeout, above=True)
        whole("retries", self.retries, 0)
        number("backoff", self.backoff)

    def wait(self, attempt: int, asked: float | None) -> float:
        """Seconds before attempt ``attempt`` + 1: exponential with jitter, or what the server asks for if that is longer."""
        wait = self.backoff * 2**attempt * random.uniform(0.5, 1.0)
        return min(LONGEST_WAIT, max(wait, asked or 0.0))
