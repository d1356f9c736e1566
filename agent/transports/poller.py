"""The sockets that wait for a device, on one epoll of their own beside the event loop.

The loop's own watching costs a handle, its callback in a context and a timer, once for the connect and once
for the reply: a sixth of a short poll's processor time. Here a connection is three system calls, the events
of many come in one, and one look over all that wait finds those whose time is over.
"""

from __future__ import annotations

import asyncio
import select
from typing import Protocol
from weakref import WeakKeyDictionary

MAX_EVENTS = 256  # at a time: the loop's other work gets its turn; the rest is told again
LOOK_S = 0.05  # deadlines are seconds: a twentieth of one more is nothing to anybody


class Waiting(Protocol):
    """What waits on a socket until it may write, or until there is something to read."""

    due_s: float  # of the loop's clock

    def ready(self) -> None: ...

    def expired(self) -> None: ...


class Poller:
    """The waiting sockets of one event loop."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._waiting: dict[int, Waiting] = {}
        self._looks = False
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._ready)

    def watch(self, fd: int, one: Waiting, *, writes: bool) -> None:
        """Tell `one` when its socket may write or, again and again, when it has something to read."""
        self._epoll.register(fd, select.EPOLLOUT if writes else select.EPOLLIN)
        self._waiting[fd] = one
        if not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def reads(self, fd: int) -> None:
        """From now on it is reading that this socket waits for."""
        self._epoll.modify(fd, select.EPOLLIN)

    def leave(self, fd: int) -> None:
        """It waits no more; called before the socket is closed or kept for later."""
        if self._waiting.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _ready(self) -> None:
        for fd, _ in self._epoll.poll(0, MAX_EVENTS):
            if (one := self._waiting.get(fd)) is not None:
                one.ready()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for one in [one for one in self._waiting.values() if one.due_s <= now_s]:
            one.expired()
        self._looks = bool(self._waiting)
        if self._looks:
            loop.call_later(LOOK_S, self._look)


_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, Poller] = WeakKeyDictionary()


def of(loop: asyncio.AbstractEventLoop) -> Poller:
    """The running loop's poller."""
    found = _pollers.get(loop)
    if found is None:
        found = _pollers[loop] = Poller()
    return found
