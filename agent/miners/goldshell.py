"""Goldshell: BFGMiner's API on 4028, and pages under /mcb that say who it is. It tells no power.

Where 4028 is closed the pages tell rate and pools as well; the `time` there is in a unit that nobody names.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from agent.miners import fields, generic
from agent.miners.poll import Ask, Budget, Replies, collect
from agent.readings import AuthError, Pool, ProtocolError, Reading, State, Unreachable
from agent.transports.access import Access
from agent.transports.cgminer import Json
from agent.transports.cgminer import status as signature
from agent.transports.http import Asked

FAMILY = "goldshell"
MAKE = "Goldshell"
MEGA = 1e6
STATUS, SETTING = "/mcb/status", "/mcb/setting"
DEVS, POOLS = "/mcb/cgminer?cgminercmd=devs", "/mcb/pools"
LOGIN = "/user/login?username={}&password={}&cipher={}"
BLOCK = 16  # of AES, in bytes
_TITLE = "<title>cloud-box"
_PROGRAMS = ("intminer", "intchains_qomo", "kdaminer")
LIFETIME_S = 3600.0  # the answer names none


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where a reply is signed by its mining program, or a page of the web is Goldshell's."""
    signed = (str(signature(reply).get("Description", "")).lower() for reply in seen.values())
    title = _TITLE in str(seen.get("web_root", {}).get("text", "")).lower()
    page = {"model", "firmware"} <= seen.get("goldshell_status", {}).keys()
    return page or title or any(text.startswith(_PROGRAMS) for text in signed)


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: the commands of any cgminer, and the pages in full or where 4028 is closed."""
    budget, replies = Budget(access.network.poll_deadline_s), Replies()
    pages = {"status": STATUS, "setting": SETTING} if full else {}
    need: list[str] = []
    try:
        await generic.ask(address, access, budget, full=full, replies=replies)
    except Unreachable:
        pages, need = {"web_devs": DEVS, "web_pools": POOLS} | pages, ["web_devs"]
    if not need and not generic.read_values(replies.got, full=False)[0]["hashrate_hs"]:
        pages["setting"] = SETTING  # it says whether it is asleep
    steps = [(name, _page(address, path, access, budget)) for name, path in pages.items()]
    memory = f"{FAMILY} mixed {address}"
    if not full and access.known.get(memory):
        steps.append(("devs", lambda limit_s: access.ask(address, "devs", limit_s)))
    await collect(steps, need, budget, replies)
    if full:
        access.remember(memory, _mixed(replies.got))
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def _mixed(got: Mapping[str, Json]) -> bool:
    """True where the cards do not all do the same: their rates have one label, and no sum."""
    return len({row.get("pool") for row in fields.rows(got.get("devs"), "DEVS")}) > 1


def _page(address: str, path: str, access: Access, budget: Budget) -> Ask:
    """A page; where it is locked, once more behind the login."""

    def left_s() -> float:
        return max(budget.left_s(), 0.1)

    async def login() -> tuple[str, float]:
        user, password = access.credentials.of(FAMILY) or ("", "")
        # Newer firmware answers HTTP 500 to a plain one, and wants it enciphered.
        for secret, cipher in ((quote(password), "false"), (_enciphered(password), "true")):
            with suppress(ProtocolError):
                reply = await access.get(address, LOGIN.format(quote(user), secret, cipher), left_s())
                if isinstance(token := reply.get("JWT Token"), str) and token:
                    return token, LIFETIME_S
        raise AuthError("/user/login: no token was given")

    async def behind(token: str) -> Json:
        return await access.page(address, path, left_s(), Asked(headers={"Authorization": f"Bearer {token}"}))

    async def ask(limit_s: float) -> Json:
        if access.tokens.find(address, FAMILY) is None:
            try:
                return await access.page(address, path, limit_s, Asked())
            except AuthError:
                pass  # locked
        return await access.tokens.using(address, FAMILY, login, behind)

    return ask


def _enciphered(password: str) -> str:
    """As the maker's own page sends it: a key that everybody knows hides nothing, but it is asked for."""
    plain = password.encode()
    plain += bytes(-len(plain) % BLOCK)
    hiding = Cipher(algorithms.AES(b"!" * BLOCK), modes.CBC(bytes(BLOCK))).encryptor()
    return (hiding.update(plain) + hiding.finalize()).hex()


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of 4028's replies and of the pages status, setting, web_devs and web_pools."""
    values, unknown = generic.read_values(got, full=full)
    status, setting = got.get("status", {}), got.get("setting", {})
    devs = fields.rows(got.get("devs"), "DEVS")
    details = fields.rows(got.get("devdetails"), "DEVDETAILS") or fields.rows(got.get("devdetails"), "DEVS")
    values["chip_temps_c"] = fields.temperatures(row.get("tstemp-0") for row in devs)
    values["board_temps_c"] = fields.temperatures(row.get("tstemp-2") for row in devs)
    values["fans_rpm"] = fields.speeds(devs[0].get(f"fan{n}") for n in range(4)) if devs else ()
    if "web_devs" in got:
        _of_web(got, values, unknown)
    if _mixed(got):
        values |= {"hashrate_hs": None, "hashrate_window": None}
        unknown["hashrate_hs"] = "its cards do not all do the same, and their rates have no sum"
    elif not values["hashrate_hs"] and _asleep(setting):
        values["state"] = State.SLEEPING
        unknown.pop("state", None)
    if full:
        model = fields.text(status.get("model"))
        bare = model.removeprefix("Goldshell-").removeprefix("Goldshell ") if model else None
        values |= {
            "make": MAKE,
            "model": f"Goldshell {bare}" if bare and bare != MAKE else None,
            "firmware": fields.text(status.get("firmware")),
            "mac": fields.mac(setting.get("name")),
            "chips": sum(fields.whole(row.get("chips-nr")) or 0 for row in details) or None,
        }
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _of_web(got: Mapping[str, Json], values: dict[str, Any], unknown: dict[str, str]) -> None:
    """Rate, state and pools of the pages. Boards have MH/s; the list `minfos` mixes algorithms and units."""
    boards = fields.rows(got["web_devs"], "data")
    written = [fields.number(board.get("hashrate")) for board in boards]
    known = [value for value in written if value is not None and value >= 0]
    unknown["uptime_s"] = "the page gives a time without its unit"
    if known and len(known) == len(boards):
        values |= {"hashrate_hs": sum(known) * MEGA, "hashrate_window": "not stated"}
        values["state"] = State.MINING if any(known) else State.IDLE
        values["boards_total"] = len(boards)
        unknown.pop("state", None)
    else:
        unknown["hashrate_hs"] = "the page has no rate whose unit can be told"
    listed = fields.rows(got.get("web_pools"), "items")  # on a Byte in groups, one an algorithm
    for group in fields.rows(got.get("web_pools"), "groups"):
        listed += fields.rows(group, "pools")
    cards = [row for card in fields.rows(got["web_devs"], "minfos") for row in fields.rows(card, "infos")]
    if any(fields.power(card.get("power")) for card in cards):
        unknown["power_w"] = "each card has a figure, and it is not said where it was taken"
    values["pools"] = tuple(
        Pool(url, user, fields.flag(row.get("active")), fields.whole(row.get("pool-priority")))
        for row in listed
        if (url := fields.text(row.get("url"))) and (user := fields.line(row.get("user"))) is not None
    )
    if not values["pools"]:
        unknown["pools"] = "no pool can be read"


def _asleep(setting: Json) -> bool:
    """True where it is told to idle, or the plan in force has no clock."""
    plans, chosen = fields.rows(setting, "powerplans"), fields.whole(setting.get("select"))
    plan: object = setting.get("manualPowerplan") if setting.get("manual") is True else None
    if setting.get("manual") is not True and chosen is not None and chosen < len(plans):
        plan = plans[chosen].get("info")
    return setting.get("idlemode") is True or str(plan).startswith("0 MHz")
