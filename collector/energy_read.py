"""Tables of energy out of the ledger: of a site or a device, cut in the site's civil time; read-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, Row, func, select

from collector import civil, device_key, energy
from collector.civil import Resolution
from collector.config import Config, ConfigError
from collector.energy import EnergyTable
from collector.ledger.absence import Absence
from collector.ledger.profile import SiteLedger, Totals
from collector.ledger.quantities import HALF_HOUR_US, Ints
from collector.store import schema
from collector.tariff import Tariff
from collector.tree import Known, Placement, Tree, place

# A table is made in memory: a year of one device's half-hours, or a month of a site's 10,000 devices by day.
MOST_ROWS = 400_000


@dataclass(frozen=True, slots=True)
class Span:
    """A time of a site, in half-hours; `horizon_us`: how far open gaps are known; `over`: it has passed."""

    zone: str
    start_us: int
    end_us: int
    horizon_us: int
    over: bool
    hijri_months: bool = False

    def edges_us(self, resolution: Resolution) -> Ints:
        return civil.edges_us(
            self.start_us, self.end_us, self.zone, resolution, hijri_months=self.hijri_months
        )


def span(
    connection: Connection, config: Config, site: str, start_us: int, end_us: int, now_us: int, hijri: bool
) -> Span:
    """A time as the ledger has it now: one that still runs ends with the half-hour that runs."""
    zone = config.sites[site].site.zone
    if now_us >= end_us:
        return Span(zone, start_us, end_us, end_us, True, hijri)
    if now_us < start_us:
        raise ConfigError([f"the time has not begun: it is from {civil.text(start_us, zone)} on"])
    reached = reached_us(connection, config, site) or start_us
    end_us = min(end_us, -(-(now_us + 1) // HALF_HOUR_US) * HALF_HOUR_US)
    return Span(zone, start_us, end_us, max(start_us, min(reached, end_us)), False, hijri)


def reached_us(connection: Connection, config: Config, site: str) -> int | None:
    """How far the ledger reaches: as far as the agent furthest behind; None if none was heard."""
    c = schema.stream.c
    enrolled = [agent for of, agent in config.agents if of == site]
    query = select(func.min(c.last_created_us)).where(c.org == config.org, c.site == site)
    found: int | None = connection.execute(query.where(c.agent.in_(enrolled))).scalar_one()
    return found


def site_profile(ledger: SiteLedger, of: Span) -> Totals:
    """A site's half-hours with its open gaps."""
    return _with_gaps(ledger, of, ledger.site_profile(of.start_us, of.end_us), None)


def device_profile(ledger: SiteLedger, of: Span, place: int) -> Totals:
    """A device's half-hours with its open gap."""
    return _with_gaps(ledger, of, ledger.profile(place, of.start_us, of.end_us), place)


class Membership(NamedTuple):
    """Which group each device is in from one instant to another, by place; -1 is none."""

    start_us: int
    end_us: int
    group: Ints


def membership(of: Span, placed: Placement, keys: Sequence[str | None]) -> list[Membership]:
    """Who holds what while: groups are the places of clients in `keys`; None stands for nobody's devices."""
    days = {day for hold in placed.tree.holds for day in (hold.start, hold.until) if day is not None}
    cuts = {civil.instant_us(day.isoformat(), of.zone) for day in days}
    edges = sorted({of.start_us, *(cut for cut in cuts if of.start_us < cut < of.end_us), of.end_us})
    found = []
    for start_us, end_us in pairwise(edges):
        holders = placed.holders(civil.day_of(start_us, of.zone))
        group = [keys.index(holder) if holder in keys else -1 for holder in holders]
        found.append(Membership(start_us, end_us, np.array(group, np.int64)))
    return found


def node_membership(of: Span, placed: Placement, node: str) -> list[Membership]:
    """The devices at a node and below it."""
    group = np.full(len(placed.nodes), -1, np.int64)
    group[placed.under(node)] = 0
    return [Membership(of.start_us, of.end_us, group)]


def group_profiles(ledger: SiteLedger, of: Span, members: Sequence[Membership], count: int) -> list[Totals]:
    """The half-hours of each group, with open gaps."""
    gaps = _open_gaps(ledger, of)
    parts = []
    for start_us, end_us, group in members:
        found = ledger.group_profiles(group, count, start_us, end_us)
        edges_us = np.arange(start_us, end_us + 1, HALF_HOUR_US)
        for gap in gaps:
            if group[gap.place] >= 0:
                found[group[gap.place]].plus(gap, edges_us)
        parts.append(found)
    return [
        Totals(*(np.concatenate(part, axis=-1) for part in zip(*of_group, strict=True)))
        for of_group in zip(*parts, strict=True)
    ]


def by_key(profiles: Mapping[str, Totals], of: Span, resolution: Resolution, whole: Totals) -> EnergyTable:
    """Several profiles, each a key, in cells of time; `whole` is their sum."""
    edges_us = bounded(of.edges_us(resolution), len(profiles))
    each = {key: list(energy.rows_by_time(profile, edges_us)) for key, profile in profiles.items()}
    rows = [
        replace(rows[n], key=key)
        for n in range(len(edges_us) - 1)
        for key, rows in each.items()
        if rows[n].covered_us or rows[n].gap_us
    ]
    total, doubt = energy.total_of(whole, of.start_us, of.end_us)
    return EnergyTable(rows, total, doubt)


def summed(profiles: Sequence[Totals]) -> Totals:
    """Profiles of the same time added up."""
    return Totals(*(np.sum(columns, axis=0) for columns in zip(*profiles, strict=True)))


def by_time(profile: Totals, of: Span, resolution: Resolution) -> EnergyTable:
    """A profile in cells of time."""
    edges_us = bounded(of.edges_us(resolution), 1)
    total, doubt = energy.total_of(profile, of.start_us, of.end_us)
    return EnergyTable(list(energy.rows_by_time(profile, edges_us)), total, doubt)


def by_device(
    ledger: SiteLedger,
    of: Span,
    resolution: Resolution,
    names: Sequence[str],
    whole: Totals,
    members: Sequence[Membership] | None = None,
) -> EnergyTable:
    """Every device in cells of time; `names` by place. A device without anything has no row.

    `whole` is the profile of all of them; `members`: only what they used while they were in a group.
    """
    edges_us = bounded(of.edges_us(resolution), ledger.standing.size)
    if members is None:
        members = [Membership(of.start_us, of.end_us, np.zeros(ledger.standing.size, np.int64))]
    rows: list[energy.Row] = []
    gaps = _open_gaps(ledger, of)
    for start_us, end_us in pairwise(edges_us.tolist()):
        parts = [
            _totals_of(ledger, gaps, max(start_us, m.start_us), min(end_us, m.end_us), m.group)
            for m in members
            if m.start_us < end_us and start_us < m.end_us
        ]
        totals = summed(parts)
        for n in np.flatnonzero(totals.columns.any(axis=0)).tolist():
            rows.append(energy.row_of_place(totals, n, start_us, end_us, names[n]))
    total, doubt = energy.total_of(whole, of.start_us, of.end_us)
    return EnergyTable(rows, total, doubt)


def by_zone(profile: Totals, of: Span, resolution: Resolution, tariff: Tariff) -> EnergyTable:
    """A profile in cells of time and tariff zones, with what they cost."""
    edges_us = bounded(of.edges_us(resolution), len(tariff.zone))
    zones = tariff.rows(civil.civil_time(of.start_us, of.end_us, of.zone))
    rows = list(energy.rows_by_zone(profile, edges_us, tariff, zones))
    total, doubt = energy.total_of(profile, of.start_us, of.end_us)
    cost = energy.total_of_rows(rows, of.start_us, of.end_us).cost
    free = any(row.cost is None and row.energy_wh for row in rows)
    notes = (NO_PRICE,) if free and cost is not None else ()
    return EnergyTable(rows, replace(total, cost=cost), doubt, notes)


NO_PRICE = "some energy lies in zones without a price: the cost is that of the others"


def _totals_of(
    ledger: SiteLedger, gaps: Sequence[Absence], start_us: int, end_us: int, group: Ints
) -> Totals:
    totals = ledger.totals(start_us, end_us)
    for gap in gaps:
        totals.plus(gap, np.array([start_us, end_us]), gap.place)
    return Totals(*(np.where(group >= 0, columns, 0) for columns in totals))


def register(connection: Connection, org: str, site: str) -> list[Row[tuple[object, ...]]]:
    """The devices of a site by place."""
    d = schema.device.c
    query = select(schema.device).where(d.org == org, d.site == site).order_by(d.place)
    return list(connection.execute(query))


def place_devices(of: Tree, rows: Sequence[Row[tuple[object, ...]]]) -> Placement:
    """Where the devices of the register stand in a site's tree."""
    return place(of, [Known(row.device, row.serial, row.mac, row.address) for row in rows])


def find_device(rows: Sequence[Row[tuple[object, ...]]], key: str, site: str) -> int:
    """The place of the device with this serial, MAC or id (or beginning of one); else ConfigError."""
    wanted = device_key.same(key)
    found = [r for r in rows if wanted in device_key.names_of(r.device, r.serial, r.mac)]
    if not found and len(wanted) >= _ID_PREFIX:
        found = [r for r in rows if r.device.upper().startswith(wanted)]
    if not found:
        raise ConfigError(
            [f"--device {key}: none of the {len(rows)} devices of {site}; give a serial number, MAC or id"]
        )
    if len(found) > 1:
        ids = ", ".join(r.device for r in found[:5])
        raise ConfigError([f"--device {key}: {len(found)} devices bear it; give the id of one: {ids}"])
    return int(found[0].place)


# As `git` takes them: enough to be meant, few enough to type.
_ID_PREFIX = 6


def name_of(row: Row[tuple[object, ...]]) -> str:
    """What a device is called in a table: its serial number, else its MAC, else its id."""
    return str(row.serial or row.mac or row.device)


def _with_gaps(ledger: SiteLedger, of: Span, profile: Totals, place: int | None) -> Totals:
    edges_us = np.arange(of.start_us, of.end_us + 1, HALF_HOUR_US)
    for gap in _open_gaps(ledger, of):
        if place is None or gap.place == place:
            profile.plus(gap, edges_us)
    return profile


def _open_gaps(ledger: SiteLedger, of: Span) -> list[Absence]:
    if of.horizon_us <= of.start_us:
        return []
    return list(ledger.open_gaps(of.start_us, of.horizon_us, over=of.over))


def bounded(edges_us: Ints, keys: int) -> Ints:
    """The same edges; ConfigError if a table with so many keys a cell would be too large."""
    rows = (len(edges_us) - 1) * max(keys, 1)
    if rows > MOST_ROWS:
        raise ConfigError(
            [f"{rows:,} rows are too many (at most {MOST_ROWS:,}): less time or a coarser --resolution"]
        )
    return edges_us
