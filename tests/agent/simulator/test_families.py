"""Every family, over real sockets: the driver knows it, and reads what the farm says that it should."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from msgspec.structs import fields as fields_of

from agent.miners import registry
from agent.readings import Pool, Reading
from agent.simulator import fleet as fleets
from agent.simulator.families import FAMILIES
from agent.simulator.farm import Farm
from agent.simulator.hardware import MODELS
from agent.simulator.model import Device
from agent.transports.access import Access
from agent.transports.http import Web
from tests.agent.simulator.serving import Now, served

PLAN = fleets.fleet(3, 200)
FARM = Farm(PLAN)
T_US = PLAN.sites[0].start_us + 36 * 3_600_000_000
# One unit of every model.
UNITS = list({device.model.name + device.model.family: device for device in PLAN.devices}.values())


def of(family: str) -> Device:
    return next(device for device in UNITS if device.model.family == family)


def test_every_family_and_model_is_there() -> None:
    assert set(FAMILIES) == set(MODELS)
    assert len(UNITS) == sum(len(models) for models in MODELS.values())


def comparable(reading: Reading, device: Device) -> dict[str, Any]:
    """Everything but the instant and the wording of reasons; rates to the last digits of a float."""
    found = {field.name: getattr(reading, field.name) for field in fields_of(Reading)}
    found |= {"observed_us": 0, "unknown": sorted(reading.unknown)}
    found["hashrate_hs"] = round((reading.hashrate_hs or 0) / 1000)
    # VNish writes its pools without a scheme, and has one more: the developer's fee.
    found["pools"] = [bare(pool) for pool in reading.pools if pool.user != "DevFee"]
    if device.model.family == "avalon" and device.model.boards == 1:
        found["board_temps_c"] = "two sensors of the one board"
    return found


def bare(pool: Pool) -> tuple[Any, ...]:
    url = pool.url.removeprefix("stratum+tcp://")
    return url, pool.user, pool.active, pool.priority, pool.accepted, pool.rejected, pool.stale


@pytest.mark.parametrize("device", UNITS, ids=lambda device: f"{device.model.family}-{device.model.name}")
def test_the_driver_reads_what_the_farm_says(device: Device) -> None:
    family = device.model.family
    if family not in registry.BY_NAME:
        pytest.skip(f"no driver of {family} yet")

    async def poll() -> tuple[str, Reading, Reading]:
        async with served(FARM, Now(T_US)) as (_, network), Web(network) as web:
            access = Access(web, network)
            known = await registry.identify(device.address, access)
            full = await registry.read(device.address, known, access)
            return known, full, await registry.read(device.address, known, access, full=False)

    known, full, sweep = asyncio.run(poll())
    expected = FARM.reading_at(device.address, T_US)
    assert isinstance(expected, Reading)
    assert known == family
    assert comparable(full, device) == comparable(expected, device)
    assert (sweep.power_w, sweep.power_origin, sweep.uptime_s, sweep.state) == (
        expected.power_w,
        expected.power_origin,
        expected.uptime_s,
        expected.state,
    )


def account(name: str) -> dict[str, str]:
    return {"username": name, "password": "anything"}


async def page(url: str, token: str = "", **posted: Any) -> tuple[int, Any]:
    headers = {"Authorization": token} if token else {}
    method = "POST" if posted else "GET"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers, json=posted or None) as reply,
    ):
        return reply.status, json.loads(await reply.read() or b"null")


def test_braiins_wants_its_token() -> None:
    async def scenario() -> None:
        async with served(FARM, Now(T_US)) as (_, network):
            base = f"http://{of('braiins').address}:{network.http_port}/api/v1"
            assert (await page(f"{base}/version"))[0] == 200
            assert (await page(f"{base}/miner/stats"))[0] == 401
            assert (await page(f"{base}/auth/login", **account("nobody")))[0] == 401
            _, given = await page(f"{base}/auth/login", **account("root"))
            for header in (given["token"], f"Bearer {given['token']}"):
                status, told = await page(f"{base}/miner/stats", header)
                assert (status, "power_stats" in told) == (200, True)
            assert (await page(f"{base}/miner/stats", "f" * 32))[0] == 401

    asyncio.run(scenario())


def test_vnish_unlocks_its_settings() -> None:
    async def scenario() -> None:
        async with served(FARM, Now(T_US)) as (_, network):
            base = f"http://{of('vnish').address}:{network.http_port}/api/v1"
            assert (await page(f"{base}/summary"))[0] == (await page(f"{base}/info"))[0] == 200
            assert (await page(f"{base}/settings"))[0] == 401
            assert (await page(f"{base}/unlock", pw="wrong"))[0] == 401
            _, given = await page(f"{base}/unlock", pw="admin")
            status, settings = await page(f"{base}/settings", f"Bearer {given['token']}")
            assert (status, len(settings["miner"]["pools"])) == (200, 2)

    asyncio.run(scenario())


async def ask_v3(stream: Any, **request: Any) -> Any:
    reader, writer = stream
    raw = json.dumps(request).encode()
    writer.write(len(raw).to_bytes(4, "little") + raw)
    length = int.from_bytes(await reader.readexactly(4), "little")
    return json.loads(await reader.readexactly(length))


def test_api_3_keeps_the_connection_open() -> None:
    async def scenario() -> None:
        unit = of("whatsminer-v3")
        async with served(FARM, Now(T_US)) as (_, network):
            stream = await asyncio.open_connection(unit.address, network.whatsminer_v3_port)
            told = await ask_v3(stream, cmd="get.device.info")
            assert told["msg"]["miner"]["miner-sn"] == unit.serial
            for param in ("summary", "pools", "edevs"):
                told = await ask_v3(stream, cmd="get.miner.status", param=param)
                assert (told["code"], list(told["msg"])) == (0, [param])
            codes = [
                (await ask_v3(stream, **asked))["code"]
                for asked in ({"cmd": "get.miner.status"}, {"cmd": "get.nothing"}, {"cmd": "set.miner.power"})
            ]
            assert codes == [-1, -2, -4]
            stream[1].close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("family", "path"), [("axeos", "/api/system/info"), ("vnish", "/api/v1/summary"), ("epic", "/summary")]
)
def test_the_web_keeps_a_connection_when_asked(family: str, path: str) -> None:
    async def scenario() -> None:
        async with served(FARM, Now(T_US)) as (_, network):
            port = network.cgminer_port if family == "epic" else network.http_port
            reader, writer = await asyncio.open_connection(of(family).address, port)
            for asked in ("keep-alive", "keep-alive", "close"):
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: {asked}\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                assert head.startswith("HTTP/1.1 200 OK\r\n") and f"Connection: {asked}\r\n" in head
                length = int(head.split("Content-Length: ")[1].split("\r\n")[0])
                json.loads(await reader.readexactly(length))
            assert await reader.read() == b""
            writer.close()

    asyncio.run(scenario())
