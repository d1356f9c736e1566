"""Stock Bitmain firmware, and that of makers who took it over: cgminer API for what changes, CGI pages behind
digest for who it is.

With `new_api` newer firmware answers `stats` in the shape of its web pages (`rate_5s`, `chain`, `watt`);
older firmware ignores the word. Where 4028 is closed the same pages are read over the web.
Power: stock firmware mostly reports none. Where `watt`, `power`, `Power` or `chain_power` is there, nothing
says that the supply measured it, so it counts as the firmware's own estimate. Some models since the S19 XP
Hydro answer "miner power:3456" at port 6060: the mining program reads that from the supply over its bus, and
writes -1 where the supply cannot tell.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from agent.miners import fields, rates
from agent.miners.hardware import Model, nearest
from agent.miners.poll import Ask, Budget, Replies, collect
from agent.readings import DeviceTimeout, PowerOrigin, Reading, State, Unreachable
from agent.transports.access import Access
from agent.transports.cgminer import Json
from agent.transports.http import Asked

FAMILY = "antminer"
# Other makers took Bitmain's program and pages over: how their models' names begin.
_MAKERS = {"antminer": "Bitmain", "hammer": "Hammer", "dg": "Elphapex", "volcminer": "VolcMiner"}

SYSTEM_INFO = "/cgi-bin/get_system_info.cgi"
MINER_CONF = "/cgi-bin/get_miner_conf.cgi"
MINER_POWER = "/miner_power"  # at a port of its own
WEB_PAGES = {"stats": "/cgi-bin/stats.cgi", "summary": "/cgi-bin/summary.cgi", "pools": "/cgi-bin/pools.cgi"}
MINER_STATUS = "/cgi-bin/get_miner_status.cgi"  # all of it on one page, before those

SLEEP_MODE = "1"  # miner-mode of get_miner_conf.cgi: 0 normal, 1 sleep, 2 high, 3 low
POWER_KEYS = ("watt", "power", "Power", "chain_power")
FIRMWARE_KEYS = ("system_filesystem_version", "file_system_version")
SERIAL_KEYS = ("serinum", "serial_no", "serial", "dev_sn")
MAX_CHAINS = 16  # the API numbers its chain fields 1 to 16
_SUPPLY = re.compile(r"\s*(?:miner )?power:\s*(\d{1,6})\s*")
_STOCK_TYPE = re.compile(r"Antminer [\w+\-. ]+(\(\d+\w*\))?")  # other firmware adds its name in brackets
_FOREIGN = ("vnish", "hiveon", "luxminer", "boser", "bosminer", "rwglr", "kaonsu", "braiins")
_CHIP_COUNTS = {f"chain_acn{n}": n for n in range(1, MAX_CHAINS + 1)}
_FAN_KEYS = [f"fan{n}" for n in range(1, 9)]


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where the replies to identification are those of Bitmain's own firmware."""
    if fields.text(seen.get("system_info", {}).get("minertype")):
        return True
    if any(word in str(reply).lower() for reply in seen.values() for word in _FOREIGN):
        return False
    named = [*fields.rows(seen.get("version"), "VERSION"), *fields.rows(seen.get("stats"), "STATS")]
    return any(_STOCK_TYPE.fullmatch(fields.text(row.get("Type")) or "") for row in named)


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll; a sweep of a device that hashes takes two connections."""
    budget = Budget(access.network.poll_deadline_s)
    digest = access.credentials.of(FAMILY)

    def page(path: str) -> Ask:
        return lambda limit_s: access.get(address, path, limit_s, digest)

    def command(name: str, **extra: Any) -> Ask:
        return lambda limit_s: access.ask(address, name, limit_s, **extra)

    replies = Replies()
    over_web = False
    try:
        await collect([("stats", command("stats", new_api=True))], [], budget, replies)
    except (Unreachable, DeviceTimeout):
        over_web = True
        await collect([("stats", page(WEB_PAGES["stats"]))], [], budget, replies)
        if "stats" not in replies.got:
            await collect([("status", page(MINER_STATUS))], [], budget, replies)
            replies.got |= _of_status(replies.got.pop("status", {}))
    present = _present(replies.got)
    steps = {} if present else {"summary": command("summary")}
    steps |= {"pools": command("pools")} | ({"version": command("version")} if full else {})
    if over_web:
        asked = [name for name in steps if name in WEB_PAGES and name not in replies.got]
        steps = {name: page(WEB_PAGES[name]) for name in asked}
    if full or "stats" in replies.failed:  # the older page names no model, and so no unit
        steps["system_info"] = page(SYSTEM_INFO)
        if not over_web:  # the web knows the serials of the boards
            steps["web_stats"] = page(WEB_PAGES["stats"])
    await collect(steps.items(), ["stats", "summary"], budget, replies)
    if not any(present or _present(replies.got)):
        await collect([("conf", page(MINER_CONF))], [], budget, replies)
    await _ask_supply(address, access, budget, replies, full=full)
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


async def _ask_supply(address: str, access: Access, budget: Budget, replies: Replies, *, full: bool) -> None:
    """Ask port 6060 where the API tells no watts; in sweeps only a device that has answered there before."""
    memory = f"{FAMILY} power {address}"
    if not (full or access.known.get(memory)) or _watts(_merged(replies.got)) is not None:
        return
    asked = Asked(port=access.network.antminer_power_port, digest=access.credentials.of(FAMILY))

    async def page(limit_s: float) -> Json:
        return await access.text(address, MINER_POWER, limit_s, asked)

    asked_for = await collect([("miner_power", page)], [], budget, Replies(got=dict(replies.got)))
    if "miner_power" in asked_for.got:  # that it is closed is no news: most models have no such port
        replies.got["miner_power"] = asked_for.got["miner_power"]
    if full:
        access.remember(memory, _measured(replies.got) is not None)


def _of_status(page: Json) -> dict[str, Json]:
    """The one page of older firmware in the words of the newer ones.

    Rates have a comma at the thousands, and their names say GHS whatever the algorithm: they have no unit.
    """
    told = fields.part(page, "summary")
    keys = {"elapsed": "Elapsed", "ghs5s": "rate_5s", "ghsav": "rate_avg"}
    row = {name: str(told[key]).replace(",", "") for key, name in keys.items() if key in told}
    fans = {key: str(value).replace(",", "") for key, value in page.items() if key in _FAN_KEYS}
    return {"stats": {"STATS": [row | fans]}, "pools": {"POOLS": fields.rows(page, "pools")}} if row else {}


def _watts(row: Json) -> object:
    for key in POWER_KEYS:
        if key in row and fields.power(row[key]):
            return row[key]
    return None


def _measured(got: Mapping[str, Json]) -> str | None:
    match = _SUPPLY.fullmatch(str(got.get("miner_power", {}).get("text", "")))
    return match[1] if match and fields.power(match[1]) else None


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of replies named as `read` names them."""
    info, row = got.get("system_info", {}), _merged(got)
    values: dict[str, Any] = {}
    unknown: dict[str, str] = {}
    program = fields.text(row.get("Type")) or fields.text(row.get("type"))
    board = fields.text(info.get("minertype"))
    values["model"] = program or board
    values["make"] = _maker(values["model"])
    swapped = program and board and not _same_name(program, board)
    if swapped:  # a control board of another machine answers the web pages
        unknown["minertype"] = f"the web pages say {board}, the mining program {program}"
    if full:
        stamp = fields.text(row.get("CompileTime"))
        image = fields.text(fields.first(info, *FIRMWARE_KEYS))
        values["firmware"] = stamp or image if swapped else image or stamp
        values |= _identity(info, row, unknown)
    values["hashrate_hs"], values["hashrate_window"], why = _hashrate(
        _rates(got), values["model"], nearest(values["model"])
    )
    if why:
        unknown["hashrate_hs"] = why
    watts = _watts(row)
    values["power_w"], values["power_origin"] = fields.measured(watts, PowerOrigin.FIRMWARE_ESTIMATED)
    if watts is None and (watts := _measured(got)) is not None:
        values["power_w"], values["power_origin"] = fields.measured(watts, PowerOrigin.PSU_MEASURED)
    elif watts is None and any(key in row for key in POWER_KEYS):
        unknown["power_w"] = "the power field holds no watts that a running device can draw"
    elif watts is None and "stats" in got:
        unknown["power_w"] = "this firmware reports no power"
    values["uptime_s"] = fields.uptime(fields.first(row, "Elapsed", "elapsed"))
    values["pools"], pools_reason = fields.pools(got.get("pools"), full=full)
    if pools_reason and "pools" in got:
        unknown["pools"] = pools_reason
    state = _state(got, values["hashrate_hs"], values["hashrate_window"])
    values["state"] = fields.warming(state, values["uptime_s"])
    if values["state"] is State.UNKNOWN:
        unknown["state"] = "no rate of this moment and no mode was read"
    if values["state"] is State.MINING and not pools_reason:
        values["pools"] = fields.only_source(values["pools"])
    values |= sensors(row)
    if full:
        values |= boards(row)
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


@lru_cache(maxsize=1024)  # asked at every poll, of the few names that a site has
def _maker(name: str | None) -> str | None:
    plain = (name or "").lower()
    return next((maker for start, maker in _MAKERS.items() if plain.startswith(start)), None)


def _same_name(one: str, other: str) -> bool:
    return one.lower().replace(" ", "") == other.lower().replace(" ", "")


def _merged(got: Mapping[str, Json]) -> Json:
    """The rows of all replies as one; the earlier reply wins (a pool's own row carries no such field)."""
    merged: Json = {}
    sources = (
        *fields.rows(got.get("stats"), "STATS"),
        fields.part(got.get("stats"), "INFO"),
        *fields.rows(got.get("summary"), "SUMMARY"),
        fields.part(got.get("summary"), "INFO"),
        *fields.rows(got.get("version"), "VERSION"),
        *fields.rows(got.get("web_stats"), "STATS"),
        fields.part(got.get("web_stats"), "INFO"),
    )
    for row in reversed(sources):
        merged.update(row)
    return merged


def _identity(info: Json, row: Json, unknown: dict[str, str]) -> dict[str, Any]:
    serials = [about[key] for about in (info, row) for key in SERIAL_KEYS if key in about]
    serial = next((raw for raw in serials if fields.serial(raw)), serials[0] if serials else None)
    found = {
        "mac": fields.mac(info.get("macaddr")),
        "serial": fields.serial(serial),
        "hostname": fields.text(info.get("hostname")),
    }
    if found["mac"] is None and "macaddr" in info:
        unknown["mac"] = "macaddr holds no address of one device"
    if found["serial"] is None and serial is not None:
        unknown["serial"] = "the serial field is padding or a placeholder"
    return found


def _rates(got: Mapping[str, Json]) -> dict[str, list[rates.Rate]]:
    return rates.by_window(
        [*fields.rows(got.get("stats"), "STATS"), *fields.rows(got.get("summary"), "SUMMARY")]
    )


def _present(got: Mapping[str, Json]) -> list[float]:
    """The rates of this moment that are numbers."""
    rows = (*fields.rows(got.get("stats"), "STATS"), *fields.rows(got.get("summary"), "SUMMARY"))
    found = (fields.number(row[name]) for row in rows for name in row.keys() & rates.CURRENT_NAMES)
    return [value for value in found if value is not None]


def _hashrate(
    written: dict[str, list[rates.Rate]], name: str | None, model: Model | None
) -> tuple[float | None, str | None, str | None]:
    """Hashrate, its window, and why there is none: the shortest window that was read."""
    why = None
    for window in rates.WINDOWS:
        # A mean since start says nothing of now where the present rate is there and cannot be read.
        if window == rates.SINCE_START and rates.CURRENT in written:
            continue
        for rate in written.get(window, []):
            value = fields.number(rate.raw)
            if value is None or value < 0:
                why = why or f"the {window} rate is no number"
            elif (found := rates.in_hs(rate, model, name)) is None:
                why = why or "the unit of the rate cannot be told"
            else:
                return found, window, None
    return None, None, why


def _state(got: Mapping[str, Json], hashrate_hs: float | None, window: str | None) -> State:
    conf = got.get("conf", {})
    modes = {str(conf[key]).strip() for key in ("miner-mode", "bitmain-work-mode") if key in conf}
    if hashrate_hs and window != rates.SINCE_START:
        return State.MINING
    if SLEEP_MODE in modes:
        return State.SLEEPING
    if hashrate_hs != 0 or window == rates.SINCE_START:
        return State.UNKNOWN
    problems = {
        fields.text(item.get("type"))
        for row in fields.rows(got.get("summary"), "SUMMARY")
        for item in fields.rows(row, "status")
        if item.get("status") == "e"
    }
    if "temp" in problems:
        return State.OVERHEAT
    return State.FAULT if "fans" in problems else State.IDLE


def sensors(row: Json) -> dict[str, Any]:
    """Chip temperatures and fans, of the numbered fields or of the web's `chain` list."""
    if chains := fields.rows(row, "chain"):
        dies = [_hottest(chain.get("temp_chip")) for chain in chains]
    else:
        dies = [_hottest(row.get(f"temp_chip{n}", row.get(f"temp2_{n}"))) for n in _slots(row)]
    fans = row.get("fan") if isinstance(row.get("fan"), list) else [row.get(key) for key in _FAN_KEYS]
    return {"chip_temps_c": fields.temperatures(dies), "fans_rpm": fields.speeds(fans or ())}


def boards(row: Json) -> dict[str, Any]:
    """Boards with their chips, temperatures and serials; what only a full reading tells."""
    if chains := fields.rows(row, "chain"):
        chips = [fields.whole(chain.get("asic_num")) or 0 for chain in chains]
        hashing = [fields.number(chain.get("rate_real")) or 0 for chain in chains]
        boards = [_hottest(chain.get("temp_pcb")) for chain in chains]
    else:
        slots = _slots(row)
        chips = [fields.whole(row.get(f"chain_acn{n}")) or 0 for n in slots]
        hashing = [fields.number(row.get(f"chain_rate{n}")) or 0 for n in slots]
        boards = [_hottest(row.get(f"temp_pcb{n}", row.get(f"temp{n}"))) for n in slots]
    seen = sum(1 for count in chips if count > 0)
    return {
        "boards_total": seen or None,
        "boards_hashing": sum(1 for rate in hashing if rate > 0) if seen else None,
        "chips": sum(chips) or None,
        "board_temps_c": fields.temperatures(boards),
        "board_serials": tuple(sn for chain in chains if (sn := fields.serial(chain.get("sn")))),
    }


def _slots(row: Json) -> list[int]:
    """The numbers of the boards that are there, or of all that could be."""
    there = [n for key, n in _CHIP_COUNTS.items() if key in row and fields.whole(row[key])]
    return there or list(_CHIP_COUNTS.values())


def _hottest(raw: object) -> float | None:
    """The hottest of one board's sensors: a list, "73-45-64-65", or one number."""
    if raw is None:
        return None
    parts = raw if isinstance(raw, list) else raw.split("-") if isinstance(raw, str) else [raw]
    found = fields.temperatures(parts)
    return max(found) if found else None
