"""The fold: the same rows however batches are cut, committed or folded anew."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent import wire
from agent.wire import Event, FailedPoll, Inventory, PoolUse, Record, Sweep
from collector.journal import Journal
from collector.ledger import tables
from collector.ledger.profile import SiteLedger
from collector.store import Store, schema
from tests.collector.databases import ledger_url
from tests.collector.support import (
    A_TEXT,
    ORG,
    SITE,
    T0,
    A,
    Agent,
    B,
    S,
    device_rows,
    failed,
    fold_of,
    ledger_of,
    one,
    sweep,
)

pytestmark = pytest.mark.usefixtures("both_stores")

C = UUID(int=3).bytes
DAY_S = 86_400


def story() -> list[Record]:
    """Two devices over three hours: a restart, a gap, a reading without power, a change of firmware.

    A third comes when half-hours of the same day are closed already.
    """
    records: list[Record] = [
        Inventory(
            T0, A, "10.0.0.1", "antminer", model="S21", serial="X1", firmware="1.0", nameplate_w=3500.0
        ),
        Event(T0, "device_appeared", A),
    ]
    for at in range(0, 10_800, 30):
        readings = [{"device": A, "power_w": 3400 + at % 77, "hashrate_hs": 2e14 + at, "uptime_s": at + 50}]
        if not 4000 < at < 5000:
            power_w = None if at % 900 == 0 else 3100 + at % 31
            uptime_s = at - 4900 if at > 4900 else at
            readings.append({"device": B, "power_w": power_w, "delay_ms": 333, "uptime_s": uptime_s})
        if at > 7000:
            readings.append({"device": C, "power_w": 1400})
        records.append(sweep(at, readings))
        if 4000 < at < 5000:
            records.append(failed(at, B))
        if at == 6000:
            records.append(Inventory(T0 + at * S, A, "10.0.0.9", "antminer", model="S21", firmware="1.1"))
    return records


def batches(records: list[Record], cuts: list[int]) -> list[bytes]:
    agent = Agent()
    edges = [0, *sorted(cuts), len(records)]
    return [agent.batch(*records[a:b], created_us=T0) for a, b in pairwise(edges)]


def energy_rows(folder: Path, packets: list[bytes], group: int) -> dict[str, object]:
    """The ledger after folding group by group, each time from what the ledger holds (as after a crash)."""
    journal = Journal(folder / "journal")
    url = ledger_url(folder / "ledger.sqlite3")
    for n in range(0, len(packets), group):
        journal.append([(T0, packet) for packet in packets[n : n + group]])
        store = Store.open(url)
        tables.catch_up(store, ORG, folder / "journal")
        with store.read() as connection:
            SiteLedger(connection, ORG, SITE).site_profile(T0, T0 + DAY_S * S)
        store.close()
    journal.close()
    store = Store.open(url)
    content = tables.contents(store)
    store.close()
    return {name: content[name] for name in ("interval", "day_sum", "absence", "fold_state", "device")}


@settings(max_examples=12)
@given(st.lists(st.integers(0, 400), max_size=8), st.integers(1, 4))
@example([240], 1)  # cut between what was closed of the first two and the third
def test_any_partition_gives_the_same_rows(cuts: list[int], group: int) -> None:
    records = story()
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        whole = energy_rows(Path(a), batches(records, []), 1)
        cut = energy_rows(Path(b), batches(records, [min(n, len(records)) for n in cuts]), group)
    assert cut == whole


def test_rebuild_gives_equal_rows(tmp_path: Path) -> None:
    packets = batches(story(), [3, 50, 51, 200, 300])
    agent = Agent(seq=6, prev=wire.open_packet(packets[-1]).hash)
    packets += [agent.batch(payload=b"no payload"), agent.batch(one(20_000, 1000))]
    ledger = ledger_of(tmp_path, packets)
    again = Store.open(ledger_url(tmp_path / "again.sqlite3"))
    tables.catch_up(again, ORG, tmp_path / "journal")
    assert tables.contents(again) == tables.contents(ledger)
    assert tables.contents(again)["interval"]
    problems = [row.problem for row in tables.contents(again)["batch"] if row.problem]
    assert len(problems) == 1
    assert problems[0].startswith("payload:")


def test_batch_rows_lead_to_the_signed_bytes(tmp_path: Path) -> None:
    packets = batches(story(), [10, 20])
    store = ledger_of(tmp_path, packets)
    with store.read() as connection:
        rows = list(connection.execute(schema.batch.select().order_by(schema.batch.c.seq)))
    journal = Journal(tmp_path / "journal")
    for row, packet in zip(rows, packets, strict=True):
        entry = next(journal.read(journal.end._replace(segment=row.segment, offset=row.offset)))
        assert entry.packet == packet
        assert wire.open_packet(packet).hash == row.hash
    journal.close()


def test_impossible_created_time_takes_its_place_and_gives_no_rows() -> None:
    agent = Agent()
    packets = [
        agent.batch(one(0, 3600)),
        agent.batch(one(30, 3600), created_us=T0 + 2 * DAY_S * S),
        agent.batch(one(60, 3600), created_us=1),
        agent.batch(one(60, 3600)),
    ]
    fold = fold_of(packets)
    assert fold.streams[SITE, agent.name].last_seq == 4
    problems = [batch["problem"] for batch in fold.changes.batches]
    assert [problem is not None and problem.startswith("impossible time") for problem in problems] == [
        False, True, True, False,
    ]  # fmt: skip
    assert device_rows(fold)[0].low_wh == 60


@pytest.mark.parametrize("far", [2**64 - 1, -(2**63)])
def test_nothing_that_an_agent_says_stops_the_ledger(tmp_path: Path, far: int) -> None:
    agent = Agent()
    odd = one(0, 1000)
    packets = [
        agent.batch(created_us=far, clock_offset_us=far),
        agent.batch(
            Sweep(far, far, odd.devices, odd.columns, [FailedPoll(A, "", far, "?", "")]),
            Sweep(T0, far, odd.devices, odd.columns, [FailedPoll(A, "", far, "?", "")]),
            Sweep(T0, 30, b"", dict.fromkeys(wire.COLUMNS, b"")),
            Event(far, "device_replaced", A),
            Event(T0, "\0", b"odd", {"\0": "\0"}),
            Inventory(far, A, "", ""),
            Inventory(T0, A, "", "", nameplate_w=float("inf"), nameplate_hs=float("nan")),
            Inventory(T0, B, "", "", nameplate_w=-1.0),
            Inventory(T0 + S, B, "", "", nameplate_w=1e300),
            Inventory(T0 + 2 * S, B, "", "", nameplate_w=1e7),
        ),
        agent.batch(one(30, 1000)),
    ]  # fmt: skip
    content = tables.contents(ledger_of(tmp_path, packets))
    assert [row.readings for row in content["batch"]] == [0, 1, 1]
    assert {row.nameplate_w for row in content["device"]} == {None}


def test_register_keeps_history_and_tells_changes(tmp_path: Path) -> None:
    pools = [PoolUse("stratum+tcp://pool:3333", "farm.1", True, None)]
    agent = Agent(synthetic=True)
    first = Inventory(T0, A, "10.0.0.1", "whatsminer", model="M50", firmware="a", pools=pools)
    second = Inventory(T0 + S, A, "10.0.0.2", "whatsminer", model="M50", firmware="b", pools=pools)
    store = ledger_of(tmp_path, [agent.batch(first, second, Inventory(T0, b"odd", "x", "y"))])
    content = tables.contents(store)
    (device,) = content["device"]
    assert (device.device, device.address, device.firmware) == (A_TEXT, "10.0.0.2", "b")
    with store.read() as connection:
        assert SiteLedger(connection, ORG, SITE).now(device.place).synthetic
    assert [row.content["firmware"] for row in content["inventory"]] == ["a", "b"]
    assert [(row.kind, row.detail) for row in content["event"]] == [
        ("device_changed", {"firmware": "a -> b", "address": "10.0.0.1 -> 10.0.0.2"}),
        ("not_a_device", {"record": "inventory"}),
    ]
