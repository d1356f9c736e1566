"""ePIC PowerPlay on Antminers and on its own machines: JSON pages at 4028, no login for reading.

Power: `Input Power` is filled for every supply. Whether the supply measured it is told by `True Power` among
the capabilities; older versions without that flag show it by filling the input voltage and current as well.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agent.miners import fields
from agent.miners.poll import Ask, Budget, collect
from agent.readings import Pool, PowerOrigin, Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json
from agent.transports.http import Asked

FAMILY = "epic"
SUMMARY, CAPABILITIES, NETWORK = "/summary", "/capabilities", "/network"
MEGA = 1e6  # every rate of the summary is in MH/s

_STARTING = ("Initializing", "Loading", "PreInitCooldown", "Rebooting", "SoftRebooting")
_RUNNING = ("Mining", "AdjustingClockVoltage")
_TOO_HOT = ("CriticalTempReached", "ShutdownTempReached", "ChipShutdownTempReached")


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where the page at 4028 is the summary of PowerPlay."""
    page = seen.get("epic_summary", {})
    return "HBStatus" in page or ("Software" in page and "Session" in page)


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: one page in a sweep; the capabilities are remembered, for they tell what the watts are."""
    asked = Asked(port=access.network.cgminer_port)
    memory = f"{FAMILY} {address}"

    def page(path: str) -> Ask:
        return lambda limit_s: access.page(address, path, limit_s, asked)

    steps = [("summary", page(SUMMARY))]
    if full:
        steps += [("capabilities", page(CAPABILITIES)), ("network", page(NETWORK))]
    replies = await collect(steps, ["summary"], Budget(access.network.poll_deadline_s))
    if "capabilities" in replies.got:
        access.remember(memory, replies.got["capabilities"])
    elif not full and memory in access.known:
        replies.got["capabilities"] = access.known[memory]
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of the pages summary, capabilities and network."""
    page, abilities = got.get("summary", {}), got.get("capabilities", {})
    supply, session = fields.part(page, "Power Supply Stats"), fields.part(page, "Session")
    unknown: dict[str, str] = {}
    values: dict[str, Any] = {"hostname": fields.text(page.get("Hostname"))}
    values |= _identity(page, abilities, got.get("network"), unknown) if full else {}
    values["hashrate_hs"], values["hashrate_window"] = _hashrate(page), "realtime"
    if values["hashrate_hs"] is None and "HBs" in page:
        unknown["hashrate_hs"] = "the rate of a board is no number"
    values["power_w"], values["power_origin"] = fields.measured(
        supply.get("Input Power"), _origin(supply, fields.part(abilities, "Psu Info"))
    )
    if values["power_w"] is None and "Input Power" in supply:
        unknown["power_w"] = "the power field holds no watts that a running device can draw"
    values["uptime_s"] = fields.uptime(session.get("Uptime"))
    values["state"] = _state(fields.part(page, "Status"), values["hashrate_hs"])
    if values["state"] is State.UNKNOWN:
        unknown["state"] = "the operating state is none that tells whether it hashes"
    values["pools"] = _pools(page, session)
    if not values["pools"] and ("StratumConfigs" in page or "Stratum" in page):
        unknown["pools"] = "the device lists no pool that can be read"
    boards = fields.rows(page, "HBs")
    fans = fields.part(page, "Fans Rpm")
    values |= {
        "boards_total": sum(1 for row in fields.rows(page, "HBStatus") if row.get("Detected") is True)
        or None,
        "boards_hashing": sum(1 for board in boards if (_board_hs(board) or 0) > 0) if boards else None,
        "board_temps_c": fields.temperatures(board.get("Temperature") for board in boards),
        "fans_rpm": fields.speeds(fans[name] for name in sorted(fans)),
    }
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _identity(page: Json, abilities: Json, network: Json | None, unknown: dict[str, str]) -> dict[str, Any]:
    lan = fields.part(network, "dhcp") or fields.part(network, "static")
    make, model = fields.named(abilities.get("Model"))
    boards = abilities.get("Board Serial Numbers")
    found = {
        "make": make,
        "model": model,
        "firmware": fields.text(page.get("Software")),
        "mac": fields.mac(lan.get("mac_address")),
        "serial": fields.serial(abilities.get("Miner Serial Number")),
        "psu_serial": fields.serial(fields.part(abilities, "Psu Info").get("PSU Serial")),
        "board_serials": tuple(
            sn for raw in (boards if isinstance(boards, list) else ()) if (sn := fields.serial(raw))
        ),
    }
    if found["serial"] is None and abilities:
        unknown["serial"] = "this version names no serial of the machine (cpuSerial is the controller's)"
    if found["mac"] is None and network is not None:
        unknown["mac"] = "the network page holds no address of one device"
    return found


def _board_hs(board: Json) -> float | None:
    """H/s of one board: its `Hashrate` is the rate, its share of the ideal one and the errors."""
    rate = board.get("Hashrate")
    value = fields.number(rate[0]) if isinstance(rate, list) and rate else None
    return value * MEGA if value is not None and value >= 0 else None


def _hashrate(page: Json) -> float | None:
    """The sum of the boards that are on; the session's mean would be one since start."""
    boards = fields.rows(page, "HBs")
    found = [_board_hs(board) for board in boards]
    known = [value for value in found if value is not None]
    if len(known) < len(found):
        return None
    if not found:  # nothing is on: that is zero only where the device says that it rests
        resting = fields.part(page, "Status").get("Operating State") == "Idling"
        return 0.0 if resting and isinstance(page.get("HBs"), list) else None
    return sum(known)


def _origin(supply: Json, about: Json) -> PowerOrigin:
    measured = about.get("True Power")
    if not isinstance(measured, bool):
        filled = (fields.number(supply.get(key)) for key in ("Input Voltage", "Input Current"))
        measured = all(value is not None and value > 0 for value in filled)
    return PowerOrigin.PSU_MEASURED if measured else PowerOrigin.FIRMWARE_ESTIMATED


def _state(status: Json, hashrate_hs: float | None) -> State:
    told, error = status.get("Operating State"), status.get("Last Error")
    if told == "Idling":
        return State.OVERHEAT if any(cause in str(error) for cause in _TOO_HOT) else State.IDLE
    if told in _STARTING:
        return State.STARTING
    if told in _RUNNING or told is None:
        return State.MINING if hashrate_hs else State.UNKNOWN
    return State.UNKNOWN


def _pools(page: Json, session: Json) -> tuple[Pool, ...]:
    """The configured pools; `Stratum` tells which of them is in use and whether it is connected."""
    stratum = fields.part(page, "Stratum")
    current, connected = fields.whole(stratum.get("Config Id")), fields.flag(stratum.get("IsPoolConnected"))
    listed = fields.rows(page, "StratumConfigs")
    found = []
    for place, row in enumerate(listed):
        url, user = fields.text(row.get("pool")), fields.line(row.get("login"))
        if url is None or user is None:
            continue
        active = connected if current == place else (False if current is not None else None)
        counters = session if len(listed) == 1 else {}  # they are the session's, over all pools it used
        accepted, rejected = fields.whole(counters.get("Accepted")), fields.whole(counters.get("Rejected"))
        age_s = fields.whole(counters.get("Last Accepted Share Timer")) if accepted else None
        found.append(Pool(url, user, active, place, accepted, rejected, last_share_age_s=age_s))
    url, user = fields.text(stratum.get("Current Pool")), fields.line(stratum.get("Current User"))
    if not found and url and user:  # the list is left out, or empty; the one in use is still named
        found.append(Pool(url, user, connected))
    return tuple(found)
