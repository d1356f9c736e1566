"""Whatever bytes come, a driver gives a reading or a DeviceError, and no value that the bytes do not hold."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.miners import (
    antminer,
    auradine,
    avalon,
    axeos,
    braiins,
    elphapex,
    epic,
    fluminer,
    generic,
    goldshell,
    hiveon,
    iceriver,
    innosilicon,
    ipollo,
    jasminer,
    luxos,
    marafw,
    proto,
    sealminer,
    spondoolies,
    strongu,
    vnish,
    whatsminer,
    whatsminer_v3,
)
from agent.miners.fields import EXPECTED
from agent.readings import DeviceError, Reading, State
from agent.transports.cgminer import Json, checked, parse

# Mutated replies a family and test; `make fuzz` sets more.
EXAMPLES = int(os.environ.get("HASHLEDGER_FUZZ_EXAMPLES", "150"))

POOLS = {
    "STATUS": [{"STATUS": "S"}],
    "POOLS": [
        {"URL": "stratum+tcp://p.example:3333", "User": "farm.1", "Stratum Active": True, "Accepted": 5}
    ],
}
REPLIES: dict[str, tuple[Callable[..., Reading], Mapping[str, Json]]] = {
    "antminer": (
        antminer.parse,
        {
            "stats": {
                "STATS": [
                    {"Type": "Antminer S19", "CompileTime": "Fri Nov 17 2023"},
                    {"Elapsed": 501, "GHS 5s": 88422.5, "GHS av": 87900.25, "watt": 3180, "fan1": 4080},
                ]
            },
            "pools": POOLS,
            "system_info": {
                "macaddr": "02:B8:86:49:A3:78",
                "serinum": "SMTTYHIBDJAAI0041",
                "hostname": "ant",
            },
        },
    ),
    "whatsminer": (
        whatsminer.parse,
        {
            "summary": {
                "SUMMARY": [{"HS RT": 124500123.5, "MHS av": 125000321.0, "Power": 3207, "Elapsed": 812}]
            },
            "pools": POOLS,
            "get_miner_info": {"Msg": {"mac": "02:00:21:FD:44:E0", "minersn": "HTM38S18JB22051312345"}},
            "get_version": {"Msg": {"fw_ver": "20230803.11.REL"}},
            "devdetails": {"DEVDETAILS": [{"Model": "M50S_VH50"}]},
        },
    ),
    "whatsminer-v3": (
        whatsminer_v3.parse,
        {
            "summary": {
                "msg": {"summary": {"hash-realtime": 171.259, "power-realtime": 3156.5, "elapsed": 507}}
            },
            "info": {"msg": {"miner": {"type": "M60S_VK40"}, "network": {"mac": "02:AB:4C:FE:D9:D9"}}},
        },
    ),
    "avalon": (
        avalon.parse,
        {
            "stats": {
                "STATS": [{"MM ID0": "Elapsed[246] PS[0 1214 1316 242 3189 1320 3504] GHSspd[81072.68]"}]
            },
            "version": {"VERSION": [{"PROD": "Avalon Q", "MODEL": "Q", "MAC": "028DAE0F601B"}]},
            "pools": POOLS,
        },
    ),
    "axeos": (
        axeos.parse,
        {
            "info": {
                "hashRate": 1187.52,
                "power": 17.25,
                "macAddr": "02:4C:B8:57:0A:DE",
                "uptimeSeconds": 412,
                "ASICModel": "BM1370",
                "version": "v2.9.0",
                "stratumURL": "p.example",
                "stratumPort": 3333,
                "stratumUser": "farm.1",
            }
        },
    ),
    "braiins": (
        braiins.parse,
        {
            "summary": {"SUMMARY": [{"Elapsed": 812, "MHS 5s": 141463565.25, "MHS av": 138207052.5}]},
            "tunerstatus": {"TUNERSTATUS": [{"ApproximateMinerPowerConsumption": 3137, "PowerLimit": 3031}]},
            "pools": POOLS,
            "details": {
                "mac_address": "02:77:59:55:72:BB",
                "serial_number": "SMTTYHIBDJAAI0041",
                "hostname": "row-7",
                "status": 2,
                "miner_identity": {"miner_model": "Antminer S19 XP"},
                "bos_version": {"current": "2025-08-06-0-3881c51d-25.07-plus"},
            },
        },
    ),
    "braiins over REST": (
        braiins.parse,
        {
            "stats": {
                "miner_stats": {"real_hashrate": {"last_5s": {"gigahash_per_second": 141463.5625}}},
                "power_stats": {"approximated_consumption": {"watt": 3137}},
            },
            "rest_pools": {
                "items": [{"pools": [{"url": "stratum+tcp://p.example:1", "user": "farm.1", "active": True}]}]
            },
            "details": {"bosminer_uptime_s": 812, "mac_address": "02:77:59:55:72:BB"},
            "boards": {"hashboards": [{"chips_count": 110, "board_temp": {"degree_c": 55.5}}]},
        },
    ),
    "braiins over GraphQL": (
        braiins.parse,
        {
            "system": {
                "bos": {"uptime": {"durationS": 950}, "info": {"version": {"full": "2022-09-13-22.08-plus"}}},
                "bosminer": {
                    "info": {
                        "workSolver": {"realHashrate": {"mhs5S": 7160208.9375}},
                        "summary": {"power": {"approxConsumptionW": 735}},
                    }
                },
            },
            "gql_model": {"bosminer": {"info": {"modelName": "Antminer S9"}}},
            "gql_pools": {
                "bosminer": {"info": {"poolGroups": [{"pools": [{"url": "p:1", "user": "farm.1"}]}]}}
            },
            "lan": {"items": [{"macaddr": "02:6D:79:6D:10:D3"}]},
        },
    ),
    "luxos": (
        luxos.parse,
        {
            "summary": {
                "STATUS": [{"STATUS": "S", "Description": "LUXminer 2025.4.8.220305-57b389c7"}],
                "SUMMARY": [{"Elapsed": 3453, "GHS 5s": 59756.25, "GHS av": 56917.5}],
            },
            "power": {"POWER": [{"PSU": False, "Watts": 1051}]},
            "config": {
                "CONFIG": [
                    {
                        "MACAddr": "02:65:24:e2:9b:e3",
                        "SerialNumber": "SMTTYHIBDJAAI0042",
                        "Hostname": "row-8",
                        "Model": "Antminer S19k Pro",
                        "CurtailMode": "None",
                    }
                ]
            },
            "pools": POOLS,
        },
    ),
    "vnish": (
        vnish.parse,
        {
            "web": {
                "miner": {
                    "miner_type": "Antminer S21 Pro (Vnish 1.2.7)",
                    "miner_status": {"miner_state": "mining"},
                    "hr_realtime": 173870.5,
                    "power_usage": 2583,
                    "psu": {"psu_power_metering": True},
                    "pools": [{"url": "p.example:1", "user": "farm.1", "status": "active"}],
                }
            },
            "info": {
                "miner": "Antminer S21 Pro",
                "fw_version": "1.2.7",
                "hr_measure": "GH/s",
                "serial": "N/A",
                "system": {"network_status": {"mac": "02:03:AC:66:3B:98", "hostname": "row-9"}},
            },
            "summary": {"SUMMARY": [{"Elapsed": 4423}]},
        },
    ),
    "epic": (
        epic.parse,
        {
            "summary": {
                "Software": "PowerPlay-BMS v1.9.0",
                "Hostname": "row-10",
                "Status": {"Operating State": "Mining"},
                "Session": {"Uptime": 7200, "Average MHs": 41000000},
                "HBs": [{"Hashrate": [49440724.5, 103.1, 0.8], "Temperature": 67.5}],
                "Power Supply Stats": {"Input Power": 2166.5, "Input Voltage": 0.0},
                "Stratum": {"Config Id": 0, "IsPoolConnected": True},
                "StratumConfigs": [{"pool": "stratum+tcp://p.example:1", "login": "farm.1"}],
            },
            "capabilities": {"Model": "AntMiner S19 XP", "Psu Info": {"True Power": True}},
            "network": {"dhcp": {"mac_address": "02:93:D7:75:94:F0"}},
        },
    ),
    "cgminer": (
        generic.parse,
        {
            "summary": {"SUMMARY": [{"Elapsed": 512, "MHS 20s": 620512.25, "MHS av": 615250.5}]},
            "devs": {"DEVS": [{"PGA": 0, "Enabled": "Y", "MHS 20s": 620498.75, "Temperature": 61.5}]},
            "version": {"VERSION": [{"API": "3.7", "Type": "Hammer D10", "CompileTime": "2023-05-28 CST"}]},
            "pools": POOLS,
        },
    ),
    "hiveon": (
        hiveon.parse,
        {
            "stats": {
                "STATS": [
                    {
                        "BMMiner": "4.11.1 rwglr",
                        "CompileTime": "Thu Apr 10 2025",
                        "Type": "Antminer S9 Hiveon",
                    },
                    {"Elapsed": 805, "GHS 5s": 6751.5, "GHS av": 6421.25, "total_power": 1345, "fan1": 3090},
                ]
            },
            "pools": POOLS,
            "system_info": {"macaddr": "02:00:00:00:01:21", "hostname": "row-11"},
        },
    ),
    "sealminer": (
        sealminer.parse,
        {
            "stats": {
                "STATS": [
                    {
                        "Elapsed": 2481,
                        "Model": "A2",
                        "Firmware": "2025091001",
                        "MAC": "02:00:00:00:01:22",
                        "PM State": "Running",
                        "MHS(30s)": 218310254.5,
                        "PSU Input Power": 3504,
                        "0 SN": "S131900261007715",
                    }
                ]
            },
            "pools": POOLS,
        },
    ),
    "auradine": (
        auradine.parse,
        {
            "summary": {"SUMMARY": [{"Elapsed": 56696, "MHS 5s": 21480355.25}]},
            "psu": {"PSU": [{"PowerIn": "3158.94W", "PoutMax": "3452.00W"}]},
            "ipreport": {
                "IPReport": [
                    {
                        "SerialNo": "AU25310042",
                        "mac": "02:00:00:00:01:23",
                        "model": "AT1500",
                        "version": "2023-12.27",
                    }
                ]
            },
            "pools": POOLS,
        },
    ),
    "goldshell": (
        goldshell.parse,
        {
            "summary": {"SUMMARY": [{"Elapsed": 129, "MHS 20s": 2050512.25}]},
            "status": {"model": "Goldshell-LT5", "firmware": "2.2.0"},
            "setting": {"name": "02:00:00:00:01:24"},
            "pools": POOLS,
        },
    ),
    "innosilicon": (
        innosilicon.parse,
        {
            "summary": {
                "STATUS": [{"STATUS": "S", "Description": "innominer t3-1.2.0"}],
                "SUMMARY": [{"Elapsed": 131, "MHS 5s": 51234567.25}],
            },
            "version": {"VERSION": [{"CGMiner": "t3-1.2.0"}]},
            "all": {"all": {"type": "T3+", "mac": "02:00:00:00:01:29"}},
            "pools": POOLS,
        },
    ),
    "spondoolies": (  # without watts: they are a sum, and so in no bytes
        spondoolies.parse,
        {
            "summary": {"SUMMARY": [{"Elapsed": 134, "MHS 5s": 377763.25}]},
            "stats": {
                "STATS": [
                    {
                        "ID": "SP360",
                        "json-stats": json.dumps(
                            {
                                "top-board": {"psu-name": "A", "max-temp": 95},
                                "bottom-board": {"psu-name": "A", "max-temp": 96},
                            }
                        ),
                    }
                ]
            },
            "pools": POOLS,
        },
    ),
    "strongu": (
        strongu.parse,
        {
            "summary": {
                "SUMMARY": [
                    {"Elapsed": 136, "MHS 5s": 397759.25, "Miner type": "dash", "Fan Num": 1, "Fan1": 7800}
                ]
            },
            "devs": {"DEVS": [{"Name": "u6", "Enabled": "Y"}]},
            "network": {"conf_macaddr": "02:00:00:00:01:2D"},
            "pools": POOLS,
        },
    ),
    "ipollo": (
        ipollo.parse,
        {
            "stats": {
                "STATS": [{"ID": "G1", "Algo": "grin", "Hashrate": 37.25, "Unit": "G/s", "Elapsed": 135}]
            },
            "pools": POOLS,
        },
    ),
    "elphapex": (
        elphapex.parse,
        {
            "stats": {
                "INFO": {"type": "DG1", "dev_sn": "28HY245192N001245C23B"},
                "STATS": [{"rate_unit": "MH/s", "elapsed": 133, "rate_5s": 11040.75, "fan": ["5340"]}],
            },
            "pools": POOLS,
            "system_info": {"macaddr": "02:00:00:00:01:2C"},
        },
    ),
    "jasminer": (
        jasminer.parse,
        {
            "status": {
                "summary": {
                    "miner": "JASMINER X4-Q",
                    "version": "Mon Oct 14 2024",
                    "machine_sn": "JM4Q22A0715",
                    "uptime": 132,
                    "rt": "1040.25 MH/s",
                },
                "pools": {
                    "pool": [{"url": "stratum+tcp://p.example:1", "user": "farm.1", "status": "in use"}]
                },
            },
            "system_info": {"macaddr": "02:00:00:00:01:2B"},
        },
    ),
    "iceriver": (
        iceriver.parse,
        {
            "panel": {
                "data": {
                    "model": "KS0 Pro",
                    "softver1": "BL20230710",
                    "mac": "02:00:00:00:01:25",
                    "host": "row-12",
                    "rtpow": "198.52G",
                    "unit": "G",
                    "runtime": "00:00:00:07",
                    "pools": [{"addr": "stratum+tcp://p.example:1", "user": "farm.1", "connect": True}],
                    "boards": [{"chipnum": 18, "outtmp": 55.5}],
                }
            }
        },
    ),
    "proto": (
        proto.parse,
        {
            "mining": {
                "mining-status": {
                    "status": "Mining",
                    "mining_uptime_s": 286,
                    "hashrate_ghs": 143206.4375,
                    "power_usage_watts": 3447.5,
                    "power_target_watts": 3400,
                }
            },
            "system": {
                "system-info": {
                    "product_name": "Proto Rig",
                    "manufacturer": "Proto",
                    "os": {"version": "1.8.0"},
                }
            },
            "network": {"network-info": {"mac": "02:00:00:00:01:26", "hostname": "row-13"}},
            "pool_list": {"pools": [{"url": "stratum+tcp://p.example:1", "user": "farm.1"}]},
        },
    ),
    "marafw": (
        marafw.parse,
        {
            "brief": {
                "status": "Mining",
                "elapsed": 900,
                "hashrate_realtime": 101.512,
                "power_consumption_estimated": 3010.5,
            },
            "overview": {"model": "Antminer S19", "mac": "02:00:00:00:01:27", "version_firmware": "2024.1.0"},
            "pool_list": {"items": [{"index": 0, "url": "a:1", "user": "farm.1", "status": "Alive"}]},
        },
    ),
    "fluminer": (
        fluminer.parse,
        {
            "summary": {
                "data": {
                    "summary": [
                        {
                            "pool": "p.example",
                            "port": "3333",
                            "hrt": "109812.52",
                            "power": "1723.41",
                            "uptime": "98063",
                            "model": "T3",
                        }
                    ]
                }
            },
            "overview": {
                "data": {
                    "minerInfo": {
                        "sn": "HYT417305C11H10S12B0410712",
                        "minerVersion": "V1.12",
                        "macAddress": "020000000128",
                    }
                }
            },
            "pool_list": {"data": {"pools": [{"url": "stratum+tcp://p.example:3333", "user": "farm.1"}]}},
        },
    ),
}
PRODUCT = re.compile(r"^(LuxOS|VNish) ")  # a person's name for the firmware, put before the version

WEIRD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.text(max_size=12),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def read(family: str, replies: Mapping[str, bytes]) -> Reading | None:
    """The reading of raw replies as a driver gets them; None where a DeviceError was the answer."""
    parser, _ = REPLIES[family]
    got = {}
    for name, raw in replies.items():
        try:
            got[name] = checked(parse(raw))
        except DeviceError:
            continue
    try:
        return parser(got, 1)
    except DeviceError:
        return None


def raw_replies(family: str) -> dict[str, bytes]:
    return {name: json.dumps(reply).encode() + b"\0" for name, reply in REPLIES[family][1].items()}


def assert_complete(reading: Reading) -> None:
    for name in EXPECTED:
        has_value = getattr(reading, name) not in (None, (), State.UNKNOWN)
        assert has_value or reading.unknown[name], name
    assert (reading.power_w is None) == (reading.power_origin is None)


def paths(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inside = (
        list(node.items())
        if isinstance(node, dict)
        else list(enumerate(node))
        if isinstance(node, list)
        else []
    )
    return [here] * bool(here) + [path for key, value in inside for path in paths(value, (*here, key))]


@pytest.mark.parametrize("family", REPLIES)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_mutated_bytes_never_raise_anything_else(family: str, data: st.DataObject) -> None:
    replies = raw_replies(family)
    name = data.draw(st.sampled_from(sorted(replies)))
    raw = bytearray(replies[name])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, max(len(raw) - 1, 0)))
        cut = data.draw(st.integers(0, 4))
        raw[at : at + cut] = data.draw(st.binary(max_size=4))
    replies[name] = bytes(raw)
    if reading := read(family, replies):
        assert_complete(reading)


@pytest.mark.parametrize("family", REPLIES)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_a_weird_value_in_one_field_is_a_problem_of_that_field(family: str, data: st.DataObject) -> None:
    replies: dict[str, Any] = json.loads(json.dumps(REPLIES[family][1]))
    path = data.draw(st.sampled_from(paths(replies)))
    node: Any = replies
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = data.draw(WEIRD)
    reading = read(family, {name: json.dumps(reply).encode() for name, reply in replies.items()})
    if reading is None:
        return
    assert_complete(reading)
    if isinstance(node[path[-1]], bool | list | dict | None) and path[-1] in ("GHS 5s", "HS RT", "hashRate"):
        assert reading.hashrate_hs is None or reading.hashrate_window not in ("5s", "realtime")


@pytest.mark.parametrize("family", REPLIES)
def test_a_field_that_is_not_there_has_no_value(family: str) -> None:
    """Take the fields away one by one: what a reading still says must be in the bytes that are left."""
    for path in paths(dict(REPLIES[family][1])):
        replies: dict[str, Any] = json.loads(json.dumps(REPLIES[family][1]))
        node: Any = replies
        for key in path[:-1]:
            node = node[key]
        del node[path[-1]]
        left = json.dumps(replies)
        reading = read(family, {name: json.dumps(reply).encode() for name, reply in replies.items()})
        if reading is None:
            continue
        assert_complete(reading)
        bare = left.lower().replace(":", "")
        assert reading.mac is None or reading.mac.replace(":", "") in bare
        for name in ("serial", "hostname", "firmware"):
            assert PRODUCT.sub("", getattr(reading, name) or "") in left
        for name in ("power_w", "uptime_s"):
            value = getattr(reading, name)
            assert value is None or f"{value:g}" in left
        if reading.hashrate_hs is not None:
            digits = f"{reading.hashrate_hs:.0f}".rstrip("0")
            assert digits in left.replace(".", ""), path
        assert all(pool.user in left for pool in reading.pools)


@pytest.mark.parametrize("family", REPLIES)
def test_every_cut_of_a_reply_is_an_error_or_the_whole(family: str) -> None:
    for name, raw in raw_replies(family).items():
        for length in range(len(raw) - 1):
            try:
                assert parse(raw[:length]) == REPLIES[family][1][name]
            except DeviceError:
                continue
