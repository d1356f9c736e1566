"""The two web interfaces of Braiins OS: REST behind a token, and GraphQL, which is read without a login."""

from __future__ import annotations

from collections.abc import Mapping

from agent.miners import fields
from agent.miners.poll import Ask, Budget, Replies, collect
from agent.readings import AuthError, DeviceError, DeviceTimeout, ProtocolError, Unreachable
from agent.transports.access import Access
from agent.transports.cgminer import MAX_QUOTE, Json
from agent.transports.http import Asked

FAMILY = "braiins"
VERSION, LOGIN = "/api/v1/version/", "/api/v1/auth/login"
DETAILS, BOARDS = "/api/v1/miner/details", "/api/v1/miner/hw/hashboards"
STATS, POOLS, COOLING = "/api/v1/miner/stats", "/api/v1/pools/", "/api/v1/cooling/state"
GRAPHQL = "/graphql"
LUCI, LAN = "/cgi-bin/luci", "/cgi-bin/luci/admin/network/iface_status/lan"
LIFETIME_S = 3600.0  # what the REST login answers; the cookie's is not told
AGENT = {"User-Agent": "BTC Tools v0.1"}  # the LuCI of some versions answers no other program

# One query each: a field that a version does not know costs the whole query.
SYSTEM = (
    "{ bos { hostname info { version { full } } uptime { durationS } } bosminer { info {"
    " workSolver { realHashrate { mhs5S } } summary { power { approxConsumptionW } } } } }"
)
MODEL = "{ bosminer { info { modelName } } }"
GQL_POOLS = (
    "{ bosminer { info { poolGroups { pools {"
    " url user status active shares { acceptedSolutions rejectedSolutions } } } } } }"
)


async def ask(address: str, access: Access, budget: Budget, replies: Replies, *, complete: bool) -> None:
    """Who the device is and what it does; `complete`: also all that 4028 would have told."""

    def rest(path: str) -> Ask:
        return _rest(address, path, access, budget)

    try:
        replies.got["details"] = await rest(DETAILS)(budget.left_s())
    except (DeviceTimeout, Unreachable):
        raise
    except DeviceError as error:  # an older version, or a password of its own: GraphQL tells part of it
        replies.failed["REST"] = str(error)
        await _ask_graphql(address, access, budget, replies, complete=complete, first=error)
        return
    steps = [("boards", rest(BOARDS))]
    if complete:
        steps += [("stats", rest(STATS)), ("rest_pools", rest(POOLS)), ("cooling", rest(COOLING))]
    await collect(steps, [], budget, replies)


async def _ask_graphql(
    address: str, access: Access, budget: Budget, replies: Replies, *, complete: bool, first: DeviceError
) -> None:
    """Raises what the REST interface said where GraphQL says nothing either, and a refusal before all."""
    queries = {"system": SYSTEM, "gql_model": MODEL} | ({"gql_pools": GQL_POOLS} if complete else {})
    steps = [(name, _query(address, query, access)) for name, query in queries.items()]
    if not isinstance(first, AuthError):  # the page is behind the same password
        steps.append(("lan", _lan(address, access, budget)))
    try:
        await collect(steps, ["system", "gql_model"], budget, replies)
    except DeviceError as error:
        raise (first if isinstance(first, AuthError) else error) from error


def _rest(address: str, path: str, access: Access, budget: Budget) -> Ask:
    async def login() -> tuple[str, float]:
        user, password = access.credentials.of(FAMILY) or ("", "")
        asked = Asked(json={"username": user, "password": password})
        reply = await access.page(address, LOGIN, _left_s(budget), asked)
        if not isinstance(token := reply.get("token"), str) or not token:
            raise AuthError(f"{LOGIN}: no token was given")
        return token, fields.number(reply.get("timeout_s")) or LIFETIME_S

    async def behind(token: str) -> Json:
        return await access.page(address, path, _left_s(budget), Asked(headers={"Authorization": token}))

    return lambda _limit_s: access.tokens.using(address, FAMILY, login, behind)


def _query(address: str, query: str, access: Access) -> Ask:
    async def ask_it(limit_s: float) -> Json:
        reply = await access.page(address, GRAPHQL, limit_s, Asked(json={"query": query}))
        if not isinstance(data := reply.get("data"), dict):
            raise ProtocolError(f"GraphQL: {ascii(reply.get('errors', 'no data'))[:MAX_QUOTE]}")
        return data

    return ask_it


def _lan(address: str, access: Access, budget: Budget) -> Ask:
    """The state of the network interface: a page of LuCI, behind its session cookie."""

    async def login() -> tuple[str, float]:
        user, password = access.credentials.of(FAMILY) or ("", "")
        form = {"luci_username": user, "luci_password": password}
        asked = Asked(form=form, headers=AGENT)
        _, cookies = await access.web.send(address, LUCI, asked, deadline_s=_left_s(budget))
        if not cookies:
            raise AuthError(f"{LUCI}: no session was given")
        return "; ".join(f"{name}={value}" for name, value in cookies.items()), LIFETIME_S

    async def behind(cookie: str) -> Json:
        asked = Asked(headers=AGENT | {"Cookie": cookie})
        return await access.page(address, LAN, _left_s(budget), asked)

    return lambda _limit_s: access.tokens.using(address, f"{FAMILY} luci", login, behind)


def _left_s(budget: Budget) -> float:
    return max(budget.left_s(), 0.1)


def as_cgminer(got: Mapping[str, Json], when_s: int) -> Json | None:
    """The pools of either interface in the words of the cgminer API, so that one reader serves all.

    `when_s`: our own time, for these replies carry none of the device's.
    """
    info = fields.part(fields.part(got.get("gql_pools"), "bosminer"), "info")
    groups = fields.rows(got.get("rest_pools"), "items") or fields.rows(info, "poolGroups")
    if "rest_pools" not in got and "gql_pools" not in got:
        return None
    listed: list[Json] = []
    for pool in (pool for group in groups for pool in fields.rows(group, "pools")):
        counters = fields.part(pool, "stats") or fields.part(pool, "shares")
        listed.append(
            {
                "URL": pool.get("url"),
                "User": pool.get("user"),
                "Stratum Active": pool.get("active"),
                "Status": "Disabled" if pool.get("enabled") is False else None,
                "Priority": len(listed),
                "Accepted": fields.first(counters, "accepted_shares", "acceptedSolutions"),
                "Rejected": fields.first(counters, "rejected_shares", "rejectedSolutions"),
                "Stale": counters.get("stale_shares"),
                "Last Share Time": fields.part(counters, "last_share_time").get("seconds"),
            }
        )
    return {"When": when_s, "POOLS": listed}
