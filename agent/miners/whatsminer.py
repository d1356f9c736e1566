"""WhatsMiner's API 2 (and what is left of API 1) on 4028: the cgminer API with `get_*` commands beside it.

Power is what the supply reports to the mining program over its bus: `psu_measured`.
`Power Limit` is a setting.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from agent.miners import fields, joined
from agent.miners.poll import Ask, Budget, Replies, collect
from agent.readings import PowerOrigin, Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json

FAMILY = "whatsminer"
MAKE = "MicroBT"
MEGA, TERA = 1e6, 1e12  # the rates of the summary are in MH/s, "HS RT" of late firmware in TH/s

_RATES = (
    ("HS RT", "realtime"),
    ("MHS 5s", "5s"),
    ("MHS 1m", "1m"),
    ("MHS 5m", "5m"),
    ("MHS 15m", "15m"),
    ("MHS av", "since start"),
)
SWEEP = ("summary", "pools")
RARE = ("get_version", "get_miner_info", "devdetails", "devs", "status", "get_psu")
POWER_KEYS = ("Power", "Power_RT")
SERIAL_KEYS = ("minersn", "miner_sn", "miner-sn")
PSU_SERIAL_KEYS = ("serial_no", "serial", "powersn")
_MODEL = re.compile(r"(?:WhatsMiner\s*)?(M\d+[A-UW-Z]*\+*)", re.IGNORECASE)  # V opens the variant: M50S_VH50
_DRIVERS = ("bitmicro", "btminer")
_OWN_FIELDS = {"Fan Speed In", "Fan Speed Out"}  # of its summary; no other maker's program has them


def recognise(seen: Mapping[str, Json]) -> bool:
    """True for API 1 and 2; a device of API 3 answers some commands of 2 and is read elsewhere."""
    version = fields.part(seen.get("get_version"), "Msg")
    if api := fields.text(version.get("api_ver")):
        return not api.removeprefix("whatsminer v").startswith("3")
    if fields.text(version.get("fw_ver")) or _summary(seen).keys() >= _OWN_FIELDS:
        return True
    return any(
        _MODEL.match(str(row.get("Model", ""))) or str(row.get("Driver", "")) in _DRIVERS
        for row in fields.rows(seen.get("devdetails"), "DEVDETAILS")
    )


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll; a sweep of a device that hashes takes one connection, or two where it joins no commands."""
    budget = Budget(access.network.poll_deadline_s)

    def command(name: str) -> Ask:
        return lambda limit_s: access.ask(address, name, limit_s)

    replies = Replies()
    await joined.ask(address, SWEEP, access, budget, replies, need=["summary"])
    if full:
        await collect([(name, command(name)) for name in RARE], [], budget, replies)
    if "devs" in replies.failed:
        await collect([("edevs", command("edevs"))], [], budget, replies)
    if not full and not _present_rate(_summary(replies.got)):
        await collect([("status", command("status"))], [], budget, replies)
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of replies named by their commands."""
    row = _summary(got)
    boards = fields.rows(got.get("devs") or got.get("edevs"), "DEVS")
    info, status = fields.part(got.get("get_miner_info"), "Msg"), fields.part(got.get("status"), "Msg")
    unknown: dict[str, str] = {}
    values: dict[str, Any] = {"make": MAKE if full else None}
    values |= _identity(got, row, info, unknown) if full else {}
    values["hashrate_hs"], values["hashrate_window"] = _hashrate(row)
    if values["hashrate_hs"] is None and any(key in row for key, _ in _RATES):
        unknown["hashrate_hs"] = "the rates are no numbers"
    watts = next((row[key] for key in POWER_KEYS if fields.power(row.get(key))), None)
    values["power_w"], values["power_origin"] = fields.measured(watts, PowerOrigin.PSU_MEASURED)
    if watts is None and any(key in row for key in POWER_KEYS):
        unknown["power_w"] = "the power field holds no watts that a running device can draw"
    elif watts is None and row:
        unknown["power_w"] = "this firmware reports no power"
    values["uptime_s"] = fields.uptime(row.get("Elapsed"))
    values["state"] = fields.warming(_state(row, status, values["hashrate_hs"]), values["uptime_s"])
    if values["state"] is State.UNKNOWN:
        unknown["state"] = "no rate of this moment and no mode was read"
    values["pools"], pools_reason = fields.pools(got.get("pools"), full=full)
    if pools_reason and "pools" in got:
        unknown["pools"] = pools_reason
    chips = [fields.whole(board.get("Effective Chips")) or 0 for board in boards]
    hottest = fields.first(row, "Chip Temp Max", "Temperature")
    values |= {
        "board_temps_c": fields.temperatures(board.get("Temperature") for board in boards),
        "chip_temps_c": fields.temperatures([board.get("Chip Temp Max") for board in boards] or [hottest]),
        "fans_rpm": fields.speeds(row.get(key) for key in ("Fan Speed In", "Fan Speed Out")),
        "boards_total": len(boards) or None,
        "boards_hashing": sum(1 for board in boards if _board_rate(board) > 0) if boards else None,
        "chips": sum(chips) or None,
        "board_serials": tuple(sn for board in boards if (sn := fields.serial(board.get("PCB SN")))),
    }
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _summary(got: Mapping[str, Json]) -> Json:
    """The one row of the summary, in its list or, in later firmware, under Msg."""
    reply = got.get("summary")
    found = fields.rows(reply, "SUMMARY") or fields.rows(fields.part(reply, "Msg"), "SUMMARY")
    return found[0] if found else fields.part(reply, "Msg")


def _identity(got: Mapping[str, Json], row: Json, info: Json, unknown: dict[str, str]) -> dict[str, Any]:
    version, supply = fields.part(got.get("get_version"), "Msg"), fields.part(got.get("get_psu"), "Msg")
    named = [detail.get("Model") for detail in fields.rows(got.get("devdetails"), "DEVDETAILS")]
    serial = fields.first(info, *SERIAL_KEYS)
    image = fields.text(version.get("fw_ver")) or fields.text(row.get("Firmware Version"))
    found = {
        "model": model_of([*named, info.get("miner_type"), info.get("model"), row.get("Model")]),
        "firmware": image.strip("'\"") if image else None,  # API 1 quotes it within the quotes
        "mac": fields.mac(info.get("mac")) or fields.mac(row.get("MAC")),
        "serial": fields.serial(serial),
        "hostname": fields.text(info.get("hostname")),
        "psu_serial": fields.serial(fields.first(supply, *PSU_SERIAL_KEYS))
        or fields.serial(info.get("powersn")),
    }
    if found["serial"] is None and serial is not None:
        unknown["serial"] = "the serial field is padding or a placeholder"
    if found["mac"] is None and ("mac" in info or "MAC" in row):
        unknown["mac"] = "the mac field holds no address of one device"
    return found


def model_of(named: Iterable[object]) -> str | None:
    """The model in the first name that holds one, without its variant: M50S_VH50 -> M50S."""
    matches = (_MODEL.match(name) for name in named if isinstance(name, str))
    return next((match[1].upper() for match in matches if match), None)


def _hashrate(row: Json) -> tuple[float | None, str | None]:
    """The shortest window that was read; no mean since start where a present rate cannot be read."""
    present = any(key in row for key, window in _RATES if window in ("realtime", "5s"))
    for key, window in _RATES:
        value = fields.number(row.get(key))
        if value is None or value < 0 or (present and window == "since start"):
            continue
        return value * (_unit_hs(value, row) if key == "HS RT" else MEGA), window
    return None, None


def _unit_hs(value: float, row: Json) -> float:
    """H/s per unit of "HS RT": TH/s only where another rate of the row, which is in MH/s, shows it."""
    others = (fields.number(row.get(key)) for key, window in _RATES if window != "realtime")
    means = [other * MEGA for other in others if other]
    return TERA if any(0.5 < value * TERA / mean < 2 for mean in means) else MEGA


def _present_rate(row: Json) -> bool:
    hashrate_hs, window = _hashrate(row)
    return bool(hashrate_hs) and window in ("realtime", "5s")


def _state(row: Json, status: Json, hashrate_hs: float | None) -> State:
    """Off is told by the status; a mean since start alone does not show that it hashes now."""
    off = fields.flag(fields.first(status, "mineroff", "btmineroff"))
    if off:
        return State.SLEEPING
    if hashrate_hs and (off is False or _present_rate(row)):
        return State.MINING
    return State.IDLE if hashrate_hs == 0 else State.UNKNOWN


def _board_rate(board: Json) -> float:
    return fields.number(fields.first(board, "HS RT", "MHS 5s", "MHS 1m", "MHS av")) or 0.0
