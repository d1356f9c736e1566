"""Whatever a meter was read at: its half-hours tile, its sums are exact, its bounds hold the truth."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire import Meter, RegisterReading, Registers
from collector.journal import Journal
from collector.ledger import tables
from collector.ledger.deductions import derive
from collector.ledger.meter_entries import MeterEntry
from collector.ledger.quantities import HALF_HOUR_US
from collector.ledger.registers import History, RegisterRow
from collector.ledger.sequence import ClockStep
from collector.store import Store
from tests.collector.databases import ledger_url
from tests.collector.meter_model import HOUR_US, MW_US_PER_WH, Load, Register, registered, rows
from tests.collector.support import ORG, T0, Agent, S, key_of

pytestmark = pytest.mark.usefixtures("both_stores")

KW = 1_000_000
HOURS = 12
END_US = T0 + HOURS * HOUR_US

# Nothing befalls these meters but gaps: the load is switched at will, between a tenth and the whole of it.
loads = st.lists(
    st.tuples(st.integers(0, HOURS * 3600 - 1), st.integers(10 * KW, 100 * KW)), min_size=1, max_size=8
).map(lambda steps: Load([(T0, steps[0][1]), *((T0 + s * S, mw) for s, mw in sorted(dict(steps).items()))]))
instants = st.lists(st.integers(0, HOURS * 3600_000), min_size=2, max_size=300, unique=True).map(
    lambda ms: [T0 + n * 1000 for n in sorted(ms)]
)
cuts = st.lists(st.integers(-3600_000, (HOURS + 1) * 3600_000), max_size=20, unique=True).map(
    lambda ms: np.array([T0 - HOUR_US, *(T0 + n * 1000 for n in sorted(ms)), END_US + HOUR_US])
)


def described(step_wh: int, modulus_wh: int | None) -> list[Meter]:
    return [Meter(T0, "main", "modbus", "x", step_wh=step_wh, modulus_wh=modulus_wh)]


def of(load: Load, times: list[int], step_wh: int = 1, start_wh: int = 0, told: bool = False) -> History:
    meter = Register(load, step_wh=step_wh, modulus_wh=10**7, start_wh=start_wh, tells_power=told)
    return derive(registered(rows(meter.read, times)), described(step_wh, 10**7))


@settings(max_examples=150, deadline=None)
@given(loads, instants, cuts, st.sampled_from([1, 10, 1000]), st.integers(0, 10**4 - 1), st.booleans())
def test_bounds_hold_the_truth_and_sums_are_exact(
    load: Load, times: list[int], edges: np.ndarray, step_wh: int, start: int, told: bool
) -> None:
    history = of(load, times, step_wh, start * 1000, told)
    profile, whole = history.profile(edges), history.profile(edges[[0, -1]])
    first_us, last_us = times[0], times[-1]
    for n, (a, b) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        used = load.used(max(a, first_us), max(b, first_us))
        assert int(profile.low_wh[n]) * MW_US_PER_WH <= used
        if b <= last_us:
            assert used <= int(profile.high_wh[n]) * MW_US_PER_WH
        assert profile.low_wh[n] <= profile.import_wh[n] <= profile.high_wh[n]
    for column in ("import_wh", "export_wh", "read_us", "gap_us"):
        assert int(getattr(profile, column).sum()) == int(getattr(whole, column)[0])
    assert (profile.read_us + profile.gap_us == np.diff(edges)).all()
    assert (profile.read_us >= 0).all()
    assert (profile.gap_us >= 0).all()
    # All that the register counted is there, to the Wh, whatever was not read between.
    meter = Register(load, step_wh=step_wh, start_wh=start * 1000)
    counted = [meter.read(at_us).import_wh or 0 for at_us in (first_us, last_us)]
    assert int(whole.import_wh[0]) == counted[1] - counted[0]


@settings(max_examples=60, deadline=None)
@given(loads, instants, st.data())
def test_bounds_of_a_longer_time_are_no_wider_than_its_cells(
    load: Load, times: list[int], data: st.DataObject
) -> None:
    history = of(load, times)
    edges = np.arange(T0, END_US + 1, HALF_HOUR_US)
    cells = history.profile(edges)
    a = data.draw(st.integers(0, edges.size - 2))
    b = data.draw(st.integers(a + 1, edges.size - 1))
    whole = history.profile(edges[[a, b]])
    assert int(whole.low_wh[0]) >= int(cells.low_wh[a:b].sum())
    assert int(whole.high_wh[0]) <= int(cells.high_wh[a:b].sum())


@settings(max_examples=60, deadline=None)
@given(loads, st.integers(1, 3600), st.integers(-5000, 5000).filter(bool), st.integers(60, 300))
def test_a_misdated_stretch_is_moved_to_where_it_was(
    load: Load, from_s: int, step_s: int, length: int
) -> None:
    """An agent's clock is wrong by a step for a while; the event that corrects it tells by how much."""
    times = list(range(T0, END_US, 60 * S))
    first = from_s // 60
    wrong = range(first, first + length)
    readings = rows(Register(load).read, times)
    dated = [
        row._replace(at_us=row.at_us - step_s * S) if n in wrong else row for n, row in enumerate(readings)
    ]
    step = ClockStep(
        "box-1", readings[wrong[-1]].seq, 1, dated[wrong[0]].at_us, dated[wrong[-1]].at_us, step_s * S
    )
    # What else lies in the misdated time was told before it was misdated, and must be told apart by itself.
    clear = [n for n in range(first) if step.since_us <= dated[n].at_us <= step.old_us]
    if clear:
        return
    edges = np.arange(T0, END_US + 1, HALF_HOUR_US)
    right = derive(registered(readings), described(1, None)).profile(edges)
    moved = derive(registered(dated), described(1, None), (), [step]).profile(edges)
    for column in ("import_wh", "low_wh", "high_wh", "read_us", "gap_us"):
        assert (getattr(right, column) == getattr(moved, column)).all()


@settings(max_examples=60, deadline=None)
@given(loads, st.integers(-5000, 5000).filter(bool), st.integers(100, 600), st.integers(1, 10))
def test_misdated_readings_that_nobody_explains_cost_no_energy(
    load: Load, step_s: int, first: int, length: int
) -> None:
    times = list(range(T0, END_US + 1, 60 * S))
    readings = rows(Register(load).read, times)
    for n in range(first + 1, min(first + 1 + length, len(readings) - 1)):
        readings[n] = readings[n]._replace(at_us=readings[n].at_us + step_s * S)
    history = derive(registered(readings), described(1, None))
    total = int(history.profile(np.array([T0, END_US + 5000 * S])).import_wh[0])
    assert total == load.used(T0, END_US) // MW_US_PER_WH


junk = st.builds(
    lambda at_ms, seq, agent, interval_s, wh, export_wh, power_mw, problem: RegisterRow(
        T0 + at_ms * 1000, seq, agent, interval_s, False,
        RegisterReading("main", 0, wh, export_wh, power_mw, problem),
    ),
    st.integers(0, HOURS * 3600_000), st.integers(1, 9), st.sampled_from(["box-1", "box-2"]),
    st.integers(-5, 10**9), st.none() | st.integers(0, 2000) | st.integers(-(2**63), 2**64 - 1),
    st.none() | st.integers(0, 50) | st.integers(-(2**63), 2**64 - 1),
    st.none() | st.integers(-(2**63), 2**64 - 1), st.sampled_from(["", "timeout: 1 s", "a", ":"]),
)  # fmt: skip
answers = st.builds(
    lambda kind, at_ms, wh, more, event: MeterEntry(
        site="north", meter="main", kind=kind, at_us=T0 + at_ms * 1000, entered_us=T0, by="a", why="b",
        import_wh=wh, end_import_wh=wh, start_import_wh=more, event=event,
    ),
    st.sampled_from(["read", "replaced", "confirm", "correct"]), st.integers(0, HOURS * 3600_000),
    st.none() | st.integers(0, 10**15), st.none() | st.integers(0, 10**15),
    st.none() | st.sampled_from(["reset@2026-10-01T00:00:00Z", "jump@2026-10-01T00:00:01Z"]),
)  # fmt: skip
sayings = st.builds(
    lambda at_ms, serial, ratio, step, modulus: Meter(
        T0 + at_ms * 1000, "main", "modbus", "x", serial=serial, ct_ratio=ratio, step_wh=step,
        modulus_wh=modulus,
    ),
    st.integers(0, HOURS * 3600_000), st.sampled_from([None, "1", "2"]), st.sampled_from(["1", "80"]),
    st.none() | st.integers(-5, 10**4) | st.integers(-(2**63), 2**64 - 1),
    st.none() | st.integers(-5, 10**4) | st.integers(-(2**63), 2**64 - 1),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(junk, max_size=40), st.lists(sayings, max_size=3), st.lists(answers, max_size=4), cuts)
def test_no_reading_and_no_word_stops_the_derivation(
    readings: list[RegisterRow], told: list[Meter], said: list[MeterEntry], edges: np.ndarray
) -> None:
    told.sort(key=lambda meter: meter.at_us)
    history = derive(registered(readings), told, said)
    profile, whole = history.profile(edges), history.profile(edges[[0, -1]])
    assert (profile.low_wh >= 0).all()
    assert (profile.low_wh <= profile.import_wh).all()
    assert (profile.import_wh <= profile.high_wh).all()
    assert (profile.read_us + profile.gap_us == np.diff(edges)).all()
    assert (profile.read_us >= 0).all()
    assert (profile.gap_us >= sum(profile.gap_by_cause_us.values(), np.zeros(1, np.int64))).all()
    assert int(profile.import_wh.sum()) == int(whole.import_wh[0])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["north", "south"]), min_size=2, max_size=8), loads)
def test_the_order_in_which_sites_arrive_does_not_matter(order: list[str], load: Load) -> None:
    def stored(sites: list[str]) -> object:
        agents = {name: Agent(site=name, key=key_of(n)) for n, name in enumerate(("north", "south"))}
        told = dict.fromkeys(agents, 0)
        packets = []
        for name in sites:
            at_us = T0 + told[name] * 60 * S
            told[name] += 1
            packets.append(
                agents[name].batch(Registers(at_us, 60, [Register(load).read(at_us)]), created_us=at_us)
            )
        with tempfile.TemporaryDirectory() as folder:
            journal = Journal(Path(folder) / "journal")
            journal.append([(T0 + HOUR_US, packet) for packet in packets])
            journal.close()
            store = Store.open(ledger_url(Path(folder) / "ledger.sqlite3"))
            tables.catch_up(store, ORG, Path(folder) / "journal")
            found = tables.contents(store)["meter_day"]
            store.close()
        return found

    assert stored(order) == stored(sorted(order))
