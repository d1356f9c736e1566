"""The commands and the metrics, without a broker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from collector import app
from collector.cli import collector
from collector.export import metrics, prometheus
from collector.ingest import Counters
from collector.journal import Journal
from collector.ledger import tables
from collector.overview import overview
from collector.sample import SAMPLE
from collector.store import schema
from tests.collector.databases import configured
from tests.collector.support import ORG, SITE, T0, A, Agent, B, S, sweep
from tests.collector.test_facts import CONFIG

pytestmark = pytest.mark.usefixtures("both_stores")


def call(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(collector, [*words, "--config", str(folder / "collector.toml")])


def test_init_writes_a_sample_that_check_accepts(tmp_path: Path) -> None:
    assert call(tmp_path, "init").exit_code == 0
    assert (tmp_path / "collector.toml").read_text() == SAMPLE
    assert call(tmp_path, "check").exit_code == 0
    again = call(tmp_path, "init")
    assert again.exit_code == 2
    assert "neither is overwritten" in again.output
    key = tmp_path / "collector-state" / "collector.key"
    assert key.stat().st_mode & 0o777 == 0o600


def test_check_tells_every_mistake_and_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "collector.toml").write_text('[collector]\norg = "A"\n[site.x]\nzone = "y"\n')
    result = call(tmp_path, "check")
    assert result.exit_code == 2
    assert [line.split(": ")[1] for line in result.output.splitlines()] == [
        "collector.org", "collector.state_dir", "site.x.name", "site.x.country", "site.x.zone",
    ]  # fmt: skip


def write_config(folder: Path) -> None:
    (folder / "collector.toml").write_text(configured(folder, CONFIG))
    (folder / "devices.csv").write_text("serial\n")


def fill(folder: Path) -> None:
    write_config(folder)
    now_us = app.now_us()
    at_s = (now_us - T0) // S - 60
    agent = Agent()
    readings = [{"device": device, "power_w": 3000, "hashrate_hs": 1e14} for device in (A, B)]
    journal = Journal(folder / "state" / "journal")
    packet = agent.batch(*(sweep(at_s + n, readings) for n in (0, 30, 60)), created_us=now_us)
    journal.append([(now_us, packet), (now_us, agent.batch(payload=b"?", created_us=now_us))])
    journal.close()


def test_status_import_and_rebuild(tmp_path: Path) -> None:
    fill(tmp_path)
    assert call(tmp_path, "rebuild").exit_code == 0
    statement = tmp_path / "s.csv"
    statement.write_text(
        "external_id,received_at,coin,amount,address,address_kind,pool,network,txid\n"
        "e1,2026-10-01T00:00:00+03:30,BTC,2,acc,pool_account,Pool,,\n"
    )
    words = ("import", str(statement), "--site", SITE, "--source", "pool")
    assert "1 new, 0 known" in call(tmp_path, *words).output
    assert "0 new, 1 known" in call(tmp_path, *words).output
    statement.write_text("nonsense\n")
    refused = call(tmp_path, *words)
    assert (refused.exit_code, "rejected, nothing was imported" in refused.output) == (2, True)
    assert call(tmp_path, "import", str(statement), "--site", "south", "--source", "pool").exit_code == 2
    assert "1 coin_entry" in call(tmp_path, "rebuild").output

    status = json.loads(call(tmp_path, "status", "--json").output)
    assert status["agents"][0]["last_seq"] == 2
    (site,) = status["sites"]
    assert (site["devices"], site["power_w"], site["energy_wh"]) == ({"mining": 2}, 6000, 100)
    assert status["set_aside"][0]["reason"] == "unused"
    assert status["journal_bytes"] > 0
    assert "Agents" in call(tmp_path, "status").output


def test_newer_ledger_is_refused(tmp_path: Path) -> None:
    write_config(tmp_path)
    assert call(tmp_path, "status").exit_code == 0
    store = app.open_store(app.config.load(tmp_path / "collector.toml"))
    with store.write() as connection:
        connection.execute(update(schema.schema_version).values(version=99))
    result = call(tmp_path, "status")
    assert result.exit_code == 2
    assert "schema version 99" in result.output
    assert "newer program" in result.output


def test_rebuild_beside_a_running_collector_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    journal = Journal(tmp_path / "state" / "journal")
    result = call(tmp_path, "rebuild")
    journal.close()
    assert result.exit_code == 1
    assert "in use" in result.output


def test_every_sample_is_in_the_table_of_metrics(tmp_path: Path) -> None:
    fill(tmp_path)
    store = app.open_store(app.config.load(tmp_path / "collector.toml"))
    tables.catch_up(store, ORG, tmp_path / "state" / "journal")
    view = overview(store, ORG, app.now_us())
    found = list(
        prometheus.samples(
            view, prometheus.Process(Counters(), True, {(SITE, "x"): b"dead"}, 1, 2), per_device=True
        )
    )
    assert {metric for metric, _, _ in found} <= set(metrics.METRICS)
    values = {(metric.name, labels): value for metric, labels, value in found}
    assert values["hashledger_site_power_watts", (SITE,)] == 6000
    assert values["hashledger_site_hashrate_hashes_per_second", (SITE,)] == 2e14
    assert values["hashledger_site_energy_watt_hours_total", (SITE, "psu_measured")] == 100
    for metric, labels, _ in found:
        assert len(labels) == len(metric.labels)
    late = overview(store, ORG, app.now_us() + 10**10)
    assert late.sites[SITE].devices == {"silent": 2}
    assert late.sites[SITE].power_w == 0


def test_names_of_metrics_end_with_their_unit() -> None:
    for metric in metrics.METRICS:
        assert metric.name.endswith("_total") == (metric.type == "counter")
    assert len({metric.name for metric in metrics.METRICS}) == len(metrics.METRICS)


def test_status_of_an_empty_ledger(tmp_path: Path) -> None:
    write_config(tmp_path)
    assert json.loads(call(tmp_path, "status", "--json").output)["agents"] == []
