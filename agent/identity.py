"""Which device is this? One UUID bound to serial, MAC, boards and supply; the address is an attribute.

The keys in their order, and why:
    serial    the maker's name for the unit. Compared without case, blanks and zeros in front
              (`matching.normal_serial`), kept as it was told. Where a weaker key speaks for another device,
              the serial is followed and the other is a doubt.
    MAC       sits on the control board and is copied by careless firmware. It counts where one device alone
              bears it, and where no two serials contradict it.
    boards    hash boards outlive a control board: most of a device's boards, at least two (or all, where it
              has one), are the device, if it answers nowhere else in this sweep. A single board travels.
    address   counts for a device that tells no key of its own, and for one that has plainly run on since it
              was read there. A supply alone never counts.
Two devices are never merged on less: the reading gets a device of its own, and the doubt is an event for a
person to settle (`agent/decisions.py`). Every key that a known device changes is an event with its evidence.
What a device showed once is not forgotten because one reading fails to tell it.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from agent import matching
from agent.matching import Doubt, Known, Same, Sighting, normal_serial
from agent.miners.hardware import Model
from agent.readings import Pool, Reading
from agent.wire import EARLIEST_US, Event, Inventory, PoolUse

# Doubts and moves are made by people's hands, a handful a day; what is beyond has been told in events.
MAX_DOUBTS = 1_000
MAX_MOVES = 100_000


class OpenDoubt(msgspec.Struct, frozen=True):
    """What a person has to settle; `apart`: the reading got a device of its own."""

    at_us: int
    device: bytes
    address: str
    candidates: tuple[bytes, ...]
    evidence: str
    apart: bool


class _File(msgspec.Struct):
    # devices.json; `decided`: how many of the decisions in decisions.json are in it.
    devices: list[Inventory]
    doubts: list[OpenDoubt] = []
    former: dict[str, bytes] = {}
    copied: list[str] = []
    sworn: list[tuple[bytes, str, str]] = []
    decided: int = 0
    restored: bool = True  # files of before there was this word are those of boxes that have run for long


class Roster:
    """The devices of a site as this agent knows them, and at which address each was last seen."""

    def __init__(self, known: Iterable[Inventory] = ()) -> None:
        self.known = Known()
        self.doubts: dict[tuple[bytes, tuple[bytes, ...], str], OpenDoubt] = {}
        self.decided = 0
        self.restored = False  # True once the collector's register was taken over
        self._displaced: dict[bytes, Event] = {}
        self._announced: set[bytes] = set()  # devices whose inventory this session has sent
        self._moves: set[tuple[str, bytes, bytes]] = (
            set()
        )  # board, from, to: twice the same is a copied serial
        # address -> what its last reading told (its hash: the words of ten thousand take 5 MiB), and whose it
        # was: an unchanged one costs no matching.
        self._last: dict[str, tuple[int, Model | None, bytes]] = {}
        self._take(known)

    def _take(self, inventories: Iterable[Inventory]) -> None:
        # In order of time: a board is in the device that told it last, an address the last one's.
        for inventory in sorted(inventories, key=lambda inventory: inventory.at_us):
            address = inventory.address
            if address and (gone := self.at.get(address)):
                self.known.put(msgspec.structs.replace(self.get(gone), address=""))
            self.known.put(inventory)
            if address:
                self.at[address] = inventory.device

    @property
    def at(self) -> dict[str, bytes]:
        """Address -> device."""
        return self.known.at

    @property
    def devices(self) -> list[Inventory]:
        return list(self.known.devices.values())

    def get(self, device: bytes) -> Inventory:
        return self.known.devices[device]

    def restore(self, register: Iterable[Inventory], addresses: Container[str], now_us: int) -> Event:
        """Know a site's devices from the collector's register; only these addresses are ours, where free."""
        self._take(
            entry
            if entry.address in addresses and entry.address not in self.at
            else msgspec.structs.replace(entry, address="")
            for entry in tuple(register)
        )
        return Event(now_us, "roster_restored", detail={"devices": str(len(self.known.devices))})

    def redate(self, shift_us: int) -> None:
        """The clock was wrong by so much: what it has dated in this session is dated anew."""
        self.known.boots = {device: boot_us + shift_us for device, boot_us in self.known.boots.items()}
        for device, inventory in self.known.devices.items():
            if inventory.at_us < EARLIEST_US:  # dated by a clock that was not set yet
                at_us = inventory.at_us + shift_us
                self.known.devices[device] = msgspec.structs.replace(inventory, at_us=at_us)

    def claims(self, readings: Iterable[tuple[str, Reading | None]]) -> dict[bytes, str]:
        """Device -> address of those that this sweep has plainly seen (None: a reading without identity)."""
        return matching.claims(readings, self.known)

    def observe(
        self, address: str, reading: Reading, nameplate: Model | None, claimed: dict[bytes, str]
    ) -> tuple[bytes, list[Inventory | Event]]:
        """The device that gave a full reading at `address`, and the records this brings.

        `claimed` is this sweep's device -> address, from `claims`; it is added to.
        """
        told = _told(reading)
        last = self._last.get(address)
        keyed = reading.serial is not None or reading.mac is not None
        if keyed and last is not None and last[0] == told and last[1] is nameplate:
            device = last[2]
            if self.at.get(address) == device and claimed.setdefault(device, address) == address:
                self._note_boot(device, reading)
                return device, []
        device, records = self._match(address, reading, claimed)
        claimed[device] = address
        records += self._bind(address, device, reading.observed_us)
        records += self._learn(address, device, reading, nameplate)
        self._note_boot(device, reading)
        self._last[address] = (told, nameplate, device)
        return device, records

    def _note_boot(self, device: bytes, reading: Reading) -> None:
        if reading.uptime_s is not None:
            self.known.boots[device] = reading.observed_us - reading.uptime_s * 1_000_000

    def _match(
        self, address: str, reading: Reading, claimed: dict[bytes, str]
    ) -> tuple[bytes, list[Inventory | Event]]:
        now_us = reading.observed_us
        verdict = matching.match(Sighting.of(address, reading), self.known, claimed)
        if isinstance(verdict, Same):
            device, records = verdict.device, self._rebound(address, reading, verdict)
            if verdict.against:
                evidence = f"{verdict.evidence} says this device, the boards say another"
                doubt = OpenDoubt(now_us, device, address, (verdict.against,), evidence, apart=False)
                records += self._doubted(doubt, reading)
            return device, records
        device = uuid.uuid4().bytes
        records = []
        if isinstance(verdict, Doubt):
            doubt = OpenDoubt(now_us, device, address, verdict.candidates, verdict.evidence, apart=True)
            records += self._doubted(doubt, reading)
        return device, [*records, Event(now_us, "device_appeared", device, {"address": address})]

    def _doubted(self, doubt: OpenDoubt, reading: Reading) -> list[Inventory | Event]:
        key = (doubt.device, doubt.candidates, doubt.evidence)
        if key in self.doubts:
            return []
        while len(self.doubts) >= MAX_DOUBTS:
            del self.doubts[next(iter(self.doubts))]
        self.doubts[key] = doubt
        detail = {
            "address": doubt.address, "evidence": doubt.evidence,
            "candidates": ",".join(candidate.hex() for candidate in doubt.candidates),
            "serial": reading.serial or "", "mac": reading.mac or "",
        }  # fmt: skip
        return [Event(doubt.at_us, "identity_doubt", doubt.device, detail)]

    def _rebound(self, address: str, reading: Reading, verdict: Same) -> list[Inventory | Event]:
        """The event of a known device that bears another serial or MAC than before."""
        before = self.get(verdict.device)
        detail: dict[str, str] = {}
        if reading.serial and not _same_serial(reading.serial, before.serial):
            detail |= {"old_serial": before.serial or "", "serial": reading.serial}
            if before.serial:
                self.known.former[normal_serial(before.serial)] = verdict.device
        if reading.mac and before.mac and reading.mac != before.mac:
            detail |= {"old_mac": before.mac, "mac": reading.mac}
        if not detail:
            return []
        detail |= {"address": address, "evidence": verdict.evidence}
        return [Event(reading.observed_us, "device_rebound", verdict.device, detail)]

    def _bind(self, address: str, device: bytes, now_us: int) -> list[Inventory | Event]:
        """Put the device at the address; whoever stood there before is displaced until `settle`."""
        before = self.at.get(address)
        if before == device:
            return []
        if before is not None:
            self._displaced[before] = Event(
                now_us, "device_replaced", before, {"address": address, "by": device.hex()}
            )
        moved: list[Inventory | Event] = []
        old = self.known.devices[device].address if device in self.known.devices else ""
        if old and self.at.get(old) == device:
            del self.at[old]
            self._last.pop(old, None)
        if old and old != address:
            moved.append(Event(now_us, "device_moved", device, {"from": old, "to": address}))
        self.at[address] = device
        self._displaced.pop(device, None)
        return moved

    def settle(self) -> list[Event]:
        """At the end of a sweep: the displaced devices that turned up nowhere else were replaced."""
        events = list(self._displaced.values())
        self._displaced.clear()
        for event in events:
            self.known.put(msgspec.structs.replace(self.get(event.device), address=""))
        return events

    def _learn(
        self, address: str, device: bytes, reading: Reading, nameplate: Model | None
    ) -> list[Inventory | Event]:
        """Take over what the reading tells of the device: parts that changed, and its inventory."""
        before = self.known.devices.get(device)
        inventory = _inventory(device, address, reading, nameplate, before)
        if before is not None:
            boards = _boards(list(reading.board_serials), before.board_serials, self.known.boards_of(device))
            serial = before.serial if _same_serial(reading.serial, before.serial) else None
            if serial and len(serial) >= len(
                reading.serial or ""
            ):  # the fuller form of the same serial stays
                inventory = msgspec.structs.replace(inventory, serial=serial)
            inventory = msgspec.structs.replace(inventory, board_serials=boards)
        records = self._parts(device, reading, before)
        self.known.board_in.update(dict.fromkeys(reading.board_serials, device))
        if inventory == before and device in self._announced:
            return records
        self._announced.add(device)
        inventory = msgspec.structs.replace(inventory, at_us=reading.observed_us)
        self.known.put(inventory)
        return [*records, inventory]

    def _parts(self, device: bytes, reading: Reading, before: Inventory | None) -> list[Inventory | Event]:
        """Boards and supplies that this reading shows in another device than before."""
        now_us, known = reading.observed_us, self.known
        events: list[Inventory | Event] = []
        for board in reading.board_serials:
            origin = known.board_in.get(board, b"")
            if origin == device or board in known.copied:
                continue
            if not origin and not (before and before.board_serials):
                continue  # the first word on a device's boards
            if (board, origin, device) in self._moves or len(self._moves) >= MAX_MOVES:
                known.copied.add(board)  # there and back and there again: two boards bear this serial
                continue
            if origin:
                self._moves.add((board, origin, device))
            detail = {"board": board, "from": origin.hex(), "to": device.hex()}
            events.append(Event(now_us, "board_moved", device, detail))
        psu, old_psu = reading.psu_serial, before.psu_serial if before else None
        if psu and psu != old_psu:
            others = [other for other in known.bearers("psu", psu) if other != device]
            if others or old_psu:
                origin = others[0] if len(others) == 1 else b""
                detail = {"psu": psu, "old_psu": old_psu or "", "from": origin.hex(), "to": device.hex()}
                events.append(Event(now_us, "psu_changed", device, detail))
        return events


def _same_serial(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and normal_serial(one) == normal_serial(other)


def _boards(told: list[str], before: list[str], still: list[str]) -> list[str]:
    """A device's boards after a reading: one that is not told stays until another takes its place, or it is
    seen elsewhere. A board that fails to start for a day would else take the device's best key with it."""
    if set(told) <= set(still):
        return [board for board in before if board in still]
    rest = [board for board in still if board not in told]
    return told + rest[: max(0, len(before) - len(told))]


def _told(reading: Reading) -> int:
    """The hash of everything that a reading says for the inventory, to compare it with the last one."""
    r = reading
    told = (
        r.serial, r.mac, r.family, r.make, r.model, r.firmware, r.hostname, r.board_serials, r.psu_serial,
        *[(pool.url, pool.user, pool.active, pool.priority, pool.fee) for pool in r.pools],
    )  # fmt: skip
    return hash(told)


def _inventory(
    device: bytes, address: str, reading: Reading, nameplate: Model | None, before: Inventory | None
) -> Inventory:
    """The device as this reading shows it; what the reading did not tell stays as it was known before."""
    fresh: dict[str, Any] = {
        "family": reading.family,
        "make": _shared(reading.make),
        "model": _shared(reading.model),
        "firmware": _shared(reading.firmware),
        "serial": reading.serial,
        "mac": reading.mac,
        "hostname": reading.hostname,
        "board_serials": list(reading.board_serials),
        "psu_serial": reading.psu_serial,
        "pools": [_pool_use(pool) for pool in reading.pools],
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


def _shared(text: str | None) -> str | None:
    """The same text as one object: a fleet has a handful of models and firmwares."""
    return None if text is None else sys.intern(text)


def _pool_use(pool: Pool) -> PoolUse:
    payee = pool.payee
    return PoolUse(
        pool.url, pool.user, pool.active, payee.address, pool.fee, pool.priority, list(payee.coins)
    )


def load(path: Path) -> Roster:
    """The roster kept at `path`; an empty one where there is none."""
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_File | list[Inventory])
    except FileNotFoundError:
        return Roster()
    if isinstance(kept, list):  # as the first version wrote it
        return Roster(kept)
    roster = Roster()
    for device, kind, key in kept.sworn:
        roster.known.sworn.setdefault(device, set()).add((kind, key))
    roster._take(kept.devices)
    roster.known.former = kept.former
    roster.known.copied = set(kept.copied)
    roster.doubts = {(d.device, d.candidates, d.evidence): d for d in kept.doubts}
    roster.decided = kept.decided
    roster.restored = kept.restored
    return roster


def save(roster: Roster, path: Path) -> None:
    """Keep the roster, whole or not at all: a device must not become another one over a power cut."""
    known = roster.known
    sworn = sorted((device, kind, key) for device, keys in known.sworn.items() for kind, key in keys)
    content = _File(
        [],
        list(roster.doubts.values()),
        known.former,
        sorted(known.copied),
        sworn,
        roster.decided,
        roster.restored,
    )
    write_whole(path, _lines(content, roster.devices))


def _lines(content: _File, devices: Iterable[Inventory]) -> Iterator[bytes]:
    """The file's JSON, a device a line: of ten thousand devices no copy is made as a whole."""
    head, mark, tail = msgspec.json.encode(content).partition(b'"devices":[')
    yield head + mark
    for number, device in enumerate(devices):
        yield (b",\n" if number else b"\n") + msgspec.json.encode(device)
    yield b"\n" + tail + b"\n"


def write_whole(path: Path, content: Iterable[bytes]) -> None:
    """The file, whole or as it was."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.writelines(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
