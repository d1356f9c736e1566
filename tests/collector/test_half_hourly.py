"""Metrics of meters, the limit and bans: of the last whole civil day, worked out once a half-hour."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.export import metrics as m
from collector.export import prometheus
from collector.half_hourly import HalfHourly
from tests.collector.energy_farm import Farm
from tests.collector.support import SITE, T0, S
from tests.collector.test_metered_cli import DAY, TREE, H, farm_of, read

pytestmark = pytest.mark.usefixtures("both_stores")


def samples(farm: Farm, now_s: int) -> dict[tuple[str, tuple[str, ...]], float]:
    sites = HalfHourly(farm.store, farm.config).sites(T0 + now_s * S)
    found = list(prometheus.outlook_samples(sites))
    assert {metric for metric, _, _ in found} <= set(m.METRICS)
    assert all(len(labels) == len(metric.labels) for metric, labels, _ in found)
    return {(metric.name, labels): float(value) for metric, labels, value in found}


def test_the_last_whole_day_of_every_node_with_a_meter(tmp_path: Path) -> None:
    farm = farm_of(tmp_path)
    farm.run(0, 2 * DAY, [1000, 2000, 3000], every_s=900)
    read(farm, 0, 2 * DAY, every_s=900, main=6600, pdu=3000)
    found = samples(farm, 2 * DAY + H)
    assert found["hashledger_node_overhead_ratio", (SITE, "")] == 1.1
    assert found["hashledger_node_overhead_ratio", (SITE, "rack-a")] == 1.0
    assert found["hashledger_node_reconciled", (SITE, "rack-a", "agree")] == 1
    assert found["hashledger_node_overhead_drift", (SITE, "")] == 0
    assert not any(name == "hashledger_person_limit_watt_hours" for name, _ in found)


def test_a_day_that_nobody_read_is_unseen_and_has_no_ratio(tmp_path: Path) -> None:
    farm = farm_of(tmp_path)
    farm.run(0, H, [1000])
    found = samples(farm, 40 * DAY)
    assert found["hashledger_node_reconciled", (SITE, "", "unseen")] == 1
    assert not any(name == "hashledger_node_overhead_ratio" for name, _ in found)


def test_the_limit_and_the_days_to_a_ban(tmp_path: Path) -> None:
    person = 'region = "RU-ZAB"\n[site.north.filer]\nkind = "natural_person"\nname = "A miner"\n'
    farm = Farm(tmp_path, "UTC", more=person)
    farm.run(0, 5 * DAY, [9000], every_s=900)
    found = samples(farm, 5 * DAY)
    assert found["hashledger_person_limit_watt_hours", (SITE,)] == 6_000_000
    assert found["hashledger_person_used_watt_hours", (SITE, "likely")] == 5 * 24 * 9000
    assert found["hashledger_person_forecast_watt_hours", (SITE, "likely")] == 31 * 24 * 9000
    assert found["hashledger_site_ban_days", (SITE,)] == 40  # from October 6 to November 15


def test_it_is_worked_out_once_a_half_hour(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, TREE)
    half_hourly = HalfHourly(farm.store, farm.config)
    first = half_hourly.sites(T0 + DAY * S)
    assert half_hourly.sites(T0 + DAY * S + 1799 * S) is first
    assert half_hourly.sites(T0 + DAY * S + 1800 * S) is not first
