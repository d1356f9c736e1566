"""IceRiver: one page, /user/userpanel, which some versions give only after a login. It tells no power."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from agent.miners import fields, rates
from agent.miners.poll import Budget, Replies, collect
from agent.readings import AuthError, Pool, ProtocolError, Reading, State, Unsupported
from agent.transports.access import Access
from agent.transports.cgminer import Json
from agent.transports.http import Asked

FAMILY = "iceriver"
POST = {"post": "4"}  # some versions read it in the path, some in the form
PANEL, LOGIN = "/user/userpanel?post=4", "/user/loginpost?post=6&user={}&pwd={}"

_TITLE = "<title>用户界面</title>"

_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:H/?s?)?\s*", re.IGNORECASE)
_RUNTIME = re.compile(r"(\d+):(\d\d):(\d\d):(\d\d)")
# Alone ("KS0 Pro"), or in the software's name: "x_ks3m_miner", "x_ks3miner".
_MODEL = re.compile(
    r"(?<![a-z])(KS|AL|AE|RX)(\d)\s*(pro|ultra|lite|[a-z](?!iner))?(?=miner|[^a-z]|$)", re.IGNORECASE
)
_CODES = {"10306": "AL3"}  # newer software has a number there


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where the page is IceRiver's panel, or the web's first page has its title."""
    title = _TITLE in str(seen.get("web_root", {}).get("text", "")).lower()
    return title or {"rtpow", "avgpow"} <= fields.part(seen.get("panel"), "data").keys()


async def look(address: str, access: Access, limit_s: float) -> Json:
    """The panel as anyone may ask for it: by GET, or as some versions want it by POST."""
    try:
        reply = await access.get(address, PANEL, limit_s)
        if recognise({"panel": reply}):
            return reply
    except (AuthError, ProtocolError, Unsupported):
        pass
    return await access.page(address, PANEL, limit_s, Asked(form=POST))


async def ask(address: str, access: Access, limit_s: float) -> Json:
    """The panel of a device that is known as IceRiver's: where it is locked, behind its login."""
    with suppress(AuthError, ProtocolError, Unsupported):
        reply = await look(address, access, limit_s)
        if recognise({"panel": reply}):
            return reply
    user, password = access.credentials.of(FAMILY) or ("", "")
    login = LOGIN.format(user, password)
    _, cookies = await access.web.send(address, login, Asked(form={}), deadline_s=limit_s)
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    asked = Asked(form=POST, headers={"Cookie": cookie} if cookie else {})
    return await access.page(address, PANEL, limit_s, asked)


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: one page at either depth."""
    steps = [("panel", lambda limit_s: ask(address, access, limit_s))]
    replies: Replies = await collect(steps, ["panel"], Budget(access.network.poll_deadline_s))
    return parse(replies.got, time.time_ns() // 1000, full=full)


def parse(got: Mapping[str, Json], observed_us: int, *, full: bool = True) -> Reading:
    """The reading of the page under the name panel."""
    data = fields.part(got.get("panel"), "data")
    unknown = {"power_w": "IceRiver reports no power", "serial": "IceRiver names no serial number"}
    values: dict[str, Any] = {"hashrate_hs": _rate(data.get("rtpow"), data.get("unit"))}
    values["hashrate_window"] = "realtime" if values["hashrate_hs"] is not None else None
    if values["hashrate_hs"] is None and "rtpow" in data:
        unknown["hashrate_hs"] = "rtpow holds no rate whose unit can be told"
    runtime = _RUNTIME.fullmatch(str(data.get("runtime", "")))
    days, hours, minutes, seconds = map(int, runtime.groups()) if runtime else (0, 0, 0, 0)
    uptime_s = 86_400 * days + 3600 * hours + 60 * minutes + seconds
    values["uptime_s"] = fields.uptime(uptime_s) if runtime else None
    values["state"] = _state(data, values)
    if values["state"] is State.UNKNOWN:
        unknown["state"] = "no rate of this moment was read"
    values["pools"] = _pools(data)
    if values["state"] is State.MINING:
        values["pools"] = fields.only_source(values["pools"])
    if not values["pools"]:
        unknown["pools"] = "no pool can be read"
    boards = fields.rows(data, "boards")
    values |= {
        "board_temps_c": fields.temperatures(board.get("outtmp") for board in boards),
        "fans_rpm": fields.speeds(data["fans"] if isinstance(data.get("fans"), list) else ()),
    }
    if full:
        values |= _identity(data) | {
            "boards_total": len(boards) or None,
            "chips": sum(fields.whole(board.get("chipnum")) or 0 for board in boards) or None,
        }
    return fields.build(FAMILY, observed_us, values, unknown, full=full)


def _rate(raw: object, unit: object) -> float | None:
    """H/s of "98.5G", or of a bare number in the page's own unit."""
    match = _RATE.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        return None
    stated = match[2] or (unit if isinstance(unit, str) else "")
    scale = rates.unit_hs(f"{stated}H") if stated else None
    value = fields.number(match[1])
    return value * scale if value is not None and scale else (0.0 if value == 0 else None)


def _state(data: Json, values: Mapping[str, Any]) -> State:
    if data.get("powstate") is False:  # its rate is a mean that outlasts the boards
        return State.IDLE
    if values["hashrate_hs"]:
        return State.MINING
    if values["hashrate_hs"] is None:
        return State.UNKNOWN
    if data.get("tempstate") is False:
        return State.OVERHEAT
    return fields.warming(State.IDLE, values["uptime_s"])


def _pools(data: Json) -> tuple[Pool, ...]:
    """The configured pools; which of several connected ones has the work is not told."""
    found: list[Pool] = []
    for row in fields.rows(data, "pools"):
        url, user = fields.text(row.get("addr")), fields.line(row.get("user"))
        if url is None or user is None:
            continue
        active = False if _is_off(row.get("connect")) else None
        accepted, rejected = fields.whole(row.get("accepted")), fields.whole(row.get("rejected"))
        found.append(Pool(url, user, active, len(found), accepted, rejected))
    return tuple(found)


def _is_off(connect: object) -> bool:
    """True for false and, of the versions that number it, 0 and -1."""
    value = fields.number(connect)
    return fields.flag(connect) is False or (value is not None and value <= 0)


def _identity(data: Json) -> dict[str, Any]:
    """The model stands in `model` or, where that is "none", in the name of the software."""
    model = fields.text(data.get("model"))
    match = _MODEL.search(f"{model or ''} {data.get('softver1', '')}")
    if match:
        kind = match[3] or ""
        model = (
            match[1].upper() + match[2] + (kind.upper() if len(kind) == 1 else f" {kind.title()}".rstrip())
        )
    else:
        codes = str(data.get("softver1", "")).split("_")
        model = next((_CODES[code] for code in codes if code in _CODES), model)
    return {
        "make": "IceRiver",
        "model": model,
        "firmware": fields.text(data.get("softver1")) or fields.text(data.get("firmver1")),
        "mac": fields.mac(data.get("mac")),
        "hostname": fields.text(data.get("host")),
    }
