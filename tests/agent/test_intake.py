"""The way into the spool: nothing but sweeps is ever thinned, by rule and told; a full disk is survived."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import depth, intake, wire
from agent.intake import Intake
from agent.spool import Spool
from agent.thinning import HYSTERESIS, MAX_STEPS, STRIDE_LIMIT_S, Levels, thin
from collector.ledger import rules
from collector.ledger.fold import Fold
from tests.agent.disk import (
    AUTHOR,
    INTERVAL_S,
    MIB,
    PUBLIC,
    at_us,
    event,
    events,
    fill_up,
    packets,
    records,
    small_disk,
    sweep,
    sweeps,
)  # fmt: skip
from tests.collector.energy_model import HalfHour
from tests.collector.support import fold_of, half_hours

HOUR = 60  # sweeps
LEVELS = Levels()
GAP_LIMIT_US = min(rules.at(start_us).max_gap_limit_us for start_us in rules.since_us())


def nothing() -> None:
    """A roster that need not be written."""


def intake_of(spool: Spool) -> Intake:
    return Intake(spool, LEVELS, INTERVAL_S, nothing)


def rows_by_device(fold: Fold) -> list[list[HalfHour]]:
    (site,) = fold.sites.values()
    rows = [half_hours(site.integrals, place) for place in site.places.values()]
    assert rows and all(rows)
    return rows


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 6) as folder:
        yield folder


def assert_chained(spool: Spool) -> None:
    found = packets(spool)
    assert all(wire.verify(packet, PUBLIC) for packet in found)
    for before, after in pairwise(found):
        assert (after.envelope.seq, after.envelope.prev) == (before.envelope.seq + 1, before.hash)


def confirm_all(spool: Spool) -> None:
    last = packets(spool)[-1]
    assert spool.acknowledge(last.envelope.seq, last.hash)


def test_a_budget_is_held_by_thinning_sweeps_and_nothing_else(tmp_path: Path) -> None:
    """Thrice what fits at full rate: each minute is in some sweep's interval, each event is there."""
    spool = Spool(tmp_path / "spool.db", AUTHOR, 4 * MIB)
    way = intake_of(spool)
    fits = spool.depth().limit_bytes // 5000  # a sweep of 100 devices takes somewhat more
    for number in range(1, 3 * fits):
        way.put([event(number), sweep(number)] if number % 10 == 0 else [sweep(number)], at_us(number))
        on_disk = sum(path.stat().st_size for path in tmp_path.iterdir() if path.suffix != ".db-shm")
        assert on_disk <= 4 * MIB
    assert way.pressure.full and way.pressure.held
    assert_chained(spool)
    arrived = {packet.envelope.seq: packet.records for packet in packets(spool)}
    confirm_all(spool)
    way.close(at_us(3 * fits))
    assert not way.pressure.held
    arrived |= {packet.envelope.seq: packet.records for packet in packets(spool)}
    told = [record for seq in sorted(arrived) for record in arrived[seq]]
    assert [r for r in told if isinstance(r, wire.Event) and r.kind == "test"] == [
        event(number) for number in range(10, 3 * fits, 10)
    ]
    pressures = [r.detail for r in told if isinstance(r, wire.Event) and r.kind == "spool_pressure"]
    assert {detail["percent"] for detail in pressures} >= {"50", "75", "80", "90", "100"}
    for before, after in pairwise(r for r in told if isinstance(r, wire.Sweep)):
        assert after.started_us - before.started_us == after.interval_s * 1_000_000
    thinned = [r.detail["sweeps"] for r in told if isinstance(r, wire.Event) and r.kind == "spool_thinned"]
    assert sum(map(int, thinned)) == way.pressure.dropped > fits
    spool.close()


def test_at_each_step_of_thinning_the_ledger_still_integrates(tmp_path: Path) -> None:
    """A reading every 2, 4, 8 minutes is no gap; the energy is what it was, to the Wh."""
    spool = Spool(tmp_path / "spool.db", AUTHOR, 2 * MIB)
    way = intake_of(spool)
    number = 0
    while way.pressure.stride < 8 or number % 30:
        number += 1
        way.put([sweep(number, 20, power_w=3000)], at_us(number))
        assert number < 2000
    stored = sweeps(spool)
    fold = fold_of([packet for _, packet in spool.packets(1, 100_000)], at_us(number))
    hours = (stored[-1].started_us - stored[0].started_us) / 3.6e9
    for rows in rows_by_device(fold):
        assert not any(row.gap_us for row in rows)
        assert sum(row.energy_wh for row in rows) == pytest.approx(3000 * hours, abs=1)
    spool.close()


def test_confirmed_batches_make_way_before_anything_is_thinned(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", AUTHOR, 2 * MIB)
    way = intake_of(spool)
    for number in range(1, 301):
        way.put([sweep(number)], at_us(number))
        confirm_all_but_last(spool)
    assert way.pressure == intake.Pressure()
    assert spool.depth().kept < 200 and spool.depth().last_seq == 300
    assert len(events(spool, "spool_window_cut")) == 0  # those that told it have made way themselves
    spool.close()


def test_a_collector_that_comes_back_ends_the_thinning(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", AUTHOR, 2 * MIB)
    way = intake_of(spool)
    number = 0
    while way.pressure.stride < 4:
        number += 1
        way.put([sweep(number, 20)], at_us(number))
        assert number < 2000
    confirm_all(spool)
    for later in range(number + 1, number + 11):
        assert way.put([sweep(later, 20)], at_us(later))
    assert way.pressure.stride == 1 and not way.pressure.trouble
    assert [s.started_us for s in sweeps(spool)][-10:] == [at_us(n) for n in range(number + 1, number + 11)]
    last = events(spool, "spool_pressure")[-1].detail
    assert (last["crossed"], last["percent"], last["one_sweep_in"]) == ("down", "50", "1")
    assert int(events(spool, "spool_thinned")[-1].detail["until_us"]) <= at_us(number + 10)
    spool.close()


def test_a_disk_full_for_an_hour_costs_no_reading_where_memory_holds_them(disk: Path) -> None:
    spool = Spool(disk / "spool.db", AUTHOR, 4 * MIB)
    way = intake_of(spool)
    for number in range(1, 11):
        assert way.put([sweep(number, 20, power_w=3000)], at_us(number))
    ballast = fill_up(disk)
    for number in range(11, 11 + HOUR):
        way.put([sweep(number, 20, power_w=3000)], at_us(number))
    assert way.pressure.held and "full" in way.pressure.trouble
    ballast.unlink()
    for number in range(11 + HOUR, 21 + HOUR):
        assert way.put([sweep(number, 20, power_w=3000)], at_us(number))
    assert [s.started_us for s in sweeps(spool)] == [at_us(n) for n in range(1, 21 + HOUR)]
    crossed = [e.detail["crossed"] for e in events(spool, "spool_pressure") if e.detail["percent"] == "100"]
    assert crossed == ["up", "down"] and not way.pressure.trouble
    assert_chained(spool)
    spool.close()


def test_a_disk_full_for_an_hour_is_thinned_evenly_and_told(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory for eight sweeps only: an hour of them is left, eight minutes apart, and integrates."""
    monkeypatch.setattr(intake, "HELD_BYTES", 8 * 60 * 20)
    spool = Spool(disk / "spool.db", AUTHOR, 4 * MIB)
    way = intake_of(spool)
    for number in range(1, 11):
        assert way.put([sweep(number, 20, power_w=3000)], at_us(number))
    ballast = fill_up(disk)
    held: list[int] = []
    for number in range(11, 11 + HOUR):
        way.put([sweep(number, 20, power_w=3000)], at_us(number))
        held.append(way.pressure.held)
    # What the database's own free pages took went to disk; the rest is bounded.
    assert 0 < max(held) <= 8
    ballast.unlink()
    for number in range(11 + HOUR, 21 + HOUR):
        assert way.put([sweep(number, 20, power_w=3000)], at_us(number))
    stored = sweeps(spool)
    (told,) = events(spool, "spool_thinned")
    assert int(told.detail["sweeps"]) == 20 + HOUR - len(stored) > HOUR // 2
    assert at_us(10) < int(told.detail["from_us"]) < int(told.detail["until_us"]) < at_us(11 + HOUR)
    for before, after in pairwise(stored):
        assert after.started_us - before.started_us == after.interval_s * 1_000_000 < GAP_LIMIT_US
    fold = fold_of([packet for _, packet in spool.packets(1, 10_000)], at_us(20 + HOUR))
    assert not any(row.gap_us for rows in rows_by_device(fold) for row in rows)
    spool.close()


def test_what_is_never_thinned_is_on_the_full_disk_at_once(disk: Path, tmp_path: Path) -> None:
    """The reserve: the files as they are, taken away as after a power cut, hold every event."""
    spool = Spool(disk / "spool.db", AUTHOR, 4 * MIB)
    way = intake_of(spool)
    way.put([sweep(1)], at_us(1))
    fill_up(disk)
    number = 1
    while not way.pressure.held:
        number += 1
        way.put([sweep(number)], at_us(number))
        assert number < 500
    for later in range(number + 1, number + 6):
        assert not way.put([event(later), sweep(later)], at_us(later))
    assert way.pressure.held and depth.free_bytes(disk) > 0  # sweeps alone do not spend the reserve
    after = tmp_path / "after"
    after.mkdir()
    for name in ("spool.db", "spool.db-wal"):
        shutil.copy(disk / name, after)
    found = Spool(after / "spool.db", AUTHOR)
    assert [e.at_us for e in events(found, "test")] == [at_us(n) for n in range(number + 1, number + 6)]
    found.close()
    spool.close()


def test_events_are_bounded_where_even_the_reserve_is_gone(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last resort: of inventories the newest of each device, then the newest events; the loss is told."""
    monkeypatch.setattr(intake, "HELD_RECORDS", 10)
    spool = Spool(disk / "spool.db", AUTHOR, 4 * MIB)
    way = intake_of(spool)
    refused = [True]

    def save() -> None:
        if refused[0]:
            raise OSError(errno.ENOSPC, "no space left on device")

    way = Intake(spool, LEVELS, INTERVAL_S, save)
    for number in range(1, 21):
        inventory = wire.Inventory(at_us(number), bytes([number % 2] * 16), "10.0.0.1", "antminer")
        assert not way.put([inventory, event(number)], at_us(number), roster_changed=True)
    assert way.pressure.held == 10
    refused[0] = False
    assert way.put([], at_us(21))
    kept = [r.at_us for r in records(spool) if isinstance(r, wire.Inventory)]
    assert kept == [] or kept == [at_us(19), at_us(20)]
    assert events(spool, "test")[-1] == event(20)
    (told,) = events(spool, "spool_thinned")
    assert int(told.detail["records"]) == 30
    spool.close()


def test_no_batch_names_a_device_that_the_roster_does_not_hold_yet(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", AUTHOR)
    saved: list[int] = []
    failing = [True]

    def save() -> None:
        if failing[0]:
            raise OSError(errno.ENOSPC, "no space left on device")
        saved.append(spool.depth().last_seq)

    way = Intake(spool, LEVELS, INTERVAL_S, save)
    assert not way.put([event(1)], at_us(1), roster_changed=True)
    assert not way.put([event(2)], at_us(2))
    assert spool.depth().last_seq == 0
    failing[0] = False
    assert way.put([event(3)], at_us(3))
    assert saved == [0] and [e.at_us for e in events(spool, "test")] == [at_us(n) for n in (1, 2, 3)]
    spool.close()


@given(st.lists(st.integers(1, 10), min_size=1, max_size=40), st.integers(1, 40))
def test_thinning_keeps_every_second_in_some_interval(gaps: list[int], keep: int) -> None:
    """The last sweep stays, each that stays says how long it stands for, and order is kept."""
    starts = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    all_sweeps = [wire.Sweep(start, gap, b"", {}) for start, gap in zip(starts, gaps, strict=True)]
    kept, gone = thin([*all_sweeps, wire.Event(1, "test")], keep)
    left = [record for record in kept if isinstance(record, wire.Sweep)]
    assert len(left) == min(len(gaps), keep) and len(left) + len(gone) == len(gaps)
    assert left[-1].started_us == starts[-1] and len(kept) == len(left) + 1
    ends = [0, *(record.started_us for record in left)]
    assert [after - before for before, after in pairwise(ends)] == [record.interval_s for record in left]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_a_level_is_left_only_well_below_where_it_was_entered(fills: list[float]) -> None:
    level = 0
    for fill in fills:
        before, level = level, LEVELS.climb(level, fill)
        assert LEVELS.climb(level, fill) == level
        if level > before:
            assert fill >= LEVELS.up[level - 1]
        elif level < before:
            assert fill < LEVELS.up[before - 1] - min(HYSTERESIS, 1 - LEVELS.up[before - 1]) / 2
    assert LEVELS.climb(LEVELS.climb(0, 1.0), 0.0) == 0


@given(st.integers(1, 3600), st.integers(0, len(LEVELS.up)))
def test_two_stored_sweeps_are_never_further_apart_than_the_ledger_bridges(
    interval_s: int, level: int
) -> None:
    stride = LEVELS.stride(level, interval_s)
    assert 1 <= stride <= 1 << MAX_STEPS
    assert stride == 1 or 2 * stride * interval_s * 1_000_000 <= GAP_LIMIT_US
    assert STRIDE_LIMIT_S * 2_000_000 <= GAP_LIMIT_US


def confirm_all_but_last(spool: Spool) -> None:
    last_seq = spool.depth().last_seq
    if last_seq > 1:
        ((seq, packet),) = spool.packets(last_seq - 1, 1)
        assert spool.acknowledge(seq, wire.open_packet(packet).hash)
