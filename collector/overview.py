"""How things stand now, out of the ledger: what `status` prints and `/metrics` serves."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from collector.ledger.profile import SiteLedger
from collector.store import Store, schema

# Ten polls of the usual half a minute: a device silent for longer is not part of the power "now".
FRESH_US = 300_000_000


@dataclass(frozen=True, slots=True)
class AgentView:
    """One agent's stream."""

    site: str
    agent: str
    last_seq: int
    last_received_us: int
    lag_us: int
    clock_offset_us: int | None


@dataclass(slots=True)
class SiteView:
    """One site's devices, added up; `power_w` and `hashrate_hs` of those read within FRESH_US."""

    devices: dict[str, int] = field(default_factory=dict)
    power_w: float = 0.0
    hashrate_hs: float = 0.0
    energy_wh: dict[str, int] = field(default_factory=dict)
    gap_bound_wh: int = 0
    coins: dict[str, int] = field(default_factory=dict)  # base units
    newest_us: int | None = None
    device_power_w: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything at one instant; `set_aside` as (site, agent, reason, detail, count, last_us)."""

    taken_us: int
    agents: list[AgentView]
    sites: dict[str, SiteView]
    set_aside: list[tuple[str, str, str, str, int, int]]


def overview(store: Store, org: str, now_us: int) -> Overview:
    """One snapshot of the ledger."""
    with store.read() as connection:
        s = schema.stream.c
        streams = connection.execute(select(schema.stream).where(s.org == org).order_by(s.site, s.agent))
        agents = [
            AgentView(
                row.site, row.agent, row.last_seq, row.last_received_us,
                row.last_received_us - row.last_created_us, row.clock_offset_us,
            )
            for row in streams
        ]  # fmt: skip
        sites: dict[str, SiteView] = {}
        d = schema.device.c
        names = (
            connection.execute(select(d.site).where(d.org == org).distinct().order_by(d.site)).scalars().all()
        )
        for name in names:
            sites[name] = _site(connection, org, name, now_us)
        e = schema.coin_entry.c
        for entry in connection.execute(select(e.site, e.coin, e.amount).where(e.org == org)):
            coins = sites.setdefault(entry.site, SiteView()).coins
            coins[entry.coin] = coins.get(entry.coin, 0) + entry.amount
        a = schema.set_aside.c
        refused = connection.execute(
            select(a.site, a.agent, a.reason, a.detail, a.count, a.last_us).order_by(
                a.site, a.agent, a.reason
            )
        )
        set_aside = [(*row[:4], int(row[4]), int(row[5])) for row in refused]
    return Overview(now_us, agents, sites, set_aside)


def _site(connection: Connection, org: str, name: str, now_us: int) -> SiteView:
    ledger, site = SiteLedger(connection, org, name), SiteView()
    site.energy_wh, site.gap_bound_wh = ledger.all_time()
    d = schema.device.c
    query = select(d.device, d.place).where(d.org == org, d.site == name).order_by(d.device)
    for device, place in connection.execute(query):
        now = ledger.now(place)
        if now.ended_us is not None:
            continue
        fresh = now.last_us is not None and now_us - now.last_us <= FRESH_US
        state = (now.state or "unknown") if fresh else "silent"
        site.devices[state] = site.devices.get(state, 0) + 1
        if now.last_us is not None:
            site.newest_us = max(site.newest_us or 0, now.last_us)
        if fresh and now.power_mw is not None:
            site.power_w += now.power_mw / 1e3
            site.device_power_w[device] = now.power_mw / 1e3
        if fresh and now.hashrate_mhs is not None:
            site.hashrate_hs += now.hashrate_mhs * 1e6
    return site
