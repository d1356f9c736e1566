"""Each way of not mining is a state of its own, from the poll to the event, the metrics and `top`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import CollectorRegistry, generate_latest

from agent import sweep, top_model
from agent.exporter import Exporter, Snapshot, seen
from agent.identity import Roster
from agent.power import NO_RULES
from agent.readings import (
    AuthError,
    DeviceError,
    FailureKind,
    Locked,
    Reading,
    Rebooting,
    State,
    Unreachable,
)
from agent.spool import Author, Spool
from agent.states import StateWatch
from agent.sweep import Target
from agent.wire import Event

WAYS: dict[str, State | type[DeviceError]] = {
    "mining": State.MINING,
    "idle": State.IDLE,
    "sleeping": State.SLEEPING,
    "starting": State.STARTING,
    "rebooting": Rebooting,
    "auth": AuthError,
    "locked": Locked,
    "unreachable": Unreachable,
    "timeout": TimeoutError,  # type: ignore[dict-item]
}


def serial(address: str) -> str:
    return f"SN-{address}-7A"


async def poll(address: str, family: str | None, full: bool) -> Reading:
    way = WAYS[address]
    if isinstance(way, State):
        return Reading(60, "antminer", uptime_s=100, state=way, serial=serial(address))
    if way is TimeoutError:
        await asyncio.sleep(60)
    raise way(f"{address}: as told")


def test_every_way_is_told_apart_in_event_metrics_and_top(tmp_path: Path) -> None:
    roster, states = Roster(), StateWatch()

    async def mining(address: str, family: str | None, full: bool) -> Reading:
        return Reading(1, "antminer", uptime_s=100, state=State.MINING, serial=serial(address))

    targets = [Target(address) for address in WAYS]
    for polled in (mining, poll):
        outcomes = asyncio.run(sweep.sweep(targets, polled, lambda: 60, concurrency=20, deadline_s=0.1))
        records, swept = sweep.records(0, 60, list(outcomes), roster, states=states)
    told = {
        roster.get(record.device).address: (record.detail["old"], record.detail["new"])
        for record in records
        if isinstance(record, Event) and record.kind == "state_changed"
    }
    assert told == {address: ("mining", address) for address in WAYS if address != "mining"}
    assert {failure.address: failure.kind for failure in swept.failures} == {
        address: address for address, way in WAYS.items() if not isinstance(way, State)
    }

    spool = Spool(
        tmp_path / "spool.db", Author("o", "s", "a", Ed25519PrivateKey.generate(), True, "simulated")
    )
    exporter = Exporter(("o", "s", "a"), spool, per_device=True, interval_s=60)
    exporter.snapshot = Snapshot(1.0, 1.0, [seen(outcome, None, NO_RULES, 1.0, None) for outcome in outcomes])
    registry = CollectorRegistry()
    registry.register(exporter)
    fleet = top_model.parse(generate_latest(registry).decode())
    spool.close()
    assert {device.address: device.state for device in fleet.devices} == {
        address: address for address in WAYS
    }
    worst = [device.address for device in top_model.rows(fleet.devices, "worst")]
    assert set(worst[:4]) == {"auth", "locked", "timeout", "unreachable"} and worst[-1] == "mining"


def test_the_first_sight_and_the_same_again_and_an_untold_state_are_no_change() -> None:
    states, device = StateWatch(), b"d" * 16
    assert not states.take(device, 1, State.MINING)
    assert not states.take(device, 2, State.MINING)
    assert not states.take(device, 3, State.UNKNOWN)
    assert not states.take(device, 4, State.MINING)
    (event,) = states.take(device, 5, FailureKind.LOCKED, "code 45")
    assert event.detail == {"old": "mining", "new": "locked", "detail": "code 45"}


def test_a_reboot_that_does_not_end_is_a_closed_api(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target("a", "antminer")

    async def booting(address: str, family: str | None, full: bool) -> Reading:
        raise Rebooting("4028/tcp refuses while the web answers")

    def swept() -> FailureKind:
        (outcome,) = asyncio.run(sweep.sweep([target], booting, lambda: 7, concurrency=1, deadline_s=1))
        assert not isinstance(outcome.result, Reading)
        return outcome.result.kind

    assert swept() is swept() is FailureKind.REBOOTING
    monkeypatch.setattr(sweep, "LONGEST_BOOT_S", -1.0)
    assert swept() is FailureKind.LOCKED
    assert target.family == "antminer"  # it is still the same machine
