"""`hashledger collector status`: how things stand, as values for `--json` and as tables for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from rich.table import Table
from sqlalchemy import select

from collector import journal, roll
from collector.config import Config
from collector.facts import period_energy
from collector.outlook import outlook
from collector.overview import SiteView, overview
from collector.store import Store, schema
from reporting.period import Period, local_text, local_time

# Reasons of journalled batches that gave no rows: the newest of them are enough to act on.
PROBLEMS_SHOWN = 20


def status(store: Store, config: Config, now_us: int) -> dict[str, Any]:
    """Everything the command tells; the keys are the contract of `--json`."""
    view, enrolled = overview(store, config.org, now_us), roll.load(config.state_dir)
    names = sorted({*config.sites, *view.sites})
    return {
        "org": config.org,
        "taken_us": now_us,
        "journal_bytes": journal.size_bytes(config.journal_dir),
        "agents": [
            {
                "site": agent.site, "agent": agent.agent, "last_seq": agent.last_seq,
                "last_received_us": agent.last_received_us, "lag_s": agent.lag_us / 1e6,
                "enrolled": (agent.site, agent.agent) in config.agents,
                "revoked": (agent.site, agent.agent) in config.revoked,
                "certificate_until_us": _certificate_until(enrolled, (agent.site, agent.agent)),
            }
            for agent in view.agents
        ],
        "sites": [_site(store, config, name, view.sites.get(name, SiteView()), now_us) for name in names],
        "set_aside": [
            *(_refused(*row) for row in view.set_aside),
            *_unused_batches(store, config.org),
            *(
                _refused(r.site, r.agent, f"enrolment: {r.reason}", r.detail, r.count, r.at_us)
                for r in enrolled.refused
            ),
        ],
    }  # fmt: skip


def _certificate_until(enrolled: roll.Roll, name: roll.Key) -> int | None:
    member = enrolled.member(name)
    return max((c.not_after_us for c in member.certificates), default=None) if member else None


def _site(store: Store, config: Config, name: str, view: SiteView, now_us: int) -> dict[str, Any]:
    declared = config.sites.get(name)
    zone = declared.site.zone if declared is not None else "UTC"
    month = Period.parse(f"{local_time(now_us, zone):%Y-%m}", zone)
    energy = period_energy(store, config, name, month, now_us)
    e = schema.coin_entry.c
    query = select(e.coin, e.amount).where(e.org == config.org, e.site == name)
    query = query.where(e.received_us >= month.start_us, e.received_us < month.end_us)
    coins: dict[str, int] = {}
    with store.read() as connection:
        for row in connection.execute(query.order_by(e.coin)):
            coins[row.coin] = coins.get(row.coin, 0) + row.amount
        ahead = None if declared is None else outlook(connection, config, name, now_us)
    return {
        "site": name, "month": month.text, "zone": zone, "devices": view.devices,
        "power_w": view.power_w, "hashrate_hs": view.hashrate_hs,
        "energy_wh": energy.energy_wh, "energy_high_wh": energy.energy_high_wh, "gap_s": energy.gap_s,
        "coins": coins, "newest_reading_us": view.newest_us, "outlook": ahead,
    }  # fmt: skip


def _unused_batches(store: Store, org: str) -> list[dict[str, Any]]:
    b = schema.batch.c
    query = select(schema.batch).where(b.org == org, b.problem.is_not(None))
    with store.read() as connection:
        rows = connection.execute(query.order_by(b.received_us.desc()).limit(PROBLEMS_SHOWN))
        return [
            _refused(row.site, row.agent, "unused", f"batch {row.seq}: {row.problem}", 1, row.received_us)
            for row in rows
        ]


def _refused(site: str, agent: str, reason: str, detail: str, count: int, last_us: int) -> dict[str, Any]:
    content = {"site": site, "agent": agent, "reason": reason, "detail": detail}
    return content | {"count": count, "last_us": last_us}


def tables(content: dict[str, Any]) -> Iterator[Table]:
    """The same for people; instants in UTC."""
    agents = Table("site", "agent", "last batch", "received", "lag", "certificate", title="Agents")
    for a in content["agents"]:
        doubt = "revoked" if a["revoked"] else "" if a["enrolled"] else "not enrolled"
        name = f"{a['agent']} ({doubt})" if doubt else a["agent"]
        until_us = a["certificate_until_us"]
        agents.add_row(
            a["site"],
            name,
            str(a["last_seq"]),
            _utc(a["last_received_us"]),
            str(timedelta(seconds=round(a["lag_s"]))),
            "-" if until_us is None else _utc(until_us)[:10],
        )
    yield agents
    columns = ("site", "devices", "power", "energy of the month", "with gaps up to", "gaps", "coin")
    sites = Table(*columns, title="Sites")
    for s in content["sites"]:
        coins = ", ".join(f"{amount:,} base units of {coin}" for coin, amount in s["coins"].items())
        devices = ", ".join(f"{count} {state}" for state, count in s["devices"].items())
        sites.add_row(
            s["site"], devices or "none", f"{s['power_w'] / 1e3:.1f} kW",
            f"{s['month']}: {s['energy_wh'] / 1e3:.1f} kWh", f"{s['energy_high_wh'] / 1e3:.1f} kWh",
            f"{s['gap_s'] / 3600:.1f} h", coins or "none",
        )  # fmt: skip
    yield sites
    if content["set_aside"]:
        refused = Table("site", "agent", "reason", "detail", "count", "last", title="Set aside")
        for r in content["set_aside"]:
            row = (r["site"], r["agent"], r["reason"], r["detail"], str(r["count"]), _utc(r["last_us"]))
            refused.add_row(*row)
        yield refused


def warnings(content: dict[str, Any]) -> Iterator[str]:
    """What lies ahead of the sites, a line each."""
    for site in content["sites"]:
        for line in (site["outlook"] or {"lines": ()})["lines"]:
            yield f"{site['site']}: {line}"


def _utc(instant_us: int) -> str:
    return local_text(instant_us - instant_us % 1_000_000, "UTC")
