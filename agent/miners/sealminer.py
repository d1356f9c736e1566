"""Bitdeer's SealMiner: cgminer's API from "bdminer", nearly all of it in one row of `stats`.

Power: `PSU Input Power` beside the supply's voltages, currents and serial number: `psu_measured`.
`Power Limit` is a setting; `PSU Output Power` is behind the supply.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agent.miners import fields, generic
from agent.miners.poll import Budget
from agent.readings import PowerOrigin, Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json, status

FAMILY = "sealminer"
MAKE = "Bitdeer"
MEGA = 1e6

# Its 5 s rate of `summary` is that of the shares found just now and jumps by half; these are of the chips.
_RATES = (("MHS(30s)", "30s"), ("MHS(1m)", "1m"), ("MHS(5m)", "5m"), ("MHS(15m)", "15m"))
_SLEEPING = ("sleep", "standby", "suspend")


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where a reply is signed by bdminer."""
    return any(str(status(reply).get("Description", "")).startswith("bdminer") for reply in seen.values())


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
    row = next((part for part in fields.rows(got.get("stats"), "STATS") if "Model" in part), {})
    for key, window in _RATES:
        value = fields.number(row.get(key))
        if value is not None and value >= 0:
            values |= {"hashrate_hs": value * MEGA, "hashrate_window": window}
            break
    watts = row.get("PSU Input Power")
    values["power_w"], values["power_origin"] = fields.measured(watts, PowerOrigin.PSU_MEASURED)
    if values["power_w"] is None:
        unknown["power_w"] = "the supply's input power is not in the replies"
    mode = str(row.get("PM State", "")).lower()
    if values["hashrate_hs"] is not None:
        values["state"] = fields.warming(
            State.MINING if values["hashrate_hs"] else State.IDLE, values["uptime_s"]
        )
    if any(word in mode for word in _SLEEPING):
        values["state"] = State.SLEEPING
    if values["state"] is not State.UNKNOWN:
        unknown.pop("state", None)
    values["chip_temps_c"] = fields.temperatures([row.get("Temp")])
    values["fans_rpm"] = fields.speeds(row.get(f"{n} Speed") for n in range(8))
    if full:
        values |= _identity(row)
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _identity(row: Json) -> dict[str, Any]:
    """Who it is; the control board's serial number is not the machine's."""
    model = fields.text(row.get("Model"))
    slots = [f"{n}" for n in range(8) if f"{n} SN" in row]
    chips = [fields.whole(row.get(f"{slot} Chip Count")) or 0 for slot in slots]
    hashing = [fields.number(row.get(f"{slot} MHS(Sample)")) or 0 for slot in slots]
    return {
        "make": MAKE,
        "model": f"SealMiner {model}" if model else None,
        "firmware": fields.text(row.get("Firmware")),
        "mac": fields.mac(row.get("MAC")),
        "psu_serial": fields.serial(row.get("PSU SN")),
        "board_serials": tuple(sn for slot in slots if (sn := fields.serial(row.get(f"{slot} SN")))),
        "boards_total": len(slots) or None,
        "boards_hashing": sum(1 for rate in hashing if rate > 0) if slots else None,
        "chips": sum(chips) or None,
    }
