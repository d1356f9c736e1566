"""Who answers at an address, and what is said where nobody known does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from aiohttp import web

from agent.miners import registry
from agent.miners.foreign import recognise as is_foreign
from agent.readings import AuthError, ProtocolError, State, Unreachable, Unsupported
from agent.transports.access import MAX_KNOWN, Access
from agent.transports.http import Web
from agent.transports.network import Network

CLOSED_PORT = 1  # nothing listens there on loopback
ANTMINER_PAGES: dict[str, Any] = {
    "/cgi-bin/get_system_info.cgi": {"minertype": "Antminer T21", "macaddr": "02:00:00:00:00:07"},
    "/cgi-bin/stats.cgi": {"INFO": {"type": "Antminer T21"}, "STATS": [{"elapsed": 7, "rate_5s": 190000.5}]},
    "/cgi-bin/summary.cgi": {"SUMMARY": [{"elapsed": 7, "rate_5s": 190000.5, "rate_unit": "GH/s"}]},
    "/cgi-bin/pools.cgi": {"POOLS": [{"url": "stratum+tcp://p:1", "user": "u", "status": "Alive"}]},
}


def at_pages(pages: Mapping[str, Any], work: Callable[[Access], Awaitable[Any]]) -> Any:
    """Do the work with a device on loopback that has these pages (a number is a status) and no 4028."""

    async def answer(request: web.Request) -> web.Response:
        page = pages.get(request.path, 404)
        return web.Response(status=page) if isinstance(page, int) else web.json_response(page)

    async def run() -> Any:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        network = Network(
            cgminer_port=CLOSED_PORT, whatsminer_v3_port=CLOSED_PORT, http_port=runner.addresses[0][1]
        )
        try:
            async with Web(network) as pages_of:
                return await work(Access(pages_of, network))
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def identified(pages: Mapping[str, Any]) -> str:
    name: str = at_pages(pages, lambda access: registry.identify("127.0.0.1", access))
    return name


def test_an_antminer_with_a_closed_api_is_read_over_its_web() -> None:
    assert identified(ANTMINER_PAGES) == "antminer"
    reading = at_pages(ANTMINER_PAGES, lambda access: registry.read("127.0.0.1", "antminer", access))
    assert (reading.model, reading.mac, reading.uptime_s) == ("Antminer T21", "02:00:00:00:00:07", 7)
    assert reading.hashrate_hs == pytest.approx(190000.5e9) and reading.state is State.MINING
    assert [(pool.url, pool.active) for pool in reading.pools] == [("stratum+tcp://p:1", True)]


def test_axeos_is_told_by_its_page() -> None:
    page = {"ASICModel": "BM1370", "macAddr": "02:00:00:00:00:09", "hashRate": 1000}
    assert identified({"/api/system/info": page}) == "axeos"


def test_a_page_that_everyone_could_have_is_not_axeos() -> None:
    with pytest.raises(Unsupported):
        identified({"/api/system/info": {"hostname": "printer"}})


def test_a_refused_password_is_said_rather_than_unknown() -> None:
    pages = {"/api/system/info": 401, "/cgi-bin/get_system_info.cgi": 401}
    with pytest.raises(AuthError):
        identified(pages)


def test_a_server_error_is_said() -> None:
    with pytest.raises(ProtocolError):
        identified({"/api/system/info": 500})


def test_nobody() -> None:
    async def run() -> None:
        network = Network(cgminer_port=CLOSED_PORT, http_port=CLOSED_PORT, whatsminer_v3_port=CLOSED_PORT)
        async with Web(network) as pages_of:
            for family in registry.BY_NAME:
                with pytest.raises(Unreachable):
                    await registry.read("127.0.0.1", family, Access(pages_of, network))
            await registry.identify("127.0.0.1", Access(pages_of, network))

    with pytest.raises(Unreachable):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("seen", "family"),
    [
        ({"version": {"VERSION": [{"BOSer": "boser-buildroot 0.1.0"}]}}, "braiins"),
        ({"version": {"VERSION": [{"LUXminer": "2025.4.8", "Type": "Antminer S19k Pro"}]}}, "luxos"),
        ({"stats": {"STATS": [{"Type": "Antminer S21 Pro (Vnish 1.2.7)"}]}}, "vnish"),
        ({"version": {"VERSION": [{"Type": "Antminer S19"}]}}, "antminer"),
        ({"version": {"VERSION": [{"PROD": "AvalonMiner 1246-83"}]}}, "avalon"),
        ({"stats": {"STATS": [{"MM ID1": "Ver[7411706-3051927] Elapsed[183]"}]}}, "avalon"),
        ({"devdetails": {"DEVDETAILS": [{"Driver": "bitmicro", "Model": "M20S_V10"}]}}, "whatsminer"),
        ({"get_version": {"Msg": {"api_ver": "3.0.1"}}}, "whatsminer-v3"),
        ({"version": {"STATUS": "E", "Code": 14, "Description": "btminer"}}, None),
        ({}, None),
    ],
)
def test_families_are_told_apart_by_what_they_say(seen: Any, family: str | None) -> None:
    assert registry._known(seen) == family
    assert is_foreign(seen) == (family == "foreign")


def test_a_family_nobody_wrote() -> None:
    with pytest.raises(Unsupported):
        asyncio.run(registry.read("127.0.0.1", "abacus", Access(Web(Network()))))


def test_what_is_remembered_of_addresses_is_bounded() -> None:
    access = Access(Web(Network()))
    for number in range(MAX_KNOWN + 5):
        access.remember(str(number), number)
    assert len(access.known) <= MAX_KNOWN
