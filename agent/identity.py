"""Which device is this? A device is one UUID bound to serial and MAC; its address is only an attribute.

Strong keys first: the serial; then the MAC, unless two serials contradict each other. A device that tells
neither is known by its address alone. Two devices are never merged on a weak key: where two addresses claim
one identity in the same sweep, the second becomes a device of its own and the doubt is an event.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from agent.miners.hardware import Model
from agent.readings import Reading
from agent.wire import Event, Inventory, PoolUse


class Roster:
    """The devices of a site as this agent knows them, and at which address each was last seen."""

    def __init__(self, known: Iterable[Inventory] = ()) -> None:
        self._devices: dict[bytes, Inventory] = {}
        self._by_serial: dict[str, bytes] = {}
        self._by_mac: dict[str, bytes] = {}
        self.at: dict[str, bytes] = {}  # address -> device
        self._displaced: dict[bytes, Event] = {}
        self._announced: set[bytes] = set()  # devices whose inventory this session has sent
        for inventory in known:
            self._store(inventory)
            if inventory.address:
                self.at[inventory.address] = inventory.device

    @property
    def devices(self) -> list[Inventory]:
        return list(self._devices.values())

    def get(self, device: bytes) -> Inventory:
        return self._devices[device]

    def observe(
        self, address: str, reading: Reading, nameplate: Model | None, claimed: dict[bytes, str]
    ) -> tuple[bytes, list[Inventory | Event]]:
        """The device that gave a full reading at `address`, and the records this brings.

        `claimed` is this sweep's device -> address; it is added to.
        """
        records: list[Inventory | Event] = []
        now_us = reading.observed_us
        device = self._match(address, reading)
        if device is not None and claimed.get(device, address) != address:
            detail = {"address": address, "other_address": claimed[device], "mac": reading.mac or ""}
            records.append(Event(now_us, "identity_doubt", device, detail))
            device = self._at_only(address, reading)
        if device is None:
            device = uuid.uuid4().bytes
            records.append(Event(now_us, "device_appeared", device, {"address": address}))
        claimed[device] = address
        records += self._bind(address, device, now_us)
        inventory = _inventory(device, address, reading, nameplate, self._devices.get(device))
        if inventory != self._devices.get(device) or device not in self._announced:
            self._announced.add(device)
            inventory = msgspec.structs.replace(inventory, at_us=now_us)
            self._store(inventory)
            records.append(inventory)
        return device, records

    def _match(self, address: str, reading: Reading) -> bytes | None:
        if reading.serial and (device := self._by_serial.get(reading.serial)):
            return device
        if reading.mac and (device := self._by_mac.get(reading.mac)):
            known = self._devices[device].serial
            if reading.serial is None or known is None:
                return device
            return None  # same MAC, two serials: a control board that travelled, or a copied MAC
        return None if reading.serial or reading.mac else self._at_only(address, reading)

    def _at_only(self, address: str, reading: Reading) -> bytes | None:
        device = self.at.get(address)
        if device is None:
            return None
        known = self._devices[device]
        same = known.family == reading.family and known.serial == reading.serial and known.mac == reading.mac
        return device if same else None

    def _bind(self, address: str, device: bytes, now_us: int) -> list[Event]:
        """Put the device at the address; whoever stood there before is displaced until `settle`."""
        before = self.at.get(address)
        if before == device:
            return []
        if before is not None:
            self._displaced[before] = Event(
                now_us, "device_replaced", before, {"address": address, "by": uuid.UUID(bytes=device).hex}
            )
        moved = []
        for old in [a for a, d in self.at.items() if d == device]:
            del self.at[old]
            moved.append(Event(now_us, "device_moved", device, {"from": old, "to": address}))
        self.at[address] = device
        self._displaced.pop(device, None)
        return moved

    def settle(self) -> list[Event]:
        """At the end of a sweep: the displaced devices that turned up nowhere else were replaced."""
        events = list(self._displaced.values())
        self._displaced.clear()
        for event in events:
            self._store(msgspec.structs.replace(self._devices[event.device], address=""))
        return events

    def _store(self, inventory: Inventory) -> None:
        self._devices[inventory.device] = inventory
        if inventory.serial:
            self._by_serial[inventory.serial] = inventory.device
        if inventory.mac:
            # Where two devices bear one MAC, it goes on meaning the first.
            self._by_mac.setdefault(inventory.mac, inventory.device)


def _inventory(
    device: bytes, address: str, reading: Reading, nameplate: Model | None, before: Inventory | None
) -> Inventory:
    """The device as this reading shows it; what the reading did not tell stays as it was known before."""
    fresh: dict[str, Any] = {
        "family": reading.family,
        "make": reading.make,
        "model": reading.model,
        "firmware": reading.firmware,
        "serial": reading.serial,
        "mac": reading.mac,
        "hostname": reading.hostname,
        "board_serials": list(reading.board_serials),
        "psu_serial": reading.psu_serial,
        "pools": [PoolUse(p.url, p.user, p.active, p.payout_address, p.fee) for p in reading.pools],
    }
    if nameplate is not None:
        fresh |= {
            "algorithm": nameplate.algorithm,
            "nameplate_hs": nameplate.hashrate_hs,
            "nameplate_w": nameplate.power_w,
        }
    told = {name: value for name, value in fresh.items() if value not in (None, [])}
    if before is None:
        return Inventory(at_us=reading.observed_us, device=device, address=address, **told)
    return msgspec.structs.replace(before, address=address, **told)


def load(path: Path) -> Roster:
    """The roster kept at `path`; an empty one where there is none."""
    try:
        return Roster(msgspec.json.decode(path.read_bytes(), type=list[Inventory]))
    except FileNotFoundError:
        return Roster()


def save(roster: Roster, path: Path) -> None:
    """Keep the roster, whole or not at all: a device must not become another one over a power cut."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(roster.devices), indent=1))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
