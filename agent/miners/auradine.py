"""Auradine's Teraflux (FluxOS): the cgminer API from "GCMiner", and an API of its own at 8080 behind a token.

Power: `PowerIn` of `psu` is the input side as the supply reports it: `psu_measured`. `PoutMax` is what the
supply could give, and the watts of `mode` are a setting.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agent.miners import fields, generic
from agent.miners.poll import Ask, Budget, collect
from agent.readings import AuthError, PowerOrigin, Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json, status
from agent.transports.http import Asked

FAMILY = "auradine"
MAKE = "Auradine"
LOGIN = "/token"
LIFETIME_S = 3600.0  # the answer names none


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where a reply is signed by GCMiner or FluxOS."""
    signed = (str(status(reply).get("Description", "")) for reply in seen.values())
    return any(text.startswith(("GCMiner", "FluxOS")) for text in signed)


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: the commands of any cgminer, then the supply, and who it is."""
    budget = Budget(access.network.poll_deadline_s)
    replies = await generic.ask(address, access, budget, full=full)
    names = ["psu"] + (["ipreport"] if full else [])
    if not fields.rows(replies.got.get("summary"), "SUMMARY") or not _present(replies.got):
        names.append("mode")
    await collect([(name, _page(address, name, access, budget)) for name in names], [], budget, replies)
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def _present(got: Mapping[str, Json]) -> bool:
    return bool(generic.read_values(got, full=False)[0]["hashrate_hs"])


def _page(address: str, name: str, access: Access, budget: Budget) -> Ask:
    port = access.network.auradine_port

    def left_s() -> float:
        return max(budget.left_s(), 0.1)

    async def login() -> tuple[str, float]:
        user, password = access.credentials.of(FAMILY) or ("", "")
        asked = Asked(port=port, json={"command": "token", "user": user, "password": password})
        reply = await access.page(address, LOGIN, left_s(), asked)
        token = next((row.get("Token") for row in fields.rows(reply, "Token")), None)
        if not isinstance(token, str) or not token:
            raise AuthError(f"{LOGIN}: no token was given")
        return token, LIFETIME_S

    async def behind(token: str) -> Json:
        return await access.page(address, f"/{name}", left_s(), Asked(port=port, headers={"Token": token}))

    return lambda _limit_s: access.tokens.using(address, FAMILY, login, behind)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of 4028's replies and of psu, ipreport and mode."""
    values, unknown = generic.read_values(got, full=full)
    supply = next(iter(fields.rows(got.get("psu"), "PSU")), {})
    values["power_w"], values["power_origin"] = fields.measured(
        supply.get("PowerIn"), PowerOrigin.PSU_MEASURED
    )
    if values["power_w"] is None:
        unknown["power_w"] = "the supply's input power was not read"
    mode = next(iter(fields.rows(got.get("mode"), "Mode")), {})
    if str(mode.get("Sleep", "")).lower() == "on":
        values["state"] = State.SLEEPING
    if full:
        values |= _identity(next(iter(fields.rows(got.get("ipreport"), "IPReport")), {}))
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)


def _identity(about: Json) -> dict[str, Any]:
    boards = about.get("HBSerialNo")
    return {
        "make": MAKE,
        "model": fields.text(about.get("model")),
        "firmware": fields.text(about.get("version")),
        "mac": fields.mac(about.get("mac")),
        "serial": fields.serial(about.get("SerialNo")),
        "hostname": fields.text(about.get("hostname")),
        "board_serials": tuple(
            sn for raw in (boards if isinstance(boards, list) else ()) if (sn := fields.serial(raw))
        ),
    }
