"""The fold: a batch becomes changes of the ledger. Pure and deterministic: no clock, no file, no database.

The same batches in the same order give the same rows, however they were grouped into commits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from agent import wire
from agent.wire import Event, Inventory, Packet, Sweep, WireError
from collector.journal import START, Entry, Position
from collector.ledger.energy import MAX_GAP_LIMIT_US, MAX_GAP_POLLS, NO_ORIGIN
from collector.ledger.registry import Device, device_text, enter

DAY_US = 86_400_000_000
# Before any agent existed; a box without a clock battery starts in 1970 or at its image's build date.
EARLIEST_US = 1_577_836_800_000_000  # 2020-01-01
# A device that gives no sign at all may be off; one that answers wrongly is not.
SILENT = frozenset({"unreachable", "timeout"})


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


@dataclass(slots=True)
class Changes:
    """What was folded since the last commit."""

    streams: set[tuple[str, str]] = field(default_factory=set)
    devices: dict[tuple[str, bytes], Device] = field(default_factory=dict)
    batches: list[dict[str, Any]] = field(default_factory=list)
    inventories: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


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
    return EARLIEST_US <= at_us <= received_us + DAY_US


def storable(number: int) -> int:
    """The number, or the nearest that 64 bits hold: what an agent says must never stop the fold."""
    return max(-(2**63), min(number, 2**63 - 1))


class Fold:
    """The ledger's state in memory, and what changed in it; `collector.ledger.tables` loads and writes it."""

    def __init__(self, org: str) -> None:
        self.org = org
        self.position: Position = START
        self.streams: dict[tuple[str, str], Stream] = {}
        self.devices: dict[tuple[str, bytes], Device] = {}
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
        readings, problem = 0, None
        if not batch.possible(envelope.created_us):
            problem = f"impossible time: created_us {envelope.created_us}, received_us {entry.received_us}"
        else:
            try:
                readings = sum(self._record(batch, record) for record in packet.records)
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

    def _record(self, batch: Batch, record: wire.Record) -> int:
        if isinstance(record, Sweep):
            return self._sweep(batch, record)
        if isinstance(record, Inventory):
            self._inventory(batch, record)
        else:
            self._event(batch, record)
        return 0

    def _device(self, batch: Batch, raw: bytes, at_us: int) -> Device | None:
        key = (batch.site, raw)
        device = self.devices.get(key)
        if device is None:
            text = device_text(raw)
            if text is None:
                return None
            device = self.devices[key] = Device(batch.site, text, at_us, at_us)
        if batch.synthetic:
            device.synthetic = True
        self.changes.devices[key] = device
        return device

    def _sweep(self, batch: Batch, sweep: Sweep) -> int:
        delays_ms = wire.values(sweep, "delay_ms")
        times = [sweep.started_us + delay_ms * 1000 for delay_ms in delays_ms]
        known = wire.missing("delay_ms") not in delays_ms
        if times and not (known and batch.possible(min(times)) and batch.possible(max(times))):
            self._note(batch, sweep.started_us, "impossible_time", None, {"readings": str(len(times))})
            return 0
        max_gap_us = min(MAX_GAP_POLLS * sweep.interval_s * 1_000_000, MAX_GAP_LIMIT_US)
        raws = [sweep.devices[i : i + 16] for i in range(0, len(sweep.devices), 16)]
        columns = ("power_mw", "origin", "uptime_s", "hashrate_mhs", "state")
        for raw, at_us, power_mw, origin, uptime_s, hashrate_mhs, state in zip(
            raws, times, *(wire.values(sweep, name) for name in columns), strict=True
        ):
            device = self._device(batch, raw, at_us)
            if device is None:  # never: the wire's check has made every id 16 bytes
                continue
            integral = device.integral
            if integral.last_us is not None and at_us <= integral.last_us:
                self._backwards(batch, device, at_us, integral.last_us)
                continue
            # The least integer means "not read"; any other negative is no power, uptime or hashrate either.
            off = integral.read(
                at_us,
                power_mw if power_mw >= 0 else None,
                origin if 0 < origin < NO_ORIGIN else NO_ORIGIN,
                uptime_s if uptime_s >= 0 else None,
                hashrate_mhs if hashrate_mhs >= 0 else None,
                max_gap_us,
            )
            device.last_seen_us = max(device.last_seen_us, at_us)
            device.state = wire.STATES[state] if 0 <= state < len(wire.STATES) else None
            device.cause, device.skipped = None, 0
            if off is not None:
                self._note(batch, off[0], "device_was_off", device.id, {"until_us": str(off[1])})
        for failure in sweep.failures:
            self._failure(batch, failure, sweep.started_us + failure.delay_ms * 1000)
        return len(times)

    def _failure(self, batch: Batch, failure: wire.FailedPoll, at_us: int) -> None:
        key = (batch.site, failure.device)
        device = self.devices.get(key)  # a device that never gave a reading has no gap that could be bounded
        if device is None or not batch.possible(at_us) or at_us <= (device.integral.last_us or 0):
            return
        device.integral.failed(at_us, failure.kind in SILENT)
        if device.cause not in ("vanished", "replaced"):
            device.cause = failure.kind
        self.changes.devices[key] = device

    def _backwards(self, batch: Batch, device: Device, at_us: int, last_us: int) -> None:
        # One event for a run of such readings: a clock set back by a day would give thousands.
        if device.skipped == 0:
            self._note(batch, at_us, "time_went_backwards", device.id, {"last_us": str(last_us)})
        device.skipped += 1

    def _inventory(self, batch: Batch, inventory: Inventory) -> None:
        if not batch.possible(inventory.at_us):
            self._note(batch, inventory.at_us, "impossible_time", device_text(inventory.device), {})
            return
        device = self._device(batch, inventory.device, inventory.at_us)
        if device is None:
            self._note(batch, inventory.at_us, "not_a_device", None, {"record": "inventory"})
            return
        changed = enter(device, inventory)
        content = msgspec.to_builtins(inventory, builtin_types=())
        self.changes.inventories.append(batch.row(at_us=inventory.at_us, device=device.id, content=content))
        if changed:
            self._note(batch, inventory.at_us, "device_changed", device.id, changed)

    def _event(self, batch: Batch, event: Event) -> None:
        text = device_text(event.device)
        detail = dict(event.detail)
        self.changes.events.append(
            batch.row(at_us=event.at_us, source="agent", kind=event.kind, device=text, detail=detail)
        )
        key = (batch.site, event.device)
        device = self.devices.get(key)
        if device is None or not batch.possible(event.at_us):
            return
        if event.kind == "device_vanished":
            device.cause = "vanished"
        elif event.kind == "device_replaced":
            device.integral.end(event.at_us)
            device.cause = "replaced"
        else:
            return
        self.changes.devices[key] = device

    def _note(self, batch: Batch, at_us: int, kind: str, device: str | None, detail: dict[str, str]) -> None:
        self.changes.events.append(
            batch.row(at_us=at_us, source="fold", kind=kind, device=device, detail=detail)
        )
