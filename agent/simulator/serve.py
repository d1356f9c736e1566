"""A farm on real sockets: every device listens at its own loopback address, with the ports of its family.

Listeners follow the plan's time and the rehearsal's faults: a device that is off, or behind an outage, has no
open port and refuses. The clock is the caller's, so a month can pass in minutes.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from agent.simulator.conversations import Conversation, converser
from agent.simulator.families import FAMILIES, Door
from agent.simulator.farm import Farm
from agent.simulator.faults import NO_FAULTS, Fault
from agent.simulator.model import Device
from agent.simulator.stage import REBOOT_S, Stage

CGMINER_PORT = 4028
HTTP_PORT = 80
WHATSMINER_V3_PORT = 4433
# How far listeners may lag behind the plan, in real time: short against a poll interval.
SYNC_S = 0.25
# A client that connects and asks nothing is let go after so long; a scan does that everywhere.
IDLE_S = 30
IDLE_CHECK_S = 5
# Devices take a handful at a time; a benchmark comes from one machine.
BACKLOG = 64
# Opening ten thousand ports must not keep the first ones from answering.
OPENED_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class _Port:
    """An open port, whose it is, and who is talking there."""

    server: asyncio.Server
    device: Device
    peers: set[Conversation]


class Served:
    """The open sockets of a farm; closes cleanly, itself or as a context."""

    def __init__(self, stage: Stage, ports: Mapping[Door, int]) -> None:
        self._stage, self._ports = stage, ports
        self._secret = secrets.token_hex(16)
        self._open: dict[tuple[str, Door], _Port] = {}
        self._lock = asyncio.Lock()
        self._follower: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the ports of this instant and follow the plan from here on; OSError if a port is taken."""
        await self.sync()
        self._follower = asyncio.create_task(self._follow())

    async def sync(self) -> None:
        """Make the open ports those of the clock's instant."""
        async with self._lock:
            wanted = self._stage.doors()
            for key, port in list(self._open.items()):
                if wanted.get(key) is not port.device:
                    self._shut(key)
            for n, key in enumerate(wanted.keys() - self._open.keys(), 1):
                await self._listen(*key, wanted[key])
                if n % OPENED_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _listen(self, address: str, door: Door, device: Device) -> None:
        number, peers = self._ports[door], set[Conversation]()
        speech = FAMILIES[device.model.family][door]
        make = converser(self._stage, address, door, speech, self._secret, peers)
        listener = socket.socket()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, number))
            server = await asyncio.get_running_loop().create_server(make, sock=listener, backlog=BACKLOG)
        except OSError as error:
            listener.close()
            raise OSError(error.errno, f"{address}:{number}: {error.strerror or error}") from error
        self._open[address, door] = _Port(server, device, peers)

    def _shut(self, key: tuple[str, Door]) -> None:
        """Close a port; a device that is gone takes its conversations with it."""
        port = self._open.pop(key)
        port.server.close()
        for peer in list(port.peers):
            peer.transport.abort()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        checked_s = loop.time()
        while True:
            await asyncio.sleep(SYNC_S)
            if self._stage.changed():
                await self.sync()
            if loop.time() - checked_s > IDLE_CHECK_S:
                checked_s = loop.time()
                self._release(checked_s - IDLE_S)

    def _release(self, before_s: float) -> None:
        """Let go who has asked nothing for long; who is being kept waiting by a fault waits on."""
        for port in self._open.values():
            for peer in [peer for peer in port.peers if peer.heard_s < before_s and not peer.is_silent]:
                peer.transport.abort()

    async def followed(self) -> None:
        """Wait for as long as the plan is followed; raises what stopped it."""
        if self._follower is not None:
            await self._follower

    async def close(self) -> None:
        """Close every socket and end every conversation."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        for key in list(self._open):
            self._shut(key)
        await asyncio.sleep(0)  # the transports close in the loop's next turn

    async def __aenter__(self) -> Served:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def serve(
    farm: Farm,
    clock: Callable[[], int],
    *,
    cgminer_port: int = CGMINER_PORT,
    http_port: int = HTTP_PORT,
    whatsminer_v3_port: int = WHATSMINER_V3_PORT,
    faults: Mapping[str, Fault] = NO_FAULTS,
    share: tuple[int, int] = (0, 1),
    reboot_s: float = REBOOT_S,
) -> Served:
    """Open a farm's sockets; `clock` gives microseconds UTC. `faults` by address may change while it serves.

    With `share` (number, of) only every of-th address is served, so that several processes can share a farm.
    """
    ports = {Door.CGMINER: cgminer_port, Door.HTTP: http_port, Door.WHATSMINER_V3: whatsminer_v3_port}
    served = Served(Stage(farm, clock, faults, share, reboot_s), ports)
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
    whatsminer_v3_port: int = WHATSMINER_V3_PORT,
    faults: Mapping[str, Fault] = NO_FAULTS,
    share: tuple[int, int] = (0, 1),
    ready: Callable[[], object] = lambda: None,
) -> None:
    """Serve a farm until cancelled; `ready` is called once all ports of the instant are open."""
    served = await serve(
        farm,
        clock,
        cgminer_port=cgminer_port,
        http_port=http_port,
        whatsminer_v3_port=whatsminer_v3_port,
        faults=faults,
        share=share,
    )
    async with served:
        ready()
        await served.followed()
