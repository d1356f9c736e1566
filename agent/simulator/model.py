"""What a simulated farm is made of: sites, devices and the events of its month; values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.simulator.power import Curve

ORG = "demo"
# Open ends are instants too: beyond any month, and still far below 2^63.
FOREVER_US = 1 << 62


class EventKind(StrEnum):
    """What the month has in store."""

    POWER_LOSS = "power_loss"  # off from start to end, then up again with uptime 0
    NETWORK_OUTAGE = "network_outage"  # nobody at the site is reached; the devices go on hashing
    UPLINK_OUTAGE = "uplink_outage"  # agent to collector; readings do not show it
    SWAP = "swap"  # off for good at start; the successor stands at the same address from end
    ADDRESS_CHANGE = "address_change"  # off from start to end, then up at another address
    SLEEP = "sleep"  # answers, draws standby power, hashes nothing
    STALL = "stall"  # accepts and answers nothing, still hashing


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens at [start, end) to a site, or to the device with `mac`."""

    kind: EventKind
    site: str
    start_us: int
    end_us: int
    mac: str | None = None
    address: str | None = None  # the new one of an address change
    successor: str | None = None  # MAC of the unit that takes a swapped one's place


@dataclass(frozen=True, slots=True)
class Site:
    """One site and its month [start, end) in civil time."""

    name: str
    zone: str
    network: str
    pool: str
    payout_identifier: str
    payout_kind: str  # "onchain" or "pool_account"
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Model:
    """The data sheet of a model, and how its family's wire speaks."""

    family: str
    make: str
    name: str
    wire_name: str  # as the firmware spells the model
    firmware: str
    nameplate_w: int
    nameplate_hs: float
    boards: int
    chips_per_board: int
    fans_rpm: tuple[int, ...]
    metered: bool = False  # its supply measures power, and the firmware says so


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """One configured pool."""

    host: str
    port: int
    user: str

    @property
    def url(self) -> str:
        """As cgminer writes it."""
        return f"stratum+tcp://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Device:
    """One unit: its identity for good, and its address at the time it was installed."""

    site: str
    model: Model
    address: str
    hostname: str
    mac: str
    serial: str | None  # None: the firmware tells none
    board_serials: tuple[str, ...]
    rated_w: int
    pools: tuple[PoolEntry, PoolEntry]
    board_temps_c: tuple[int, ...]  # at nameplate power
    curve: Curve
    installed_us: int

    @property
    def key(self) -> str:
        """What the device is known by: its serial, or its MAC where the firmware tells no serial."""
        return self.serial or self.mac


@dataclass(frozen=True, slots=True)
class FarmPlan:
    """A whole farm and its month, fixed by seed, number of miners and month."""

    seed: int
    month: str
    org: str
    sites: tuple[Site, ...]
    devices: tuple[Device, ...]  # the miners, and last the unit that takes the swapped one's place
    events: tuple[Event, ...]  # in order of start

    def site(self, name: str) -> Site:
        """The site of that name; KeyError if there is none."""
        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(name)

    def device(self, mac: str) -> Device:
        """The device of that MAC; KeyError if there is none."""
        for device in self.devices:
            if device.mac == mac:
                return device
        raise KeyError(mac)

    @property
    def uplink_outages(self) -> dict[str, tuple[int, int]]:
        """Site -> [start, end) in which its agent cannot reach the collector."""
        cut = [event for event in self.events if event.kind is EventKind.UPLINK_OUTAGE]
        return {event.site: (event.start_us, event.end_us) for event in cut}
