"""The sockets speak the protocols, and what they say is what `reading_at` says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec
import pytest

from agent.miners import registry
from agent.readings import Failure, FailureKind, Reading, State
from agent.simulator import serve as servers
from agent.simulator.farm import Farm
from agent.simulator.faults import NO_FAULTS, Fault
from agent.simulator.model import Device, Event, EventKind
from agent.simulator.plan import plan
from agent.simulator.serve import run, serve
from agent.transports.access import Access
from agent.transports.http import Web
from tests.agent.simulator.serving import Now, served
from tests.ports import free_port

PLAN = plan()
FARM = Farm(PLAN)
START_US = max(site.start_us for site in PLAN.sites)


def farm_at(now: Now, faults: Mapping[str, Fault] = NO_FAULTS) -> Any:
    return served(FARM, now, faults)


def of(family: str) -> Device:
    return next(device for device in PLAN.devices if device.model.family == family)


def event(kind: EventKind) -> Event:
    return next(event for event in PLAN.events if event.kind is kind)


async def ask(address: str, port: int, request: str) -> Any:
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(request.encode())
    raw = await asyncio.wait_for(reader.read(), 5)  # to the close: one command a connection
    writer.close()
    assert raw.endswith(b"\0")
    return json.loads(raw[:-1])


def at(owner: Device, t_us: int = START_US) -> Reading:
    found = FARM.reading_at(owner.address, t_us)
    assert isinstance(found, Reading)
    return found


def test_an_antminer_speaks_cgminer() -> None:
    async def scenario() -> None:
        owner = of("antminer")
        async with farm_at(Now(START_US)) as (_, network):
            port = network.cgminer_port
            version = await ask(owner.address, port, '{"command":"version"}')
            assert version["VERSION"][0]["Type"] == owner.model.name
            assert version["STATUS"][0]["Code"] == 22
            summary = await ask(owner.address, port, "summary")
            assert summary["SUMMARY"][0]["GHS 5s"] * 1e9 == at(owner).hashrate_hs
            stats = await ask(owner.address, port, '{"command":"stats"}')
            assert "power" not in stats["STATS"][1]
            assert stats["STATS"][1]["Elapsed"] == at(owner).uptime_s
            modern = await ask(owner.address, port, '{"command":"stats","new_api":true}')
            assert modern["STATS"][0]["power"] == at(owner).power_w
            assert tuple(chain["sn"] for chain in modern["STATS"][0]["chain"]) == at(owner).board_serials
            pools = await ask(owner.address, port, '{"command":"pools"}')
            assert pools["POOLS"][0]["User"] == at(owner).pools[0].user
            assert (await ask(owner.address, port, '{"command":"devs"}'))["DEVS"][0]["MHS 5s"] == 0
            for refused in ('{"command":"summary+pools"}', '{"command":"nonsense"}', "{broken"):
                status = (await ask(owner.address, port, refused))["STATUS"][0]
                assert (status["STATUS"], status["Code"], status["Msg"]) == ("E", 14, "Invalid command")

    asyncio.run(scenario())


def test_the_cgi_wants_the_digest() -> None:
    async def scenario() -> None:
        owner = of("antminer")
        async with farm_at(Now(START_US)) as (_, network), aiohttp.ClientSession() as session:
            url = f"http://{owner.address}:{network.http_port}/cgi-bin/get_system_info.cgi"
            async with session.get(url) as reply:
                assert reply.status == 401
                assert 'realm="antMiner Configuration"' in reply.headers["WWW-Authenticate"]
            right = aiohttp.DigestAuthMiddleware("root", "root")
            async with session.get(url, middlewares=(right,)) as reply:
                info = await reply.json()
            assert (info["macaddr"], info["serinum"]) == (owner.mac.upper(), owner.serial)
            wrong = aiohttp.DigestAuthMiddleware("root", "toor")
            async with session.get(url, middlewares=(wrong,)) as reply:
                assert reply.status == 401
            other = url.replace("get_system_info", "stats")
            async with session.get(other, middlewares=(right,)) as reply:
                assert reply.status == 404

    asyncio.run(scenario())


def test_a_whatsminer_takes_both_keys_and_joined_commands() -> None:
    async def scenario() -> None:
        owner = of("whatsminer")
        async with farm_at(Now(START_US)) as (_, network):
            port = network.cgminer_port
            for key in ("cmd", "command"):
                info = await ask(owner.address, port, json.dumps({key: "get_miner_info"}))
                assert (info["Msg"]["minersn"], info["Msg"]["mac"]) == (owner.serial, owner.mac.upper())
            joined = await ask(owner.address, port, '{"cmd":"summary+pools+edevs"}')
            assert joined["summary"][0]["SUMMARY"][0]["Power"] == at(owner).power_w
            assert [row["PCB SN"] for row in joined["edevs"][0]["DEVS"]] == list(owner.board_serials)
            for name in ("get_version", "get_psu", "status", "get_error_code"):
                assert (await ask(owner.address, port, json.dumps({"cmd": name})))["STATUS"] == "S"
            details = await ask(owner.address, port, '{"cmd":"devdetails"}')
            assert details["DEVDETAILS"][0]["Model"] == owner.model.wire_name
            assert (await ask(owner.address, port, '{"cmd":"version"}'))["Code"] == 14

    asyncio.run(scenario())


def test_axeos_tells_everything_on_one_page() -> None:
    async def scenario() -> None:
        owner = of("axeos")
        async with farm_at(Now(START_US)) as (_, network), aiohttp.ClientSession() as session:
            base = f"http://{owner.address}:{network.http_port}"
            async with session.get(f"{base}/api/system/info") as reply:
                info = await reply.json()
            assert info["power"] == at(owner).power_w
            assert info["hashRate"] * 1e9 == at(owner).hashrate_hs
            async with session.get(base) as reply:
                assert "AxeOS" in await reply.text()
            async with session.get(f"{base}/other") as reply:
                assert reply.status == 404
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(owner.address, network.cgminer_port)

    asyncio.run(scenario())


def comparable(reading: Reading) -> dict[str, Any]:
    """Everything but instants and the wording of reasons; rates to the last digit of a float."""
    return msgspec.structs.asdict(reading) | {
        "observed_us": 0,
        "unknown": sorted(reading.unknown),
        "hashrate_hs": round(reading.hashrate_hs or 0),
        "pools": [msgspec.structs.replace(pool, last_share_age_s=None) for pool in reading.pools],
    }


async def polled(t_us: int, owners: list[Device]) -> list[tuple[Device, Reading]]:
    async with farm_at(Now(t_us)) as (_, network), Web(network) as web:
        access = Access(web, network)
        found = []
        for owner in owners:
            family = await registry.identify(owner.address, access)
            found.append((owner, await registry.read(owner.address, family, access)))
        return found


def test_the_drivers_read_the_served_farm_as_reading_at_does() -> None:
    owners = list(PLAN.devices[:-1])
    for owner, found in asyncio.run(polled(START_US, owners)):
        assert comparable(found) == comparable(at(owner))


def test_the_drivers_see_a_sleeping_device_asleep() -> None:
    sleep = event(EventKind.SLEEP)
    owner = PLAN.device(sleep.mac or "")
    ((_, found),) = asyncio.run(polled(sleep.start_us + 1, [owner]))
    assert found.state is State.SLEEPING
    assert comparable(found) == comparable(at(owner, sleep.start_us + 1))


def test_ports_follow_the_plan() -> None:
    async def scenario() -> None:
        loss = next(e for e in PLAN.events if e.kind is EventKind.POWER_LOSS)
        owner = PLAN.device(loss.mac or "")
        outage, move = event(EventKind.NETWORK_OUTAGE), event(EventKind.ADDRESS_CHANGE)
        now = Now(loss.start_us - 1)
        async with farm_at(now) as (sockets, network):

            async def opens(address: str) -> bool:
                await sockets.sync()
                try:
                    _, writer = await asyncio.open_connection(address, network.http_port)
                except ConnectionRefusedError:
                    return False
                writer.close()
                return True

            assert await opens(owner.address)
            now.t_us = loss.start_us
            assert not await opens(owner.address)
            now.t_us = loss.end_us
            assert await opens(owner.address)
            now.t_us = outage.start_us
            hidden = next(device for device in PLAN.devices if device.site == outage.site)
            assert not await opens(hidden.address)
            now.t_us = move.end_us
            assert await opens(str(move.address))

    asyncio.run(scenario())


def test_a_stalled_device_times_out() -> None:
    async def scenario() -> None:
        stall = event(EventKind.STALL)
        owner = PLAN.device(stall.mac or "")
        expected = FARM.reading_at(owner.address, stall.start_us)
        assert isinstance(expected, Failure) and expected.kind is FailureKind.TIMEOUT
        async with farm_at(Now(stall.start_us)) as (_, network):
            port = network.http_port if owner.model.family == "axeos" else network.cgminer_port
            reader, writer = await asyncio.open_connection(owner.address, port)
            writer.write(b'{"cmd":"summary"}')
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(), 0.3)
            writer.close()

    asyncio.run(scenario())


def test_who_asks_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "IDLE_S", 0.1)
    monkeypatch.setattr(servers, "IDLE_CHECK_S", 0.1)

    async def scenario() -> None:
        async with farm_at(Now(START_US)) as (_, network):
            reader, writer = await asyncio.open_connection(of("axeos").address, network.http_port)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 3) == b""
            writer.close()

    asyncio.run(scenario())


def test_a_port_that_is_taken_is_an_error() -> None:
    async def scenario() -> None:
        with socket.socket() as taken:
            taken.bind((PLAN.devices[0].address, 0))
            taken.listen()
            with pytest.raises(OSError, match="in use"):
                await serve(FARM, Now(START_US), cgminer_port=taken.getsockname()[1], http_port=free_port())

    asyncio.run(scenario())


def test_run_serves_until_cancelled() -> None:
    async def scenario() -> None:
        ready = asyncio.Event()
        port = free_port()
        serving = run(FARM, Now(START_US), cgminer_port=port, http_port=free_port(), ready=ready.set)
        task = asyncio.create_task(serving)
        await asyncio.wait_for(ready.wait(), 5)
        await ask(PLAN.devices[0].address, port, "version")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(PLAN.devices[0].address, port)

    asyncio.run(scenario())
