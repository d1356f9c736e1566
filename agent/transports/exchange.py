"""One request and its reply over a bare socket: the least that a poll can cost.

A transport of the event loop, its protocol and two time-outs a request took half of a sweep's processor time.
Here one object holds it all: a socket, a future, and the moment by which the connection, then the reply, must
be there. What a reply is, and when it is whole, a subclass tells.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from abc import ABC, abstractmethod
from typing import Any

from agent.readings import DeviceError, ProtocolError, Refused, Unreachable
from agent.transports import poller
from agent.transports.network import Network

# A reply at sweep depth comes in one piece; larger buffers cost their allocation at every read.
CHUNK_BYTES = 16 * 1024

# What is closed has said all or is given up. A reset ends it at both ends at once: no farewell in three
# packets, no minute's memory of it on a controller with a dozen sockets, and a hung one gets its place back.
_RESET = struct.pack("ii", 1, 0)  # linger, for no time


class Exchange(ABC):
    """Connects (unless a connected socket is given), sends the request, collects until a subclass settles.

    The address is an IPv4 literal: a name would be looked up in the loop's thread.
    """

    __slots__ = (
        "connected",
        "due_s",
        "ends_s",
        "fd",
        "limit_s",
        "max_bytes",
        "poller",
        "port",
        "received",
        "reply",
        "request",
        "sock",
    )

    def __init__(
        self,
        address: str,
        port: int,
        request: bytes,
        network: Network,
        limit_s: float,
        connection: socket.SocketType | None = None,
    ) -> None:
        self.port, self.request, self.limit_s = port, request, limit_s
        self.max_bytes = network.max_reply_bytes
        self.received = bytearray()
        self.poller = poller.current()
        self.reply: asyncio.Future[Any] = self.poller.loop.create_future()
        now_s = self.poller.loop.time()
        self.ends_s = now_s + limit_s
        self.connected = connection is not None
        self.sock = connection or self._connecting(address)
        self.fd = self.sock.fileno()
        self.due_s = self.ends_s if self.connected else now_s + min(network.connect_timeout_s, limit_s)
        self.poller.watch(self.fd, self)
        if self.connected:
            self._send()

    async def run(self) -> Any:
        """What the subclass settled; DeviceError otherwise. Call it at once, and once."""
        try:
            return await self.reply
        finally:
            keeps = self.keeps()
            self.poller.leave(self.fd, stays_open=keeps)
            if not keeps:
                reset(self.sock)

    @abstractmethod
    def take(self, data: bytes) -> None:
        """The next piece is already in `received`: settle if the reply is whole."""

    @abstractmethod
    def end(self, cause: str) -> None:
        """The peer has closed (no cause) or broken the connection: settle or fail."""

    @abstractmethod
    def late(self) -> None:
        """The time for the reply is over: settle or fail."""

    def keeps(self) -> bool:
        """The exchange is over: True if the socket was kept for another one."""
        return False

    def settle(self, value: object) -> None:
        """The reply is this."""
        if not self.reply.done():
            self.reply.set_result(value)

    def fail(self, error: DeviceError) -> None:
        """There will be no reply."""
        if not self.reply.done():
            self.reply.set_exception(error)

    def ready(self) -> None:
        """The socket has changed: connected, with something to read, or closed."""
        if not self.connected:
            if not self.reply.done():
                self._send()
            return  # what comes in answer is a change of its own
        while not self.reply.done():
            try:
                data = self.sock.recv(CHUNK_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.end(str(error))
                return
            if not data:
                self.end("")
                return
            self.received += data
            if len(self.received) > self.max_bytes:
                self.fail(ProtocolError(f"reply over {self.max_bytes} bytes"))
            else:
                self.take(data)

    def expired(self) -> None:
        """`due_s` has passed."""
        if self.reply.done():
            return
        if self.connected:
            self.late()
        else:
            self.fail(Unreachable(f"{self.port}/tcp: no answer to the connection"))

    def _connecting(self, address: str) -> socket.SocketType:
        try:  # the bare type: what Python's own class adds to it costs as much as half of a system call
            sock = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise self._unreachable(error.errno) from error
        number = sock.connect_ex((address, self.port))
        if number not in (0, errno.EINPROGRESS):
            sock.close()
            raise self._unreachable(number)
        return sock

    def _unreachable(self, number: int | None) -> Unreachable:
        kind = Refused if number == errno.ECONNREFUSED else Unreachable
        return kind(f"{self.port}/tcp: {os.strerror(number or 0)}")

    def _send(self) -> None:
        """A request is some hundred bytes and the buffer of an idle connection is empty: it goes at once."""
        try:
            sent = self.sock.send(self.request)
        except BlockingIOError:
            return  # not connected yet
        except OSError as error:
            if self.connected:
                self.end(str(error))
            else:  # the first thing said on a connection tells that there is none
                self.fail(self._unreachable(error.errno))
            return
        self.connected, self.due_s = True, self.ends_s
        if sent < len(self.request):
            self.fail(ProtocolError(f"{self.port}/tcp: takes only {sent} bytes of the request"))


def reset(sock: socket.SocketType) -> None:
    """Close a connection over which nothing more is to be said."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
