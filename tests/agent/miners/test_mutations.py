"""Whatever bytes come, a driver gives a reading or a DeviceError, and no value that the bytes do not hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.miners import antminer, avalon, axeos, whatsminer, whatsminer_v3
from agent.miners.fields import EXPECTED
from agent.readings import DeviceError, Reading, State
from agent.transports.cgminer import Json, checked, parse

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
}

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
@settings(max_examples=150, deadline=None)
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
@settings(max_examples=150, deadline=None)
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
            assert (getattr(reading, name) or "") in left
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
