"""The endpoint: what the last sweep saw, no payout address anywhere, and a truthful readiness."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client.parser import text_string_to_metric_families

from agent.exporter import MAX_POOLS, METRICS, Exporter, Seen, Snapshot, seen
from agent.power import Correction, PowerRules
from agent.readings import Failure, FailureKind, Pool, PowerOrigin, Reading
from agent.spool import Author, Spool
from agent.sweep import Outcome
from agent.wire import Inventory

ADDRESS = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
OUTCOMES = [
    Outcome("10.0.0.1", Reading(
        1, "antminer", hashrate_hs=1e14, power_w=3000.0, power_origin=PowerOrigin.PSU_MEASURED,
        pools=(
            Pool("stratum+tcp://p.example:1", f"{ADDRESS}.w", True, 0, 1000, 7, None),
            Pool("DevFee", "DevFee", True, 1, 50, 1, None, True),
        ), chip_temps_c=(70.0,),
    )),
    Outcome("10.0.0.2", Reading(1, "antminer")),
    Outcome("10.0.0.3", Failure(1, FailureKind.TIMEOUT, "silent")),
]  # fmt: skip


def rows() -> list[Seen]:
    now_s = time.monotonic()
    rules = PowerRules(corrections=(Correction(1.1, "2026-10-01", "plug", model="S19"),))
    s19 = Inventory(1, b"d" * 16, "10.0.0.1", "antminer", model="S19")
    return [seen(o, s19 if o.address == "10.0.0.1" else None, rules, now_s - 5, now_s - 65) for o in OUTCOMES]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Exporter, str]]:
    author = Author("org", "site", "agent-1", Ed25519PrivateKey.generate(), True, "simulated")
    spool = Spool(tmp_path / "spool.db", author)
    exporter = Exporter(("org", "site", "agent-1"), spool, per_device=True, interval_s=60)
    server = exporter.serve("127.0.0.1", 0)
    yield exporter, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    spool.close()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_metrics_tell_the_sweep_and_only_names_of_the_table(served: tuple[Exporter, str]) -> None:
    exporter, url = served
    exporter.snapshot = Snapshot(time.monotonic(), 1.5, rows(), True, 2)
    status, text = get(f"{url}/metrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert status == 200
    assert {
        f"{name}_total" if family.type == "counter" else name for name, family in families.items()
    } <= set(METRICS)
    devices = {s.labels["result"]: s.value for s in families["hashledger_agent_devices"].samples}
    assert devices == {"reading": 2, "timeout": 1}
    (power,) = families["hashledger_agent_power_watts"].samples
    assert (power.value, power.labels["origin"]) == (pytest.approx(3300.0), "psu_measured")
    (device,) = families["hashledger_agent_device_hashrate_hashes_per_second"].samples
    assert device.labels == {"address": "10.0.0.1", "model": "S19"}  # the one that told none has no series
    states = {s.labels["address"]: s.labels for s in families["hashledger_agent_device_state"].samples}
    assert states["10.0.0.2"]["state"] == "unknown" and states["10.0.0.3"]["result"] == "timeout"
    ages = {
        s.labels["address"]: s.value for s in families["hashledger_agent_device_reading_age_seconds"].samples
    }
    assert 5 <= ages["10.0.0.1"] < 60 < ages["10.0.0.3"]  # a failed poll does not make a reading younger
    assert families["hashledger_agent_unexpected_pool_devices"].samples[0].value == 2


def test_corrected_power_stands_beside_what_the_device_told(served: tuple[Exporter, str]) -> None:
    exporter, _ = served
    exporter.snapshot = Snapshot(time.monotonic(), 1.5, rows())
    told = {metric.name: [s.value for s in metric.samples] for metric in exporter.collect()}
    assert told["hashledger_agent_device_power_watts"] == [pytest.approx(3300.0)]
    assert told["hashledger_agent_device_told_power_watts"] == [3000.0]


def test_shares_are_counters_of_the_pools_that_pay_us_and_untold_ones_are_no_series(
    served: tuple[Exporter, str],
) -> None:
    exporter, url = served
    exporter.snapshot = Snapshot(time.monotonic(), 1.5, rows())
    _, text = get(f"{url}/metrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    shares = families["hashledger_agent_device_shares"]
    assert shares.type == "counter"
    assert {s.labels["result"]: s.value for s in shares.samples} == {"accepted": 1000, "rejected": 7}
    assert {s.labels["address"] for s in shares.samples} == {"10.0.0.1"}


def test_more_devices_than_a_scrape_can_hold_are_left_out_and_counted(
    served: tuple[Exporter, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, _ = served
    monkeypatch.setattr("agent.exporter.MAX_DEVICES", 2)
    exporter.snapshot = Snapshot(time.monotonic(), 1.5, rows())
    told = {metric.name: metric.samples for metric in exporter.collect()}
    assert len(told["hashledger_agent_device_state"]) == 2
    assert [s.value for s in told["hashledger_agent_devices_not_shown"]] == [1]
    assert sum(s.value for s in told["hashledger_agent_devices"]) == 3  # the sums are over all


def test_no_payout_address_and_no_pool_user_is_shown(served: tuple[Exporter, str]) -> None:
    exporter, url = served
    exporter.snapshot = Snapshot(time.monotonic(), 1.5, rows())
    _, text = get(f"{url}/metrics")
    assert ADDRESS not in text and "p.example:1" in text


def test_devices_are_counted_by_the_pool_that_they_work_for(served: tuple[Exporter, str]) -> None:
    exporter, _ = served
    many = [Seen(f"10.1.0.{n}", "S19", "reading", pool=f"p{n}.example:3333") for n in range(MAX_POOLS + 3)]
    exporter.snapshot = Snapshot(time.monotonic(), 1.5, [*rows(), *many, many[0]])
    told = {metric.name: metric.samples for metric in exporter.collect()}["hashledger_agent_pool_devices"]
    counts = {sample.labels["pool"]: sample.value for sample in told}
    assert len(counts) == MAX_POOLS + 1 and counts["p0.example:3333"] == 2
    assert sum(counts.values()) == len(many) + 2 and counts["other"] == 4


def test_ready_only_while_sweeps_end_in_time(served: tuple[Exporter, str]) -> None:
    exporter, url = served
    assert get(f"{url}/healthz") == (200, "ok\n")
    assert get(f"{url}/readyz") == (503, "no sweep has ended yet\n")
    exporter.snapshot = Snapshot(time.monotonic())
    assert get(f"{url}/readyz") == (200, "ok\n")
    exporter.snapshot = Snapshot(time.monotonic() - 181)
    status, text = get(f"{url}/readyz")
    assert status == 503 and "181 s ago" in text
    assert get(f"{url}/elsewhere")[0] == 404
