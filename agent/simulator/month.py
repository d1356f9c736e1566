"""A month in simulated time through the agent's own parts: roster, sweep records, spool, publisher.

Only the sockets are left out: each minute's polls are answered by the farm directly.
"""

from __future__ import annotations

from collections.abc import Callable

from agent import identity, sweep
from agent.app import ROSTER_FILE, Agent
from agent.readings import Reading
from agent.simulator.farm import Farm
from agent.sweep import Outcome
from agent.wire import Event, Record

# Half an hour of minutes in a batch: a live agent sends each sweep; a month so would be 44,640 signatures.
SWEEPS_PER_BATCH = 30
# New and moved devices are found this often, as a running agent's rescan does.
RESCAN_EVERY = 10
# Ten minutes of a running farm before the month begins.
LEAD_US = 600 * 1_000_000


def play(agent: Agent, farm: Farm, site: str, progress: Callable[[float], None]) -> int:
    """Sweep the site minute by minute through its month and just past both its ends; readings made.

    `progress` hears the share of the time that has passed.
    """
    plan = farm.plan.site(site)
    interval_us = agent.config.agent.interval_s * 1_000_000
    outage = farm.plan.uplink_outages.get(site)
    everywhere = farm.all_addresses(site)
    polled = set(agent.roster.at)
    pending: list[Record] = []
    readings, cut = 0, False
    # Past both ends, so that the first and the last minute of the month are read on both sides.
    instants = range(plan.start_us - LEAD_US, plan.end_us + 2 * interval_us, interval_us)
    for number, now_us in enumerate(instants):
        if outage is not None and (outage[0] <= now_us < outage[1]) != cut:
            cut = not cut
            (agent.publisher.pause if cut else agent.publisher.resume)()
            pending.append(Event(now_us, "uplink_lost" if cut else "uplink_back"))
        if number % RESCAN_EVERY == 0:
            polled |= {a for a in everywhere if isinstance(farm.reading_at(a, now_us), Reading)}
        outcomes = [Outcome(address, farm.reading_at(address, now_us)) for address in sorted(polled)]
        records, swept = sweep.records(now_us, agent.config.agent.interval_s, outcomes, agent.roster)
        polled &= agent.roster.at.keys()
        readings += len(swept.devices) // 16
        pending += records
        if (number + 1) % SWEEPS_PER_BATCH == 0:
            _store(agent, pending, now_us)
            progress(number / len(instants))
    _store(agent, pending, instants[-1])
    identity.save(agent.roster, agent.state_dir / ROSTER_FILE)
    return readings


def _store(agent: Agent, pending: list[Record], now_us: int) -> None:
    agent.spool.append(pending, now_us)
    agent.publisher.wake()
    pending.clear()
