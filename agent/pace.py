"""A pace that many tasks share: so many turns a second, a second's worth at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

# A scan's silent addresses: a burst of one second and three seconds more hold 600 of the kernel's 1,024
# neighbour entries.
SILENT_PER_S = 150.0


class Pace:
    """`await turn()` before each step; a step that turned out to cost nothing gives its turn back."""

    def __init__(self, per_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        if per_s <= 0:
            raise ValueError(f"{per_s:g} turns a second: must be above 0")
        self._per_s = per_s
        self._most = max(1.0, per_s)
        self._now_s = now_s
        self._left = self._most
        self._counted_s = now_s()
        self._queue = asyncio.Lock()  # first come, first served

    async def turn(self) -> None:
        """Wait until it is the caller's turn."""
        async with self._queue:
            if (short := 1.0 - self._filled()) > 0:
                await asyncio.sleep(short / self._per_s)
            self._left = self._filled() - 1.0

    def give_back(self) -> None:
        """The turn cost nothing: the next one may come at once."""
        self._left = min(self._most, self._filled() + 1.0)

    def _filled(self) -> float:
        now_s = self._now_s()
        self._left = min(self._most, self._left + (now_s - self._counted_s) * self._per_s)
        self._counted_s = now_s
        return self._left
