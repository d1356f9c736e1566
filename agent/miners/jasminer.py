"""Jasminer: one page behind digest that has nearly all, and Bitmain's page for the MAC. It tells no power."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from agent.miners import antminer, fields, rates
from agent.miners.poll import Ask, Budget, collect
from agent.readings import Pool, Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json

FAMILY = "jasminer"
MAKE = "Jasminer"
STATUS = "/cgi-bin/minerStatus_all.cgi"

_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGTP]?H)/?s\s*", re.IGNORECASE)


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where its page, or Bitmain's, names it."""
    named = fields.part(seen.get("jasminer_status"), "summary").get("miner")
    kind = seen.get("system_info", {}).get("minertype")
    return any(str(name).lower().startswith("jasminer") for name in (named, kind))


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: one page in a sweep."""
    digest = access.credentials.of(FAMILY)

    def page(path: str) -> Ask:
        return lambda limit_s: access.get(address, path, limit_s, digest)

    steps = {"status": page(STATUS)} | ({"system_info": page(antminer.SYSTEM_INFO)} if full else {})
    replies = await collect(steps.items(), ["status"], Budget(access.network.poll_deadline_s))
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of the pages status and system_info."""
    row, parts = fields.part(got.get("status"), "summary"), fields.part(got.get("status"), "boards")
    unknown = {"power_w": "this firmware reports no power"}
    values: dict[str, Any] = {"hashrate_hs": _rate(row.get("rt")), "state": State.UNKNOWN}
    if values["hashrate_hs"] is None:
        unknown["hashrate_hs"] = "rt holds no rate with a unit"
        unknown["state"] = "no rate of this moment was read"
    values["uptime_s"] = fields.uptime(row.get("uptime"))
    if values["hashrate_hs"] is not None:
        values["hashrate_window"] = "realtime"
        idle = State.MINING if values["hashrate_hs"] else State.IDLE
        values["state"] = fields.warming(idle, values["uptime_s"])
    values["pools"] = _pools(fields.part(got.get("status"), "pools"))
    if values["state"] is State.MINING:
        values["pools"] = fields.only_source(values["pools"])
    if not values["pools"]:
        unknown["pools"] = "no pool can be read"
    boards = fields.rows(parts, "board")
    chips = [value for board in boards for key, value in board.items() if re.fullmatch(r"asic\d+_temp", key)]
    values["chip_temps_c"] = fields.temperatures(chips)
    count = fields.whole(parts.get("fan_num")) or 4
    values["fans_rpm"] = fields.speeds(parts.get(f"fan{n}") for n in range(1, min(count, 8) + 1))
    if full:
        info = got.get("system_info", {})
        words = (fields.text(row.get("miner")) or fields.text(info.get("minertype")) or "").split()
        bare = " ".join(words[1:] if words[:1] and words[0].lower() == "jasminer" else words)
        values |= {
            "make": MAKE,
            "model": f"{MAKE} {bare}" if bare else None,
            "firmware": fields.text(row.get("version")),
            "serial": fields.serial(row.get("machine_sn")),
            "mac": fields.mac(info.get("macaddr")),
            "hostname": fields.text(info.get("hostname")),
            "boards_total": len(boards) or None,
        }
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _rate(raw: object) -> float | None:
    """H/s of "1786.5 MH/s"."""
    match = _RATE.fullmatch(raw) if isinstance(raw, str) else None
    value, scale = (fields.number(match[1]), rates.unit_hs(match[2])) if match else (None, None)
    return value * scale if value is not None and scale else None


def _pools(page: Json) -> tuple[Pool, ...]:
    """The pools; one that is in use gives the work."""
    found: list[Pool] = []
    for row in fields.rows(page, "pool"):
        url, user = fields.text(row.get("url")), fields.line(row.get("user"))
        if url is None or user is None:
            continue
        status = str(row.get("status", "")).strip().lower()
        active = True if status == "in use" else (None if status in ("", "alive") else False)
        accepted, rejected = fields.whole(row.get("accept")), fields.whole(row.get("reject"))
        found.append(Pool(url, user, active, len(found), accepted, rejected))
    return tuple(found)
