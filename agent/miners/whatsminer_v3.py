"""WhatsMiner's API 3 on 4433: two commands, each with the section that is wanted.

Power is what the supply reports to the mining program over its bus: `psu_measured`.
`power-limit` is a setting.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agent.miners import fields
from agent.miners.poll import Ask, Budget, collect
from agent.miners.whatsminer import MAKE, model_of
from agent.readings import PowerOrigin, Reading, State
from agent.transports import whatsminer_v3
from agent.transports.access import Access
from agent.transports.cgminer import Json

FAMILY = "whatsminer-v3"
INFO, STATUS = "get.device.info", "get.miner.status"
TERA = 1e12  # every rate of API 3 is in TH/s

_RATES = (
    ("hash-realtime", "realtime"),
    ("hash-1min", "1m"),
    ("hash-15min", "15m"),
    ("hash-average", "since start"),
)
_POWER_KEYS = ("power-realtime", "power-5min", "power")


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where the device names API 3, on its own port or on 4028."""
    version = fields.part(seen.get("get_version"), "Msg")
    info = fields.part(seen.get("v3_info"), "msg")
    return str(version.get("api_ver", "")).startswith("3") or "miner" in info or "system" in info


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll; a sweep takes two connections."""
    network = access.network

    def command(name: str, param: str | None) -> Ask:
        return lambda limit_s: whatsminer_v3.ask(address, name, param, network, deadline_s=limit_s)

    steps = [("summary", command(STATUS, "summary")), ("pools", command(STATUS, "pools"))]
    if full:
        steps += [("info", command(INFO, None)), ("edevs", command(STATUS, "edevs"))]
    replies = await collect(steps, ["summary"], Budget(network.poll_deadline_s))
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of replies named summary, pools, info and edevs."""
    row = fields.part(fields.part(got.get("summary"), "msg"), "summary")
    boards = fields.rows(fields.part(got.get("edevs"), "msg"), "edevs")
    about = fields.part(got.get("info"), "msg")
    miner = fields.part(about, "miner")
    unknown: dict[str, str] = {}
    values: dict[str, Any] = _identity(about, miner, unknown) if full else {}
    values["hashrate_hs"], values["hashrate_window"] = _hashrate(row)
    watts = next((row[key] for key in _POWER_KEYS if fields.power(row.get(key))), None)
    values["power_w"], values["power_origin"] = fields.measured(watts, PowerOrigin.PSU_MEASURED)
    if watts is None and row:
        unknown["power_w"] = "the summary holds no watts that a running device can draw"
    values["uptime_s"] = fields.uptime(row.get("elapsed"))
    state = _state(miner, values["hashrate_hs"], values["hashrate_window"])
    values["state"] = fields.warming(state, values["uptime_s"])
    if values["state"] is State.UNKNOWN:
        unknown["state"] = "no rate of this moment and no mode was read"
    values["pools"], pools_reason = fields.pools(_as_cgminer(got.get("pools")))
    if pools_reason and "pools" in got:
        unknown["pools"] = pools_reason
    hashing = [fields.number(board.get("hash-realtime")) or 0 for board in boards]
    boards_c = row.get("board-temperature")
    values |= {
        "board_temps_c": fields.temperatures(boards_c if isinstance(boards_c, list) else ()),
        "chip_temps_c": fields.temperatures(
            [board.get("chip-temp-max") for board in boards] or [row.get("chip-temp-max")]
        ),
        "fans_rpm": fields.speeds(row.get(key) for key in ("fan-speed-in", "fan-speed-out")),
        "boards_total": len(boards) or None,
        "boards_hashing": sum(1 for rate in hashing if rate > 0) if boards else None,
        "chips": sum(fields.whole(board.get("effective-chips")) or 0 for board in boards) or None,
    }
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _identity(about: Json, miner: Json, unknown: dict[str, str]) -> dict[str, Any]:
    network, system = fields.part(about, "network"), fields.part(about, "system")
    found = {
        "make": MAKE,
        "model": model_of([miner.get("type")]),
        "firmware": fields.text(system.get("fwversion")),
        "mac": fields.mac(network.get("mac")),
        "serial": fields.serial(miner.get("miner-sn")),
        "hostname": fields.text(network.get("hostname")),
        "psu_serial": fields.serial(fields.part(about, "power").get("sn")),
        "board_serials": tuple(sn for slot in range(4) if (sn := fields.serial(miner.get(f"pcbsn{slot}")))),
    }
    if found["serial"] is None and "miner-sn" in miner:
        unknown["serial"] = "the serial field is padding or a placeholder"
    if found["mac"] is None and "mac" in network:
        unknown["mac"] = "the mac field holds no address of one device"
    return found


def _hashrate(row: Json) -> tuple[float | None, str | None]:
    for key, window in _RATES:
        value = fields.number(row.get(key))
        if value is not None and value >= 0 and not (window == "since start" and "hash-realtime" in row):
            return value * TERA, window
    return None, None


def _state(miner: Json, hashrate_hs: float | None, window: str | None) -> State:
    if fields.flag(miner.get("working")) is False:
        return State.SLEEPING
    if hashrate_hs and (window != "since start" or fields.flag(miner.get("working"))):
        return State.MINING
    return State.IDLE if hashrate_hs == 0 else State.UNKNOWN


def _as_cgminer(reply: Json | None) -> Json | None:
    """The pools in the words of the older API, so that one reader serves both."""
    if reply is None:
        return None
    renamed = {"account": "User", "stratum-active": "Stratum Active", "pool-priority": "Priority"}
    listed = fields.rows(fields.part(reply, "msg"), "pools")
    return {
        "when": reply.get("when"),
        "POOLS": [{renamed.get(key, key): value for key, value in row.items()} for row in listed],
    }
