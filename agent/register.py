"""The site's identities, back from the collector: what a lost box knew, its successor knows again.

The register mostly comes before the first scan, and the new box begins with it. Where the link is down on
that day, devices are met first and get names of their own. When the register comes, those that it knows by
a serial, a MAC or their boards take their old names back, each with its event. What less speaks for is left
to a person (`agent bind`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from agent import decisions, matching
from agent.decisions import News
from agent.identity import Roster
from agent.matching import Known, Same, Sighting
from agent.wire import Inventory

REASON = "the collector's register knows it by its {}"


def restore(roster: Roster, register: Iterable[Inventory], addresses: Container[str], now_us: int) -> News:
    """Take over the register, and tell what that changes; only these addresses are ours to poll."""
    roster.restored = True
    lost = [entry for entry in register if entry.device not in roster.known.devices]
    known, claimed = Known(), dict[bytes, str]()
    for entry in lost:
        known.put(entry)
    found: list[tuple[bytes, bytes, str]] = []
    for met in roster.devices:
        verdict = matching.match(_sighting(met), known, claimed) if met.address else None
        if isinstance(verdict, Same):
            claimed[verdict.device] = met.address
            found.append((verdict.device, met.device, verdict.evidence))
    news: News = [roster.restore(lost, addresses, now_us)] if lost else []
    for old, met_as, evidence in found:
        news += decisions.join(roster, old, met_as, now_us, REASON.format(evidence))
    return news


def _sighting(met: Inventory) -> Sighting:
    return Sighting(met.address, met.family, met.serial, met.mac, tuple(met.board_serials), met.psu_serial)
