"""A plain GET over a kept connection, for the one page that a sweep reads of each device.

It understands a reply with a Content-Length and nothing else: every other framing is `NotPlain`, and the
full HTTP client asks again. Idle connections are handed back after `keep_alive_s`, the oldest first.
"""

from __future__ import annotations

import asyncio
import re
import resource
import socket
import time
from dataclasses import dataclass

from agent.readings import DeviceTimeout, ProtocolError
from agent.transports.exchange import Exchange, reset
from agent.transports.network import Network

_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
_OTHERWISE = re.compile(rb"\r\n(?:transfer-encoding|content-encoding):", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection:[^\r]*close", re.IGNORECASE)


class NotPlain(Exception):
    """The reply is framed in a way that only the full client reads."""


class _Stale(Exception):
    """A kept connection had been closed by the device: nothing was asked."""


@dataclass(slots=True)
class _Idle:
    sock: socket.SocketType
    until_s: float


class Kept:
    """The idle connections of a process, one a device."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._idle: dict[tuple[str, int], _Idle] = {}  # the oldest first
        self._timer: asyncio.TimerHandle | None = None
        # Half of the files this process may open: the polls themselves, the spool and the broker need some.
        self._most = min(network.max_kept_connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)

    async def get(self, address: str, port: int, path: str, limit_s: float) -> tuple[int, bytes]:
        """Status and body of a page; NotPlain where the full client must ask, DeviceError where none can."""
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {address}:{port}\r\nAccept: */*\r\nUser-Agent: hashledger\r\n\r\n"
        ).encode("latin-1")
        device, ends_s = (address, port), time.monotonic() + limit_s
        if (idle := self._idle.pop(device, None)) is not None:
            try:
                return await _Get(self, device, request, limit_s, idle.sock).page()
            except _Stale:
                limit_s = max(ends_s - time.monotonic(), 0.01)
        return await _Get(self, device, request, limit_s).page()

    def keep(self, device: tuple[str, int], sock: socket.SocketType) -> bool:
        """A connection that can be asked again; False where there is no place for it.

        Those there stay: sweeps go round, and the oldest is the one that is asked next.
        """
        loop = asyncio.get_running_loop()
        if (before := self._idle.pop(device, None)) is not None:
            reset(before.sock)
        elif len(self._idle) >= self._most:
            return False
        self._idle[device] = _Idle(sock, loop.time() + self.network.keep_alive_s)
        if self._timer is None:
            self._timer = loop.call_later(self.network.keep_alive_s, self._expire)
        return True

    def close(self) -> None:
        """Hand all connections back."""
        if self._timer is not None:
            self._timer.cancel()
        for idle in self._idle.values():
            reset(idle.sock)
        self._idle.clear()

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._idle:
            device, idle = next(iter(self._idle.items()))
            if idle.until_s > loop.time():
                self._timer = loop.call_at(idle.until_s, self._expire)
                return
            reset(self._idle.pop(device).sock)


class _Get(Exchange):
    __slots__ = ("body_at", "device", "is_kept", "kept", "status", "stays", "whole_at")

    def __init__(
        self,
        kept: Kept,
        device: tuple[str, int],
        request: bytes,
        limit_s: float,
        connection: socket.SocketType | None = None,
    ) -> None:
        self.kept, self.device, self.is_kept = kept, device, connection is not None
        self.body_at = self.whole_at = self.status = 0
        self.stays = False
        super().__init__(*device, request, kept.network, limit_s, connection)

    async def page(self) -> tuple[int, bytes]:
        """Status and body."""
        found: tuple[int, bytes] = await self.run()
        return found

    def take(self, data: bytes) -> None:
        if not self.body_at and not self._head():
            return
        if len(self.received) == self.whole_at:
            self.settle((self.status, bytes(self.received[self.body_at :])))
        elif len(self.received) > self.whole_at:
            self.reply.set_exception(NotPlain())

    def end(self, cause: str) -> None:
        if self.reply.done():
            return
        if self.is_kept and not self.received:
            self.reply.set_exception(_Stale())
        elif self.received:
            self.reply.set_exception(NotPlain())
        else:
            self.fail(ProtocolError(f"{self.port}/tcp: {cause or 'closed without an answer'}"))

    def late(self) -> None:
        self.fail(DeviceTimeout(f"{self.port}/tcp: no whole answer within {self.limit_s:g} s"))

    def keeps(self) -> bool:
        settled = self.reply.done() and not self.reply.cancelled() and not self.reply.exception()
        return settled and self.stays and self.kept.keep(self.device, self.sock)

    def _head(self) -> bool:
        """True once the head is there and of the plain kind."""
        at = self.received.find(b"\r\n\r\n")
        if at < 0:
            return False
        head = bytes(self.received[: at + 2])
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if status is None or length is None or _OTHERWISE.search(head):
            self.reply.set_exception(NotPlain())
            return False
        self.status, self.body_at = int(status[2]), at + 4
        self.whole_at = self.body_at + int(length[1])
        self.stays = status[1] == b"1" and _CLOSES.search(head) is None
        return True
