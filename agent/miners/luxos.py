"""LuxOS (Luxor) on Antminers: the cgminer API, all commands joined in one connection, no login for reading.

Power: the answer of `power` says with `PSU` whether the supply measured it or the firmware estimated it.
The watts of a profile are a plan.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from agent.miners import fields, joined, rates
from agent.miners.poll import Budget, Replies
from agent.readings import PowerOrigin, Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json, status

FAMILY = "luxos"
SWEEP = ("summary", "pools", "power", "config", "stats")
FULL = (*SWEEP, "version", "devs")
MAX_CHAINS = 8  # `stats` numbers its chain fields 1 to 4

_VERSION = re.compile(r"LUXminer\s+(\d[\w.]*)", re.IGNORECASE)  # a build's hash follows behind a dash
_CURTAILED = {"sleep": State.SLEEPING, "idle": State.IDLE}
_STARTING = ("init", "start", "boot")  # of SystemStatus


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where any reply names LuxOS."""
    return any("luxminer" in str(reply).lower() for reply in seen.values())


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: one connection at either depth."""
    replies = Replies()
    budget = Budget(access.network.poll_deadline_s)
    await joined.ask(address, FULL if full else SWEEP, access, budget, replies, need=["summary"])
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of replies named by their commands."""
    row, config, watts = (
        _row(got, "summary", "SUMMARY"),
        _row(got, "config", "CONFIG"),
        _row(got, "power", "POWER"),
    )
    unknown: dict[str, str] = {}
    values: dict[str, Any] = _identity(got, config, unknown) if full else {}
    values["hashrate_hs"], values["hashrate_window"] = rates.present(rates.by_window([row]))
    if values["hashrate_hs"] is None and row:
        unknown["hashrate_hs"] = "the summary holds no rate of this moment"
    metered = watts.get("PSU")
    if isinstance(metered, bool):
        origin = PowerOrigin.PSU_MEASURED if metered else PowerOrigin.FIRMWARE_ESTIMATED
        values["power_w"], values["power_origin"] = fields.measured(watts.get("Watts"), origin)
    elif "Watts" in watts:
        unknown["power_w"] = "watts are given, but not whether the supply measured them"
    if values.get("power_w") is None and "power" in got:
        unknown.setdefault("power_w", "the power answer holds no watts that a running device can draw")
    values["uptime_s"] = fields.uptime(row.get("Elapsed"))
    values["state"] = fields.warming(_state(config, values["hashrate_hs"]), values["uptime_s"])
    if values["state"] is State.UNKNOWN:
        unknown["state"] = "no rate of this moment and no mode was read"
    values["pools"], pools_reason = fields.pools(got.get("pools"), full=full)
    if pools_reason and "pools" in got:
        unknown["pools"] = pools_reason
    values |= _hardware(got)
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _row(got: Mapping[str, Json], name: str, key: str) -> Json:
    return next(iter(fields.rows(got.get(name), key)), {})


def _identity(got: Mapping[str, Json], config: Json, unknown: dict[str, str]) -> dict[str, Any]:
    version = _row(got, "version", "VERSION")
    stamped = [status(reply).get("Description") for reply in got.values()]  # every reply says who answers
    named = (_VERSION.match(f"LUXminer {text}") for text in (fields.text(version.get("LUXminer")),) if text)
    described = (_VERSION.match(text) for text in stamped if isinstance(text, str))
    found_version = next((match[1] for match in (*named, *described) if match), None)
    make, model = fields.named(fields.text(config.get("Model")) or version.get("Type"))
    found = {
        "make": make,
        "model": model,
        "firmware": f"LuxOS {found_version}" if found_version else None,
        "mac": fields.mac(config.get("MACAddr")),
        "serial": fields.serial(config.get("SerialNumber")),
        "hostname": fields.text(config.get("Hostname")),
    }
    if found["mac"] is None and "MACAddr" in config:
        unknown["mac"] = "MACAddr holds no address of one device"
    if found["serial"] is None and "SerialNumber" in config:
        unknown["serial"] = "the serial field is padding or a placeholder"
    return found


def _state(config: Json, hashrate_hs: float | None) -> State:
    """A curtailment is told by the config; without one the rate tells."""
    told = str(config.get("SystemStatus", "")).lower()
    if (curtailed := _CURTAILED.get(str(config.get("CurtailMode", "")).lower())) is not None:
        return curtailed
    if hashrate_hs:
        return State.MINING
    if "overheat" in told:
        return State.OVERHEAT
    if told.startswith(_STARTING):
        return State.STARTING
    return State.IDLE if hashrate_hs == 0 else State.UNKNOWN


def _hardware(got: Mapping[str, Json]) -> dict[str, Any]:
    """Boards, chips, temperatures and fans of `stats`; the serials of the boards of `devs`."""
    row: Json = {}
    for part in fields.rows(got.get("stats"), "STATS"):
        row |= part
    boards = fields.rows(got.get("devs"), "DEVS")
    slots = range(1, MAX_CHAINS + 1)
    chips = {n: count for n in slots if (count := fields.whole(row.get(f"chain_acn{n}")))}
    return {
        "boards_total": len(chips) or len(boards) or None,
        "boards_hashing": sum(1 for n in chips if fields.number(row.get(f"chain_rate{n}")))
        if chips
        else None,
        "chips": sum(chips.values()) or None,
        "board_temps_c": tuple(hot for n in chips if (hot := _hottest(row.get(f"temp_pcb{n}")))),
        "chip_temps_c": tuple(hot for n in chips if (hot := _hottest(row.get(f"temp_chip{n}")))),
        "fans_rpm": fields.speeds(row.get(f"fan{n}") for n in slots),
        "board_serials": tuple(sn for board in boards if (sn := fields.serial(board.get("SerialNumber")))),
    }


def _hottest(raw: object) -> float | None:
    """The hottest of one board's sensors, written as "47-34-34-47"."""
    parts = raw.split("-") if isinstance(raw, str) else [raw]
    return max(fields.temperatures(parts), default=None)
