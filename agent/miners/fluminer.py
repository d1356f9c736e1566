"""Fluminer: three pages under /api, the pools alone behind a login.

Power: a figure is given beside the supply's voltage, and nothing says where it was taken: none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from agent.miners import fields
from agent.miners.poll import Ask, Budget, collect
from agent.readings import AuthError, Pool, Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json
from agent.transports.http import Asked

FAMILY = "fluminer"
OVERVIEW, SUMMARY, POOLS, LOGIN = "/api/overview", "/api/summary", "/api/getPools", "/api/login"
GIGA = 1e9
LIFETIME_S = 3600.0  # the cookie's is not told

_SHA256_MODEL = re.compile(r"T\d\w*")  # the page names no unit; of these it is GH/s
_ADDRESS = re.compile(r"(?:[\w+]+://)?([^/:]+):(\d+)")


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where the overview has Fluminer's names, or the web's first page has its title."""
    title = "<title>fluminer</title>" in str(seen.get("web_root", {}).get("text", "")).lower()
    return title or "minerVersion" in _about(seen.get("fluminer_overview"))


def _about(reply: Json | None) -> Json:
    return fields.part(fields.part(reply, "data"), "minerInfo")


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: two pages and, where the login is known, the pools."""
    budget = Budget(access.network.poll_deadline_s)

    def left_s() -> float:
        return max(budget.left_s(), 0.1)

    def page(path: str) -> Ask:
        return lambda limit_s: access.get(address, path, limit_s)

    async def login() -> tuple[str, float]:
        user, password = access.credentials.of(FAMILY) or ("", "")
        asked = Asked(json={"username": user, "password": password})
        _, cookies = await access.web.send(address, LOGIN, asked, deadline_s=left_s())
        if "session" not in cookies:
            raise AuthError(f"{LOGIN}: no session was given")
        return f"session={cookies['session']}", LIFETIME_S

    async def behind(cookie: str) -> Json:
        return await access.page(address, POOLS, left_s(), Asked(headers={"Cookie": cookie}))

    steps: list[tuple[str, Ask]] = [("summary", page(SUMMARY)), ("overview", page(OVERVIEW))]
    steps.append(("pool_list", lambda _limit_s: access.tokens.using(address, FAMILY, login, behind)))
    replies = await collect(steps, ["summary"], budget)
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of the pages summary, overview and pool_list."""
    row = next(iter(fields.rows(fields.part(got.get("summary"), "data"), "summary")), {})
    about = _about(got.get("overview"))
    model = fields.text(row.get("model")) or fields.text(about.get("model"))
    unknown: dict[str, str] = {}
    values: dict[str, Any] = {}
    value = fields.number(row.get("hrt"))
    if value is not None and value >= 0 and _SHA256_MODEL.fullmatch(model or ""):
        values |= {"hashrate_hs": value * GIGA, "hashrate_window": "realtime"}
    elif "hrt" in row:
        unknown["hashrate_hs"] = "hrt is no number, or its unit cannot be told"
    if "power" in row:
        unknown["power_w"] = "a figure of unknown origin was given, it is not used"
    values["uptime_s"] = fields.uptime(row.get("uptime"))
    rate = values.get("hashrate_hs")
    state = State.MINING if rate else State.IDLE if rate == 0 else State.UNKNOWN
    values["state"] = fields.warming(state, values["uptime_s"])
    values["pools"] = _pools(got.get("pool_list"), row)
    values["fans_rpm"] = fields.speeds(str(row.get("fan", "")).split("|"))
    if full:
        values |= {
            "make": "Fluminer" if about else None,
            "model": f"Fluminer {model}" if model else None,
            "firmware": fields.text(about.get("minerVersion")),
            "mac": fields.mac(about.get("macAddress")),
            "serial": fields.serial(about.get("sn")),
        }
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _pools(reply: Json | None, row: Json) -> tuple[Pool, ...]:
    """The configured pools; the summary names host and port of the one in use, and counts its shares."""
    used = fields.text(row.get("pool")), str(row.get("port", ""))
    alive = fields.flag(row.get("poolAlive"))
    found: list[Pool] = []
    for raw in fields.rows(fields.part(reply, "data"), "pools"):
        url, user = fields.text(raw.get("url")), fields.line(raw.get("user"))
        if url is None or user is None:
            continue
        at = _ADDRESS.match(url)
        here = at is not None and used == (at[1], at[2])
        counts = (fields.whole(row.get("acc")), fields.whole(row.get("rej"))) if here else (None, None)
        active = (alive if here else False) if used[0] else None
        found.append(Pool(url, user, active, len(found), *counts))
    return tuple(found)
