"""What the agent learns goes into the spool through here; without room it holds, thins, and goes on.

While the spool has room, every record is in it when `put` returns. As it fills, levels are crossed: each
crossing is an event `spool_pressure`, and from the thinning levels on `agent/thinning.py` says which sweeps
are left out.

When a batch cannot be stored (budget used up, disk full, the roster's file cannot be written), in this order:
 1. Confirmed batches go before their time (`spool_window_cut`, told once a day).
 2. What may never be thinned (any record but a sweep) goes into the spool at once, by its reserve. Until the
    reserve can be set aside again no sweep is stored.
 3. What still finds no room is held in memory and tried again with every later record. Sweeps held are
    bounded by HELD_BYTES and thinned to keep to it, evenly over the time they cover. Other records are
    bounded by HELD_RECORDS: beyond it an inventory makes way for a newer one of its device, then the oldest
    go, and `spool_thinned` counts them. Power that fails now loses what is held: it never had a number.
Sweeps keep their order among themselves, and so do the others; these may overtake sweeps that are held.
While the box does not know the time (`dated` is false) everything is held in the same bounds, and dated by
`redate` when the clock is set.
Nothing has to be done when room comes back: the next `put` stores what was held, with `spool_thinned` (from,
until, how many) if anything was left out. Thinning that goes on is told every hour.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from agent.spool import Spool, SpoolFull
from agent.thinning import Levels, Thinned, longer, thin
from agent.wire import Event, Inventory, Record, Sweep

R = TypeVar("R", bound=Record)

log = logging.getLogger("hashledger.intake")

# Raw columns, 60 bytes a reading: 27 sweeps of 10,000 devices, or four hours of 1,000 at a sweep a minute;
# the agent stays within its 150 MiB.
HELD_BYTES = 16 * 1024 * 1024
# Some 20 MiB; a site of 10,000 devices that all move at once tells fewer.
HELD_RECORDS = 50_000
UNDATED = "the box does not know the time"
RECORD_BYTES = 200  # an event or a failure, about
THINNED_EVERY_US = 3600 * 1_000_000
WINDOW_CUT_EVERY_US = 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Pressure:
    """The state of the way in, for whoever looks from outside."""

    alarm_percent: float = 0  # the highest level that is crossed
    stride: int = 1  # every how many-th sweep is stored
    held: int = 0  # records in memory because the spool cannot take them
    full: str = ""  # why it cannot
    dropped: int = 0  # sweeps left out since the start

    @property
    def trouble(self) -> str:
        """Why readings are being lost in time right now; empty if they are not."""
        if self.held:
            return f"nothing can be stored, {self.held} records wait in memory: {self.full}"
        if self.stride > 1:
            return f"the spool is above {self.alarm_percent:g} %: one sweep in {self.stride} is stored"
        return ""


class Intake:
    """The way into one spool, used by one thread."""

    def __init__(
        self, spool: Spool, levels: Levels, interval_s: int, save_roster: Callable[[], None]
    ) -> None:
        self._spool, self._levels, self._interval_s = spool, levels, interval_s
        self._save_roster = save_roster
        self._roster_due = False
        self._held: list[Record] = []  # in order, not yet stored
        self._told: list[Event] = []  # of ourselves, for the next batch
        self._thinned = Thinned()
        self._level = 0
        self._turn = 0  # sweeps met on this level
        self._owed_s = 0  # of sweeps left out since the last one that was not
        self._full = ""
        self._window_cut_us = 0
        self._dropped = 0
        self.dated = True  # False: the box does not know the time, and what is put is held
        self.pressure = Pressure()

    def put(self, records: Sequence[Record], now_us: int, *, roster_changed: bool = False) -> bool:
        """Store the records as one batch, with what was held before; False if they are held in memory.

        `roster_changed`: the roster is written first: no batch may name a device that a crash would forget.
        """
        self._roster_due |= roster_changed
        self._look(now_us)
        for record in records:
            if not isinstance(record, Sweep):
                self._held.append(record)
            elif self._admit(record):
                self._held.append(longer(record, self._owed_s))
                self._owed_s = 0
        stored = self._store(now_us) if self.dated else self._wait()
        self._show()
        return stored

    def redate(self, shift_us: int) -> None:
        """What is held was dated by a clock that was not set, or was wrong by so much."""
        self._held = [_moved(record, shift_us) for record in self._held]
        self._told = [_moved(event, shift_us) for event in self._told]
        self._thinned = self._thinned.moved(shift_us)

    def save_roster(self) -> None:
        """Write the roster now, or before the next batch where that cannot be."""
        self._roster_due = True
        if not self._held:
            try:
                self._write_roster()
            except SpoolFull as error:
                log.warning("%s; tried again before the next batch", error)

    def close(self, now_us: int) -> None:
        """A last try to store what is held, and what is to be told."""
        if not (self._store(now_us, last=True) if self.dated else self._wait()):
            log.error("%d records are lost with this process: %s", len(self._held), self._full or UNDATED)
        self._show()

    # ---- how full it is

    @property
    def _stride(self) -> int:
        return self._levels.stride(self._level, self._interval_s)

    def _look(self, now_us: int) -> None:
        depth = self._spool.depth()
        level, before = self._levels.climb(self._level, depth.fill), self._level
        if level == before:
            return
        self._level, self._turn = level, 0
        crossed = self._levels.up[level - 1 if level > before else level]
        full_in_s = depth.full_in_s()
        self._tell(now_us, 100 * crossed, {
            "fill_percent": f"{100 * depth.fill:.1f}", "waiting": str(depth.waiting),
            "waiting_bytes": str(depth.waiting_bytes), "limit_bytes": str(depth.limit_bytes),
            "one_sweep_in": str(self._stride), "full_in_s": "" if full_in_s is None else f"{full_in_s:.0f}",
        }, up=level > before)  # fmt: skip

    def _tell(self, now_us: int, percent: float, more: dict[str, str], *, up: bool) -> None:
        # Of the same crossing only the last stays: what waits to be told is bounded by the levels.
        crossing = {"percent": f"{percent:g}", "crossed": "up" if up else "down"}
        detail = crossing | more
        log.warning("spool pressure: %s", ", ".join(f"{key} {text}" for key, text in detail.items() if text))
        self._told = [e for e in self._told if not crossing.items() <= e.detail.items()]
        self._told.append(Event(now_us, "spool_pressure", detail=detail))

    def _show(self) -> None:
        alarm_percent = 100 * self._levels.up[self._level - 1] if self._level else 0
        why = self._full or ("" if self.dated else UNDATED)
        self.pressure = Pressure(alarm_percent, self._stride, len(self._held), why, self._dropped)

    # ---- sweeps that are left out

    def _admit(self, sweep: Sweep) -> bool:
        self._turn += 1
        if self._turn % self._stride == 0:
            return True
        self._drop(sweep)
        self._owed_s += sweep.interval_s
        return False

    def _drop(self, sweep: Sweep) -> None:
        self._thinned = self._thinned.plus(sweep)
        self._dropped += 1

    def _thin(self, keep: int) -> None:
        self._held, gone = thin(self._held, keep)
        for sweep in gone:
            self._drop(sweep)

    def _summary(self, now_us: int) -> list[Event]:
        """`spool_thinned` when thinning is over, or an hour of it is."""
        goes_on = self._stride > 1 and not self._full
        if not self._thinned or (goes_on and now_us - self._thinned.from_us < THINNED_EVERY_US):
            return []
        return [self._thinned.event(now_us)]

    # ---- into the spool, or held

    def _store(self, now_us: int, *, last: bool = False) -> bool:
        """Store what is held; False if some of it has to be held on."""
        while True:
            summary = [self._thinned.event(now_us)] if last and self._thinned else self._summary(now_us)
            batch = [*self._told, *summary, *self._held]
            if not batch:
                return True
            try:
                self._write_roster()
                if self._spool.reserve_in_use:
                    raise SpoolFull("what is left of the room is kept for events and inventory")
                self._spool.append(batch, now_us)
            except SpoolFull as error:
                if self._reclaim(now_us):
                    continue
                self._hold(now_us, str(error))
                return False
            self._held, self._told = [], []
            self._thinned = Thinned() if summary else self._thinned
            if self._full:
                self._full = ""
                self._tell(now_us, 100, {}, up=False)
            return True

    def _wait(self) -> bool:
        self._bound()
        return not self._held

    def _reclaim(self, now_us: int) -> bool:
        sweeps = [r for r in self._held if isinstance(r, Sweep)]
        if not self._spool.reclaim(_bytes(sweeps) + RECORD_BYTES * len(self._held)):
            return False
        if now_us - self._window_cut_us >= WINDOW_CUT_EVERY_US:
            self._window_cut_us = now_us
            self._told.append(Event(now_us, "spool_window_cut"))
        return True

    def _hold(self, now_us: int, reason: str) -> None:
        if not self._full:
            self._tell(now_us, 100, {"reason": reason}, up=True)
            self._full = reason
        lasting = [*self._told, *filter(_lasting, self._held)]
        if lasting and not self._roster_due and self._by_reserve(lasting, now_us):
            self._held = [r for r in self._held if isinstance(r, Sweep)]
            self._told = []
        self._bound()

    def _by_reserve(self, lasting: Sequence[Record], now_us: int) -> bool:
        while True:
            try:
                self._spool.append(lasting, now_us)
            except SpoolFull:
                if not self._spool.release_reserve():
                    return False
            else:
                return True

    def _write_roster(self) -> None:
        if self._roster_due:
            try:
                self._save_roster()
            except OSError as error:
                raise SpoolFull(f"the roster cannot be written: {error}") from error
            self._roster_due = False

    def _bound(self) -> None:
        sweeps = [r for r in self._held if isinstance(r, Sweep)]
        if (size_bytes := _bytes(sweeps)) > HELD_BYTES:
            self._thin(len(sweeps) * HELD_BYTES // size_bytes)
        excess = sum(map(_lasting, self._held)) - HELD_RECORDS
        if excess > 0:
            newest = {r.device: r for r in self._held if isinstance(r, Inventory)}
            superseded = [r for r in self._held if isinstance(r, Inventory) and newest[r.device] is not r]
            ranked = dict.fromkeys(id(r) for r in (*superseded, *filter(_lasting, self._held)))
            gone = set(list(ranked)[:excess])
            self._held = [r for r in self._held if id(r) not in gone]
            self._thinned = replace(self._thinned, records=self._thinned.records + len(gone))


def _moved(record: R, shift_us: int) -> R:
    if isinstance(record, Sweep):
        return msgspec.structs.replace(record, started_us=record.started_us + shift_us)
    return msgspec.structs.replace(record, at_us=record.at_us + shift_us)


def _lasting(record: Record) -> bool:
    """True for what is never thinned."""
    return not isinstance(record, Sweep)


def _bytes(sweeps: Sequence[Sweep]) -> int:
    return sum(
        len(s.devices) + sum(map(len, s.columns.values())) + RECORD_BYTES * len(s.failures) for s in sweeps
    )
