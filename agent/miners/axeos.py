"""AxeOS (ESP-Miner) on Bitaxe and its relatives: one page, `/api/system/info`.

Power is measured on the board's own input, behind whatever supply feeds it: `dc_output`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agent.miners import fields
from agent.miners.poll import Budget, collect
from agent.readings import Pool, PowerOrigin, Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json

FAMILY = "axeos"
SYSTEM_INFO = "/api/system/info"
GIGA = 1e9  # hashRate is in GH/s in every version

# boardVersion counts within a family (ESP-Miner, main/device_config.h); the first boards were 0.11 and 2.2
_BOARDS = {
    "1": "Max",
    "2": "Ultra",
    "3": "Hex",
    "4": "Supra",
    "60": "Gamma",
    "65": "Gamma Duo",
    "7": "Supra Hex",
    "8": "GT",
}
_OLD_BOARDS = {"0.11": "Ultra", "2.2": "Max"}
_CHIPS = {
    ("BM1397", 1): "Max",
    ("BM1366", 1): "Ultra",
    ("BM1366", 6): "Hex",
    ("BM1368", 1): "Supra",
    ("BM1368", 6): "Supra Hex",
    ("BM1370", 1): "Gamma",
    ("BM1370", 2): "GT",
}
_NAMES = {"GammaTurbo": "GT", "GammaDuo": "Gamma Duo", "SupraHex": "Supra Hex"}
_WINDOWS = (
    ("hashRate", "realtime"),
    ("hashRate_1m", "1m"),
    ("hashRate_10m", "10m"),
    ("hashRate_1h", "1h"),
)


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where the page is that of AxeOS."""
    info = seen.get("info", {})
    return "macAddr" in info and ("ASICModel" in info or "hashRate" in info)


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: one page at either depth."""
    replies = await collect(
        [("info", lambda limit_s: access.get(address, SYSTEM_INFO, limit_s))],
        ["info"],
        Budget(access.network.poll_deadline_s),
    )
    return parse(replies.got, time.time_ns() // 1000, full=full)


def parse(got: Mapping[str, Json], observed_us: int, *, full: bool = True) -> Reading:
    """The reading of the page under the name info."""
    info = got.get("info", {})
    values: dict[str, Any] = {}
    unknown: dict[str, str] = {"serial": "AxeOS has no serial number"}
    values["make"], values["model"] = _model(info)
    values["firmware"] = fields.text(info.get("version"))
    values["mac"] = fields.mac(info.get("macAddr"))
    if values["mac"] is None and "macAddr" in info:
        unknown["mac"] = "macAddr holds no address of one device"
    values["hostname"] = fields.text(info.get("hostname"))
    values["uptime_s"] = fields.uptime(info.get("uptimeSeconds"))
    values["hashrate_hs"], values["hashrate_window"] = _hashrate(info)
    if values["hashrate_hs"] is None and "hashRate" in info:
        unknown["hashrate_hs"] = "hashRate is no number"
    values["power_w"], values["power_origin"] = fields.measured(info.get("power"), PowerOrigin.DC_OUTPUT)
    if values["power_w"] is None and "power" in info:
        unknown["power_w"] = "the power field holds no watts that a running device can draw"
    values["state"] = fields.warming(_state(info, values["hashrate_hs"]), values["uptime_s"])
    if values["state"] is State.UNKNOWN:
        unknown["state"] = "neither a rate nor a mode was read"
    values["pools"] = _pools(info, values["state"] is State.MINING)
    if not values["pools"]:
        unknown["pools"] = "no pool can be read"
    values |= _hardware(info)
    return fields.build(FAMILY, observed_us, values, unknown, full=full)


def _model(info: Json) -> tuple[str | None, str | None]:
    """Maker and model: the name the board gives itself, else its number, else its chips."""
    name = fields.text(info.get("deviceModel"))
    if name and name.lower().startswith("nerd"):
        return "NerdAxe", name
    if str(info.get("hostname", "")).lower().startswith("bitforge"):  # a board 800 as well, and no Bitaxe
        return "BitForge", "BitForge Nano"
    board = str(info.get("boardVersion", "")).strip()
    chips = (str(info.get("ASICModel", "")).strip(), fields.whole(info.get("asicCount", 1)) or 1)
    if name and name in {*_BOARDS.values(), *_NAMES}:
        found: str | None = _NAMES.get(name, name)
    elif name:
        found = name if name.lower().startswith("bitaxe") else None
        return ("Bitaxe", name) if found else (None, name)
    else:
        by_number = _BOARDS.get(board[:2]) or _BOARDS.get(board[:1]) if len(board) == 3 else None
        found = _OLD_BOARDS.get(board) or (by_number if board.isdigit() else None)
        if found is None and board.replace(".", "").isdigit() | (board in ("", "None")):
            found = _CHIPS.get(chips)  # a board with a name of its own is another maker's
    return ("Bitaxe", f"Bitaxe {found}") if found else (None, None)


def _hashrate(info: Json) -> tuple[float | None, str | None]:
    """The present rate; a mean only where the field of the present rate is absent."""
    for key, window in _WINDOWS:
        if key in info:
            value = fields.number(info[key])
            return (value * GIGA, window) if value is not None and value >= 0 else (None, None)
    return None, None


def _state(info: Json, hashrate_hs: float | None) -> State:
    if fields.flag(info.get("miningPaused")) or fields.flag(info.get("shutdown")):
        return State.SLEEPING
    if fields.flag(info.get("overheat_mode")):
        return State.OVERHEAT
    if hashrate_hs:
        return State.MINING
    if fields.text(info.get("power_fault")):
        return State.FAULT
    return State.UNKNOWN if hashrate_hs is None else State.IDLE


def _pools(info: Json, is_mining: bool) -> tuple[Pool, ...]:
    """Primary and fallback, with whatever tells which of them gives the work."""
    stratum = fields.part(info, "stratum")
    sessions = fields.rows(stratum, "pools")
    on_fallback = fields.flag(fields.first({**stratum, **info}, "isUsingFallbackStratum", "usingFallback"))
    dual = fields.whole(stratum.get("activePoolMode")) == 1
    found = []
    for place, prefix in enumerate(("stratum", "fallbackStratum")):
        url, user = _url(info, prefix), fields.line(info.get(f"{prefix}User"))
        if url is None or user is None:
            continue
        session = sessions[place] if place < len(sessions) else {}
        if dual:
            active = fields.flag(session.get("connected"))
        elif on_fallback is not None:
            active = on_fallback == (place == 1)
        else:
            active = fields.flag(session.get("connected"))
        accepted = fields.whole(session.get("accepted"))
        rejected = fields.whole(session.get("rejected"))
        found.append(Pool(url, user, active, place, accepted, rejected))
    if len(found) == 1:  # the device's own counters are those of its only pool
        only = found[0]
        active = True if only.active is None and is_mining else only.active
        accepted = fields.whole(info.get("sharesAccepted")) if only.accepted is None else only.accepted
        rejected = fields.whole(info.get("sharesRejected")) if only.rejected is None else only.rejected
        return (Pool(only.url, only.user, active, only.priority, accepted, rejected),)
    return tuple(found)


def _url(info: Json, prefix: str) -> str | None:
    host, port = fields.text(info.get(f"{prefix}URL")), fields.whole(info.get(f"{prefix}Port"))
    if host is None:
        return None
    scheme, separator, rest = host.rpartition("://")
    if not separator:
        scheme = "stratum+ssl" if fields.whole(info.get(f"{prefix}TLS")) else "stratum+tcp"
    named = rest if port is None or ":" in rest else f"{rest}:{port}"
    return f"{scheme}://{named}"


def _hardware(info: Json) -> dict[str, Any]:
    chips = fields.whole(info.get("asicCount"))
    dies = info.get("asicTemps")
    return {
        "chips": chips or None,
        "boards_total": 1,
        "chip_temps_c": fields.temperatures(
            dies if isinstance(dies, list) else (info.get("temp"), info.get("temp2"))
        ),
        "board_temps_c": fields.temperatures([info.get("vrTemp")]),
        "fans_rpm": fields.speeds(info.get(key) for key in ("fanrpm", "fan2rpm", "fanrpm2")),
    }
