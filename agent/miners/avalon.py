"""Canaan's Avalon on 4028: cgminer with nearly everything in one text field, `KEY[value]` after `KEY[value]`.

Power is in PS[..]: slot 4 what the supply gives (`dc_output`), the product of its volts and amperes in slots
2 and 3; slot 6 what it takes (`wall_measured`), slot 5 a voltage. Newer firmware repeats slot 6 as WALLPOWER.
MPO is a limit. The Nano 3 fills the slots otherwise: the input's 1/100 V in slot 4, the chips' mV in slot 6.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from agent.miners import fields, rates
from agent.miners.poll import Ask, Budget, collect
from agent.readings import PowerOrigin, Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json

FAMILY = "avalon"
MAKE = "Canaan"
GIGA = 1e9  # GHS.. fields
FIRMWARE_KEYS = ("VERSION", "LVERSION", "CGVERSION", "BVERSION")

_FIELD = re.compile(r"(\w[\w ]*)\[([^\[\]]*)\]")
_UNIT_KEY = re.compile(r"MM ID\d+(:Summary)?")
_NUMBERED = re.compile(r"(\d{3,4}[A-Z]{0,2}?)(Pro|PRO)?(?:-[\w-]+)?")  # 1246-83, 1126Pro-S-64, 1566HA
# Ver[] is 1246-83-21072802_.., Nano3s-25021401_..; before the A10 741 and four digits, with a hash behind.
_VERSIONED = re.compile(r"(\d{3})\d{4}-\w+|([\w-]*?)-(\d{7,8}(?:_\w+)?)")
_UNIT_REPLIES = ("stats", "litestats", "estats")  # whichever of them the model fills
_WORK_STATES = {"In Work": None, "In Init": State.STARTING, "In Idle": State.IDLE}


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where `version` names the product, or `stats` has the text field of a unit."""
    rows = fields.rows(seen.get("version"), "VERSION")
    return any(str(row.get("PROD", "")).startswith("Avalon") for row in rows) or bool(_units(seen))


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll; the API serves one connection at a time."""
    budget = Budget(access.network.poll_deadline_s)

    def command(name: str) -> Ask:
        return lambda limit_s: access.ask(address, name, limit_s)

    replies = await collect([("stats", command("stats"))], [], budget)
    for name in _UNIT_REPLIES[1:]:
        if not _units(replies.got):
            await collect([(name, command(name))], [], budget, replies)
    names = ["summary", "pools"] + (["version"] if full else [])
    await collect([(name, command(name)) for name in names], [*_UNIT_REPLIES, "summary"], budget, replies)
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of replies named stats, litestats, summary, pools and version."""
    units = _units(got)
    unit = units[0] if units else {}
    summary = next(iter(fields.rows(got.get("summary"), "SUMMARY")), {})
    unknown: dict[str, str] = {}
    values: dict[str, Any] = _identity(got, units, unknown) if full else {}
    values["hashrate_hs"], values["hashrate_window"] = _hashrate(units, summary)
    values["power_w"], values["power_origin"] = _power(units)
    if values["power_w"] is None and units:
        unknown["power_w"] = "PS holds no watts of the input or output side"
    rows = [row for name in _UNIT_REPLIES for row in fields.rows(got.get(name), "STATS")]
    told = (row["Elapsed"] for row in (summary, unit, *rows) if "Elapsed" in row)
    values["uptime_s"] = next((seconds for raw in told if (seconds := fields.uptime(raw)) is not None), None)
    values["state"] = _state(unit, values["hashrate_hs"], values["hashrate_window"])
    if values["state"] is State.UNKNOWN:
        unknown["state"] = "no rate of this moment and no mode was read"
    values["pools"], pools_reason = fields.pools(got.get("pools"), full=full)
    if pools_reason and "pools" in got:
        unknown["pools"] = pools_reason
    boards = [fields.number(word) or 0 for word in unit.get("MGHS", "").split()]
    values |= {
        "chip_temps_c": fields.temperatures(unit.get("MTmax", unit.get("TMax", "")).split()),
        "board_temps_c": fields.temperatures(unit.get(key) for key in ("HBITemp", "HBOTemp")),
        "fans_rpm": fields.speeds(unit.get(f"Fan{n}") for n in range(1, 5)),
        "boards_total": len(boards) or None,
        "chips": sum(fields.whole(each.get("TA")) or 0 for each in units) or None,
    }
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _units(got: Mapping[str, Json]) -> list[dict[str, str]]:
    """The text fields of all units at the controller, taken apart."""
    for name in _UNIT_REPLIES:
        found = [
            {key.strip(): value.strip() for key, value in _FIELD.findall(raw)}
            for row in fields.rows(got.get(name), "STATS")
            for key, raw in row.items()
            if _UNIT_KEY.fullmatch(key) and isinstance(raw, str) and raw
        ]
        if found:
            return found
    return []


def _identity(
    got: Mapping[str, Json], units: list[dict[str, str]], unknown: dict[str, str]
) -> dict[str, Any]:
    """Who it is by `version`; what that does not tell, by the text of its only unit."""
    row = next(iter(fields.rows(got.get("version"), "VERSION")), {})
    unit = units[0] if len(units) == 1 else {}
    serial = row.get("DNA", unit.get("DNA"))
    built = _VERSIONED.fullmatch(unit.get("Ver", ""))
    number, name, stamp = built.groups() if built else (None, None, None)
    name = name or number
    found = {
        "make": MAKE if row or units else None,
        "model": _model(row) or _model({"MODEL": name}),
        "firmware": fields.text(fields.first(row, *FIRMWARE_KEYS)) or fields.text(stamp),
        "mac": fields.mac(row.get("MAC")),
        "serial": fields.serial(serial),
    }
    if found["serial"] is None and serial is not None:
        unknown["serial"] = "DNA is padding or a placeholder"
    if found["mac"] is None and "MAC" in row:
        unknown["mac"] = "the MAC field holds no address of one device"
    return found


def _model(row: Json) -> str | None:
    """1246-83 is an AvalonMiner 1246; Q is an Avalon Q; Nano3s is an Avalon Nano 3S."""
    name, product = fields.text(row.get("MODEL")), fields.text(row.get("PROD"))
    if name is None:
        return product
    if number := _NUMBERED.fullmatch(name):
        return f"AvalonMiner {number[1]}{' Pro' if number[2] else ''}"
    if name[0].isdigit():  # 15-194: of the A15 series, the product as it names itself
        return product or f"AvalonMiner {name}"
    spaced = re.sub(r"(?<=[A-Za-z])(\d+)(\w*)", lambda part: f" {part[1]}{part[2].upper()}", name)
    return f"Avalon {spaced}"


def _hashrate(units: list[dict[str, str]], summary: Json) -> tuple[float | None, str | None]:
    """The present rate of the units, of cgminer, and the mean since start only where neither is there."""
    present = [fields.number(unit.get("GHSspd")) for unit in units]
    if units and all(value is not None and value >= 0 for value in present):
        return sum(value or 0 for value in present) * GIGA, "realtime"
    hashrate_hs, window = rates.present(rates.by_window([summary]))
    if hashrate_hs is not None:
        return hashrate_hs, window
    means = [fields.number(unit.get("GHSavg")) for unit in units]
    if units and not any("GHSspd" in unit for unit in units) and all(means):
        return sum(value or 0 for value in means) * GIGA, rates.SINCE_START
    return None, None


def _power(units: list[dict[str, str]]) -> tuple[float | None, PowerOrigin | None]:
    """The input side where every unit gives it, else the output side where every unit gives that."""
    sides: list[tuple[float | None, float | None]] = []
    for unit in units:
        slots = unit.get("PS", "").split()
        output = fields.power(slots[4]) if len(slots) > 4 else None
        taken = fields.power(slots[6]) if len(slots) > 6 else None
        if output is not None and not _is_product(output, slots[2], slots[3]):
            output = taken = None  # no watts: the slots mean something else here
        if taken is not None and output is not None and taken < output:
            taken = None  # nothing gives more than it takes
        sides.append((fields.power(unit.get("WALLPOWER")) or taken, output))
    for side, origin in ((0, PowerOrigin.WALL_MEASURED), (1, PowerOrigin.DC_OUTPUT)):
        watts = [pair[side] for pair in sides]
        if watts and all(watts):
            return sum(value or 0 for value in watts), origin
    return None, None


def _is_product(watts: float, centivolts: str, amperes: str) -> bool:
    """True where volts times amperes are the watts, to a tenth (they change meanwhile) or one ampere."""
    volts, current_a = (fields.number(centivolts) or 0) / 100, fields.number(amperes) or 0
    return abs(volts * current_a - watts) <= max(volts, 0.1 * watts)


def _state(unit: Mapping[str, str], hashrate_hs: float | None, window: str | None) -> State:
    """SYSTEMSTATU says what it does, SoftOFF whether it was sent to sleep."""
    work = re.match(r"Work: (In \w+)", unit.get("SYSTEMSTATU", ""))
    told = _WORK_STATES.get(work[1]) if work else None
    if told is State.IDLE and (fields.whole(unit.get("SoftOFF")) or 0) > 0:
        return State.SLEEPING
    if told is not None:
        return told
    if hashrate_hs and (window != rates.SINCE_START or (work and work[1] == "In Work")):
        return State.MINING
    return State.IDLE if hashrate_hs == 0 else State.UNKNOWN
