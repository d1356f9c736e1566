"""The facts of a period: energy with open gaps, receipts, evidence, declarations; read beside a writer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent import wire
from agent.wire import Event, Inventory, Record
from collector import app, config, imports
from collector.config import ConfigError
from collector.facts import period_facts
from collector.journal import Journal
from collector.ledger import tables
from collector.store import Store
from reporting.errors import ReportingError
from reporting.facts import PeriodFacts
from reporting.period import Period
from tests.collector.databases import configured
from tests.collector.support import A_TEXT, AGENT, B_TEXT, ORG, SITE, T0, A, Agent, B, S, failed, sweep

pytestmark = pytest.mark.usefixtures("both_stores")

CONFIG = f"""
[collector]
org = "{ORG}"
state_dir = "state"
[[agent]]
site = "{SITE}"
name = "{AGENT}"
public_key = "{Agent().public_text}"
[site.{SITE}]
name = "North"
country = "ir"
zone = "Asia/Tehran"
devices = "devices.csv"
[site.{SITE}.filer]
kind = "organisation"
name = "Miner LLC"
"""
PERIOD = "2026-10"
OCTOBER = Period.parse(PERIOD, "Asia/Tehran")  # +03:30: its half-hours tile the civil day
START_S = (OCTOBER.start_us - T0) // S
END_S = (OCTOBER.end_us - T0) // S
AFTER_US = OCTOBER.end_us + 5 * 86_400 * S


class Farm:
    """A configured ledger that batches are folded into."""

    def __init__(self, folder: Path) -> None:
        (folder / "devices.csv").write_text(
            "serial,licensed\nsn-a,true\n00-11-22-33-44-55,false\nGONE,true\n"
        )
        self.path = folder / "collector.toml"
        self.path.write_text(configured(folder, CONFIG))
        self.config = config.load(self.path)
        self.agent = Agent()
        self.store = app.open_store(self.config)

    def add(self, at_s: int, *records: Record) -> None:
        journal = Journal(self.config.journal_dir)
        created_us = T0 + at_s * S
        journal.append([(created_us, self.agent.batch(*records, created_us=created_us))])
        journal.close()
        tables.catch_up(self.store, ORG, self.config.journal_dir)

    def facts(self, now_us: int = AFTER_US) -> PeriodFacts:
        return period_facts(self.store, self.config, SITE, PERIOD, now_us)


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


def both(start_s: int, end_s: int, devices: Sequence[bytes] = (A, B)) -> list[Record]:
    return [
        sweep(at, [{"device": device, "power_w": 3600, "uptime_s": 10**7} for device in devices])
        for at in range(start_s, end_s + 1, 60)
    ]


def test_period_is_cut_in_the_sites_zone(farm: Farm) -> None:
    farm.add(START_S, *both(START_S - 7200, START_S - 1800), *both(START_S - 1740, START_S + 3600))
    farm.add(END_S, *both(END_S - 1800, END_S + 1800))
    facts = farm.facts()
    assert (facts.start_us, facts.end_us) == (OCTOBER.start_us, OCTOBER.end_us)
    assert facts.energy.energy_wh == 2 * (3600 + 1800)
    assert facts.energy.energy_by_origin_wh == {"psu_measured": 10_800}
    assert (facts.energy.peak_wh, facts.energy.peak_us) == (3600, OCTOBER.start_us)
    assert facts.energy.energy_low_wh == facts.energy.energy_wh < facts.energy.energy_high_wh
    for device in facts.devices:
        assert device.covered_s == 5400
        assert device.covered_s + device.gap_s == END_S - START_S
    assert facts.covered_until_us == OCTOBER.end_us
    assert not facts.synthetic
    assert facts.software.startswith("hashledger")
    assert facts.tzdata


def test_open_gap_runs_to_the_end_of_the_period(farm: Farm) -> None:
    end = START_S + 3600
    farm.add(end, *both(START_S, end), failed(end + 60, A), Event(T0 + (end + 90) * S, "device_vanished", A))
    device = next(device for device in farm.facts().devices if device.device == A_TEXT)
    gap_s = END_S - end
    assert device.energy_wh == 3600
    assert device.gap_s == gap_s
    assert device.energy_high_wh == 3600 + -(-3960 * gap_s // 3600)
    assert any(A_TEXT in note and "vanished" in note for note in farm.facts().notes)
    # Once it is back, the same time stands in the ledger with the same bounds.
    farm.add(END_S + 60, *both(END_S + 60, END_S + 60))
    again = next(device for device in farm.facts().devices if device.device == A_TEXT)
    assert (again.gap_s, again.energy_wh) == (gap_s, 3600)
    assert abs(again.energy_high_wh - device.energy_high_wh) <= 1


def test_open_gap_of_a_running_period_ends_where_the_ledger_does(farm: Farm) -> None:
    end = START_S + 3600
    farm.add(end + 60, *both(START_S, end))
    facts = farm.facts(now_us=T0 + (end + 7200) * S)
    assert {device.gap_s for device in facts.devices} == {0}  # the next reading may bridge it
    assert facts.notes[0].startswith("the period is not over")
    farm.add(end + 3600, failed(end + 3600))
    facts = farm.facts(now_us=T0 + (end + 7200) * S)
    assert {device.gap_s for device in facts.devices} == {3600}
    assert facts.covered_until_us == T0 + (end + 3600) * S


def test_replaced_device_has_no_open_gap(farm: Farm) -> None:
    end = START_S + 3600
    replaced = Event(T0 + (end + 600) * S, "device_replaced", A)
    farm.add(end + 600, *both(START_S, end, [A]), replaced, *both(end + 600, end + 1200, [B]))
    gaps = {device.device: device.gap_s for device in farm.facts().devices}
    assert gaps == {A_TEXT: 600, B_TEXT: END_S - (end + 1200)}


def test_nothing_before_the_first_reading_and_nothing_of_later_devices(farm: Farm) -> None:
    farm.add(END_S, *both(END_S - 3600, END_S, [A]), *both(END_S + 60, END_S + 600, [B]))
    (device,) = farm.facts().devices
    assert (device.covered_s, device.gap_s) == (3600, 0)


def test_declarations_by_serial_or_mac(farm: Farm) -> None:
    at_us = OCTOBER.start_us
    farm.add(
        START_S,
        Inventory(at_us, A, "10.0.0.1", "antminer", serial="SN-A", mac="00:11:22:33:44:56"),
        Inventory(at_us, B, "10.0.0.2", "whatsminer", mac="00:11:22:33:44:55"),
        *both(START_S, START_S + 60),
    )
    declared = {device.device: device.declared for device in farm.facts().devices}
    assert declared[A_TEXT] is not None
    assert declared[A_TEXT].licensed is True
    assert declared[B_TEXT] is not None
    assert declared[B_TEXT].licensed is False
    assert any("GONE" in note for note in farm.facts().notes)


def test_receipts_and_synthetic(farm: Farm, tmp_path: Path) -> None:
    farm.add(START_S, *both(START_S, START_S + 60))
    statement = tmp_path / "s.csv"
    statement.write_text(
        "external_id,received_at,coin,amount,address,address_kind,pool,network,txid\n"
        "e0,2026-09-30T23:59:59+03:30,BTC,1,acc,pool_account,,,\n"
        "e1,2026-10-01T00:00:00+03:30,BTC,2,acc,pool_account,Pool,,\n"
        "e2,2026-11-01T00:00:00+03:30,BTC,3,acc,pool_account,,,\n"
    )
    imports.import_statement(
        farm.store, ORG, farm.config.statements_dir,
        site=SITE, source="pool", path=statement, synthetic=True, now_us=AFTER_US,
    )  # fmt: skip
    facts = farm.facts()
    assert [(receipt.external_id, receipt.amount, receipt.pool) for receipt in facts.receipts] == [
        ("e1", 200_000_000, "Pool")
    ]
    assert facts.synthetic


def test_synthetic_batches_make_the_whole_simulated(farm: Farm) -> None:
    farm.agent.synthetic = True
    farm.add(START_S, *both(START_S, START_S + 60))
    assert farm.facts().synthetic


def test_evidence_spans_the_period(farm: Farm) -> None:
    for at in (START_S - 600, START_S - 60, START_S + 60, END_S - 60, END_S + 60, END_S + 600):
        farm.add(at, *both(at, at))
    (evidence,) = farm.facts().evidence
    assert (evidence.agent, evidence.first_seq, evidence.last_seq) == (AGENT, 2, 5)
    journal = Journal(farm.config.journal_dir)
    hashes = [wire.open_packet(entry.packet).hash.hex() for entry in journal.read()]
    journal.close()
    assert evidence.last_hash == hashes[4]


def test_read_while_a_writer_is_open(farm: Farm) -> None:
    farm.add(START_S, *both(START_S, START_S + 3600))
    before = farm.facts()
    with farm.store.write() as connection:
        connection.exec_driver_sql("DELETE FROM fold_state")
        connection.exec_driver_sql("DELETE FROM interval")
        other = Store.open(str(farm.store.engine.url))
        assert period_facts(other, farm.config, SITE, PERIOD, AFTER_US) == before
        connection.rollback()
    assert app.load_facts(farm.path, SITE, PERIOD).energy == before.energy


def test_mistakes_of_the_asker(farm: Farm) -> None:
    with pytest.raises(ConfigError, match=r"no section \[site.south\]"):
        period_facts(farm.store, farm.config, "south", PERIOD, AFTER_US)
    with pytest.raises(ReportingError):
        period_facts(farm.store, farm.config, SITE, "2026-13", AFTER_US)
