"""The sockets that wait for a device, on one epoll of their own beside the event loop.

The loop's own watching costs a handle, its callback in a context and a timer, once for the connect and once
for the reply: a sixth of a short poll's processor time. Here a connection is one system call, the events
of many come in one, and one look over all that wait finds those whose time is over.
"""

from __future__ import annotations

import asyncio
import select
import threading
from collections import deque
from typing import Protocol

MAX_EVENTS = 256  # at a time: the loop's other work gets its turn; the rest is told again
LOOK_S = 0.05  # deadlines are seconds: a twentieth of one more is nothing to anybody


# Reported at every change, not until it is dealt with: one call watches for the connection and for the reply.
_CHANGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET


class Waiting(Protocol):
    """What waits on a socket until it may write, or until there is something to read."""

    due_s: float  # of the loop's clock

    def ready(self) -> None:
        """The socket has changed: deal with all there is, for it is told once."""

    def expired(self) -> None:
        """`due_s` has passed."""


class Poller:
    """The waiting sockets of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._epoll = select.epoll()
        self._waiting: dict[int, Waiting] = {}
        self._changed: deque[int] = deque()
        self._looks = False
        loop.add_reader(self._epoll.fileno(), self._ready)

    def watch(self, fd: int, one: Waiting) -> None:
        """Tell `one` whenever its socket may write, has something to read, or is closed."""
        self._epoll.register(fd, _CHANGES)
        self._waiting[fd] = one
        if not self._looks:
            self._looks = True
            self.loop.call_later(LOOK_S, self._look)

    def leave(self, fd: int, *, stays_open: bool) -> None:
        """It waits no more; a socket that is closed next leaves the epoll by that."""
        if self._waiting.pop(fd, None) is not None and stays_open:
            self._epoll.unregister(fd)

    def _ready(self) -> None:
        # Kept beside: what one of them raises must not cost the others their only telling.
        self._changed.extend([fd for fd, _ in self._epoll.poll(0, MAX_EVENTS)])
        while self._changed:
            if (one := self._waiting.get(self._changed.popleft())) is not None:
                one.ready()

    def _look(self) -> None:
        self._ready()
        now_s = self.loop.time()
        for one in [one for one in self._waiting.values() if one.due_s <= now_s]:
            one.expired()
        self._looks = bool(self._waiting)
        if self._looks:
            self.loop.call_later(LOOK_S, self._look)


class _Thread(threading.local):
    poller: Poller | None = None


_thread = _Thread()


def current() -> Poller:
    """The running loop's poller. (To ask for the running loop itself costs a system call each time.)"""
    found = _thread.poller
    if found is None or not found.loop.is_running():
        found = _thread.poller = Poller(asyncio.get_running_loop())
    return found
