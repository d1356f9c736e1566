"""A farm on real sockets: every device listens at its own loopback address, with the ports of its family.

Listeners follow the plan's time: a device that is off, or behind an outage, has no open port and refuses; one
that stalls accepts and says nothing. The clock is the caller's, so a month can pass in minutes.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType, TracebackType

from agent.readings import FailureKind
from agent.simulator import dialects
from agent.simulator.farm import Farm, Snapshot
from agent.simulator.model import Device

CGMINER_PORT = 4028
HTTP_PORT = 80
# The firmware reads a command in one go, and no command is longer.
MAX_COMMAND_BYTES = 4096
MAX_HEAD_BYTES = 8192
# How far listeners may lag behind the plan, in real time: short against a poll interval.
SYNC_S = 0.25
# A client that connects and asks nothing is let go after so long; a scan does that everywhere.
IDLE_S = 30


class Fault(StrEnum):
    """What a rehearsal can do to an address."""

    SILENCE = "silence"  # accepts, says nothing
    REFUSE = "refuse"  # no open port
    HALF = "half"  # half a reply, then the end
    RESET = "reset"  # half a reply, then a reset


NO_FAULTS: Mapping[str, Fault] = MappingProxyType({})


class Served:
    """The open sockets of a farm; closes cleanly, itself or as a context."""

    def __init__(
        self,
        farm: Farm,
        clock: Callable[[], int],
        cgminer_port: int,
        http_port: int,
        faults: Mapping[str, Fault],
    ) -> None:
        self._farm, self._clock, self._faults = farm, clock, faults
        self._cgminer_port, self._http_port = cgminer_port, http_port
        self._nonce = secrets.token_hex(16)
        self._servers: dict[tuple[str, int], asyncio.Server] = {}
        self._talks: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()
        self._follower: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the ports of this instant and follow the plan from here on; OSError if a port is taken."""
        await self.sync()
        self._follower = asyncio.create_task(self._follow())

    async def sync(self) -> None:
        """Make the open ports those of the clock's instant."""
        async with self._lock:
            wanted = self._wanted()
            for gone in self._servers.keys() - wanted:
                self._servers.pop(gone).close()
            for address, port in wanted - self._servers.keys():
                talk = _CGMINER if port == self._cgminer_port else _HTTP
                self._servers[address, port] = await asyncio.start_server(
                    self._heard(talk), host=address, port=port, limit=MAX_HEAD_BYTES
                )

    def _wanted(self) -> set[tuple[str, int]]:
        now_us, wanted = self._clock(), set()
        for site in self._farm.plan.sites:
            for address in self._farm.addresses(site.name, now_us):
                span = self._farm.span(address, now_us)
                if span is None or span.failure is FailureKind.UNREACHABLE:
                    continue
                if self._faults.get(address) is Fault.REFUSE:
                    continue
                wanted.add((address, self._http_port))
                if span.device.model.family != "axeos":
                    wanted.add((address, self._cgminer_port))
        return wanted

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(SYNC_S)
            await self.sync()

    async def followed(self) -> None:
        """Wait for as long as the plan is followed; raises what stopped it."""
        if self._follower is not None:
            await self._follower

    async def close(self) -> None:
        """Close every socket and end every conversation."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        for task in self._talks:
            task.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def __aenter__(self) -> Served:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _heard(self, talk: _Talk) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._converse(talk, reader, writer))
            self._talks.add(task)
            task.add_done_callback(self._talks.discard)

        return start

    async def _converse(
        self, talk: _Talk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection: one request, one reply, the end; whatever the client does."""
        try:
            async with asyncio.timeout(IDLE_S):
                request = await talk.read(reader)
            await self._answer(talk, request, reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            _reset(writer)
        finally:
            writer.close()

    async def _answer(
        self, talk: _Talk, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        address = str(writer.get_extra_info("sockname")[0])
        now_us, fault = self._clock(), self._faults.get(address)
        span = self._farm.span(address, now_us)
        if span is None or span.failure is FailureKind.UNREACHABLE:
            return _reset(writer)  # went off while the connection stood
        if span.failure is FailureKind.TIMEOUT or fault is Fault.SILENCE:
            while await reader.read(MAX_COMMAND_BYTES):
                pass  # until the client gives up
            return None
        reply = talk.reply(self._nonce, address, span.device, span.snapshot(now_us), request)
        writer.write(reply[: len(reply) // 2] if fault in (Fault.HALF, Fault.RESET) else reply)
        await writer.drain()
        return _reset(writer) if fault is Fault.RESET else None


@dataclass(frozen=True, slots=True)
class _Talk:
    """How one protocol reads a request and renders the reply."""

    read: Callable[[asyncio.StreamReader], Awaitable[bytes]]
    reply: Callable[[str, str, Device, Snapshot, bytes], bytes]


_CGMINER = _Talk(
    read=lambda reader: reader.read(MAX_COMMAND_BYTES),
    reply=lambda _nonce, _address, device, now, request: dialects.cgminer(device, now, request),
)
_HTTP = _Talk(
    read=lambda reader: reader.readuntil(b"\r\n\r\n"),
    reply=lambda nonce, address, device, now, request: dialects.http(device, now, address, nonce, request),
)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset instead of a close."""
    peer = writer.get_extra_info("socket")
    if peer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def serve(
    farm: Farm,
    clock: Callable[[], int],
    *,
    cgminer_port: int = CGMINER_PORT,
    http_port: int = HTTP_PORT,
    faults: Mapping[str, Fault] = NO_FAULTS,
) -> Served:
    """Open a farm's sockets; `clock` gives microseconds UTC, `faults` by address are read at each poll."""
    served = Served(farm, clock, cgminer_port, http_port, faults)
    try:
        await served.open()
    except OSError:
        await served.close()
        raise
    return served


async def run(
    farm: Farm,
    clock: Callable[[], int],
    *,
    cgminer_port: int = CGMINER_PORT,
    http_port: int = HTTP_PORT,
    faults: Mapping[str, Fault] = NO_FAULTS,
    ready: Callable[[], object] = lambda: None,
) -> None:
    """Serve a farm until cancelled; `ready` is called once all ports of the instant are open."""
    served = await serve(farm, clock, cgminer_port=cgminer_port, http_port=http_port, faults=faults)
    async with served:
        ready()
        await served.followed()
