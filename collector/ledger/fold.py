"""The fold: a batch becomes changes of the ledger. Pure and deterministic: no clock, no file, no database.

The same batches in the same order give the same rows, however they were grouped into commits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from agent import wire
from agent.wire import Event, Inventory, Meter, Packet, Registers, Sweep, WireError
from collector.journal import START, Entry, Position
from collector.ledger.energy import UNREAD, Now, Readings
from collector.ledger.quantities import DAY_US, NO_ORIGIN, Ints, cause_number
from collector.ledger.registers import RegisterRow
from collector.ledger.registry import Device, Site, device_text, enter
from collector.ledger.rules import at as rules_at
from collector.ledger.spans import Silence

# A device that gives no sign at all may be off; one that answers wrongly is not.
SILENT = frozenset({"unreachable", "timeout"})
_GONE = (cause_number("vanished") + 1, cause_number("replaced") + 1)
# What an agent tells that explains why it made no sweep for a while.
_SILENT_CAUSES = {"agent_started": "agent_down", "clock_step": "clock", "spool_thinned": "thinned"}
_READ_COLUMNS = ("power_mw", "origin", "uptime_s", "hashrate_mhs", "state")


class LedgerError(Exception):
    """An invariant of the ledger is broken: it stops here rather than go on wrongly."""


@dataclass(slots=True)
class Stream:
    """Where one agent's chain stands."""

    last_seq: int = 0
    last_hash: bytes = wire.GENESIS
    session: bytes = b""
    last_created_us: int = 0
    last_received_us: int = 0
    clock_offset_us: int | None = None
    swept_us: int = 0  # start of its last sweep
    silent_cause: str | None = None  # what it has told since, should no sweep come

    def silence(self, started_us: int, max_gap_us: int) -> Silence:
        """The time since the last sweep, if that is long ago: nobody was polled in it."""
        if not 0 < self.swept_us < started_us - max_gap_us:
            return Silence()
        return Silence(self.swept_us, started_us, cause_number(self.silent_cause or "agent_down"))

    def swept(self, started_us: int) -> None:
        """A sweep began then."""
        self.swept_us, self.silent_cause = max(self.swept_us, started_us), None

    def told(self, kind: str) -> None:
        """The agent told of something that may be why no sweep came; the last such word counts."""
        self.silent_cause = _SILENT_CAUSES.get(kind, self.silent_cause)


@dataclass(slots=True)
class Changes:
    """What was folded since the last commit."""

    streams: set[tuple[str, str]] = field(default_factory=set)
    sites: set[str] = field(default_factory=set)
    devices: dict[tuple[str, int], Device] = field(default_factory=dict)
    batches: list[dict[str, Any]] = field(default_factory=list)
    inventories: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    meters: list[dict[str, Any]] = field(default_factory=list)
    registers: dict[tuple[str, str], list[RegisterRow]] = field(default_factory=dict)


class Batch:
    """One batch on its way through the fold: who sent it, and the place of the next record in it."""

    __slots__ = ("agent", "created_us", "ordinal", "org", "received_us", "seq", "site", "synthetic")

    def __init__(self, packet: Packet, received_us: int) -> None:
        envelope = packet.envelope
        self.org, self.site, self.agent = envelope.org, envelope.site, envelope.agent
        self.seq, self.created_us, self.synthetic = envelope.seq, envelope.created_us, envelope.synthetic
        self.received_us = received_us
        self.ordinal = 0

    def row(self, at_us: int, **columns: object) -> dict[str, Any]:
        """A row keyed by this batch's place in its stream and the next ordinal."""
        self.ordinal += 1
        columns["at_us"] = storable(at_us)
        place = {"seq": self.seq, "ordinal": self.ordinal}
        return {"org": self.org, "site": self.site, "agent": self.agent} | place | columns

    def possible(self, at_us: int) -> bool:
        """True for an instant that a reading of this batch can have."""
        return possible_time(at_us, self.received_us)


def possible_time(at_us: int, received_us: int) -> bool:
    """True unless the instant is before 2020 or more than a day after it was received."""
    return wire.EARLIEST_US <= at_us <= received_us + DAY_US


def storable(number: int) -> int:
    """The number, or the nearest that 64 bits hold: what an agent says must never stop the fold."""
    return max(-(2**63), min(number, 2**63 - 1))


class Fold:
    """The ledger's state in memory, and what changed in it; `collector.ledger.tables` loads and writes it."""

    def __init__(self, org: str) -> None:
        self.org = org
        self.position: Position = START
        self.streams: dict[tuple[str, str], Stream] = {}
        self.sites: dict[str, Site] = {}
        self.changes = Changes()

    def take(self, entry: Entry, packet: Packet) -> None:
        """Fold one journalled packet, the next of its stream."""
        envelope = packet.envelope
        key = (envelope.site, envelope.agent)
        stream = self.streams.setdefault(key, Stream())
        follows = envelope.seq == stream.last_seq + 1 and envelope.prev == stream.last_hash
        if not follows or envelope.org != self.org:
            who = f"{envelope.org}/{envelope.site}/{envelope.agent}"
            raise LedgerError(
                f"journal at {entry.start}: batch {envelope.seq} of {who} does not follow {stream.last_seq}"
            )
        batch = Batch(packet, entry.received_us)
        if envelope.session != stream.session:
            stream.told("agent_started")
        readings, problem = 0, None
        if not batch.possible(envelope.created_us):
            problem = f"impossible time: created_us {envelope.created_us}, received_us {entry.received_us}"
        else:
            try:
                readings = sum(self._record(batch, stream, record) for record in packet.records)
            except WireError as error:
                problem = f"payload: {error}"
        stream.last_seq, stream.last_hash, stream.session = envelope.seq, packet.hash, envelope.session
        stream.last_created_us, stream.last_received_us = storable(envelope.created_us), entry.received_us
        offset_us = envelope.clock_offset_us
        stream.clock_offset_us = None if offset_us is None else storable(offset_us)
        self.position = entry.after
        self.changes.streams.add(key)
        self.changes.batches.append(
            {
                "org": self.org, "site": envelope.site, "agent": envelope.agent, "seq": envelope.seq,
                "created_us": stream.last_created_us, "received_us": entry.received_us, "hash": packet.hash,
                "segment": entry.start.segment, "offset": entry.start.offset, "readings": readings,
                "synthetic": envelope.synthetic, "problem": problem,
            }
        )  # fmt: skip

    def _record(self, batch: Batch, stream: Stream, record: wire.Record) -> int:
        if isinstance(record, Sweep):
            return self._sweep(batch, stream, record)
        if isinstance(record, Inventory):
            self._inventory(batch, record)
        elif isinstance(record, Meter):
            self._meter(batch, record)
        elif isinstance(record, Registers):
            return self._registers(batch, record)
        else:
            self._event(batch, stream, record)
        return 0

    def _site(self, name: str) -> Site:
        site = self.sites.get(name)
        if site is None:
            site = self.sites[name] = Site(name)
        return site

    def _device(self, batch: Batch, site: Site, raw: bytes, at_us: int) -> Device | None:
        device = site.device(raw)
        if device is None:
            device = site.add(raw, at_us)
            if device is None:
                return None
            site.integrals.now[Now.LAST_SEEN_US, device.place] = at_us
            self.changes.devices[batch.site, device.place] = device
        if batch.synthetic:
            site.integrals.now[Now.SYNTHETIC, device.place] = 1
        self.changes.sites.add(batch.site)
        return device

    def _sweep(self, batch: Batch, stream: Stream, sweep: Sweep) -> int:
        delays_ms = _column(sweep, "delay_ms")
        count = len(delays_ms)
        if count:
            first_ms, last_ms = int(delays_ms.min()), int(delays_ms.max())
            known = first_ms != wire.missing("delay_ms")
            edges = (sweep.started_us + first_ms * 1000, sweep.started_us + last_ms * 1000)
            if not (known and all(map(batch.possible, edges))):
                self._note(batch, sweep.started_us, "impossible_time", None, {"readings": str(count)})
                return 0
        site, rules = self._site(batch.site), rules_at(sweep.started_us)
        silence = stream.silence(sweep.started_us, rules.max_gap_us(sweep.interval_s))
        if count:
            self._readings(batch, site, sweep, sweep.started_us + delays_ms.astype(np.int64) * 1000, silence)
        self._failures(batch, site, sweep, rules.network_devices)
        if batch.possible(sweep.started_us):
            stream.swept(sweep.started_us)
        return count

    def _readings(self, batch: Batch, site: Site, sweep: Sweep, at_us: Ints, silence: Silence) -> None:
        roster = site.roster(batch.agent, sweep.devices)
        if roster is None:
            for n, time_us in enumerate(at_us.tolist()):
                self._device(batch, site, sweep.devices[16 * n : 16 * n + 16], time_us)
            roster = site.roster(batch.agent, sweep.devices)
            if roster is None:  # never: the wire's check has made every id 16 bytes
                raise LedgerError(f"batch {batch.seq}: a device of its sweep is in no register")
        self.changes.sites.add(batch.site)
        power_mw, origin, uptime_s, hashrate_mhs, state = (
            _column(sweep, name).astype(np.int64) for name in _READ_COLUMNS
        )
        # The least integer means "not read"; any other negative is no power, uptime or hashrate either.
        readings = Readings(
            roster.places,
            at_us,
            np.maximum(power_mw, UNREAD),
            np.where((origin > 0) & (origin < NO_ORIGIN), origin, NO_ORIGIN),
            np.maximum(uptime_s, UNREAD),
            np.maximum(hashrate_mhs, UNREAD),
            np.where((state >= 0) & (state < len(wire.STATES)), state + 1, 0),
        )
        if roster.distinct:
            self._read(batch, site, readings, sweep, silence)
        else:
            for chosen in _rounds(roster.places):
                self._read(batch, site, readings.pick(chosen), sweep, silence)

    def _read(self, batch: Batch, site: Site, readings: Readings, sweep: Sweep, silence: Silence) -> None:
        now, rules = site.integrals.now, rules_at(sweep.started_us)
        late = readings.at_us <= now[Now.LAST_US][readings.places]
        if late.any():
            for place, at_us in zip(*(c[late].tolist() for c in readings[:2]), strict=True):
                self._backwards(batch, site, place, at_us)
            readings = readings.pick(~late)
        now[Now.AGENT][readings.places] = crc32(batch.agent.encode())
        if batch.synthetic:
            now[Now.SYNTHETIC][readings.places] = 1
        for place, from_us, until_us in site.integrals.read(
            readings, rules, rules.max_gap_us(sweep.interval_s), silence
        ):
            self._note(batch, from_us, "device_was_off", site.devices[place].id, {"until_us": str(until_us)})

    def _failures(self, batch: Batch, site: Site, sweep: Sweep, network_devices: int) -> None:
        """Failed polls of known devices: one that never gave a reading has no gap that could be bounded."""
        if not sweep.failures:
            return
        silent = sum(failure.kind in SILENT for failure in sweep.failures)
        network = not sweep.devices and silent == len(sweep.failures) >= network_devices
        found: list[tuple[int, int, int, int]] = []
        for failure in sweep.failures:
            place, at_us = site.places.get(failure.device), sweep.started_us + failure.delay_ms * 1000
            if place is not None and batch.possible(at_us):
                cause = cause_number("network" if network else failure.kind) + 1
                found.append((place, at_us, failure.kind in SILENT, cause))
        now = site.integrals.now
        told = np.array(found, np.int64).reshape(-1, 4)
        for chosen in _rounds(told[:, 0]):
            places, times_us, silence, causes = told[chosen].T
            later = times_us > now[Now.LAST_US][places]
            places, before = places[later], now[Now.CAUSE][places[later]]
            site.integrals.failed(places, times_us[later], silence[later] > 0)
            now[Now.CAUSE][places] = np.where(np.isin(before, _GONE), before, causes[later])
            self.changes.sites.add(batch.site)

    def _backwards(self, batch: Batch, site: Site, place: int, at_us: int) -> None:
        # One event for a run of such readings: a clock set back by a day would give thousands.
        now = site.integrals.now[:, place]
        if not now[Now.SKIPPED]:
            detail = {"last_us": str(now[Now.LAST_US])}
            self._note(batch, at_us, "time_went_backwards", site.devices[place].id, detail)
        now[Now.SKIPPED] += 1

    def _inventory(self, batch: Batch, inventory: Inventory) -> None:
        if not batch.possible(inventory.at_us):
            self._note(batch, inventory.at_us, "impossible_time", device_text(inventory.device), {})
            return
        site = self._site(batch.site)
        device = self._device(batch, site, inventory.device, inventory.at_us)
        if device is None:
            self._note(batch, inventory.at_us, "not_a_device", None, {"record": "inventory"})
            return
        changed = enter(site, device, inventory)
        self.changes.devices[batch.site, device.place] = device
        content = msgspec.to_builtins(inventory, builtin_types=())
        self.changes.inventories.append(batch.row(at_us=inventory.at_us, device=device.id, content=content))
        if changed:
            self._note(batch, inventory.at_us, "device_changed", device.id, changed)

    def _meter(self, batch: Batch, meter: Meter) -> None:
        if not (batch.possible(meter.at_us) and _is_name(meter.meter)):
            self._note(batch, meter.at_us, "not_a_meter", None, {"meter": meter.meter})
            return
        content = msgspec.to_builtins(meter, builtin_types=())
        self.changes.meters.append(batch.row(at_us=meter.at_us, meter=meter.meter, content=content))

    def _registers(self, batch: Batch, registers: Registers) -> int:
        count = 0
        for reading in registers.readings:
            at_us = registers.at_us + reading.delay_ms * 1000
            if batch.possible(at_us) and _is_name(reading.meter):
                row = RegisterRow(
                    at_us,
                    batch.seq,
                    batch.agent,
                    registers.interval_s,
                    batch.synthetic,
                    reading,
                    batch.ordinal,
                )
                self.changes.registers.setdefault((batch.site, reading.meter), []).append(row)
                count += reading.import_wh is not None
            else:
                self._note(batch, at_us, "not_a_meter", None, {"meter": reading.meter})
        return count

    def _event(self, batch: Batch, stream: Stream, event: Event) -> None:
        text = device_text(event.device)
        detail = dict(event.detail)
        self.changes.events.append(
            batch.row(at_us=event.at_us, source="agent", kind=event.kind, device=text, detail=detail)
        )
        stream.told(event.kind)
        site = self._site(batch.site)
        if event.kind == "clock_step":
            self._redate(batch, stream, site, event.detail)
        device = site.device(event.device)
        if device is None or not batch.possible(event.at_us):
            return
        if event.kind == "device_vanished":
            cause = "vanished"
        elif event.kind == "device_replaced":
            site.integrals.end(device.place, event.at_us, rules_at(event.at_us))
            cause = "replaced"
        else:
            return
        site.integrals.now[Now.CAUSE, device.place] = cause_number(cause) + 1
        self.changes.sites.add(batch.site)

    def _redate(self, batch: Batch, stream: Stream, site: Site, step: Mapping[str, str]) -> None:
        """What this agent has dated since `since_us` was wrong by the step: its readings go on from there."""
        try:
            since_us, old_us, step_us = (int(step[name]) for name in ("since_us", "old_us", "step_us"))
        except (KeyError, ValueError):
            return
        if step.get("misdated") != "true" or not all(
            map(batch.possible, (since_us, old_us, old_us + step_us))
        ):
            return
        now = site.integrals.now
        dated = (now[Now.AGENT] == crc32(batch.agent.encode())) & (now[Now.ENDED_US] == 0)
        places = np.flatnonzero(dated & (since_us <= now[Now.LAST_US]) & (now[Now.LAST_US] <= old_us))
        if places.size:
            site.integrals.move(places, step_us)
            self.changes.sites.add(batch.site)
        if since_us <= stream.swept_us <= old_us:
            stream.swept_us += step_us

    def _note(self, batch: Batch, at_us: int, kind: str, device: str | None, detail: dict[str, str]) -> None:
        self.changes.events.append(
            batch.row(at_us=at_us, source="fold", kind=kind, device=device, detail=detail)
        )


def _is_name(text: str) -> bool:
    try:
        wire.check_name(text)
    except ValueError:
        return False
    return True


def _column(sweep: Sweep, name: str) -> npt.NDArray[Any]:
    return np.frombuffer(sweep.columns[name], f"<i{wire.COLUMNS[name][0]}")


def _rounds(places: Ints) -> list[Ints]:
    """Each device once a round, in order: the indices of all first occurrences, then of all second ones."""
    rounds: list[list[int]] = []
    times: dict[int, int] = {}
    for n, place in enumerate(places.tolist()):
        nth = times[place] = times.get(place, -1) + 1
        if nth == len(rounds):
            rounds.append([])
        rounds[nth].append(n)
    return [np.array(chosen, np.int64) for chosen in rounds]
