"""Proto Rig: pages under /api/v1 that are read without a login.

Power: its supplies report their input side over their bus (`psus` of the telemetry, `power.input`), and
`power_usage_watts` is that of the whole rig: `psu_measured`. `power_target_watts` is a setting.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agent.miners import fields
from agent.miners.poll import Ask, Budget, collect
from agent.readings import Pool, PowerOrigin, Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json

FAMILY = "proto"
SYSTEM = "/api/v1/system"
SWEEP = {"mining": "/api/v1/mining", "pool_list": "/api/v1/pools"}
FULL = SWEEP | {"system": SYSTEM, "network": "/api/v1/network", "hardware": "/api/v1/hardware"}
GIGA = 1e9

_STATES = {
    "mining": State.MINING,
    "degradedmining": State.MINING,
    "poweringon": State.STARTING,
    "poweringoff": State.SLEEPING,
    "stopped": State.SLEEPING,
    "error": State.FAULT,
}


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where the page is the system's of a Proto rig."""
    about = fields.part(seen.get("proto_system"), "system-info")
    return "cb_sn" in about or str(about.get("product_name", "")).startswith("Proto")


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: two pages in a sweep."""

    def page(path: str) -> Ask:
        return lambda limit_s: access.get(address, path, limit_s)

    steps = [(name, page(path)) for name, path in (FULL if full else SWEEP).items()]
    replies = await collect(steps, ["mining"], Budget(access.network.poll_deadline_s))
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of the pages mining, pool_list, system, network and hardware."""
    row = fields.part(got.get("mining"), "mining-status")
    unknown: dict[str, str] = {}
    values: dict[str, Any] = _identity(got, unknown) if full else {}
    value = fields.number(row.get("hashrate_ghs"))
    if value is not None and value >= 0:
        values |= {"hashrate_hs": value * GIGA, "hashrate_window": "realtime"}
    elif "hashrate_ghs" in row:
        unknown["hashrate_hs"] = "hashrate_ghs is no number"
    values["power_w"], values["power_origin"] = fields.measured(
        row.get("power_usage_watts"), PowerOrigin.PSU_MEASURED
    )
    if values["power_w"] is None and row:
        unknown["power_w"] = "the power field holds no watts that a running device can draw"
    values["uptime_s"] = fields.uptime(fields.first(row, "mining_uptime_s", "reboot_uptime_s"))
    told = str(row.get("status", "")).lower().replace("_", "").replace(" ", "")
    values["state"] = _STATES.get(told, State.UNKNOWN)
    if values["state"] is State.UNKNOWN:
        unknown["state"] = f"the status is {row.get('status')!r}"
    values["pools"] = _pools(got.get("pool_list"))
    if values["state"] is State.MINING:
        values["pools"] = fields.only_source(values["pools"])
    values |= {
        "boards_total": fields.whole(row.get("hashboards_installed")) or None,
        "boards_hashing": fields.whole(row.get("hashboards_mining")),
        "chip_temps_c": fields.temperatures([row.get("average_asic_temp_c")]),
        "board_temps_c": fields.temperatures([row.get("average_hb_temp_c")]),
    }
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _identity(got: Mapping[str, Json], unknown: dict[str, str]) -> dict[str, Any]:
    about = fields.part(got.get("system"), "system-info")
    lan = fields.part(got.get("network"), "network-info")
    boards = fields.rows(fields.part(got.get("hardware"), "hardware-info"), "hashboards-info")
    unknown["serial"] = "the serial numbers that it names are those of its boards"
    return {
        "make": fields.text(about.get("manufacturer")),
        "model": fields.text(about.get("product_name")),
        "firmware": fields.text(fields.part(about, "os").get("version")),
        "mac": fields.mac(lan.get("mac")),
        "hostname": fields.text(lan.get("hostname")),
        "board_serials": tuple(
            sn for row in boards if (sn := fields.serial(fields.first(row, "hb_sn", "serial_number")))
        ),
    }


def _pools(reply: Json | None) -> tuple[Pool, ...]:
    """The configured pools; "Active" is said of each that is connected, so one alone can have the work."""
    found = []
    for row in fields.rows(reply, "pools"):
        url, user = fields.text(row.get("url")), fields.line(row.get("user"))
        if url is None or user is None:
            continue
        status = str(fields.first(row, "connection_status", "status")).lower()
        off = fields.flag(row.get("enabled")) is False or status in ("idle", "dead", "disconnected")
        found.append(
            Pool(
                url,
                user,
                False if off else None,
                fields.whole(row.get("priority")),
                fields.whole(fields.first(row, "accepted_shares", "accepted")),
                fields.whole(fields.first(row, "rejected_shares", "rejected")),
            )
        )
    return tuple(found)
