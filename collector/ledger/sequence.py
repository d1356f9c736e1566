"""A meter's readings in the order of time: misdated ones moved or set aside, typed ones put among them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from collector.ledger import rules
from collector.ledger.meter_entries import MeterEntry
from collector.ledger.quantities import Ints, Mask
from collector.ledger.registers import NO_POWER, UNREAD, Deduced, Registered

# A person reads a display and a watch, and writes whole minutes.
TYPED_SLACK_US = 300_000_000


class ClockStep(NamedTuple):
    """An agent's word that what it dated `since_us` to `old_us` and told before was off by a step."""

    agent: str
    seq: int
    ordinal: int
    since_us: int
    old_us: int
    step_us: int


@dataclass(frozen=True, slots=True)
class Reads:
    """Readings whose import was read, rising in time.

    `max_gap_us`: how long before it is no gap. `doubtful`: some that its agent told about then were misdated,
    and nobody knows which.
    """

    at_us: Ints
    import_wh: Ints
    export_wh: Ints
    power_mw: Ints
    max_gap_us: Ints
    typed: Mask
    doubtful: Mask

    def pick(self, chosen: Ints | Mask | slice) -> Reads:
        """Some of them."""
        return Reads(
            self.at_us[chosen], self.import_wh[chosen], self.export_wh[chosen], self.power_mw[chosen],
            self.max_gap_us[chosen], self.typed[chosen], self.doubtful[chosen],
        )  # fmt: skip


def redated(found: Registered, steps: Sequence[ClockStep]) -> Ints:
    """When each reading was taken, as its agent has come to know it."""
    at_us = found.at_us.copy()
    for step in steps:
        if step.agent in found.agents:
            theirs = found.agent == found.agents.index(step.agent)
            same = (found.seq == step.seq) & (found.ordinal < step.ordinal)
            theirs &= (found.seq < step.seq) | same
            at_us[theirs & (step.since_us <= at_us) & (at_us <= step.old_us)] += step.step_us
    return at_us


def in_order(found: Registered, at_us: Ints, entries: Sequence[MeterEntry]) -> tuple[Reads, list[Deduced]]:
    """The readings by time, and what had to be set aside for it."""
    read = found.import_wh != UNREAD
    findings: list[Deduced] = []
    chosen: list[Ints] = []
    doubtful = np.zeros(at_us.size, np.bool_)
    for agent in range(len(found.agents)):
        theirs = np.flatnonzero(read & (found.agent == agent))
        kept = _rising(at_us[theirs])
        findings += _backwards(at_us[theirs], kept)
        if kept.size < theirs.size:
            doubtful[theirs] = _tangled(at_us[theirs])
        chosen.append(theirs[kept])
    n = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
    wired = Reads(
        at_us[n], found.import_wh[n], found.export_wh[n], found.power_mw[n],
        _max_gap_us(found.interval_s[n], at_us[n]), np.zeros(n.size, np.bool_), doubtful[n],
    )  # fmt: skip
    typed = [entry for entry in entries if entry.kind == "read" and entry.import_wh is not None]
    both = _with_typed(wired, typed)
    reads, disagreeing = _agreed(both.pick(np.argsort(both.at_us, kind="stable")))
    new = np.diff(reads.at_us, prepend=-1) > 0  # of one instant the wire's is kept, as it came first
    if not new.all():
        reads = reads.pick(new)
    return reads, [*findings, *disagreeing]


def _agreed(reads: Reads) -> tuple[Reads, list[Deduced]]:
    """Without the typed readings that the wire's contradict, which are the better evidence."""
    keep = np.ones(reads.at_us.size, np.bool_)
    wired = np.flatnonzero(~reads.typed)
    findings: list[Deduced] = []
    for n in np.flatnonzero(reads.typed).tolist() if wired.size else []:
        at_us, wh = int(reads.at_us[n]), int(reads.import_wh[n])
        after = int(np.searchsorted(wired, n))
        if after == 0 or after == wired.size:
            continue
        reads.max_gap_us[n] = reads.max_gap_us[wired[after]]
        if _lies_between(reads, wired[after - 1], wired[after], wh):
            continue
        keep[n] = False
        # A person's watch is not the agent's clock.
        slack = np.searchsorted(reads.at_us[wired], [at_us - TYPED_SLACK_US, at_us + TYPED_SLACK_US])
        low, high = np.clip(slack - [1, 0], 0, wired.size - 1)
        if not _lies_between(reads, wired[low], wired[high], wh):
            detail = {
                "import_wh": str(wh),
                "wire_before_wh": str(reads.import_wh[wired[after - 1]]),
                "wire_after_wh": str(reads.import_wh[wired[after]]),
                "made_of_it": "set aside: the wire's readings count",
            }
            findings.append(Deduced("typed_disagrees", at_us, at_us, detail))
    return (reads if keep.all() else reads.pick(keep)), findings


def _lies_between(reads: Reads, before: int, after: int, wh: int) -> bool:
    low, high = int(reads.import_wh[before]), int(reads.import_wh[after])
    return low <= wh <= high or low > high  # where the register fell, nothing can be said


def _with_typed(wired: Reads, typed: Sequence[MeterEntry]) -> Reads:
    def column(values: Sequence[int | None], unread: int = UNREAD) -> Ints:
        return np.array([unread if value is None else value for value in values], np.int64)

    size = len(typed)
    return Reads(
        np.concatenate([wired.at_us, column([e.at_us for e in typed])]),
        np.concatenate([wired.import_wh, column([e.import_wh for e in typed])]),
        np.concatenate([wired.export_wh, column([e.export_wh for e in typed])]),
        np.concatenate([wired.power_mw, np.full(size, NO_POWER)]),
        np.concatenate([wired.max_gap_us, np.zeros(size, np.int64)]),
        np.concatenate([wired.typed, np.ones(size, np.bool_)]),
        np.concatenate([wired.doubtful, np.zeros(size, np.bool_)]),
    )


def _rising(at_us: Ints) -> Ints:
    """The most readings of one agent that rise in time: as few as can be are taken to be misdated."""
    if (np.diff(at_us) > 0).all():
        return np.arange(at_us.size)
    ends: list[int] = []  # by length: the earliest instant that a row of this length ends with
    places: list[int] = []
    before = np.full(at_us.size, -1)
    for n, time_us in enumerate(at_us.tolist()):
        length = bisect_left(ends, time_us)
        if length:
            before[n] = places[length - 1]
        ends[length : length + 1] = [time_us]
        places[length : length + 1] = [n]
    row = [places[-1]]
    while before[row[-1]] >= 0:
        row.append(int(before[row[-1]]))
    return np.array(row[::-1], np.int64)


def _tangled(at_us: Ints) -> Mask:
    """True for each reading that another one, told before or after it, is dated on the wrong side of."""
    before, after = np.maximum.accumulate(at_us), np.minimum.accumulate(at_us[::-1])[::-1]
    wrong: Mask = (at_us < before) | (at_us > after)
    return wrong


def _backwards(at_us: Ints, kept: Ints) -> list[Deduced]:
    """One event for each run of readings that were set aside, but for a mere repetition."""
    if kept.size == at_us.size:
        return []
    aside = np.setdiff1d(np.arange(at_us.size), kept)
    aside = aside[~np.isin(at_us[aside], at_us[kept])]
    runs = np.split(aside, np.flatnonzero(np.diff(aside) > 1) + 1) if aside.size else []
    return [
        Deduced(
            "time_went_backwards", int(at_us[run].min()), int(at_us[run].max()),
            {"readings": str(run.size), "made_of_it": "set aside: what was used stands in the next reading"},
        )
        for run in runs
    ]  # fmt: skip


def _max_gap_us(interval_s: Ints, at_us: Ints) -> Ints:
    since_us = np.array(rules.since_us())
    nth = np.maximum(np.searchsorted(since_us, at_us, side="right") - 1, 0)
    held = [rules.at(int(us)) for us in since_us]
    polls = np.array([r.max_gap_polls for r in held])[nth] * interval_s * 1_000_000
    limit_us: Ints = np.array([r.max_gap_limit_us for r in held])[nth]
    return np.minimum(polls, limit_us)


def failures(found: Registered, at_us: Ints) -> tuple[Ints, Sequence[str]]:
    """When reading the import failed, by time, and why: the kind before the colon."""
    failed = np.flatnonzero((found.import_wh == UNREAD) & (found.problem > 0))
    failed = failed[np.argsort(at_us[failed], kind="stable")]
    kinds = [text.partition(":")[0] for text in found.problems]
    return at_us[failed], [kinds[n - 1] for n in found.problem[failed].tolist()]


def by_event(entries: Sequence[MeterEntry]) -> Mapping[str, MeterEntry]:
    """What people have answered to events, by the event's name; of several the last."""
    return {entry.event: entry for entry in entries if entry.event is not None}
