"""Meters in the ledger: what is stored of them, and that it is the same however it came."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire import Meter, Record, RegisterReading, Registers
from collector.journal import Journal
from collector.ledger import meterdays, meters, tables
from collector.ledger.quantities import DAY_US, HALF_HOUR_US
from collector.ledger.registers import NO_POWER, UNREAD
from collector.store import Store
from tests.collector.databases import ledger_url
from tests.collector.support import ORG, SITE, T0, Agent, S, ledger_of
from tests.collector.test_clock_steps import step

pytestmark = pytest.mark.usefixtures("both_stores")

MINUTE_US = 60 * S


def minutes(count: int, power_w: int = 6000, meter: str = "main", first: int = 0) -> list[Record]:
    """A reading a minute of a meter with a constant load, beginning 1 Wh short of a UTC day."""
    return [
        Registers(
            T0 + n * MINUTE_US, 60,
            [RegisterReading(meter, 250, 10**6 + n * power_w // 60, 0, power_w * 1000)],
        )
        for n in range(first, first + count)
    ]  # fmt: skip


def test_what_a_meter_told_is_stored_to_the_last_reading_and_no_further(tmp_path: Path) -> None:
    records: list[Record] = [
        Meter(T0, "main", "modbus", "10.0.0.5:502/1", make="Acme", serial="77", step_wh=10),
        *minutes(2000),
        Registers(T0 + 2000 * MINUTE_US, 60, [RegisterReading("main", 0, None, problem="timeout: 1.0 s")]),
        Registers(T0 + 2001 * MINUTE_US, 60, [RegisterReading("main", 0, 10**6 + 200_000, None, -5)]),
        Registers(T0 + 2002 * MINUTE_US, 60, [RegisterReading("main", 0, 2**63, -1, 2**62)]),
    ]
    agent = Agent()
    store = ledger_of(tmp_path, [agent.batch(*records, created_us=T0)], T0 + 2 * DAY_US)
    with store.read() as connection:
        found = meterdays.read(connection, ORG, SITE, "main")
        (now,) = meters.meters(connection, ORG, SITE)
    store.close()
    assert found.at_us.size == 2003
    assert found.import_wh[:3].tolist() == [10**6, 10**6 + 100, 10**6 + 200]
    assert found.import_wh[-3:].tolist() == [UNREAD, 10**6 + 200_000, UNREAD]
    assert found.export_wh[-2:].tolist() == [UNREAD, UNREAD]
    assert found.power_mw[-3:].tolist() == [NO_POWER, -5, NO_POWER]
    assert found.problems == ("timeout: 1.0 s",)
    assert (now.meter, now.last_us, now.import_wh) == ("main", T0 + 2001 * MINUTE_US, 10**6 + 200_000)
    assert (now.export_wh, now.power_mw, now.problem) == (None, -5, "timeout: 1.0 s")
    assert now.told is not None
    assert now.told.serial == "77"


def test_half_hours_of_a_constant_load(tmp_path: Path) -> None:
    store = ledger_of(tmp_path, [Agent().batch(*minutes(24 * 60), created_us=T0)], T0 + DAY_US)
    with store.read() as connection:
        profile = meters.meter_profile(connection, ORG, SITE, "main", T0, T0 + DAY_US)
    store.close()
    # 6 kW are 3,000 Wh a half-hour; the first reading is a quarter of a second late, the last a minute early.
    assert profile.import_wh[1:-1].tolist() == [3000] * 46
    assert int(profile.import_wh.sum()) == 1439 * 100
    assert ((profile.low_wh <= 3000) & (profile.high_wh >= 3000))[1:-1].all()
    assert (profile.read_us + profile.gap_us == HALF_HOUR_US).all()
    assert int(profile.gap_us.sum()) == MINUTE_US


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 59), max_size=4, unique=True), st.integers(2, 5))
def test_the_same_rows_however_batches_are_committed(cuts: list[int], group: int) -> None:
    records = [
        record for n in range(30) for record in (*minutes(1, first=n), *minutes(1, meter="b", first=n))
    ]
    edges = [0, *sorted(cuts), len(records)]
    agent = Agent()
    packets = [agent.batch(*records[a:b], created_us=T0) for a, b in pairwise(edges)]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        assert rows(Path(one), packets, group) == rows(Path(other), packets, 1)


def rows(folder: Path, packets: list[bytes], group: int) -> object:
    """The stored readings after folding group by group, each time from what the ledger holds."""
    journal = Journal(folder / "journal")
    for n in range(0, len(packets), group):
        journal.append([(T0, packet) for packet in packets[n : n + group]])
        store = Store.open(ledger_url(folder / "ledger.sqlite3"))
        tables.catch_up(store, ORG, folder / "journal")
        found = tables.contents(store)["meter_day"]
        store.close()
    journal.close()
    return found


def test_what_an_agent_misdated_lies_where_its_clock_step_puts_it(tmp_path: Path) -> None:
    """From the 40th minute to the 80th its clock was an hour ahead; then it told so."""
    records = minutes(120)
    ahead = [
        msgspec.structs.replace(record, at_us=record.at_us + 3600 * S)
        for record in records[40:80]
        if isinstance(record, Registers)
    ]
    told = step(at_s=80 * 60, by_s=-3600, since_s=40 * 60 + 3600)
    day_later_us = T0 + DAY_US
    found = []
    for folder, story in (("a", records), ("b", [*records[:40], *ahead, told, *records[80:]])):
        store = ledger_of(tmp_path / folder, [Agent().batch(*story, created_us=T0)], day_later_us)
        with store.read() as connection:
            history = meters.history(connection, ORG, SITE, "main")
            found.append(meters.meter_profile(connection, ORG, SITE, "main", T0, T0 + 3 * 3600 * S))
        store.close()
        assert history.findings == ()
    right, moved = found
    assert right.import_wh.tolist() == moved.import_wh.tolist()
    assert right.read_us.tolist() == moved.read_us.tolist()
