"""Elphapex with the newer web: Bitmain's pages without a password under /cgi-bin/luci. It tells no power.

The older web has them where Bitmain has them, and `antminer` reads it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from agent.miners import antminer, fields
from agent.miners.poll import Ask, Budget, collect
from agent.readings import Reading, State
from agent.transports.access import Access
from agent.transports.cgminer import Json

FAMILY = "elphapex"
STATS = "/cgi-bin/luci/stats.cgi"
SWEEP = {"stats": STATS, "pools": "/cgi-bin/luci/pools.cgi"}
SYSTEM_INFO, MINER_CONF = "/cgi-bin/luci/get_system_info.cgi", "/cgi-bin/luci/get_miner_conf.cgi"
SLEEP_MODE = "-1000"  # fc-work-mode of get_miner_conf.cgi; 0 is normal


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where the page at its place has Elphapex's name for itself."""
    about = fields.part(seen.get("elphapex_stats"), "INFO")
    return any(str(about.get(key, "")).upper().startswith("DG") for key in ("type", "miner_version"))


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: two pages in a sweep, and the mode where there is no rate."""

    def page(path: str) -> Ask:
        return lambda limit_s: access.get(address, path, limit_s)

    budget = Budget(access.network.poll_deadline_s)
    pages = SWEEP | ({"system_info": SYSTEM_INFO} if full else {})
    replies = await collect([(name, page(path)) for name, path in pages.items()], ["stats"], budget)
    if not antminer.parse(replies.got, 0, full=False).hashrate_hs:
        await collect([("conf", page(MINER_CONF))], [], budget, replies)
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of the pages stats, pools, system_info and conf."""
    found = antminer.parse(got, observed_us, full=full, failed=failed)
    asleep = str(got.get("conf", {}).get("fc-work-mode", "")).strip() == SLEEP_MODE
    if asleep and not found.hashrate_hs:
        reasons = {name: why for name, why in found.unknown.items() if name != "state"}
        found = msgspec.structs.replace(found, state=State.SLEEPING, unknown=reasons)
    return msgspec.structs.replace(found, family=FAMILY)
