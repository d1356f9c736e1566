"""Shapes of MicroBT's firmware, in small replies written here."""

from __future__ import annotations

import asyncio
import json

import pytest

from agent.miners import whatsminer, whatsminer_v3
from agent.readings import PowerOrigin, Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json
from agent.transports.http import Web
from agent.transports.network import Network


def reading(row: Json, **got: Json) -> Reading:
    return whatsminer.parse({"summary": {"SUMMARY": [row]}, **got}, 1)


def test_numbers_as_text() -> None:
    found = reading({"HS RT": "91234567.8", "Power": "3383", "Elapsed": "600", "Fan Speed In": "4500"})
    assert found.hashrate_hs == pytest.approx(91.2345678e12) and found.hashrate_window == "realtime"
    assert (found.power_w, found.power_origin) == (3383.0, PowerOrigin.PSU_MEASURED)
    assert (found.uptime_s, found.fans_rpm, found.state) == (600, (4500,), State.MINING)


@pytest.mark.parametrize(
    ("row", "hashrate_hs", "window", "state"),
    [
        ({"MHS 5s": 65371302.78, "MHS av": 65492089.33}, 65.37130278e12, "5s", State.MINING),
        ({"MHS 1m": 64000000, "MHS av": 65492089.33}, 64e12, "1m", State.UNKNOWN),
        ({"MHS av": 65492089.33}, 65.49208933e12, "since start", State.UNKNOWN),
        ({"HS RT": "", "MHS av": 65492089.33, "Elapsed": 1}, None, None, State.UNKNOWN),
        ({"HS RT": 0, "MHS av": 65492089.33}, 0.0, "realtime", State.IDLE),
    ],
)
def test_windows(row: Json, hashrate_hs: float | None, window: str | None, state: State) -> None:
    found = reading(row)
    assert found.hashrate_hs == (None if hashrate_hs is None else pytest.approx(hashrate_hs))
    assert (found.hashrate_window, found.state) == (window, state)


@pytest.mark.parametrize(
    ("row", "hashrate_hs"),
    [
        ({"HS RT": 110.52, "MHS 1m": 110_400_000.0}, 110.52e12),  # late firmware writes it in TH/s
        ({"HS RT": 110_520_000.0, "MHS 1m": 110_400_000.0}, 110.52e12),
        ({"HS RT": 1_000_000.0, "MHS av": 110_400_000.0}, 1e12),  # throttled, not of another unit
        ({"HS RT": 110_520_000.0}, 110.52e12),
    ],
)
def test_the_unit_of_the_present_rate(row: Json, hashrate_hs: float) -> None:
    assert reading(row).hashrate_hs == pytest.approx(hashrate_hs)


@pytest.mark.parametrize("window", ["MHS av", "MHS 15m"])
def test_a_mean_is_no_rate_of_a_unit_that_is_off(window: str) -> None:
    found = reading({window: 65492089.33, "Elapsed": 1000}, status={"Msg": {"mineroff": "true"}})
    assert (found.state, found.hashrate_hs, found.hashrate_window) == (State.SLEEPING, None, None)
    assert "stands still" in found.unknown["hashrate_hs"]


def test_a_summary_alone_shows_an_old_whatsminer() -> None:
    row = {"Elapsed": 1092753, "MHS 5s": 34871206.1, "Fan Speed In": 6360, "Fan Speed Out": 6390}
    seen: Json = {"summary": {"SUMMARY": [row]}}
    assert whatsminer.recognise(seen) and not whatsminer.recognise({"summary": {"SUMMARY": [{"Elapsed": 1}]}})
    assert whatsminer.parse(seen, 1).hashrate_hs == pytest.approx(34.8712061e12)


@pytest.mark.parametrize("key", ["mineroff", "btmineroff"])
def test_the_status_tells_sleeping_from_idle(key: str) -> None:
    row = {"HS RT": 0, "MHS av": 1000.0, "Power": 0, "Elapsed": 1000}
    assert reading(row, status={"Msg": {key: "true"}}).state is State.SLEEPING
    assert reading(row, status={"Msg": {key: "false"}}).state is State.IDLE
    assert reading(row | {"Elapsed": 60}, status={"Msg": {key: "false"}}).state is State.STARTING
    assert reading(row, status={"Msg": {key: "true"}}).power_w is None
    assert reading({"MHS av": 1000.0}, status={"Msg": {key: "false"}}).state is State.MINING


def test_a_limit_is_no_power() -> None:
    found = reading({"HS RT": 1e8, "Power Limit": 3600, "Power Mode": "Normal"})
    assert found.power_w is None and found.unknown["power_w"] == "this firmware reports no power"


def test_identity_of_api_1_and_2() -> None:
    found = reading(
        {"HS RT": 1e8, "MAC": "C4:08:28:00:11:22", "Firmware Version": "'20200917.22.REL'"},
        get_miner_info={"Msg": {"minersn": "HTM38S18JB22051312345", "mac": "00:00:00:00:00:00"}},
        devdetails={"DEVDETAILS": [{"Model": "M30S++_VG40"}]},
        get_psu={"Msg": {"serial_no": "A1232B0120100049"}},
    )
    assert (found.mac, found.serial) == ("c4:08:28:00:11:22", "HTM38S18JB22051312345")
    assert (found.model, found.firmware, found.psu_serial) == (
        "M30S++",
        "20200917.22.REL",
        "A1232B0120100049",
    )


@pytest.mark.parametrize("raw", ["0" * 33, "HTM0000000000000000000000000", "N/A", "", None, "000000000ABC12"])
def test_padded_serials_are_none(raw: str | None) -> None:
    found = reading({"HS RT": 1e8}, get_miner_info={"Msg": {"minersn": raw}})
    assert found.serial is None and found.unknown["serial"]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("M50S_VH50", "M50S"),
        ("M20SV10", "M20S"),
        ("M31S+_V100", "M31S+"),
        ("M56_VH30", "M56"),
        ("M63S++_VL20", "M63S++"),
        ("M3V1", "M3"),
        ("SM", None),
    ],
)
def test_model_without_its_variant(name: str, model: str | None) -> None:
    assert whatsminer.model_of([name]) == model


@pytest.mark.parametrize(("api", "native"), [("2.0.5", True), ("whatsminer v1.3", True), ("3.0.2", False)])
def test_which_api(api: str, native: bool) -> None:
    seen = {"get_version": {"Msg": {"api_ver": api, "fw_ver": "20240101.REL"}}}
    assert whatsminer.recognise(seen) is native
    assert whatsminer_v3.recognise(seen) is not native


def test_api_3_sleeping_and_without_a_realtime_figure() -> None:
    summary = {
        "msg": {"summary": {"hash-realtime": 0, "hash-average": 150, "power-limit": 3600, "elapsed": 4}}
    }
    info = {"msg": {"miner": {"working": "false", "type": "M60S_VK40"}, "system": {}}}
    found = whatsminer_v3.parse({"summary": summary, "info": info}, 1)
    assert (found.hashrate_hs, found.power_w, found.state) == (0.0, None, State.SLEEPING)


SUMMARY: Json = {"STATUS": [{"STATUS": "S"}], "SUMMARY": [{"HS RT": 1e8, "Power": 3400, "Elapsed": 60}]}
POOLS: Json = {"STATUS": [{"STATUS": "S"}], "POOLS": [{"URL": "stratum+tcp://p:1", "User": "u.1", "POOL": 1}]}
REFUSED: Json = {"STATUS": "E", "Code": 14, "Msg": "Invalid command"}


@pytest.mark.parametrize(
    ("joined", "asked"),
    [
        ({"summary": [SUMMARY], "pools": [POOLS], "id": 1}, ["summary+pools", "summary+pools"]),
        (REFUSED, ["summary+pools", "summary", "pools", "summary", "pools"]),
        (None, ["summary+pools", "summary", "pools", "summary", "pools"]),
    ],
    ids=["joins", "refuses", "closes"],
)
def test_whether_commands_can_be_joined_is_learnt_once_a_device(
    joined: Json | None, asked: list[str]
) -> None:
    heard: list[str] = []
    replies = {"summary": SUMMARY, "pools": POOLS, "summary+pools": joined}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.read(1000))
        heard.append(request.get("command") or request["cmd"])
        reply = replies[heard[-1]]
        writer.write(json.dumps(reply).encode() + b"\0" if reply else b"")
        writer.close()

    async def run() -> list[Reading]:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        network = Network(cgminer_port=server.sockets[0].getsockname()[1])
        async with Web(network) as web:
            access = Access(web, network)
            found = [await whatsminer.read("127.0.0.1", access, full=False) for _ in range(2)]
        server.close()
        return found

    for found in asyncio.run(run()):
        assert (found.hashrate_hs, found.power_w, len(found.pools)) == (1e14, 3400.0, 1)
    assert heard == asked
