"""Hiveon and MSKMiner on Antminers, both of one stock: bmminer "rwglr" on 4028, Bitmain's pages beside it.

Power: `total_power` is the sum of `chain_power1`.. that the firmware computes of each board's clock and
voltage; it is given when the supply answers nothing as well: `firmware_estimated`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from agent.miners import antminer, fields, generic
from agent.miners.poll import Ask, Budget, collect
from agent.readings import PowerOrigin, Reading
from agent.transports.access import Access
from agent.transports.cgminer import Json
from agent.transports.http import Asked

FAMILY = "hiveon"
LOGIN, INFO = "/admin/login", "/api/info_v1"

_MARKS = ("rwglr", "hiveon")
_POWER_KEYS = ("total_power", "chain_power")
_TYPE = re.compile(r"(?:Antminer )?([A-Z]\d+\w*?(?: Pro| XP)?)(?:[x-]\d+)?\s*(?:Hiveon|v\.([\d.]+))?\s*")


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where 4028 names the program of one or the firmware of the other."""
    rows = [*fields.rows(seen.get("version"), "VERSION"), *fields.rows(seen.get("stats"), "STATS")]
    said = " ".join(str(row.get(key, "")) for row in rows for key in ("BMMiner", "CGMiner", "Type")).lower()
    return any(mark in said for mark in _MARKS)


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: the commands of any cgminer, `stats` always, and the page that has the MAC."""
    budget = Budget(access.network.poll_deadline_s)
    replies = await generic.ask(address, access, budget, full=full, stats=True)
    if full:
        digest = access.credentials.of(antminer.FAMILY)
        page = [("system_info", lambda limit_s: access.get(address, antminer.SYSTEM_INFO, limit_s, digest))]
        await collect(page, [], budget, replies)
        if not replies.got.get("system_info", {}).get("macaddr"):
            await collect([("info", _info(address, access))], [], budget, replies)
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def _info(address: str, access: Access) -> Ask:
    """MSKMiner's own page, behind a login of its own that gives a cookie."""

    async def ask(limit_s: float) -> Json:
        user, password = access.credentials.of("mskminer") or ("", "")
        form = {"username": user, "password": password}
        _, cookies = await access.web.send(address, LOGIN, Asked(form=form), deadline_s=limit_s)
        cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
        return await access.page(
            address, INFO, limit_s, Asked(form={}, headers={"Cookie": cookie} if cookie else {})
        )

    return ask


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of replies named by their commands, and of the pages system_info and info."""
    values, unknown = generic.read_values(got, full=full)
    row: Json = {}
    for part in fields.rows(got.get("stats"), "STATS"):
        row |= part
    watts = next((row[key] for key in _POWER_KEYS if fields.power(row.get(key))), None)
    values["power_w"], values["power_origin"] = fields.measured(watts, PowerOrigin.FIRMWARE_ESTIMATED)
    if watts is None:
        unknown["power_w"] = "stats hold no watts that a running device can draw"
    values |= antminer.sensors(row)
    if full:
        info = got.get("system_info", {})
        values |= antminer.boards(row)
        network = fields.part(fields.part(got.get("info"), "network_info"), "result")
        values |= {
            "mac": fields.mac(info.get("macaddr")) or fields.mac(network.get("macaddr")),
            "hostname": fields.text(info.get("hostname")),
        }
        if named := _TYPE.fullmatch(fields.text(row.get("Type")) or ""):
            values["make"], values["model"] = fields.named(f"Antminer {named[1]}")
            values["firmware"] = f"MSKMiner {named[2]}" if named[2] else values["firmware"]
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)
