"""The register of a site's devices: what Inventory records say of each, and its place in the columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np

from agent.wire import Inventory
from collector.ledger.energy import Integrals, Now
from collector.ledger.quantities import Ints
from collector.store.types import storable_text

# What the register keeps of an Inventory, under the same names; the whole record goes to the history.
FIELDS = (
    "serial", "mac", "make", "model", "firmware", "family", "hostname", "address", "algorithm",
    "nameplate_hs", "nameplate_w",
)  # fmt: skip


# A nameplate beyond these (a whole farm's) is none, nor is one of 0 or infinity: it would spoil every bound.
NAMEPLATE_LIMITS = {"nameplate_hs": 1e18, "nameplate_w": 1e6}


@dataclass(slots=True)
class Device:
    """One device's register entry; its integration is in the columns of its site, at `place`."""

    site: str
    id: str
    place: int
    first_seen_us: int
    register: dict[str, str | float | None] = field(default_factory=lambda: dict.fromkeys(FIELDS))


@dataclass(frozen=True, slots=True)
class Roster:
    """The devices of a sweep as places; `distinct` unless one is there twice."""

    devices: bytes
    places: Ints
    distinct: bool


@dataclass(slots=True)
class Site:
    """One site's devices in the order of their first appearance, and the integration of all of them."""

    name: str
    integrals: Integrals = field(default_factory=Integrals)
    devices: list[Device] = field(default_factory=list)
    places: dict[bytes, int] = field(default_factory=dict)
    rosters: dict[str, Roster] = field(default_factory=dict)  # by agent: most sweeps repeat the last one's

    def add(self, raw: bytes, first_seen_us: int) -> Device | None:
        """A device not seen before; None if its 16 bytes are none."""
        text = device_text(raw)
        if text is None:
            return None
        place = self.places[raw] = self.integrals.add()
        self.devices.append(Device(self.name, text, place, first_seen_us))
        return self.devices[-1]

    def device(self, raw: bytes) -> Device | None:
        """The device of these 16 bytes, if it is known."""
        place = self.places.get(raw)
        return None if place is None else self.devices[place]

    def roster(self, agent: str, devices: bytes) -> Roster | None:
        """The places of a sweep's devices; None while one of them is not known."""
        last = self.rosters.get(agent)
        if last is not None and last.devices == devices:
            return last
        raws = np.frombuffer(devices, "V16").tolist()
        try:
            places = np.fromiter(map(self.places.__getitem__, raws), np.int64, len(raws))
        except KeyError:
            return None
        roster = self.rosters[agent] = Roster(devices, places, int(np.bincount(places).max()) == 1)
        return roster


def device_text(raw: bytes) -> str | None:
    """A device's 16 bytes as the UUID text that the ledger bears; None for any other length."""
    return str(UUID(bytes=raw)) if len(raw) == 16 else None


def enter(site: Site, device: Device, inventory: Inventory) -> dict[str, str]:
    """Write a record into the register; returns {field: "old -> new"}, empty on first entry."""
    new: dict[str, Any] = {name: getattr(inventory, name) for name in FIELDS}
    new |= {name: storable_text(value) for name, value in new.items() if isinstance(value, str)}
    for name, limit in NAMEPLATE_LIMITS.items():
        new[name] = new[name] if new[name] is not None and 0 < new[name] < limit else None
    old, device.register = device.register, new
    now = site.integrals.now[:, device.place]
    now[Now.NAMEPLATE_MW] = round((new["nameplate_w"] or 0) * 1000)
    now[Now.LAST_SEEN_US] = max(int(now[Now.LAST_SEEN_US]), inventory.at_us)
    device.first_seen_us = min(device.first_seen_us, inventory.at_us)
    if old["family"] is None:
        return {}
    return {name: f"{old[name]} -> {new[name]}" for name in FIELDS if old[name] != new[name]}
