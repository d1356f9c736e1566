"""Braiins OS: the cgminer API for what changes, the web for who it is; the web for all where 4028 is closed.

The web is REST from 2025 on (a login gives a token) and GraphQL before (reading takes none; the MAC is on a
page of the router's interface behind a cookie).
Power: `approximated_consumption`, `approxConsumptionW` and the tuner's `ApproximateMinerPowerConsumption` are
one figure of the tuning model, in its own words an approximation. Limits and targets are settings.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agent.miners import braiins_web, fields, joined, rates
from agent.miners.poll import Budget, Replies
from agent.readings import DeviceError, DeviceTimeout, PowerOrigin, Reading, State, Unreachable
from agent.transports.access import Access
from agent.transports.cgminer import Json

FAMILY = braiins_web.FAMILY
SWEEP = ("summary", "tunerstatus", "pools", "temps", "fans")
FULL = (*SWEEP, "devs", "devdetails")

_MARKS = ("boser", "bosminer")
_STATUS = {1: State.IDLE, 3: State.SLEEPING, 4: State.SLEEPING}  # not started, paused, suspended
_STATUS_NAMES = {"NOT_STARTED": 1, "NORMAL": 2, "PAUSED": 3, "SUSPENDED": 4, "RESTRICTED": 5}


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where 4028 names Braiins' mining program, or the web the version of its API."""
    if {"major", "minor", "patch"} <= seen.get("bos_version", {}).keys():
        return True
    text = " ".join(str(reply) for reply in seen.values()).lower()
    return any(mark in text for mark in _MARKS)


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll; a sweep of a device that hashes takes one connection and no login."""
    budget = Budget(access.network.poll_deadline_s)
    replies = Replies()
    refused: DeviceError | None = None
    try:
        await joined.ask(address, FULL if full else SWEEP, access, budget, replies, need=["summary"])
    except DeviceTimeout:
        raise
    except DeviceError as error:  # closed, locked or the program down: the web knows the same
        refused = error
        replies.failed["4028"] = str(error)
    rate, _ = rates.present(rates.by_window(fields.rows(replies.got.get("summary"), "SUMMARY")))
    if full or not rate:
        try:
            await braiins_web.ask(address, access, budget, replies, complete=refused is not None)
        except DeviceError as error:
            if refused is not None:
                raise error if isinstance(refused, Unreachable) else refused from error
            replies.failed["web"] = str(error)
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of 4028's replies, of REST (details, stats, boards, cooling, rest_pools) and of GraphQL."""
    row = next(iter(fields.rows(got.get("summary"), "SUMMARY")), {})
    details, stats, system = got.get("details", {}), got.get("stats", {}), got.get("system", {})
    info = fields.part(fields.part(system, "bosminer"), "info")
    unknown: dict[str, str] = {}
    values: dict[str, Any] = _identity(got, details, system, unknown) if full else {}
    values["hashrate_hs"], values["hashrate_window"] = _hashrate(row, stats, info)
    if values["hashrate_hs"] is None and (row or stats or info):
        unknown["hashrate_hs"] = "no rate of this moment was given"
    tuner = next(iter(fields.rows(got.get("tunerstatus"), "TUNERSTATUS")), {})
    approximated = fields.part(fields.part(stats, "power_stats"), "approximated_consumption")
    told = (
        tuner.get("ApproximateMinerPowerConsumption"),
        approximated.get("watt"),
        fields.part(fields.part(info, "summary"), "power").get("approxConsumptionW"),
    )
    watts = next((value for value in told if fields.power(value)), None)
    values["power_w"], values["power_origin"] = fields.measured(watts, PowerOrigin.FIRMWARE_ESTIMATED)
    if watts is None and any(value is not None for value in told):
        unknown["power_w"] = "the tuner's figure holds no watts that a running device can draw"
    values["uptime_s"] = next(
        (
            seconds
            for raw in (
                row.get("Elapsed"),
                details.get("bosminer_uptime_s"),
                fields.part(fields.part(system, "bos"), "uptime").get("durationS"),
            )
            if (seconds := fields.uptime(raw)) is not None
        ),
        None,
    )
    values["state"] = _state(details.get("status"), values["hashrate_hs"])
    if values["state"] is State.UNKNOWN:
        unknown["state"] = "no rate of this moment and no status was read"
    values["pools"], pools_reason = fields.pools(
        got.get("pools") or braiins_web.as_cgminer(got, observed_us // 1_000_000), full=full
    )
    if pools_reason and {"pools", "rest_pools", "gql_pools"} & got.keys():
        unknown["pools"] = pools_reason
    values |= _hardware(got)
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _identity(
    got: Mapping[str, Json], details: Json, system: Json, unknown: dict[str, str]
) -> dict[str, Any]:
    bos, about = fields.part(system, "bos"), fields.part(details, "miner_identity")
    lan = next(iter(fields.rows(got.get("lan"), "items")), {})
    boards = [*fields.rows(got.get("devdetails"), "DEVDETAILS"), {}]
    gql_model = fields.part(fields.part(got.get("gql_model"), "bosminer"), "info").get("modelName")
    told = (about.get("miner_model"), about.get("name"), gql_model, boards[0].get("Model"))
    make, model = fields.named(next((name for name in told if fields.text(name)), None))
    version = fields.part(details, "bos_version").get("current")
    found = {
        "make": make,
        "model": model,
        "firmware": fields.text(version)
        or fields.text(fields.part(fields.part(bos, "info"), "version").get("full")),
        "mac": fields.mac(details.get("mac_address")) or fields.mac(lan.get("macaddr")),
        "serial": fields.serial(details.get("serial_number")),
        "hostname": fields.text(details.get("hostname")) or fields.text(bos.get("hostname")),
        "psu_serial": fields.serial(fields.part(details, "psu_info").get("serial_number")),
    }
    if found["serial"] is None and (details or system):
        unknown["serial"] = "this version, or this control board, names no serial of the machine"
    if found["mac"] is None and ("mac_address" in details or "macaddr" in lan):
        unknown["mac"] = "the mac field holds no address of one device"
    return found


def _hashrate(row: Json, stats: Json, info: Json) -> tuple[float | None, str | None]:
    hashrate_hs, window = rates.present(rates.by_window([row]))
    if hashrate_hs is not None:
        return hashrate_hs, window
    windows = fields.part(fields.part(stats, "miner_stats"), "real_hashrate")
    for window in ("5s", "15s", "30s", "1m", "5m", "15m", "30m"):
        value = fields.number(fields.part(windows, f"last_{window}").get("gigahash_per_second"))
        if value is not None and value >= 0:
            return value * 1e9, window
    solver = fields.part(fields.part(info, "workSolver"), "realHashrate")
    value = fields.number(solver.get("mhs5S"))
    return (value * 1e6, "5s") if value is not None and value >= 0 else (None, None)


def _state(status: object, hashrate_hs: float | None) -> State:
    """A pause is told by the status (a number, or its name in the definition); else the rate tells."""
    code = status
    if isinstance(status, str):
        code = _STATUS_NAMES.get(status.removeprefix("MINER_STATUS_"))
    if isinstance(code, int) and code in _STATUS:
        return _STATUS[code]
    if hashrate_hs:
        return State.MINING
    return State.IDLE if hashrate_hs == 0 else State.UNKNOWN


def _hardware(got: Mapping[str, Json]) -> dict[str, Any]:
    """Boards, temperatures and fans, of REST where it was read, else of 4028."""
    boards = fields.rows(got.get("boards"), "hashboards")
    temps, devs = fields.rows(got.get("temps"), "TEMPS"), fields.rows(got.get("devs"), "DEVS")
    if boards:
        chips = [fields.whole(board.get("chips_count")) or 0 for board in boards]
        real = [fields.part(fields.part(board, "stats"), "real_hashrate") for board in boards]
        rated = [fields.number(fields.part(one, "last_5s").get("gigahash_per_second")) or 0 for one in real]
    else:
        chips = [
            fields.whole(row.get("Chips")) or 0 for row in fields.rows(got.get("devdetails"), "DEVDETAILS")
        ]
        rated = [fields.number(dev.get("MHS 5s")) or 0 for dev in devs]
    hot = [fields.part(fields.part(board, "highest_chip_temp"), "temperature") for board in boards]
    fans = [*fields.rows(got.get("fans"), "FANS"), *fields.rows(got.get("cooling"), "fans")]
    return {
        "boards_total": len(boards) or len(devs) or None,
        "boards_hashing": sum(1 for rate in rated if rate > 0) if rated else None,
        "chips": sum(chips) or None,
        "board_temps_c": fields.temperatures(
            [row.get("Board") for row in temps]
            or [fields.part(board, "board_temp").get("degree_c") for board in boards]
        ),
        "chip_temps_c": fields.temperatures(
            [row.get("Chip") for row in temps] or [one.get("degree_c") for one in hot]
        ),
        "fans_rpm": fields.speeds(fields.first(fan, "RPM", "rpm") for fan in fans),
        "board_serials": tuple(sn for board in boards if (sn := fields.serial(board.get("serial_number")))),
    }
