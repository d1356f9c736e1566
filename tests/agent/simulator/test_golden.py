"""The demo's farm stays what it is: the same seed gives the same farm, truth and statements as ever."""

from __future__ import annotations

import hashlib
import json

from agent.simulator.plan import plan
from agent.simulator.truth import statement_csv, truth

PLAN = plan(seed=7, miners=12, month="2026-10")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_truth() -> None:
    told = json.dumps(truth(PLAN), sort_keys=True)
    assert digest(told) == "7b73d0d099f057b88e8aabb0dc1fd1f0ad2595be7e662b3350a1e5961ae9a139"


def test_the_statements() -> None:
    told = "".join(statement_csv(PLAN, site.name) for site in PLAN.sites)
    assert digest(told) == "082bd7eb53240fa350cd054d51bfe2fddebb425ab40ca9c4c334e93599266eb3"


def test_the_devices_and_the_events() -> None:
    devices = [
        (
            device.site,
            device.model.name,
            device.address,
            device.hostname,
            device.mac,
            device.serial,
            device.board_serials,
            device.rated_w,
            [(pool.host, pool.port, pool.user) for pool in device.pools],
            device.board_temps_c,
            device.installed_us,
            device.curve.daily,
            device.curve.slow_period_s,
        )
        for device in PLAN.devices
    ]
    events = [
        (e.kind.value, e.site, e.start_us, e.end_us, e.mac, e.address, e.successor) for e in PLAN.events
    ]
    told = json.dumps([devices, events])
    assert digest(told) == "cc3bbdef5a72bd7d09ca2e4f5ae420ea8c05c3e0c3b28bd5f567c3c7d3c9d71c"
