"""VNish on Antminers: pages under /api/v1, and the cgminer API for the uptime of the mining program.

Power: `psu_power_metering` says whether the supply measures; without it the figure is the firmware's own.
Where the pages are missing or locked, 4028 gives the consumption of each chain: different figures are the
firmware's estimates, equal ones may be a reading of the supply divided by the boards, of unknown origin.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from agent.miners import fields, hardware, joined, rates
from agent.miners.poll import Ask, Budget, Replies, collect
from agent.readings import AuthError, DeviceError, Pool, PowerOrigin, Reading, State, Unreachable
from agent.transports.access import Access
from agent.transports.cgminer import Json
from agent.transports.http import Asked

FAMILY = "vnish"
INFO, SUMMARY, FACTORY = "/api/v1/info", "/api/v1/summary", "/api/v1/chains/factory-info"
UNLOCK = "/api/v1/unlock"
TOKEN_LIFETIME_S = 3600.0  # the answer names none

POWER_KEYS = ("power_usage", "power_consumption")  # the same figure; some versions have but one
MAX_CHAINS = 8
_STATES = {
    "mining": State.MINING,
    "auto-tuning": State.MINING,
    "initializing": State.STARTING,
    "starting": State.STARTING,
    "restarting": State.STARTING,
    "stopped": State.SLEEPING,  # VNish stops only when told to; by itself it fails
    "failure": State.FAULT,
}
_TYPE = re.compile(r"(.+?)\s*\((\w+)\s+(\d[\w.\-]*)\)")  # "Antminer S21 Pro (Vnish 1.2.7)"
_PRODUCTS = {"vnish": "VNish", "anthillos": "VNish"}  # others sell it under names of their own


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where 4028 or the info page names VNish."""
    page = seen.get("vnish_info", {})
    if "fw_name" in page and "fw_version" in page:
        return True
    named = [*fields.rows(seen.get("version"), "VERSION"), *fields.rows(seen.get("stats"), "STATS")]
    return any("vnish" in str(row.get("Type", "")).lower() for row in named)


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll; a sweep takes one page and one connection to 4028."""
    budget = Budget(access.network.poll_deadline_s)
    memory = f"{FAMILY} {address}"
    replies = Replies()
    pages = {"web": SUMMARY} | ({"info": INFO, "factory": FACTORY} if full else {})
    problem: DeviceError | None = None
    try:
        steps = [(name, _page(address, path, access, budget)) for name, path in pages.items()]
        await collect(steps, ["web"], budget, replies)
    except DeviceError as error:
        problem = error
        replies.failed["web"] = str(error)
    replies.failed.pop("factory", None)  # older versions have no such page
    names = ["summary"] if "web" in replies.got else ["summary", "pools", "stats"]
    try:
        await joined.ask(address, names, access, budget, replies, need=names[:1])
    except DeviceError as error:
        if not replies.got:
            raise (
                problem if problem is not None and not isinstance(problem, Unreachable) else error
            ) from error
        replies.failed["summary"] = str(error)
    if "info" in replies.got:
        access.remember(memory, replies.got["info"])
    elif not full and memory in access.known:
        replies.got["info"] = access.known[memory]
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def _page(address: str, path: str, access: Access, budget: Budget) -> Ask:
    """A page; where the API is locked, once more behind its password."""

    def left_s() -> float:
        return max(budget.left_s(), 0.1)

    async def login() -> tuple[str, float]:
        _, password = access.credentials.of(FAMILY) or ("", "")
        reply = await access.page(address, UNLOCK, left_s(), Asked(json={"pw": password}))
        if not isinstance(token := reply.get("token"), str) or not token:
            raise AuthError(f"{UNLOCK}: no token was given")
        return token, TOKEN_LIFETIME_S

    async def behind(token: str) -> Json:
        asked = Asked(headers={"Authorization": f"Bearer {token}"})
        return await access.page(address, path, left_s(), asked)

    async def ask(limit_s: float) -> Json:
        if access.tokens.find(address, FAMILY) is None:
            try:
                return await access.get(address, path, limit_s)
            except AuthError:
                pass  # locked
        return await access.tokens.using(address, FAMILY, login, behind)

    return ask


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of the pages web (the summary), info and factory, and of 4028's summary, pools, stats."""
    miner, info = fields.part(got.get("web"), "miner"), got.get("info", {})
    board: Json = {}
    for part in fields.rows(got.get("stats"), "STATS"):
        board |= part
    # VNish 3 repeats rate and uptime in its stats
    row = next(iter(fields.rows(got.get("summary"), "SUMMARY")), board)
    kind = _TYPE.match(str(miner.get("miner_type") or board.get("Type") or ""))
    unknown: dict[str, str] = {}
    values: dict[str, Any] = {}
    system = fields.part(info, "system") or fields.part(got.get("web"), "system")  # early versions: in both
    values |= _identity(info, system, got.get("factory", {}), kind, unknown) if full else {}
    values["hashrate_hs"], values["hashrate_window"] = _hashrate(miner, info, kind, row)
    if values["hashrate_hs"] is None and (miner or row):
        unknown["hashrate_hs"] = "no rate of this moment whose unit can be told"
    values["power_w"], values["power_origin"] = _power(miner, board)
    if values["power_w"] is None and (miner or board):
        unknown["power_w"] = "no watts of a running device, or none whose origin can be told"
    values["uptime_s"] = fields.uptime(row.get("Elapsed"))
    told = fields.text(fields.part(miner, "miner_status").get("miner_state")) or fields.text(
        board.get("state")
    )
    values["state"] = _state(told, values["hashrate_hs"])
    if values["state"] is State.UNKNOWN:
        unknown["state"] = f"the state is {told!r} and no rate of this moment was read"
    if miner:
        values["pools"] = _pools(miner, full=full)
        if not values["pools"]:
            unknown["pools"] = "the summary lists no pool that can be read"
    else:
        values["pools"], reason = fields.pools(got.get("pools"), full=full)
        if reason and "pools" in got:
            unknown["pools"] = reason
    values |= _hardware(miner, board)
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _identity(
    info: Json, system: Json, factory: Json, kind: re.Match[str] | None, unknown: dict[str, str]
) -> dict[str, Any]:
    lan = fields.part(system, "network_status")
    make, model = fields.named(fields.text(info.get("miner")) or (kind[1] if kind else None))
    product = fields.text(info.get("fw_name")) or (kind[2] if kind else "VNish")
    version = fields.text(info.get("fw_version")) or (kind[3] if kind else None)
    chains = fields.rows(factory, "chains")
    found = {
        "make": make,
        "model": model,
        "firmware": f"{_PRODUCTS.get(product.lower(), product)} {version}" if version else None,
        "mac": fields.mac(lan.get("mac")),
        "serial": fields.serial(info.get("serial")),
        "hostname": fields.text(lan.get("hostname")),
        "psu_serial": fields.serial(factory.get("psu_serial")),
        "board_serials": tuple(sn for chain in chains if (sn := fields.serial(chain.get("serial")))),
    }
    if found["serial"] is None and "serial" in info:
        unknown["serial"] = "the serial field is padding or a placeholder"
    if found["mac"] is None and "mac" in lan:
        unknown["mac"] = "the mac field holds no address of one device"
    return found


def _hashrate(
    miner: Json, info: Json, kind: re.Match[str] | None, row: Json
) -> tuple[float | None, str | None]:
    """The present rate, in the unit of `hr_measure`; a model known to do SHA-256 writes GH/s."""
    model = hardware.find(kind[1]) if kind else None
    sha256 = model.algorithm == "sha256" if model else info.get("algorithm") == "sha256d"
    if "hr_realtime" in miner:
        value = fields.number(miner["hr_realtime"])
        scale = rates.unit_hs(info.get("hr_measure")) or (1e9 if sha256 else None)
    else:  # the page of early versions; its unit was seen for SHA-256 alone
        value = fields.number(miner.get("instant_hashrate"))
        scale = 1e12 if sha256 else None
    if value is not None and value >= 0 and scale:
        return value * scale, "realtime"
    if "hr_realtime" in miner:
        return None, None
    written = rates.by_window([row])
    return rates.present(written) if sha256 else rates.present_of(written, kind[1]) if kind else (None, None)


def _power(miner: Json, board: Json) -> tuple[float | None, PowerOrigin | None]:
    if miner:
        metering = fields.part(miner, "psu").get("psu_power_metering") is True
        origin = PowerOrigin.PSU_MEASURED if metering else PowerOrigin.FIRMWARE_ESTIMATED
        watts = next((miner[key] for key in POWER_KEYS if fields.power(miner.get(key))), None)
        return fields.measured(watts, origin)
    chains = [
        watts for n in range(1, MAX_CHAINS + 1) if (watts := fields.power(board.get(f"chain_consumption{n}")))
    ]
    if len(set(chains)) < 2:
        return None, None
    return fields.measured(sum(chains), PowerOrigin.FIRMWARE_ESTIMATED)


def _state(told: str | None, hashrate_hs: float | None) -> State:
    found = _STATES.get((told or "").lower().replace("_", "-"))
    if found is not None:
        return found
    return State.MINING if hashrate_hs else State.UNKNOWN


def _pools(miner: Json, *, full: bool) -> tuple[Pool, ...]:
    """The pools of the summary: `active` has the work, `working` only answers."""
    found = []
    for place, row in enumerate(fields.rows(miner, "pools")):
        url, user = fields.text(row.get("url")), fields.line(row.get("user"))
        if url is None or user is None:
            continue
        told = fields.text(row.get("status"))
        accepted, rejected, stale = (fields.whole(row.get(key)) for key in ("accepted", "rejected", "stale"))
        fee = row.get("pool_type") == "DevFee" or url.lower() == fields.FEE_POOL
        active = told == "active" if told else None
        only_full = (
            (fields.difficulty(row.get("diffa")), None, None, fields.share_age(row.get("ls_time"), None))
            if full
            else ()
        )
        found.append(Pool(url, user, active, place, accepted, rejected, stale, fee or None, *only_full))
    return tuple(found)


def _hardware(miner: Json, board: Json) -> dict[str, Any]:
    chains = fields.rows(miner, "chains")
    grades = [fields.part(chain, "chip_statuses") for chain in chains]
    chips = sum(fields.whole(count) or 0 for grade in grades for count in grade.values())
    fans = fields.rows(fields.part(miner, "cooling"), "fans")
    slots = range(1, MAX_CHAINS + 1)
    counted = [fields.whole(board.get(f"chain_acn{n}")) or 0 for n in slots]
    rated = [chain.get("hashrate_rt") for chain in chains] or [
        board.get(f"chain_rate{n}") for n, count in zip(slots, counted, strict=True) if count
    ]
    hashing = sum(1 for rate in rated if (fields.number(rate) or 0) > 0)
    # temp and temp2_ are the names of the S9 and its kin: board and chip
    pcb = fields.temperatures(_hottest(chain, "pcb_temp") for chain in chains)
    chip = fields.temperatures(_hottest(chain, "chip_temp") for chain in chains)
    return {
        "boards_total": len(chains) or sum(1 for count in counted if count) or None,
        "boards_hashing": hashing if rated else None,
        "chips": chips or sum(counted) or None,
        "board_temps_c": pcb or fields.temperatures(board.get(f"temp{n}") for n in slots),
        "chip_temps_c": chip or fields.temperatures(board.get(f"temp2_{n}") for n in slots),
        "fans_rpm": fields.speeds(fan.get("rpm") for fan in fans)
        or fields.speeds(board.get(f"fan{n}") for n in slots),
    }


def _hottest(chain: Json, name: str) -> float | None:
    """The highest temperature of a chain; early versions list the sensors, the broken ones marked."""
    if name in chain:
        return fields.number(fields.part(chain, name).get("max"))
    working = (one for one in fields.rows(chain, f"{name}_sens") if one.get("status") == "measure")
    return max(fields.temperatures(one.get("temp") for one in working), default=None)
