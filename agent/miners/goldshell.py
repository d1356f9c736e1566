"""Goldshell: BFGMiner's API on 4028, and pages under /mcb that say who it is. It tells no power."""

from __future__ import annotations

import time
from collections.abc import Mapping

from agent.miners import fields, generic
from agent.miners.poll import Ask, Budget, collect
from agent.readings import AuthError, Reading
from agent.transports.access import Access
from agent.transports.cgminer import Json
from agent.transports.http import Asked

FAMILY = "goldshell"
MAKE = "Goldshell"
STATUS, SETTING = "/mcb/status", "/mcb/setting"
LOGIN = "/user/login?username={}&password={}&cipher=false"
LIFETIME_S = 3600.0  # the answer names none


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where the page is Goldshell's."""
    return {"model", "firmware"} <= seen.get("goldshell_status", {}).keys()


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: the commands of any cgminer, and the pages in full."""
    budget = Budget(access.network.poll_deadline_s)
    replies = await generic.ask(address, access, budget, full=full)
    if full:
        pages = {"status": STATUS, "setting": SETTING}
        steps = [(name, _page(address, path, access, budget)) for name, path in pages.items()]
        await collect(steps, [], budget, replies)
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def _page(address: str, path: str, access: Access, budget: Budget) -> Ask:
    """A page; where it is locked, once more behind the login."""

    def left_s() -> float:
        return max(budget.left_s(), 0.1)

    async def login() -> tuple[str, float]:
        user, password = access.credentials.of(FAMILY) or ("", "")
        reply = await access.get(address, LOGIN.format(user, password), left_s())
        if not isinstance(token := reply.get("JWT Token"), str) or not token:
            raise AuthError("/user/login: no token was given")
        return token, LIFETIME_S

    async def behind(token: str) -> Json:
        return await access.page(address, path, left_s(), Asked(headers={"Authorization": f"Bearer {token}"}))

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
    """The reading of 4028's replies and of the pages status and setting."""
    values, unknown = generic.read_values(got, full=full)
    if full:
        status, setting = got.get("status", {}), got.get("setting", {})
        model = fields.text(status.get("model"))
        bare = model.removeprefix("Goldshell-").removeprefix("Goldshell ") if model else None
        values |= {
            "make": MAKE,
            "model": f"Goldshell {bare}" if bare and bare != MAKE else None,
            "firmware": fields.text(status.get("firmware")),
            "mac": fields.mac(setting.get("name")),
        }
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)
