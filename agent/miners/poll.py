"""Asking one device several things within one budget, one connection at a time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field

from agent.readings import DeviceError, DeviceTimeout, Unreachable
from agent.transports.cgminer import Json

Ask = Callable[[float], Awaitable[Json]]  # takes the seconds it may use

RESERVE_S = 0.25  # kept back so that a slow last request cannot cost the answers that came before it


@dataclass(slots=True)
class Replies:
    """What came back, and for every request without an answer the reason."""

    got: dict[str, Json] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Budget:
    """The seconds left for one device."""

    def __init__(self, seconds: float) -> None:
        self.until_s = time.monotonic() + seconds - RESERVE_S

    def left_s(self) -> float:
        return self.until_s - time.monotonic()


async def collect(
    steps: Iterable[tuple[str, Ask]], need: Collection[str], budget: Budget, replies: Replies | None = None
) -> Replies:
    """Ask in turn. A device that is silent from the start, or answers nothing of a `need`, raises.

    Any later failure is kept as a reason: one page that hangs must not cost the reading.
    """
    replies = replies or Replies()
    first: DeviceError | None = None
    for name, ask in steps:
        if (left_s := budget.left_s()) <= 0:
            replies.failed[name] = "no time left"
            continue
        try:
            replies.got[name] = await ask(left_s)
        except DeviceError as error:
            replies.failed[name] = str(error)
            first = first or error
            if not replies.got and isinstance(error, Unreachable | DeviceTimeout):
                raise
    if need and not replies.got.keys() & set(need):
        raise first or DeviceTimeout("no time left")
    return replies
