"""A device that fails is a failure of the right kind, within the deadline; one broken field is only that."""

from __future__ import annotations

import asyncio
import time

import pytest

from agent.miners import registry
from agent.readings import AuthError, DeviceError, DeviceTimeout, ProtocolError, Reading, Unreachable
from agent.transports.access import Access
from agent.transports.http import Web
from agent.transports.network import Network
from tests.agent.miners.replaying import needs_captures, replayed

pytestmark = needs_captures
NETWORK = Network(connect_timeout_s=0.5, deadline_s=0.6, poll_deadline_s=1.5)
DEVICES = {
    "antminer-stock/antminer-s19-pro__49.0.1.3": ("antminer", 110.56689e12),
    "whatsminer-v2/m50s__20230803.11.rel": ("whatsminer", 124.5e12),
    "whatsminer-v3/m60s__20251209.16.rel2": ("whatsminer-v3", 171.259e12),
    "avalonminer/avalon-a1246__21072802": ("avalon", 81.07268e12),
    "bitaxe/supra__v2.4.5": ("axeos", 1e12),
    "braiins/antminer-s19-xp__25.07-plus": ("braiins", 141.4635654e12),
    "braiins/antminer-s9__22.08-plus": ("braiins", 7.16020894e12),
    "luxos/antminer-s19k-pro__2025.4.8.220305": ("luxos", 59.75606e12),
    "vnish/antminer-s21-pro__1.2.7": ("vnish", 173.87094e12),
    "epic/antminer-s19-xp__1.5.13": ("epic", 99.365848e12),
}
# fault -> the kinds of failure that say what happened (a reset may hit before or after the connection stands)
FAILURES: dict[str, tuple[type[DeviceError], ...]] = {
    "refuse": (Unreachable,),
    "silence": (DeviceTimeout,),
    "halfopen,bytes=40": (DeviceTimeout,),
    "drip,rate=20": (DeviceTimeout,),
    "truncate,bytes=40": (ProtocolError,),
    "malformed,variant=truncated": (ProtocolError,),
    "reset": (Unreachable, ProtocolError),
    "reset,bytes=40": (ProtocolError,),
    "junk,mb=10": (ProtocolError,),
    "wrong,what=html": (ProtocolError,),
    "wrong,what=text": (ProtocolError,),
    "wrong,what=empty": (ProtocolError,),
    "unauthorized": (AuthError,),
}
BROKEN_JSON = (
    "missing-comma",
    "trailing-comma",
    "surplus",
    "nan",
    "raw-newline",
    "lead-comma",
    "bad-escape",
    "nul-inside",
)
SURVIVED = ["noclose", "nonutf8", *(f"malformed,variant={name}" for name in BROKEN_JSON)]


def poll_all(fault: str) -> dict[str, tuple[Reading | DeviceError, float]]:
    """Device id -> what its poll gave, and how long it took."""

    async def poll(device: dict[str, str], web: Web) -> tuple[Reading | DeviceError, float]:
        started_s = time.monotonic()
        result: Reading | DeviceError
        try:
            result = await registry.read(device["addr"], DEVICES[device["id"]][0], Access(web, NETWORK))
        except DeviceError as error:
            result = error
        return result, time.monotonic() - started_s

    async def poll_each(devices: list[dict[str, str]]) -> dict[str, tuple[Reading | DeviceError, float]]:
        async with Web(NETWORK) as web:
            results = await asyncio.gather(*(poll(device, web) for device in devices))
        return {device["id"]: result for device, result in zip(devices, results, strict=True)}

    only = [part for device in DEVICES for part in ("--only", device)]
    with replayed(*only, "--fault", f"*:{fault}") as devices:
        return asyncio.run(poll_each(devices))


@pytest.mark.parametrize("fault", FAILURES)
def test_failure_has_its_kind_and_keeps_the_deadline(fault: str) -> None:
    for device, (result, took_s) in poll_all(fault).items():
        assert isinstance(result, FAILURES[fault]), (device, result)
        # Not a measure of speed: without a deadline this would be minutes.
        assert took_s < NETWORK.poll_deadline_s + 5, device


@pytest.mark.parametrize("fault", SURVIVED)
def test_broken_json_costs_at_most_the_broken_field(fault: str) -> None:
    for device, (result, _) in poll_all(fault).items():
        assert isinstance(result, Reading), (device, result)
        if result.hashrate_hs is None:
            assert result.unknown["hashrate_hs"], device
        else:
            assert result.hashrate_hs == pytest.approx(DEVICES[device][1], rel=1e-3), device


def test_web_errors_cost_the_identity_alone() -> None:
    results = poll_all("http500")
    reading, _ = results["antminer-stock/antminer-s19-pro__49.0.1.3"]
    assert isinstance(reading, Reading) and reading.hashrate_hs == pytest.approx(110.56689e12)
    assert reading.mac is None and "HTTP 500" in reading.unknown["mac"]
    for device in ("bitaxe/supra__v2.4.5", "epic/antminer-s19-xp__1.5.13"):
        failure, _ = results[device]
        assert isinstance(failure, ProtocolError)
    for device in ("braiins/antminer-s19-xp__25.07-plus", "vnish/antminer-s21-pro__1.2.7"):
        reading, _ = results[device]
        assert isinstance(reading, Reading) and reading.uptime_s and reading.pools
        assert reading.mac is None and "HTTP 500" in reading.unknown["mac"]
