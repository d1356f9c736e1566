"""MaraFW (Marathon) on Antminers: pages under /kaonsu/v1 behind digest.

Power: `power_consumption_estimated` says itself what it is, unless `power_source` names the supply. The
target of the mode is a setting. Rates are in `hashrate_unit`; firmware without it means TH/s (SHA-256).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agent.miners import fields, rates
from agent.miners.poll import Ask, Budget, collect
from agent.readings import PowerOrigin, Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json
from agent.transports.http import Asked

FAMILY = "marafw"
SWEEP = {"brief": "/kaonsu/v1/brief", "pool_list": "/kaonsu/v1/pools"}
OVERVIEW = "/kaonsu/v1/overview"
RARE = {
    "overview": OVERVIEW,
    "network": "/kaonsu/v1/network_config",
    "boards": "/kaonsu/v1/hashboards",
}
TERA = 1e12
_RATES = (("hashrate_realtime", "realtime"), ("hashrate_realtime_10m", "10m"))

_STATES = {"mining": State.MINING, "sleeping": State.SLEEPING, "sleep": State.SLEEPING}


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where a reply on 4028 names the program, or the page is there."""
    return "version_firmware" in seen.get("mara_overview", {}) or any(
        "kaonsu" in str(reply).lower() for reply in seen.values()
    )


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: two pages in a sweep."""
    digest = access.credentials.of(FAMILY)

    def page(path: str) -> Ask:
        return lambda limit_s: access.page(address, path, limit_s, Asked(digest=digest))

    pages = SWEEP | (RARE if full else {})
    steps = [(name, page(path)) for name, path in pages.items()]
    replies = await collect(steps, ["brief"], Budget(access.network.poll_deadline_s))
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of the pages brief, pool_list, overview, network and boards."""
    brief, boards = got.get("brief", {}), fields.rows(got.get("boards"), "hashboards")
    unknown: dict[str, str] = {}
    values: dict[str, Any] = {}
    name, window = next((pair for pair in _RATES if pair[0] in brief), _RATES[0])
    value = fields.number(brief.get(name))
    scale = rates.unit_hs(brief["hashrate_unit"]) if "hashrate_unit" in brief else TERA
    if value is not None and value >= 0 and scale:
        values |= {"hashrate_hs": value * scale, "hashrate_window": window}
    elif name in brief:
        unknown["hashrate_hs"] = f"{name} is no number, or its unit cannot be told"
    values["power_w"], values["power_origin"] = fields.measured(
        brief.get("power_consumption_estimated"),
        PowerOrigin.PSU_MEASURED if brief.get("power_source") == "PSU" else PowerOrigin.FIRMWARE_ESTIMATED,
    )
    if values["power_w"] is None and brief:
        unknown["power_w"] = "the estimate holds no watts that a running device can draw"
    values["uptime_s"] = fields.uptime(brief.get("elapsed"))
    values["state"] = _STATES.get(str(brief.get("status", "")).lower(), State.UNKNOWN)
    if values["state"] is State.UNKNOWN:
        unknown["state"] = f"the status is {brief.get('status')!r}"
    values["pools"], reason = fields.pools(_as_cgminer(got.get("pool_list")), full=full)
    if reason and "pool_list" in got:
        unknown["pools"] = reason
    elif values["state"] is State.MINING:
        values["pools"] = fields.only_source(values["pools"])
    chips = [fields.whole(board.get("asic_num")) or 0 for board in boards]
    if full:
        about = got.get("overview", {})
        make, model = fields.named(fields.first(about, "model", "miner_type", "model_extended"))
        values |= {
            "make": make,
            "model": model,
            "firmware": fields.text(about.get("version_firmware")),
            "mac": fields.mac(about.get("mac")),
            "hostname": fields.text(got.get("network", {}).get("hostname")),
            "board_serials": tuple(
                sn for board in boards if (sn := fields.serial(board.get("serial_number")))
            ),
            "boards_total": len(boards) or None,
            "chips": sum(chips) or None,
        }
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _as_cgminer(reply: Json | None) -> Json | None:
    """The pools as a cgminer reply has them: the page is a list."""
    if reply is None:
        return None
    return {"POOLS": fields.rows(reply, "items") or fields.rows(reply, "pools")}
