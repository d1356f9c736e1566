"""Innosilicon, and Halong's DragonMint which it built: the cgminer API, and pages under /api behind a login.

A label "MHS" is true for SHA-256 alone: the A9, A10 and A11 write H/s (Sol/s) under it. The pages have a rate
in H/s, a mean over as long as the program has run, a quarter of an hour at most. `power` is a figure of which
it is not said where it was taken: none.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping
from typing import Any

from agent.miners import fields, generic, rates
from agent.miners.poll import Ask, Budget, Replies, collect
from agent.readings import AuthError, ProtocolError, Reading, State, Unreachable, Unsupported
from agent.transports.access import Access
from agent.transports.cgminer import Json, status
from agent.transports.http import Asked

FAMILY = "innosilicon"
LOGIN = "/api/auth"
ALL, OVERVIEW, SUMMARY = "/api/getAll", "/api/overview", "/api/summary"
LIFETIME_S = 900.0  # the answer names none; one that has expired is renewed

_TITLE = "dragonmint"
_PROGRAM = re.compile(r"innominer[\s_]+([a-z]+\d+[a-z+]*)", re.IGNORECASE)
# T1 to T3 and the DragonMint T1; T4 is the A8's name for itself.
_SHA256 = re.compile(r"Innosilicon T[1-3](?!\d)|DragonMint T1", re.IGNORECASE)
_IN_HS = re.compile(r"Innosilicon A(?:9|1[01])(?!\d)", re.IGNORECASE)
_OWN = re.compile(r"[a-z]+\d+[a-z+]*-\d", re.IGNORECASE)  # "a9-1.2.0"
MEGA = 1e6


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where a reply is signed by innominer, or the web is DragonMint's."""
    if any("innominer" in str(status(reply).get("Description", "")).lower() for reply in seen.values()):
        return True
    page = seen.get("fluminer_overview", {})  # the same path
    ours = "ethaddr" in fields.part(page, "version") or (
        page.get("success") is False and page.get("token") == "expired"
    )
    return ours or _TITLE in str(seen.get("web_root", {}).get("text", "")).lower()


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: the commands of any cgminer, and the pages in full or where 4028 is closed."""
    budget, replies = Budget(access.network.poll_deadline_s), Replies()
    memory = f"{FAMILY} type {address}"
    over_web = False
    try:
        await generic.ask(address, access, budget, full=full, replies=replies)
    except Unreachable:
        over_web = True
    if over_web:
        await collect([("page", _page(address, SUMMARY, access, budget))], ["page"], budget, replies)
        replies.got |= _as_cgminer(replies.got["page"])
    if full:
        steps = [
            (name, _page(address, path, access, budget))
            for name, path in (("all", ALL), ("overview", OVERVIEW))
        ]
        await collect(steps, [], budget, replies)
        if kind := _type(replies.got):
            access.remember(memory, kind)
    elif kind := access.known.get(memory):
        replies.got["all"] = {"all": {"type": kind}}
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def _page(address: str, path: str, access: Access, budget: Budget) -> Ask:
    """A page behind the login; older firmware has no login but takes the password with each request."""

    def left_s() -> float:
        return max(budget.left_s(), 0.1)

    user, password = access.credentials.of(FAMILY) or ("", "")

    async def login() -> tuple[str, float]:
        form = {"username": user, "password": password}
        reply = await access.page(address, LOGIN, left_s(), Asked(form=form))
        if not isinstance(token := reply.get("jwt"), str) or not token:
            raise AuthError(f"{LOGIN}: no token was given")
        return token, LIFETIME_S

    async def behind(token: str) -> Json:
        headers = {"Authorization": f"Bearer {token}"}
        reply = await access.page(address, path, left_s(), Asked(json={}, headers=headers))
        if reply.get("token") == "expired":
            raise AuthError(f"{path}: the token has expired")
        if reply.get("success") is False:
            raise ProtocolError(f"{path}: the device says that it failed")
        return reply

    async def ask(_limit_s: float) -> Json:
        try:
            return await access.tokens.using(address, FAMILY, login, behind)
        except Unsupported:
            known = base64.b64encode(f"{user}:{password}".encode()).decode()
            return await access.page(
                address, path, left_s(), Asked(headers={"Authorization": f"Basic {known}"})
            )

    return ask


def _as_cgminer(page: Json) -> dict[str, Json]:
    """The page of the summary as the commands that it was made of."""
    return {"devs": {"DEVS": fields.rows(page, "DEVS")}, "pools": {"POOLS": fields.rows(page, "POOLS")}}


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of 4028's replies and of the pages `all` and `overview`."""
    values, unknown = generic.read_values(got, full=full)
    about, version = fields.part(got.get("all"), "all"), fields.part(got.get("overview"), "version")
    model = _model(got)
    values["hashrate_hs"], values["hashrate_window"], why = _hashrate(got, values, about, model)
    unknown.pop("hashrate_hs", None)
    if why:
        unknown["hashrate_hs"] = why
    values["state"] = State.UNKNOWN
    if values["hashrate_hs"] is not None and values["hashrate_window"] != rates.SINCE_START:
        idle = State.MINING if values["hashrate_hs"] else State.IDLE
        values["state"] = fields.warming(idle, values["uptime_s"])
    if values["state"] is not State.UNKNOWN:
        unknown.pop("state", None)
    if values["state"] is State.MINING:
        values["pools"] = fields.only_source(values["pools"])
    watts = [about.get("power"), *(row.get("power") for row in fields.rows(got.get("stats"), "STATS"))]
    if any(fields.power(value) for value in watts):
        unknown["power_w"] = "a figure is given, not where it was taken"
    if full:
        program = next(iter(fields.rows(got.get("version"), "VERSION")), {}).get("CGMiner")
        own = program if _OWN.match(str(program)) else None  # a bare "4.10.0" is cgminer's, not the maker's
        told = (own, version.get("platform_v"), about.get("platform"), version.get("build_date"))
        versions = (fields.text(text) for text in told)
        values |= {
            "make": "Halong" if (model or "").startswith("DragonMint") else "Innosilicon",
            "model": model,
            "firmware": next((text for text in versions if text), None),
            "mac": values.get("mac") or fields.mac(about.get("mac")) or fields.mac(version.get("ethaddr")),
        }
        unknown["serial"] = "it names no serial number of the machine"
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _hashrate(
    got: Mapping[str, Json], values: Mapping[str, Any], about: Json, model: str | None
) -> tuple[float | None, str | None, str | None]:
    """Hashrate, window and why there is none: by labels whose unit is known, else by the pages in H/s."""
    labelled, window = values["hashrate_hs"], values["hashrate_window"]
    if labelled is not None and model and _SHA256.match(model):
        return labelled, window, None
    if labelled is not None and model and _IN_HS.match(model):
        return labelled / MEGA, window, None
    boards = [fields.number(row.get("Hash Rate H")) for row in fields.rows(got.get("page"), "DEVS")]
    known = [value for value in boards if value is not None and value >= 0]
    total = fields.number(fields.part(about, "total_hash").get("Hash Rate H"))
    if known and len(known) == len(boards):
        return sum(known), "not stated", None
    if total is not None and total >= 0:
        return total, "not stated", None
    return None, None, "its label is in another unit than it says, and which one is not known for this model"


def _type(got: Mapping[str, Json]) -> str | None:
    return fields.text(fields.part(got.get("all"), "all").get("type")) or fields.text(
        got.get("overview", {}).get("type")
    )


def _model(got: Mapping[str, Json]) -> str | None:
    """By the type that the web says, else by the name of the mining program or of its boards."""
    programs = (_PROGRAM.search(str(status(reply).get("Description", ""))) for reply in got.values())
    boards = (fields.text(row.get("Name")) for row in fields.rows(got.get("devs"), "DEVS"))
    kind = _type(got) or next((match[1] for match in programs if match), None) or next(boards, None)
    if kind is None:
        return None
    if kind.upper().startswith(("DT1", "DB52")):
        return f"DragonMint {kind[1:].upper()}"
    bare = kind.removeprefix("Innosilicon").strip()
    return f"Innosilicon {bare[:1].upper()}{bare[1:]}" if bare else None
