"""A site's meters against its miners, out of the ledger: profiles, reconciliation, allotment; read-only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
from sqlalchemy import Connection

from collector import civil, energy
from collector.civil import Resolution
from collector.config import Config, ConfigError
from collector.energy import EnergyTable
from collector.energy_read import (
    Membership,
    Span,
    group_profiles,
    place_devices,
    register,
    site_profile,
    summed,
)
from collector.ledger import halfhours, meterdays, meters, rules
from collector.ledger.allot import OverheadRule, allot
from collector.ledger.energy import Now, rated_mw
from collector.ledger.meter_entries import event_id
from collector.ledger.profile import SiteLedger, Totals
from collector.ledger.quantities import (
    ABOVE_WH,
    BELOW_WH,
    COVERED_US,
    DAY_US,
    ENERGY,
    GAP_US,
    HALF_HOUR_US,
    ORIGIN_NAMES,
    QUANTITIES,
    WH,
    Ints,
    cause_number,
)
from collector.ledger.reconcile import Reconciled, compare, reconcile, with_drift
from collector.ledger.registers import NO_POWER, Deduced, History, MeterProfile, Running
from collector.tree import Placement

# Enough to act on; a broken meter would fill pages.
_NOTES = 10
_METER = ORIGIN_NAMES.index("meter")


@dataclass(frozen=True, slots=True)
class Share:
    """What of a meter's energy is a key's in a cell; `key` None is nobody's, "" the site's own overhead."""

    start_us: int
    end_us: int
    key: str | None
    energy_wh: int
    by_energy_wh: int
    overhead_wh: int


def history_of(
    connection: Connection, config: Config, site: str, meter: str, placed: Placement | None = None
) -> History:
    """What a meter's readings amount to; of one that tells no power, beside what the devices behind it used.

    That is what tells a register that froze from one at rest. `placed`: where devices stand, if it is known.
    """
    org, declared = config.org, config.sites.get(site)
    nodes = [] if declared is None else [n for n, name in declared.tree.meters().items() if name == meter]
    found = meterdays.read(connection, org, site, meter)
    if declared is None or not nodes or not found.at_us.size or (found.power_mw != NO_POWER).any():
        return meters.history(connection, org, site, meter)
    start_us = int(found.at_us.min()) // HALF_HOUR_US * HALF_HOUR_US
    end_us = int(found.at_us.max()) // HALF_HOUR_US * HALF_HOUR_US + HALF_HOUR_US
    ledger = SiteLedger(connection, org, site)
    if nodes[0] is None:
        devices = ledger.site_profile(start_us, end_us)
    else:
        placed = placed or place_devices(declared.tree, register(connection, org, site))
        group = np.full(len(placed.nodes), -1, np.int64)
        group[placed.under(nodes[0])] = 0
        (devices,) = ledger.group_profiles(group, 1, start_us, end_us)
    # Where devices are switched within a half-hour nobody knows when: only what they used at least, and went
    # on using in the half-hours beside it, says that the register should have moved.
    _, least, _ = devices.truth()
    beside = np.concatenate([[0], least, [0]])
    sure = np.minimum(least, np.minimum(beside[:-2], beside[2:]))
    load = Running(np.arange(start_us, end_us + 1, HALF_HOUR_US), sure, sure, sure)
    return meters.history(connection, org, site, meter, load=load)


def half_hours(history: History, of: Span) -> MeterProfile:
    """A meter's half-hours."""
    return history.profile(np.arange(of.start_us, of.end_us + 1, HALF_HOUR_US))


def as_totals(profile: MeterProfile) -> Totals:
    """A meter's half-hours in the columns of a device's, all of origin `meter`."""
    width = len(profile.start_us)
    columns = np.zeros((QUANTITIES, width), np.int64)
    columns[WH + _METER], columns[COVERED_US + _METER] = profile.import_wh, profile.read_us
    untold = profile.gap_us.copy()
    for cause, gap_us in profile.gap_by_cause_us.items():
        columns[GAP_US + cause_number(cause)] += gap_us
        untold -= gap_us
    columns[GAP_US + cause_number("not_polled")] += untold
    columns[BELOW_WH] = np.maximum(profile.import_wh - profile.low_wh, 0)
    columns[ABOVE_WH] = np.maximum(profile.high_wh - profile.import_wh, 0)
    none = np.zeros(width, np.int64)
    return Totals(columns, none, none.copy())


def by_time(history: History, of: Span, edges_us: Ints) -> EnergyTable:
    """A meter in cells of time. Each row and the total have bounds of their own, narrower than any sum's."""
    whole = as_totals(half_hours(history, of))
    cells = history.profile(edges_us)
    rows = [_bounded(row, cells, n) for n, row in enumerate(energy.rows_by_time(whole, edges_us))]
    total, _ = energy.total_of(whole, of.start_us, of.end_us)
    ends = history.profile(np.array([of.start_us, of.end_us]))
    notes = [_note(found) for found in ends.findings[:_NOTES]]
    if len(ends.findings) > _NOTES:
        notes.append(f"{len(ends.findings) - _NOTES} more: `hashledger collector meter events` lists them")
    return EnergyTable(rows, _bounded(total, ends, 0), None, tuple(notes))


def _note(found: Deduced) -> str:
    made = found.detail.get("made_of_it", "")
    answer = {None: "nobody has confirmed it", True: "confirmed", False: "denied"}[found.confirmed]
    return f"{event_id(found.kind, found.from_us)}: {made}; {answer}"


def _bounded(row: energy.Row, cells: MeterProfile, n: int) -> energy.Row:
    causes = {cause: int(us[n]) for cause, us in cells.gap_by_cause_us.items() if us[n]}
    untold = int(cells.gap_us[n]) - sum(causes.values())
    return replace(
        row,
        low_wh=min(int(cells.low_wh[n]), row.energy_wh),
        high_wh=max(int(cells.high_wh[n]), row.energy_wh),
        gap_by_cause_us=causes | ({"not_polled": untold} if untold else {}),
    )


@dataclass(frozen=True, slots=True)
class OfNode:
    """A node's meter against all miners below it; `node` None is the site itself."""

    node: str | None
    meter: str
    cells: list[Reconciled]


def reconciled(
    connection: Connection, config: Config, site: str, of: Span, placed: Placement,
    wanted: Mapping[str | None, str], resolution: Resolution,
) -> list[OfNode]:  # fmt: skip
    """Nodes (with their meters) in cells of time; days also with their drift from the days before them."""
    rule, edges_us = rules.at(of.start_us).drift, of.edges_us(resolution)
    if resolution is Resolution.DAY:
        early = replace(of, start_us=of.start_us - rule.days * DAY_US, end_us=of.start_us)
        edges_us = np.concatenate([early.edges_us(resolution)[:-1], edges_us])
        of = replace(of, start_us=early.start_us)
    ledger = SiteLedger(connection, config.org, site)
    miners = _below(ledger, of, placed, list(wanted))
    found = []
    for node, meter in wanted.items():
        metered = half_hours(history_of(connection, config, site, meter, placed), of)
        cells = list(reconcile(compare(metered, miners[node], rule.coverage_percent), edges_us))
        if resolution is Resolution.DAY:
            first = len(early.edges_us(resolution)) - 1
            cells = list(with_drift(cells, rule))[first:]
        found.append(OfNode(node, meter, cells))
    return found


def _below(
    ledger: SiteLedger, of: Span, placed: Placement, nodes: Sequence[str | None]
) -> Mapping[str | None, Totals]:
    """The half-hours of all miners at or below each node: every device is read once."""
    names = list(placed.tree.nodes)
    found: dict[str | None, Totals] = {None: site_profile(ledger, of)} if None in nodes else {}
    if found.keys() >= set(nodes):
        return found
    group = np.array([-1 if name is None else names.index(name) for name in placed.nodes], np.int64)
    direct = group_profiles(ledger, of, [Membership(of.start_us, of.end_us, group)], len(names))
    for node in nodes:
        if node is not None:
            below = [direct[n] for n, name in enumerate(names) if node in placed.tree.nodes[name].path]
            found[node] = summed(below)
    return found


def yesterday(connection: Connection, config: Config, site: str, now_us: int) -> list[OfNode]:
    """The last whole civil day of a site, all its nodes with meters; what metrics tell."""
    declared = config.sites[site]
    if not declared.tree.meters():
        return []
    zone = declared.site.zone
    today = civil.day_of(now_us, zone)
    start_us, end_us = (civil.instant_us(day.isoformat(), zone) for day in (today - timedelta(days=1), today))
    of = Span(zone, start_us, end_us, end_us, over=True)
    placed = place_devices(declared.tree, register(connection, config.org, site))
    wanted = declared.tree.meters()
    return reconciled(connection, config, site, of, placed, wanted, Resolution.DAY)


def shares(
    ledger: SiteLedger, of: Span, history: History, places: Ints, ids: Sequence[str], edges_us: Ints,
    rule: OverheadRule, keys: Sequence[str], members: Sequence[Membership],
) -> Iterator[Share]:  # fmt: skip
    """A meter's energy allotted to keys in cells: all of it, to the Wh.

    `places`: the devices behind the meter; `members` says which key's each is; a device that is no key's
    counts as nobody's.
    """
    # By cell, key and kind (by energy, overhead, neither); after the keys the site's own, last (-1) nobody's.
    sums = np.zeros((len(edges_us) - 1, len(keys) + 2, 3), np.int64)
    rated = _rated_mw(ledger, of.start_us)[places]
    rank = np.argsort(np.argsort(np.array([ids[place] for place in places.tolist()])))
    for start_us, group, (metered_wh, energy_wh) in _parts(ledger, of, history, places, edges_us, members):
        cell = sums[int(np.searchsorted(edges_us, start_us, side="right")) - 1]
        times = start_us + HALF_HOUR_US * np.arange(metered_wh.size)
        try:
            found = allot(metered_wh, energy_wh, rated, times, rank, rule)
        except ValueError as error:
            raise ConfigError([f"the day of {civil.text(start_us, of.zone)}: {error}"]) from error
        np.add.at(cell[:, 0], group[places], found.by_energy.sum(axis=1))
        np.add.at(cell[:, 1], group[places], found.overhead.sum(axis=1))
        cell[-1, 2] += found.unallotted.sum()
        cell[-2, 1] += found.site_overhead.sum()
    names = [*keys, "", None]
    for n, cell in enumerate(sums.tolist()):
        for key, kinds in zip(names, cell, strict=True):
            if any(kinds):
                yield Share(int(edges_us[n]), int(edges_us[n + 1]), key, sum(kinds), *kinds[:2])


def _parts(
    ledger: SiteLedger, of: Span, history: History, places: Ints, edges_us: Ints,
    members: Sequence[Membership],
) -> Iterator[tuple[int, Ints, tuple[Ints, Ints]]]:  # fmt: skip
    """(start, who is whose, (the meter's Wh, the devices')) of times within a day, a cell and a holding."""
    midnights = range(-(-of.start_us // DAY_US) * DAY_US, of.end_us, DAY_US)
    cuts = {*edges_us.tolist(), *midnights, *(member.start_us for member in members)}
    for start_us, end_us in pairwise(sorted({*cuts, of.end_us})):
        group = next(m.group for m in members if m.start_us <= start_us < m.end_us)
        metered = history.profile(np.arange(start_us, end_us + 1, HALF_HOUR_US)).import_wh
        yield start_us, group, (metered, _energy_wh(ledger, places, start_us, end_us))


def _energy_wh(ledger: SiteLedger, places: Ints, start_us: int, end_us: int) -> Ints:
    """Wh of [device, half-hour] within one UTC day."""
    size, day_us = ledger.standing.size, start_us // DAY_US * DAY_US
    energy_wh = np.zeros((size + halfhours.CHUNK, DAY_US // HALF_HOUR_US), np.int64)
    for _, place, found in ledger.days(places, start_us, end_us):
        for number in range(ENERGY.start, ENERGY.stop):
            if number in found:
                energy_wh[place : place + halfhours.CHUNK] += found[number]
    row_us = ledger.standing.now[Now.ROW_US, :size]
    now_open = np.flatnonzero((row_us >= start_us) & (row_us < end_us))
    nth = (row_us[now_open] - day_us) // HALF_HOUR_US
    energy_wh[now_open, nth] += ledger.standing.row[ENERGY, :size].sum(axis=0)[now_open]
    first, end = (start_us - day_us) // HALF_HOUR_US, (end_us - day_us) // HALF_HOUR_US
    return energy_wh[places, first:end]


def _rated_mw(ledger: SiteLedger, instant_us: int) -> Ints:
    """By place; 0 of a device without nameplate that never told its power."""
    now = ledger.standing.now[:, : ledger.standing.size]
    known = (now[Now.NAMEPLATE_MW] > 0) | (now[Now.LARGEST_MW] > 0)
    return np.where(known, rated_mw(now[Now.NAMEPLATE_MW], now[Now.LARGEST_MW], rules.at(instant_us)), 0)
