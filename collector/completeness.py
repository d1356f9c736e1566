"""Completeness: polls that a device should have given, against what came; per device and civil day.

Every sweep is a slot of its agent; where the next one comes later than its interval, the slots between were
missed. From the device's first appearance to its last (a reading, or a told failure) each slot is an expected
poll. A poll belongs to the day in which its sweep began. Meters count as devices, by their configured name.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from agent.wire import Registers, Sweep

Ints = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]  # two of them a device and day: 10,000 devices take 30 MB a year
AnyInts = TypeVar("AnyInts", Ints, Counts)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class Polls(NamedTuple):
    """A device's polls in a day, or a sum of such; `missing` are those that nobody has told of."""

    expected: int
    received: int
    failed: int
    missing: int


class Row(NamedTuple):
    """One device and civil day."""

    site: str
    agent: str
    device: str
    day: str
    polls: Polls


class Total(NamedTuple):
    """One agent's sum: device polls, and how many of its sweeps came."""

    site: str
    agent: str
    kind: str  # sweeps or registers
    devices: int
    sweeps_expected: int
    sweeps_received: int
    polls: Polls


class _Edges(NamedTuple):
    day: date
    start_us: int
    end_us: int


@dataclass(slots=True)
class _Day:
    # `spans`: slots [from, until) that lie in the day; `counts`: received and failed by the device's place.
    spans: list[tuple[int, int]] = field(default_factory=list)
    sweeps: int = 0
    counts: list[Counts] = field(default_factory=lambda: [np.zeros(0, np.int32), np.zeros(0, np.int32)])

    def extend(self, slot: int, count: int) -> None:
        if self.spans and self.spans[-1][1] == slot:
            self.spans[-1] = (self.spans[-1][0], slot + count)
        else:
            self.spans.append((slot, slot + count))

    def expected(self, first: Ints, last: Ints) -> Ints:
        total = np.zeros(len(first), np.int64)
        for begin, until in self.spans:
            total += np.maximum(0, np.minimum(last + 1, until) - np.maximum(first, begin))
        return total


class _Stream:
    """What one agent polls, in slots."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._slot = 0
        self._newest_us: int | None = None
        self._edges = _Edges(date.min, 0, 0)
        self._places: dict[bytes, int] = {}
        # Most sweeps repeat the last one's devices, and its failures.
        self._rosters: dict[bool, tuple[bytes, Ints]] = {}
        self.days: dict[date, _Day] = {}
        self.first, self.last = np.zeros(0, np.int64), np.zeros(0, np.int64)

    @property
    def devices(self) -> list[bytes]:
        return list(self._places)

    def sweep(self, started_us: int, interval_s: int) -> _Day:
        """A sweep began then: its day, with the slots before it that were missed."""
        interval_us = max(1, interval_s) * 1_000_000
        newest_us = started_us - interval_us if self._newest_us is None else self._newest_us
        missed = max(0, (started_us - newest_us + interval_us // 2) // interval_us - 1)
        self._newest_us = max(newest_us, started_us)
        while missed:
            at_us = started_us - missed * interval_us
            day = self._day(at_us)
            count = min(missed, -((at_us - self._edges.end_us) // interval_us))
            day.extend(self._slot, count)
            self._slot, missed = self._slot + count, missed - count
        day = self._day(started_us)
        day.extend(self._slot, 1)
        day.sweeps += 1
        self._slot += 1
        return day

    def _day(self, at_us: int) -> _Day:
        if not self._edges.start_us <= at_us < self._edges.end_us:
            self._edges = _edges(at_us, self._zone)
        return self.days.setdefault(self._edges.day, _Day())

    def count(self, day: _Day, joined: bytes, ids: Sequence[bytes], *, failed: bool) -> None:
        """Polls of the last slot; `joined` tells one list of devices from another."""
        if not ids:
            return
        known = self._rosters.get(failed)
        if known is None or known[0] != joined:
            for name in ids:
                self._places.setdefault(name, len(self._places))
            known = joined, np.fromiter(map(self._places.__getitem__, ids), np.int64, len(ids))
            self._rosters[failed] = known
            self.first = _grown(self.first, len(self._places), self._slot - 1)
            self.last = _grown(self.last, len(self._places), 0)
        self.last[known[1]] = self._slot - 1
        day.counts[failed] = _grown(day.counts[failed], len(self._places), 0)
        np.add.at(day.counts[failed], known[1], 1)

    def polls(self, day: date) -> tuple[Ints, Ints, Ints, Ints]:
        """Expected, received, failed, missing of each device in a day."""
        counts, devices = self.days[day], len(self._places)
        received, failed = (_grown(column, devices, 0).astype(np.int64) for column in counts.counts)
        expected = counts.expected(self.first, self.last)
        return expected, received, failed, np.maximum(0, expected - received - failed)


class Completeness:
    """Takes an agent's sweeps in order of their sequence; `zones` by site, where its days are not UTC's."""

    def __init__(self, zones: Mapping[str, str] | None = None, zone: str = "UTC") -> None:
        self._zones, self._zone = zones or {}, zone
        self._streams: dict[tuple[str, str, str], _Stream] = {}

    def sweep(self, site: str, agent: str, sweep: Sweep) -> None:
        """Count a sweep's readings and told failures."""
        stream = self._stream(site, agent, "sweeps")
        day = stream.sweep(sweep.started_us, sweep.interval_s)
        stream.count(day, sweep.devices, np.frombuffer(sweep.devices, "V16").tolist(), failed=False)
        told = [failure.device for failure in sweep.failures if len(failure.device) == 16]
        stream.count(day, b"".join(told), told, failed=True)

    def registers(self, site: str, agent: str, registers: Registers) -> None:
        """Count a pass over a site's meters; a meter whose register was not read has failed."""
        stream = self._stream(site, agent, "registers")
        day = stream.sweep(registers.at_us, registers.interval_s)
        for failed in (False, True):
            names = [r.meter.encode() for r in registers.readings if (r.import_wh is None) == failed]
            stream.count(day, b"\0".join(names), names, failed=failed)

    def _stream(self, site: str, agent: str, kind: str) -> _Stream:
        key = (site, agent, kind)
        if key not in self._streams:
            self._streams[key] = _Stream(ZoneInfo(self._zones.get(site, self._zone)))
        return self._streams[key]

    def totals(self, site: str | None, first: date, last: date) -> list[Total]:
        """One row an agent, of the days from `first` to `last`."""
        found = []
        for key, stream, days in self._chosen(site, first, last):
            sums = np.zeros(4, np.int64)
            present = np.zeros(len(stream.devices), bool)
            for day in days:
                columns = stream.polls(day)
                sums += [int(column.sum()) for column in columns]
                present |= columns[0] > 0
            spans = [until - begin for day in days for begin, until in stream.days[day].spans]
            sweeps = sum(stream.days[day].sweeps for day in days)
            found.append(Total(*key, int(present.sum()), sum(spans), sweeps, Polls(*sums.tolist())))
        return found

    def worst(self, site: str | None, first: date, last: date, count: int) -> list[Row]:
        """The `count` devices and days that lack most: missing polls first, then failed ones."""
        return heapq.nsmallest(
            count,
            self._lacking(site, first, last, count),
            key=lambda row: (-row.polls.missing, -row.polls.failed, row.day, row[:3]),
        )

    def _lacking(self, site: str | None, first: date, last: date, count: int) -> Iterator[Row]:
        for (site_name, agent, kind), stream, days in self._chosen(site, first, last):
            devices = stream.devices
            for day in days:
                columns = stream.polls(day)
                lacking = np.flatnonzero(columns[2] + columns[3])
                order = np.lexsort((-columns[2][lacking], -columns[3][lacking]))
                for place in lacking[order][:count].tolist():
                    polls = Polls(*(int(column[place]) for column in columns))
                    yield Row(site_name, agent, _text(kind, devices[place]), day.isoformat(), polls)

    def _chosen(
        self, site: str | None, first: date, last: date
    ) -> Iterator[tuple[tuple[str, str, str], _Stream, list[date]]]:
        for key, stream in sorted(self._streams.items(), key=lambda item: item[0]):
            if site in (None, key[0]):
                yield key, stream, [day for day in sorted(stream.days) if first <= day <= last]


def _grown(column: AnyInts, size: int, fill: int) -> AnyInts:
    if len(column) >= size:
        return column
    return np.concatenate([column, np.full(size - len(column), fill, column.dtype)])


def _edges(at_us: int, zone: ZoneInfo) -> _Edges:
    day = (_EPOCH + at_us * _US).astimezone(zone).date()
    return _Edges(day, _midnight_us(day, zone), _midnight_us(day + timedelta(days=1), zone))


def _midnight_us(day: date, zone: ZoneInfo) -> int:
    return (datetime(day.year, day.month, day.day, tzinfo=zone) - _EPOCH) // _US


def _text(kind: str, raw: bytes) -> str:
    return str(UUID(bytes=raw)) if kind == "sweeps" else raw.decode()
