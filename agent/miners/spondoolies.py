"""Spondoolies: cgminer's API, with the boards as JSON in a text of `stats`.

Power: `power` of each half stands beside the name and the bus errors of the supply it is read from:
`psu_measured`, their sum where both halves tell it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from agent.miners import fields, generic
from agent.miners.poll import Budget
from agent.readings import PowerOrigin, Reading
from agent.transports import lenient
from agent.transports.access import Access
from agent.transports.cgminer import Json

FAMILY = "spondoolies"
MAKE = "Spondoolies"
HALVES = ("top-board", "bottom-board")

_ID = re.compile(r"(SP\d\d)\d*")  # the series and the number of the device: SP360


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where `stats` have the text that no other program writes."""
    return bool(_boards(seen))


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: `stats` beside the commands of any cgminer."""
    budget = Budget(access.network.poll_deadline_s)
    replies = await generic.ask(address, access, budget, full=full, stats=True)
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of replies named by their commands."""
    values, unknown = generic.read_values(got, full=full)
    told = _boards(got)
    halves = [fields.part(told, half) for half in HALVES]
    watts = [fields.power(half.get("power")) for half in halves if "psu-name" in half]
    known = [value for value in watts if value is not None]
    total = sum(known) if known and len(known) == len(HALVES) else None
    values["power_w"], values["power_origin"] = fields.measured(total, PowerOrigin.PSU_MEASURED)
    if total is None:
        unknown["power_w"] = "not every half tells the watts of its supply"
    speeds = told.get("fan-speeds")
    values["fans_rpm"] = fields.speeds(speeds if isinstance(speeds, list) else ())
    values["board_temps_c"] = fields.temperatures(half.get("rear-temp") for half in halves)
    values["chip_temps_c"] = fields.temperatures(half.get("max-temp") for half in halves)
    if full:
        ids = (_ID.fullmatch(str(row.get("ID"))) for row in fields.rows(got.get("stats"), "STATS"))
        series = next((match[1] for match in ids if match), None)
        chips = [fields.whole(half.get("working-asics")) or 0 for half in halves]
        values |= {
            "make": MAKE,
            "model": f"{MAKE} {series}" if series else None,
            "boards_total": sum(1 for half in halves if half) or None,
            "chips": sum(chips) or None,
        }
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _boards(got: Mapping[str, Json]) -> Json:
    """The JSON in the text, or an empty object."""
    for row in fields.rows(got.get("stats"), "STATS"):
        if isinstance(text := row.get("json-stats"), str):
            try:
                told = lenient.loads(text)
            except ValueError:
                continue
            if isinstance(told, dict):
                return told
    return {}
