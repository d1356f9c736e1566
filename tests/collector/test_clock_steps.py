"""A clock that was wrong and is set right makes no energy and loses none."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire import Event, Record
from collector.ledger import tables
from collector.ledger.profile import SiteLedger
from collector.ledger.quantities import CAUSES, ENERGY, GAP_WH, GAPS, SAMPLES
from collector.ledger.tables import load
from collector.store import Store
from tests.collector.databases import ledger_url
from tests.collector.support import ORG, SITE, T0, A, Agent, B, S, failed, ledger_of, one

pytestmark = pytest.mark.usefixtures("both_stores")

STEP_S = 30
LATER_US = T0 + 2 * 86_400 * S
POWER_W = 3600  # 1 Wh a second


def step(at_s: float, by_s: float, since_s: float, misdated: str = "true") -> Event:
    """The event at `at_s` of the clock as it is after it."""
    at_us = T0 + round(at_s * S)
    detail = {
        "old_us": str(at_us - round(by_s * S)), "new_us": str(at_us), "step_us": str(round(by_s * S)),
        "since_us": str(T0 + round(since_s * S)), "misdated": misdated, "source": "kernel-sync",
    }  # fmt: skip
    return Event(at_us, "clock_step", detail=detail)


class Rows:
    """What the ledger tells of a device's first days, by half-hour."""

    def __init__(self, packets: list[bytes], device: bytes = A) -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = ledger_of(Path(folder), packets, LATER_US)
            with store.read() as connection:
                site = SiteLedger(connection, ORG, SITE)
                place = load(connection, ORG).sites[SITE].places[device]
                self.columns = site.profile(place, T0, LATER_US).columns
            store.close()

    @property
    def wh(self) -> list[int]:
        return [int(wh) for wh in self.columns[ENERGY].sum(axis=0)]

    @property
    def gap_s(self) -> dict[str, int]:
        sums = zip(CAUSES, self.columns[GAPS].sum(axis=1).tolist(), strict=True)
        return {cause: us // S for cause, us in sums if us}


def rows_of(records: list[Record]) -> Rows:
    return Rows([Agent().batch(*records, created_us=T0)])


@settings(max_examples=40)
@given(st.integers(-36_000, 36_000), st.integers(1, 300), st.integers(1, 300))
def test_energy_is_that_of_the_time_that_passed(by_s: int, before: int, after: int) -> None:
    began_s = 40_000
    ends_s = began_s + before * STEP_S
    records: list[Record] = [one(began_s + n * STEP_S, POWER_W) for n in range(before + 1)]
    records.append(step(ends_s + 10 + by_s, by_s, began_s))
    records += [one(ends_s + by_s + n * STEP_S, POWER_W) for n in range(1, after + 1)]
    rows = rows_of(records)
    assert sum(rows.wh) == (before + after) * STEP_S
    assert not rows.gap_s and not rows.columns[GAP_WH].any()
    assert rows.columns[SAMPLES].sum() == before + 1 + after


def test_what_comes_after_a_step_lies_where_it_is_dated_now() -> None:
    hour = [one(36_000 + n * STEP_S, POWER_W) for n in range(121)]
    later = [one(36_000 + n * STEP_S, POWER_W) for n in range(1, 121)]
    rows = rows_of([*hour, step(36_010, -3600, 36_000), *later])
    assert {n: wh for n, wh in enumerate(rows.wh) if wh} == {20: 3600, 21: 3600}


def test_a_step_of_the_right_time_is_a_gap_with_its_cause() -> None:
    records = [one(0, POWER_W), one(30, POWER_W), step(7230, 7170, 0, "false"), one(7260, POWER_W)]
    rows = rows_of(records)
    assert sum(rows.wh) == 30
    assert rows.gap_s == {"clock": 7230}


def test_only_what_this_agent_dated_in_that_time_is_moved() -> None:
    """B was read by another box, whose clock was right; A's gap began before the wrong clock was set."""
    other = Agent(name="box-2", key=Agent().key)
    first = Agent()
    packets = [
        other.batch(one(1000, POWER_W, B)),
        first.batch(one(1000, POWER_W, A), step(8600, 3600, 4000), created_us=T0 + 9000 * S),
        other.batch(one(1030, POWER_W, B), created_us=T0 + 9000 * S),
        first.batch(one(8630, POWER_W, A), created_us=T0 + 9000 * S),
    ]
    assert sum(Rows(packets, B).wh) == 30
    assert sum(Rows(packets).gap_s.values()) == 7630


@pytest.mark.parametrize(
    "detail",
    [
        {},
        {"misdated": "true", "since_us": "x", "old_us": "1", "step_us": "1"},
        {"misdated": "true", "since_us": "0", "old_us": str(10**30), "step_us": str(-(10**30))},
        {"misdated": "true", "since_us": str(T0), "old_us": str(T0 + S), "step_us": str(2**62)},
    ],
)
def test_a_step_that_cannot_be_moves_nothing(detail: dict[str, str]) -> None:
    records: list[Record] = [one(0, POWER_W), Event(T0 + S, "clock_step", detail=detail), one(30, POWER_W)]
    assert sum(rows_of(records).wh) == 30


def test_a_silent_device_keeps_its_gap_over_a_step() -> None:
    records = [
        one(0, POWER_W),
        failed(60),
        failed(120),
        step(3730, 3600, 0),
        failed(3780),
        one(3840, POWER_W),
    ]
    assert sum(rows_of(records).gap_s.values()) == 240


def test_a_rebuild_is_equal(tmp_path: Path) -> None:
    agent = Agent()
    before = [one(36_000 + n * STEP_S, POWER_W) for n in range(121)]
    after = [one(36_000 + n * STEP_S, POWER_W) for n in range(1, 121)]
    at_us = T0 + 86_000 * S
    packets = [
        agent.batch(record, created_us=at_us) for record in (*before, step(36_010, -3600, 36_000), *after)
    ]
    ledger = ledger_of(tmp_path, packets, at_us)
    again = Store.open(ledger_url(tmp_path / "again.sqlite3"))
    tables.catch_up(again, ORG, tmp_path / "journal")
    assert tables.contents(again) == tables.contents(ledger)
