"""StrongU: cgminer's API with the fans in `summary`, and Bitmain's old pages beside it. It tells no power."""

from __future__ import annotations

import time
from collections.abc import Mapping

from agent.miners import fields, generic
from agent.miners.poll import Budget, collect
from agent.readings import Reading
from agent.transports.access import Access
from agent.transports.cgminer import Json

FAMILY = "strongu"
MAKE = "StrongU"
NETWORK_INFO = "/cgi-bin/get_network_info.cgi"


def recognise(seen: Mapping[str, Json]) -> bool:
    """True where `summary` has the algorithm and the fans as no other program writes them."""
    return any({"Miner type", "Fan Num"} <= row.keys() for row in fields.rows(seen.get("summary"), "SUMMARY"))


async def read(address: str, access: Access, *, full: bool) -> Reading:
    """One poll: the commands of any cgminer, and in full the page that has the MAC."""
    budget = Budget(access.network.poll_deadline_s)
    replies = await generic.ask(address, access, budget, full=full)
    if full:
        digest = access.credentials.of(FAMILY)
        page = [("network", lambda limit_s: access.get(address, NETWORK_INFO, limit_s, digest))]
        await collect(page, [], budget, replies)
    return parse(replies.got, time.time_ns() // 1000, full=full, failed=replies.failed)


def parse(
    got: Mapping[str, Json], observed_us: int, *, full: bool = True, failed: Mapping[str, str] | None = None
) -> Reading:
    """The reading of replies named by their commands, and of the page network."""
    values, unknown = generic.read_values(got, full=full)
    row = next(iter(fields.rows(got.get("summary"), "SUMMARY")), {})
    count = fields.whole(row.get("Fan Num")) or 0
    values["fans_rpm"] = fields.speeds(row.get(f"Fan{n}") for n in range(1, min(count, 8) + 1))
    if full:
        boards = (fields.text(board.get("Name")) for board in fields.rows(got.get("devs"), "DEVS"))
        series = next((name for name in boards if name), None)
        values |= {
            "make": MAKE,
            "model": f"{MAKE} {series.upper()}" if series else None,
            "mac": fields.mac(got.get("network", {}).get("conf_macaddr")),
        }
    return fields.build(FAMILY, observed_us, values, unknown, full=full, failed=failed)
