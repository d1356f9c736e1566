"""What may be asked of a site's energy, and its answer out of the ledger, ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection

from collector import civil, energy_read, energy_show, metered, metered_show
from collector.civil import Resolution
from collector.config import Config, ConfigError
from collector.energy import EnergyTable
from collector.energy_read import Membership, Span
from collector.ledger import meters
from collector.ledger.profile import SiteLedger, Totals
from collector.tree import Placement
from reporting import quantity

By = Literal["origin", "zone", "device", "client", "meter"]
# Up to here half-hours are what one wants to see; beyond it days.
_SHORT_US = 2 * 86_400_000_000
NOBODY = "(nobody)"


@dataclass(frozen=True, slots=True)
class Ask:
    """A question: of a site, or of one device, client, node or meter of it."""

    site: str
    start_us: int
    end_us: int
    hijri_months: bool = False
    device: str | None = None
    client: str | None = None
    node: str | None = None
    meter: str | None = None
    resolution: Resolution | None = None
    by: By = "origin"


class _Site:
    """One site as a question needs it."""

    def __init__(self, connection: Connection, config: Config, ask: Ask, now_us: int) -> None:
        self.connection = connection
        self.config, self.ask, self.declared = config, ask, config.sites[ask.site]
        self.span: Span = energy_read.span(
            connection, config, ask.site, ask.start_us, ask.end_us, now_us, ask.hijri_months
        )
        self.ledger = SiteLedger(connection, config.org, ask.site)
        self.register = energy_read.register(connection, config.org, ask.site)
        self.ids = [row.device for row in self.register]
        self.resolution = ask.resolution or self._default()

    @cached_property
    def placed(self) -> Placement:
        return energy_read.place_devices(self.declared.tree, self.register)

    def _default(self) -> Resolution:
        if self.ask.by == "meter":
            return Resolution.DAY
        if self.ask.by != "origin":
            return Resolution.WHOLE
        short = self.span.end_us - self.span.start_us <= _SHORT_US
        return Resolution.HALF_HOUR if short else Resolution.DAY

    def labels(self) -> dict[str, str]:
        return {row.device: energy_read.name_of(row) for row in self.register} | self.config.clients


def answer(connection: Connection, config: Config, ask: Ask, now_us: int) -> dict[str, Any]:
    """The table that answers, with what it is of; ConfigError if it names what there is not.

    The keys are the contract of `--json`.
    """
    site = _Site(connection, config, ask, now_us)
    of: dict[str, str] = {
        "org": config.org,
        "site": ask.site,
        "by": ask.by,
        "resolution": site.resolution.value,
    }
    of["from"], of["until"] = (
        civil.text(us, site.span.zone) for us in (site.span.start_us, site.span.end_us)
    )
    if ask.by == "meter":
        return _reconciled(site, of)
    if ask.meter is not None:
        return _metered(site, of | {"meter": ask.meter, "name": ask.meter})
    if ask.device is not None:
        place = energy_read.find_device(site.register, ask.device, ask.site)
        whole = energy_read.device_profile(site.ledger, site.span, place)
        of |= {"device": site.ids[place], "name": energy_read.name_of(site.register[place])}
        table = _table(site, whole, None)
    elif ask.client is not None or ask.node is not None:
        members = _members(site)
        (whole,) = energy_read.group_profiles(site.ledger, site.span, members, 1)
        of |= {"client": ask.client} if ask.client is not None else {"node": ask.node or ""}
        of["name"] = config.clients.get(ask.client or "", ask.node or "")
        table = _table(site, whole, members)
    else:
        table = _table(site, energy_read.site_profile(site.ledger, site.span), None)
    shown = _content(site, table, of)
    if ask.device is None and ask.client is None and ask.node is None:
        shown |= _contracted(site)
    if ask.client is not None or ask.node is not None or ask.by == "client":
        shown["notes"] += site.placed.notes
    return shown


def _content(site: _Site, table: EnergyTable, of: Mapping[str, str]) -> dict[str, Any]:
    shown = energy_show.content(table, site.span.zone, of=of, labels=site.labels())
    if site.ask.by == "zone" and site.declared.tariff is not None:
        shown |= {"tariff": site.declared.tariff.name, "currency": site.declared.tariff.currency}
    return shown


def _contracted(site: _Site) -> dict[str, str | None]:
    investment = site.declared.investment
    declared = None if investment is None else investment.contracted_mw
    return {"contracted_mw": None if declared is None else quantity.plain(declared)}


def _reconciled(site: _Site, of: Mapping[str, str]) -> dict[str, Any]:
    ask, metered_nodes = site.ask, site.placed.tree.meters()
    wanted = {
        node: meter
        for node, meter in metered_nodes.items()
        if (ask.node in (None, node)) and ask.meter in (None, meter)
    }
    if ask.device is not None or ask.client is not None:
        raise ConfigError(["--by meter: of a site, a node or a meter; leave --device and --client out"])
    if not wanted:
        known = ", ".join(metered_nodes.values()) or "none"
        raise ConfigError(
            [f"{site.config.path}: site.{ask.site}: no node with this meter; meters in the tree: {known}"]
        )
    found = metered.reconciled(
        site.connection, site.config, ask.site, site.span, site.placed, wanted, site.resolution
    )
    return metered_show.reconciled(found, ask.site, site.span.zone, of)


def _metered(site: _Site, of: Mapping[str, str]) -> dict[str, Any]:
    ask, span = site.ask, site.span
    meter = ask.meter or ""
    known = [now.meter for now in meters.meters(site.connection, site.config.org, ask.site)]
    if meter not in known:
        raise ConfigError([f"--meter {meter}: none of {ask.site}; known: {', '.join(known) or 'none'}"])
    history = metered.history_of(site.connection, site.config, ask.site, meter, site.placed)
    if ask.by == "origin":
        edges_us = energy_read.bounded(span.edges_us(site.resolution), 1)
        of_site = _contracted(site) if site.declared.tree.meter == meter else {}
        return _content(site, metered.by_time(history, span, edges_us), of) | of_site
    if ask.by == "zone":
        whole = metered.as_totals(metered.half_hours(history, span))
        return _content(site, replace(_table(site, whole, None), doubt=None), of)
    nodes = [node for node, name in site.placed.tree.meters().items() if name == meter]
    if not nodes:
        key = f"site.{ask.site}.meter or site.{ask.site}.node.x.meter"
        raise ConfigError([f"{site.config.path}: {key}: none is {meter}; which devices are behind it?"])
    places = np.array(site.placed.under(nodes[0]), np.int64)
    if ask.by == "device":
        keys = site.ids
        members = [Membership(span.start_us, span.end_us, np.arange(len(keys)))]
    else:
        clients: list[str | None] = [*site.config.clients, None]
        keys = [client or NOBODY for client in clients]
        members = energy_read.membership(span, site.placed, clients)
    edges_us = energy_read.bounded(span.edges_us(site.resolution), len(keys))
    rule = site.placed.tree.overhead
    found = list(metered.shares(site.ledger, span, history, places, site.ids, edges_us, rule, keys, members))
    return metered_show.shares(found, span.zone, of, site.labels(), rule)


def _members(site: _Site) -> list[Membership]:
    ask, nodes = site.ask, site.placed.tree.nodes
    if ask.node is not None:
        if ask.node not in nodes:
            known = ", ".join(nodes) or "none"
            raise ConfigError(
                [f"--node {ask.node}: no section [site.{ask.site}.node.{ask.node}]; known: {known}"]
            )
        return energy_read.node_membership(site.span, site.placed, ask.node)
    if ask.client not in site.config.clients:
        known = ", ".join(site.config.clients) or "none"
        raise ConfigError([f"--client {ask.client}: no section [client.{ask.client}]; known: {known}"])
    return energy_read.membership(site.span, site.placed, [ask.client])


def _table(site: _Site, whole: Totals, members: Sequence[Membership] | None) -> EnergyTable:
    ask, span, resolution = site.ask, site.span, site.resolution
    if ask.by == "origin":
        return energy_read.by_time(whole, span, resolution)
    if ask.by == "zone":
        if site.declared.tariff is None:
            key = f"site.{ask.site}.tariff"
            raise ConfigError([f"{site.config.path}: {key}: is missing; --by zone needs a calendar of zones"])
        return energy_read.by_zone(whole, span, resolution, site.declared.tariff)
    if ask.by == "device":
        if ask.device is not None:
            raise ConfigError(["--by device: --device is one already; leave one of them out"])
        return energy_read.by_device(site.ledger, span, resolution, site.ids, whole, members)
    if ask.device is not None or ask.client is not None:
        raise ConfigError(["--by client: of a site or a node; leave --device and --client out"])
    return _by_client(site, whole)


def _by_client(site: _Site, whole: Totals) -> EnergyTable:
    if not site.config.clients:
        raise ConfigError([f"{site.config.path}: client: no section [client.x]; --by client needs them"])
    keys: list[str | None] = [*site.config.clients, None]
    members = energy_read.membership(site.span, site.placed, keys)
    if site.ask.node is not None:
        under = set(site.placed.under(site.ask.node))
        for member in members:
            member.group[[n for n in range(len(member.group)) if n not in under]] = -1
    profiles = energy_read.group_profiles(site.ledger, site.span, members, len(keys))
    by_name = dict(zip((key or NOBODY for key in keys), profiles, strict=True))
    return energy_read.by_key(by_name, site.span, site.resolution, whole)
