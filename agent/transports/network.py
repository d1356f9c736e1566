"""Settings of the way to the devices: ports, deadlines, bounds, credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Network:
    """How devices are reached; the ports can be moved so that a farm is simulated without root."""

    cgminer_port: int = 4028
    http_port: int = 80
    whatsminer_v3_port: int = 4433
    antminer_power_port: int = 6060
    auradine_port: int = 8080
    connect_timeout_s: float = 2.0  # a device on site answers a SYN in milliseconds; two retransmissions fit
    deadline_s: float = 5.0  # one whole reply: the slowest stock firmware needs about two seconds
    poll_deadline_s: float = 10.0  # everything asked of one device in one poll
    foreign_deadline_s: float = 30.0  # pyasic asks a dozen things one by one and has no deadline of its own
    max_reply_bytes: int = 256 * 1024  # the longest reply known, Avalon's stats, is about 60 KiB
    max_web_connections: int = 256  # open at once over all devices, kept connections included
    max_kept_connections: int = 4096  # idle ones, one a device; a socket takes the kernel some 4 KiB
    keep_alive_s: float = 15.0  # small controllers have few sockets: hand them back between slow sweeps


FACTORY_CREDENTIALS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "antminer": ("root", "root"),
        "auradine": ("admin", "admin"),
        "braiins": ("root", "root"),
        "fluminer": ("root", "root"),
        "goldshell": ("admin", "123456789"),
        "iceriver": ("admin", "12345678"),
        "innosilicon": ("admin", "admin"),
        "jasminer": ("root", "root"),
        "marafw": ("root", "root"),
        "mskminer": ("admin", "root"),
        "strongu": ("root", "root"),
        "vnish": ("admin", "admin"),
    }
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Family name -> (user, password); what is not set is the factory default."""

    by_family: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)

    def of(self, family: str) -> tuple[str, str] | None:
        """The user and password for a family, or None where it needs none."""
        return self.by_family.get(family) or FACTORY_CREDENTIALS.get(family)
