"""Every recorded device is read as a careful reader reads its bytes, and nothing is made up."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.miners import registry
from agent.miners.fields import EXPECTED, RARE
from agent.readings import Reading, State
from agent.transports.access import Access
from agent.transports.http import Web
from agent.transports.network import Network
from tests.agent.miners.replaying import CAPTURES, needs_captures, replayed

pytestmark = needs_captures
IDS = sorted(f"{path.parent.parent.name}/{path.parent.name}" for path in CAPTURES.glob("*/*/device.toml"))
FAMILIES = {
    "antminer-stock": "antminer",
    "whatsminer-v2": "whatsminer",
    "whatsminer-v3": "whatsminer-v3",
    "bitaxe": "axeos",
    "avalonminer": "avalon",
    "braiins": "braiins",
    "luxos": "luxos",
    "vnish": "vnish",
    "epic": "epic",
}
TEXTS = ("mac", "serial", "make", "model", "firmware", "uptime_s", "hostname")

Read = tuple[str, Reading, Reading]


@pytest.fixture(scope="module")
def read_all() -> dict[str, Read]:
    """Family, full reading and sweep reading of every device."""

    async def all_of(devices: list[dict[str, str]]) -> dict[str, Read]:
        found = {}
        async with Web(Network()) as web:
            access = Access(web)
            for device in devices:
                family = await registry.identify(device["addr"], access)
                full = await registry.read(device["addr"], family, access)
                found[device["id"]] = (
                    family,
                    full,
                    await registry.read(device["addr"], family, access, full=False),
                )
        return found

    with replayed() as devices:
        return asyncio.run(all_of(devices))


def truth(device: str) -> dict[str, Any]:
    return tomllib.loads((CAPTURES / device / "expected.toml").read_text())


def bare(url: str) -> str:
    return url.split("://")[-1]


@pytest.mark.parametrize("device", IDS)
def test_family(device: str, read_all: dict[str, Read]) -> None:
    family, full, sweep = read_all[device]
    assert family == full.family == sweep.family == FAMILIES[device.split("/")[0]]


@pytest.mark.parametrize("device", IDS)
@pytest.mark.parametrize("depth", ["full", "sweep"])
def test_no_value_is_false(device: str, depth: str, read_all: dict[str, Read]) -> None:
    expected, (_, full, sweep) = truth(device), read_all[device]
    reading = full if depth == "full" else sweep
    rates = {expected["hashrate_hs"], *(other["hs"] for other in expected.get("hashrate_alt", []))}
    if reading.hashrate_hs is not None:
        assert any(reading.hashrate_hs == pytest.approx(rate, rel=1e-3) for rate in rates)
    if reading.power_w is not None:
        places = {(expected.get("power_w"), expected["power_source"])}
        places |= {(other["w"], other["source"]) for other in expected.get("power_alt", [])}
        assert any(
            reading.power_origin == origin and reading.power_w == pytest.approx(watts, rel=2e-3)
            for watts, origin in places
            if watts is not None
        )
    for name in TEXTS:
        value = getattr(reading, name)
        assert value is None or value == expected.get(name), name
    assert reading.state is State.UNKNOWN or reading.state == expected["state"]
    known = {
        (bare(pool["url"]), user, pool["active"])
        for pool in expected.get("pool", [])
        for user in (pool["user"], pool.get("user_alt", pool["user"]))
    }
    assert {(bare(pool.url), pool.user, pool.active) for pool in reading.pools} <= known


@pytest.mark.parametrize("device", IDS)
def test_every_expected_field_has_a_value_or_a_reason(device: str, read_all: dict[str, Read]) -> None:
    _, *readings = read_all[device]
    for reading in readings:
        for name in EXPECTED:
            has_value = getattr(reading, name) not in (None, (), State.UNKNOWN)
            assert has_value != (name in reading.unknown), name


@pytest.mark.parametrize("device", IDS)
@pytest.mark.parametrize("depth", ["full", "sweep"])
def test_reading_is_complete(device: str, depth: str, read_all: dict[str, Read]) -> None:
    expected, (_, full, sweep) = truth(device), read_all[device]
    reading = full if depth == "full" else sweep
    assert reading.hashrate_hs == pytest.approx(expected["hashrate_hs"], rel=1e-3)
    assert reading.power_w == (
        None if "power_w" not in expected else pytest.approx(expected["power_w"], rel=2e-3)
    )
    assert (reading.power_origin or "none") == expected["power_source"]
    assert reading.uptime_s == expected["uptime_s"]
    assert reading.state == expected["state"]
    pools = [(bare(pool["url"]), pool["user"], pool["active"]) for pool in expected.get("pool", [])]
    assert [(bare(pool.url), pool.user, pool.active) for pool in reading.pools] == pools
    fees = [pool.get("fee") for pool in expected.get("pool", [])]
    assert [pool.fee for pool in reading.pools] == fees
    if depth == "full":
        for name in RARE:
            assert getattr(reading, name) == expected.get(name), name
        boards = expected.get("boards", {})
        assert reading.boards_total in (boards.get("total"), None)
        assert reading.chips in (boards.get("chips"), None) or "chips" not in boards


def test_the_captures_stand_where_the_tests_look() -> None:
    assert Path(CAPTURES).is_dir() and IDS


# What the bytes hold of the first pool: shares accepted, rejected, stale, difficulty accepted, last share.
POOLS = {
    "antminer-stock/antminer-s19-pro__49.0.1.3": (4057, 11, 1, 1305083904.0, 3),
    "avalonminer/avalon-q__25052801-soft-off": (890, 2, 0, 368550176.0, None),  # a time of no clock
    "braiins/antminer-s19-xp__25.07-plus": (10460, 18, None, None, None),
    "epic/antminer-s19-xp__1.5.13": (1862, 2, None, None, 25),
    "luxos/antminer-s19k-pro__2025.4.8.220305": (724, 0, 0, 20627456.0, 1),
    "vnish/antminer-s21-pro__1.2.7": (1599, 9, 0, 159888384.0, 4),
    "whatsminer-v2/m50s__20230803.11.rel": (5412, 0, None, None, None),
    "whatsminer-v3/m60s__20251209.16.rel2": (None, None, None, None, None),
}


@pytest.mark.parametrize("device", POOLS)
def test_pools_tell_what_the_bytes_hold_of_shares(device: str, read_all: dict[str, Read]) -> None:
    _, full, sweep = read_all[device]
    first = full.pools[0]
    told = (first.accepted, first.rejected, first.stale, first.difficulty_accepted, first.last_share_age_s)
    assert told == POOLS[device]
    assert [pool.priority for pool in full.pools] == list(range(len(full.pools)))
    assert [pool.fee for pool in full.pools] == [True if p.url == "DevFee" else None for p in full.pools]
    assert sweep.pools[0].accepted == first.accepted and sweep.pools[0].difficulty_accepted is None
