"""iPollo: cgminer's API, whose `stats` name rate, unit and algorithm in one row. It tells no power."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from agent.miners import fields, generic
from agent.miners.poll import Budget
from agent.readings import Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json

FAMILY = "ipollo"
MAKE = "iPollo"

_UNITS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_UNIT = re.compile(r"([KMGT]?)H?/s", re.IGNORECASE)  # "G/s": graphs of the Cuckoo cycle, or hashes
_NUMBERS = re.compile(r"\d+(?:\.\d+)?")


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where a row of `stats` is written as iPollo writes it."""
    return bool(_row(seen))


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: `stats` beside the commands of any cgminer."""
    budget = Budget(access.network.poll_deadline_s)
    replies = await generic.ask(address, access, budget, full=full, stats=True)
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of replies named by their commands; its own row alone has a rate with a sure unit."""
    values, unknown = generic.read_values(got, full=full)
    row = _row(got)
    values |= {"hashrate_hs": _rate(row), "hashrate_window": None, "state": State.UNKNOWN}
    if values["hashrate_hs"] is None:
        unknown["hashrate_hs"] = "the row has no rate whose unit can be told"
        unknown["state"] = "no rate of this moment was read"
    else:
        unknown.pop("hashrate_hs", None)
        unknown.pop("state", None)
        values["hashrate_window"] = "realtime"
        idle = State.MINING if values["hashrate_hs"] else State.IDLE
        values["state"] = fields.warming(idle, values["uptime_s"])
    if values["state"] is State.MINING:
        values["pools"] = fields.only_source(values["pools"])
    values["chip_temps_c"] = fields.temperatures(_NUMBERS.findall(str(row.get("Temp", ""))))
    values["fans_rpm"] = fields.speeds(_NUMBERS.findall(str(row.get("Fan", ""))))
    if full:
        name: Any = fields.text(row.get("ID"))
        values |= {"make": MAKE, "model": f"{MAKE} {name}" if name else None}
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _row(got: Mapping[str, Json]) -> Json:
    rows = fields.rows(got.get("stats"), "STATS")
    return next((row for row in rows if {"Algo", "Hashrate", "Unit"} <= row.keys()), {})


def _rate(row: Json) -> float | None:
    match, value = _UNIT.fullmatch(str(row.get("Unit", "")).strip()), fields.number(row.get("Hashrate"))
    if match is None or value is None or value < 0:
        return None
    return value * _UNITS.get(match[1].upper(), 1.0)
