"""What logins gave: tokens and session cookies, one per device and firmware family, until they expire."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agent.readings import AuthError

Answer = TypeVar("Answer")
Login = Callable[[], Awaitable[tuple[str, float]]]  # gives a token and the seconds it is good for

MAX_TOKENS = 10_000  # one site's devices; the one kept first makes room
MARGIN_S = 30.0  # a token is not used so near to its end that a poll could outlast it


class Tokens:
    """A bounded store in memory; nothing of it is ever written down."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._kept: dict[tuple[str, str], tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, address: str, family: str) -> str | None:
        """The device's token, or None where there is none that still holds."""
        token, until_s = self._kept.get((address, family), ("", 0.0))
        if token and self._clock_s() >= until_s:
            self.drop(address, family)
            return None
        return token or None

    def keep(self, address: str, family: str, token: str, lifetime_s: float) -> None:
        """Keep a token that is good for so many seconds."""
        self.drop(address, family)
        if len(self._kept) >= MAX_TOKENS:
            del self._kept[next(iter(self._kept))]
        self._kept[address, family] = (token, self._clock_s() + lifetime_s - MARGIN_S)

    def drop(self, address: str, family: str) -> None:
        """Forget a token that the device no longer takes."""
        self._kept.pop((address, family), None)

    async def using(
        self, address: str, family: str, login: Login, ask: Callable[[str], Awaitable[Answer]]
    ) -> Answer:
        """What `ask` gives with the device's token; one that is refused is renewed once."""
        if token := self.find(address, family):
            try:
                return await ask(token)
            except AuthError:
                self.drop(address, family)
        token, lifetime_s = await login()
        self.keep(address, family, token, lifetime_s)
        return await ask(token)
