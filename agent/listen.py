"""Devices that tell where they are: the datagram that a miner broadcasts when its "IP report" is pressed.

As clients of these devices read them: Antminer, and firmware that keeps its habits, sends
`10.1.0.17,aa:bb:cc:dd:ee:ff` to 14235, sometimes with a prefix length (`[10.1.0.17/24,...`) or a NUL behind;
Whatsminer sends `IP:10.1.0.17MAC:AA:..` to 8888. For VNish and Avalon no source was found. So nothing is
relied on but an address and a MAC somewhere in the text; without an address the sender is it.
A datagram is a rumour: who hears of one asks the device itself, and only inside the site's networks.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

log = logging.getLogger("hashledger.listen")

# Port -> who mostly sends there; a hint for people, identification decides.
PORTS: Mapping[int, str] = MappingProxyType({14235: "Antminer", 8888: "Whatsminer"})
MAX_WAITING = 256  # announcements nobody has taken yet; a press can be repeated
MAX_DATAGRAM_BYTES = 1024  # the known ones have 40
REPEATED_S = 10.0  # one press sends several

_IP = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
# Nothing like a pair may follow, or "MAC:AA:.." would be read from its "AC" on.
_MAC = re.compile(r"(?<![0-9A-F])(?:[0-9A-F]{2}([:-]?))(?:[0-9A-F]{2}\1){4}[0-9A-F]{2}(?!\1?[0-9A-F])", re.I)
_MAKERS = ("Whatsminer", "Avalon", "VNish", "Braiins", "LuxOS", "Bitaxe", "Antminer")


@dataclass(frozen=True, slots=True)
class Announcement:
    """A device at `address` says so; `hint` is who it probably is."""

    address: str
    mac: str | None
    hint: str | None


def parse(data: bytes, sender: str, port: int) -> Announcement | None:
    """What a datagram announces; None if it tells neither an address nor a MAC."""
    text = data[:MAX_DATAGRAM_BYTES].decode("ascii", "replace")
    address = next((a for a in map(_host, _IP.findall(text)) if a), None)
    found = _MAC.search(text)
    mac = _mac(found.group()) if found else None
    if address is None and mac is None:
        return None
    named = next((maker for maker in _MAKERS if maker.lower() in text.lower()), None)
    return Announcement(address or sender, mac, named or PORTS.get(port))


class Heard:
    """What the open ports have announced, once a press; the oldest first."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.ports: list[int] = []
        self.dropped = 0
        self._now_s = now_s
        self._waiting: asyncio.Queue[Announcement] = asyncio.Queue(MAX_WAITING)
        self._recent: dict[Announcement, float] = {}

    async def get(self) -> Announcement:
        """The next announcement, as soon as there is one."""
        return await self._waiting.get()

    def put(self, announcement: Announcement) -> None:
        """Keep it, unless it was just heard or nobody keeps up."""
        now_s = self._now_s()
        self._recent = {a: at for a, at in self._recent.items() if now_s - at < REPEATED_S}
        if announcement in self._recent:
            return
        if self._waiting.full() or len(self._recent) >= MAX_WAITING:
            self.dropped += 1
            return
        self._recent[announcement] = now_s
        self._waiting.put_nowait(announcement)


@contextlib.asynccontextmanager
async def listen(ports: Iterable[int] = tuple(PORTS), host: str = "0.0.0.0") -> AsyncIterator[Heard]:  # noqa: S104
    """Listen at the ports (broadcasts come in at every address); one that is taken is a warning."""
    heard = Heard()
    transports: list[asyncio.DatagramTransport] = []
    loop = asyncio.get_running_loop()
    try:
        for port in ports:
            try:
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: _Ear(heard), local_addr=(host, port)
                )
            except OSError as error:
                log.warning("%d/udp: not listening for IP reports: %s", port, error.strerror or error)
                continue
            transports.append(transport)
            heard.ports.append(transport.get_extra_info("sockname")[1])
        yield heard
    finally:
        for transport in transports:
            transport.close()


class _Ear(asyncio.DatagramProtocol):
    """One port's datagrams into the queue."""

    def __init__(self, heard: Heard) -> None:
        self.heard = heard
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        announcement = parse(data, str(addr[0]), self.port)
        if announcement is not None:
            self.heard.put(announcement)

    def error_received(self, exc: Exception) -> None:
        log.debug("%d/udp: %s", self.port, exc)


def _host(text: str) -> str | None:
    """The address of one host, or None: a broadcast or an unset address announces nobody."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return None
    nobody = address.is_unspecified or address.is_multicast or address.is_reserved
    return None if nobody or text.startswith("0.") else str(address)


def _mac(text: str) -> str | None:
    digits = re.sub(r"[^0-9a-f]", "", text.lower())
    if set(digits) in ({"0"}, {"f"}):
        return None
    return ":".join(digits[n : n + 2] for n in range(0, 12, 2))
