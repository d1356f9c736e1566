"""Braiins OS by each of its interfaces, in small replies written here."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from agent.miners import braiins, registry
from agent.readings import AuthError, PowerOrigin, Reading, State
from agent.transports.access import Access
from tests.agent.miners.faking import Device

SUMMARY = {"SUMMARY": [{"Elapsed": 812, "MHS 5s": 101500000.5, "MHS av": 99000000.0}]}
TUNER = {"TUNERSTATUS": [{"ApproximateMinerPowerConsumption": 3051, "PowerLimit": 3200}]}
POOLS = {
    "POOLS": [{"POOL": 0, "URL": "stratum+tcp://p.example:3333", "User": "farm.1", "Stratum Active": True}]
}
COMMANDS = {
    "summary": SUMMARY,
    "tunerstatus": TUNER,
    "pools": POOLS,
    "temps": {"TEMPS": [{"Board": 55.5, "Chip": 70.25}, {"Board": 0, "Chip": 68}]},
    "fans": {"FANS": [{"RPM": 5904}, {"RPM": 0}]},
    "devs": {"DEVS": [{"MHS 5s": 50750000}, {"MHS 5s": 0}]},
    "devdetails": {"DEVDETAILS": [{"Model": "Bitmain Antminer S19j Pro", "Chips": 126}, {"Chips": 126}]},
}
DETAILS = {
    "mac_address": "02:AA:BB:CC:DD:07",
    "hostname": "row-7",
    "bosminer_uptime_s": 812,
    "system_uptime_s": 900,
    "status": 2,
    "serial_number": "SMTTYHIBDJAAI0041",
    "miner_identity": {"name": "Antminer S19J Pro", "miner_model": "Antminer S19J Pro"},
    "bos_version": {"current": "2026-01-05-0-aaaaaaaa-26.01-plus"},
    "psu_info": {"serial_number": "PSUXQ26BDJ7"},
}
STATS = {
    "miner_stats": {
        "nominal_hashrate": {"gigahash_per_second": 104000},
        "real_hashrate": {"last_5s": {"gigahash_per_second": 101500.0005}, "last_24h": {}},
    },
    "power_stats": {"approximated_consumption": {"watt": 3051}},
}
GROUPS = [
    {
        "name": "all",
        "pools": [
            {"url": "stratum+tcp://p.example:3333", "user": "farm.1", "active": True, "enabled": True},
            {"url": "stratum+tcp://q.example:3333", "user": "farm.1", "active": True, "enabled": False},
        ],
    }
]
BOARDS = {
    "hashboards": [
        {
            "chips_count": 126,
            "serial_number": "BRDXQ26BDJ7",
            "highest_chip_temp": {"temperature": {"degree_c": 70.25}},
            "stats": {"real_hashrate": {"last_5s": {"gigahash_per_second": 50750}}},
        }
    ]
}
SYSTEM = {
    "bos": {
        "hostname": "row-7",
        "info": {"version": {"full": "2023-02-01-0-bbbbbbbb-23.01-plus"}},
        "uptime": {"durationS": 950},
    },
    "bosminer": {
        "info": {
            "workSolver": {"realHashrate": {"mhs5S": 101500000.5}},
            "summary": {"power": {"approxConsumptionW": 3051}},
        }
    },
}
GQL_POOLS = {
    "bosminer": {
        "info": {"poolGroups": [{"pools": [{"url": "p.example:3333", "user": "farm.1", "active": False}]}]}
    }
}


def rest(word: str = "root") -> dict[str, Any]:
    """The pages of 2025 and later; a token is good for the requests that come with it."""

    def login(_: web.Request, sent: Any) -> Any:
        known = sent == {"username": "root", "password": word}
        return {"token": "t0k3n", "timeout_s": 3600} if known else 401

    def behind(page: Any) -> Any:
        return lambda request, _: page if request.headers.get("Authorization") == "t0k3n" else 401

    pages = {
        "/api/v1/miner/details": DETAILS,
        "/api/v1/miner/stats": STATS,
        "/api/v1/miner/hw/hashboards": BOARDS,
        "/api/v1/pools/": GROUPS,
        "/api/v1/cooling/state": {"fans": [{"rpm": 5904}]},
    }
    return {"/api/v1/auth/login": login} | {path: behind(page) for path, page in pages.items()}


def graphql(word: str = "root") -> dict[str, Any]:
    """GraphQL without a login, and LuCI's page behind its cookie."""

    def query(_: web.Request, sent: Any) -> Any:
        if "modelName" in sent["query"]:
            return {"data": {"bosminer": {"info": {"modelName": "Antminer S19J Pro"}}}}
        return {"data": GQL_POOLS if "poolGroups" in sent["query"] else SYSTEM}

    def login(_: web.Request, sent: str) -> Any:
        if sent != f"luci_username=root&luci_password={word}":
            return 403
        answer = web.Response(status=302, headers={"Location": "/cgi-bin/luci"})
        answer.set_cookie("sysauth", "c00k1e")
        return answer

    def lan(request: web.Request, _: Any) -> Any:
        return [{"macaddr": "02:AA:BB:CC:DD:07"}] if request.cookies.get("sysauth") == "c00k1e" else 403

    return {
        "/graphql": query,
        "/cgi-bin/luci": login,
        "/cgi-bin/luci/admin/network/iface_status/lan": lan,
    }


def poll(device: Device, *, full: bool = True) -> Reading:
    found: Reading = device.serve(lambda access: braiins.read("127.0.0.1", access, full=full))
    return found


def assert_same_device(found: Reading) -> None:
    assert found.hashrate_hs == pytest.approx(101500000.5e6) and found.hashrate_window == "5s"
    assert (found.power_w, found.power_origin) == (3051, PowerOrigin.FIRMWARE_ESTIMATED)
    assert (found.make, found.model) == ("Bitmain", "Antminer S19j Pro")
    assert (found.mac, found.hostname, found.state) == ("02:aa:bb:cc:dd:07", "row-7", State.MINING)


def test_rest_says_who_it_is_and_4028_what_it_does() -> None:
    found = poll(Device(rest(), COMMANDS))
    assert_same_device(found)
    assert (found.serial, found.psu_serial) == ("SMTTYHIBDJAAI0041", "PSUXQ26BDJ7")
    assert (found.firmware, found.uptime_s) == ("2026-01-05-0-aaaaaaaa-26.01-plus", 812)
    assert (found.chip_temps_c, found.fans_rpm, found.board_serials) == (
        (70.25, 68.0),
        (5904,),
        ("BRDXQ26BDJ7",),
    )
    assert not found.unknown


def test_all_over_rest_where_4028_is_closed() -> None:
    found = poll(Device(rest()))
    assert_same_device(found)
    assert [(pool.url, pool.active, pool.priority) for pool in found.pools] == [
        ("stratum+tcp://p.example:3333", True, 0),
        ("stratum+tcp://q.example:3333", False, 1),
    ]
    assert (found.uptime_s, found.boards_total, found.chips, found.fans_rpm) == (812, 1, 126, (5904,))


def test_all_over_graphql_where_there_is_nothing_else() -> None:
    found = poll(Device(graphql()))
    assert_same_device(found)
    assert (found.firmware, found.uptime_s) == ("2023-02-01-0-bbbbbbbb-23.01-plus", 950)
    assert [(pool.url, pool.active) for pool in found.pools] == [("p.example:3333", False)]
    assert found.serial is None and found.unknown["serial"]


def test_graphql_beside_4028() -> None:
    found = poll(Device(graphql(), COMMANDS))
    assert_same_device(found)
    assert (found.uptime_s, found.boards_total, found.boards_hashing, found.chips) == (812, 2, 1, 252)


def test_4028_alone_knows_the_model_but_not_the_unit() -> None:
    found = poll(Device({}, COMMANDS))
    assert found.model == "Antminer S19j Pro" and found.power_w == 3051
    assert found.mac is None and found.firmware is None and "HTTP 404" in found.unknown["mac"]


def test_a_sweep_takes_one_connection_and_no_login() -> None:
    device = Device(rest(), COMMANDS)
    found = poll(device, full=False)
    assert (found.power_w, found.uptime_s, found.state) == (3051, 812, State.MINING)
    assert found.mac is None and device.asked == ["summary+tunerstatus+pools+temps+fans"]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (1, State.IDLE),
        (2, State.IDLE),
        (3, State.SLEEPING),
        (4, State.SLEEPING),
        ("MINER_STATUS_PAUSED", State.SLEEPING),
        ("PAUSED", State.SLEEPING),
        (None, State.IDLE),
        (99, State.IDLE),
        (True, State.IDLE),
    ],
)
def test_a_device_without_a_rate_is_asked_why(status: Any, state: State) -> None:
    still = COMMANDS | {
        "summary": {"SUMMARY": [{"Elapsed": 12, "MHS 5s": 0}]},
        "tunerstatus": {"TUNERSTATUS": [{"ApproximateMinerPowerConsumption": 0, "PowerLimit": 3200}]},
    }
    pages = rest() | {"/api/v1/miner/details": DETAILS | {"status": status}}
    found = poll(Device(pages, still), full=False)
    assert (found.hashrate_hs, found.state) == (0.0, state)
    assert found.power_w is None and found.unknown["power_w"]


def test_a_token_is_used_again_and_renewed_when_it_is_refused() -> None:
    device = Device(rest(), COMMANDS)

    async def three_times(access: Access) -> None:
        await braiins.read("127.0.0.1", access, full=True)
        await braiins.read("127.0.0.1", access, full=True)
        access.tokens.keep("127.0.0.1", braiins.FAMILY, "stale", 3600)
        assert (await braiins.read("127.0.0.1", access, full=True)).mac

    device.serve(three_times)
    assert device.asked.count("POST /api/v1/auth/login") == 2


def test_a_refused_password_costs_the_identity_alone_where_4028_is_open() -> None:
    found = poll(Device(rest("other"), COMMANDS))
    assert found.power_w == 3051 and found.mac is None
    assert "auth/login: HTTP 401" in found.unknown["mac"]


def test_a_refused_password_is_said_where_there_is_nothing_else() -> None:
    with pytest.raises(AuthError):
        poll(Device(rest("other")))


def test_a_refused_router_page_costs_the_mac_alone() -> None:
    found = poll(Device(graphql("other"), COMMANDS))
    assert found.firmware and found.mac is None and "HTTP 403" in found.unknown["mac"]


def test_known_without_4028_too() -> None:
    pages = rest() | {"/api/v1/version/": {"major": 1, "minor": 8, "patch": 0}}
    assert Device(pages).serve(lambda access: registry.identify("127.0.0.1", access)) == "braiins"
