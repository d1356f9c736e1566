"""A site's tree of feeders, racks and devices, and who holds which of them when; declared in collector.toml.

    [site.north]                      meter = "main"
    [site.north.node.feeder-1]        meter = "f1"
    [site.north.node.rack-a]          parent = "feeder-1", devices = [...], networks = [...]
    [client.acme]                     name = "Acme LLC"
    [[client.acme.holds]]             site = "north", nodes = [...], devices = [...], from, until

A device that is named belongs where it is named, any other where its address's network is. A client holds
by device or by node; the nearer holding counts: a device before its rack, a rack before its feeder.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import combinations
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from agent.wire import check_name
from collector import device_key
from collector.ledger.allot import OverheadRule

_STRICT = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: object) -> Network:
    try:
        return ipaddress.ip_network(str(text))
    except ValueError as error:
        raise ValueError(f"{error}; write a network such as 10.1.0.0/24") from error


Name = Annotated[str, AfterValidator(check_name)]
_Text = Annotated[str, Field(min_length=1)]
_Networks = list[Annotated[Network, BeforeValidator(_network)]]


class NodeSection(BaseModel):
    """`[site.x.node.y]`: a feeder, hall, rack: whatever lies between the site and its devices."""

    model_config = _STRICT
    parent: Name | None = None
    meter: _Text | None = None
    devices: list[_Text] = []
    networks: _Networks = []


class HoldSection(BaseModel):
    """`[[client.x.holds]]`: what a client holds, from a civil day of the site until another, not included."""

    model_config = _STRICT
    site: Name
    nodes: list[Name] = []
    devices: list[_Text] = []
    start: date | None = Field(default=None, alias="from")
    until: date | None = None


class ClientSection(BaseModel):
    """`[client.x]`: whose miners they are."""

    model_config = _STRICT
    name: _Text
    holds: list[HoldSection] = []


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the tree; `path`: itself and its ancestors up to the top."""

    name: str
    parent: str | None
    meter: str | None
    devices: tuple[str, ...]
    networks: tuple[Network, ...]
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """What a client holds at a site on the civil days [start, until)."""

    client: str
    nodes: tuple[str, ...]
    devices: tuple[str, ...]
    start: date | None
    until: date | None

    def on(self, day: date) -> bool:
        """True if it holds on a civil day."""
        return (self.start is None or self.start <= day) and (self.until is None or day < self.until)


@dataclass(frozen=True, slots=True)
class Tree:
    """One site's main meter, nodes and holdings; a site that declares none has an empty one."""

    meter: str | None = None
    nodes: Mapping[str, Node] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()
    overhead: OverheadRule = "energy"

    def meters(self) -> dict[str | None, str]:
        """The meter of each node that has one; that of the site under None."""
        found: dict[str | None, str] = {} if self.meter is None else {None: self.meter}
        return found | {node.name: node.meter for node in self.nodes.values() if node.meter is not None}


class Known(NamedTuple):
    """A device of the register as a tree needs it."""

    device: str
    serial: str | None
    mac: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each device of the register stands, by place: its node, or None for the site itself."""

    tree: Tree
    nodes: tuple[str | None, ...]
    held: tuple[frozenset[int], ...]  # by holding: the places of the devices that it names
    notes: tuple[str, ...]

    def under(self, node: str | None) -> list[int]:
        """The places of the devices at a node or below it; of None all."""
        of = self.tree.nodes
        return [
            place
            for place, name in enumerate(self.nodes)
            if node is None or (name is not None and node in of[name].path)
        ]

    def holders(self, day: date) -> list[str | None]:
        """By place, the client that holds each device on a civil day."""
        by_device: dict[int, str] = {}
        by_node: dict[str, str] = {}
        for hold, places in zip(self.tree.holds, self.held, strict=True):
            if hold.on(day):
                by_device |= dict.fromkeys(places, hold.client)
                by_node |= dict.fromkeys(hold.nodes, hold.client)
        of_node = {
            name: next((by_node[one] for one in node.path if one in by_node), None)
            for name, node in self.tree.nodes.items()
        }
        return [
            by_device.get(place, None if name is None else of_node[name])
            for place, name in enumerate(self.nodes)
        ]


def place(tree: Tree, register: Sequence[Known]) -> Placement:
    """Every device of the register to its node; what is declared and was not seen is noted."""
    places: dict[str, list[int]] = {}
    for n, known in enumerate(register):
        for name in device_key.names_of(known.device, known.serial, known.mac):
            places.setdefault(name, []).append(n)
    notes: list[str] = []
    nodes: list[str | None] = [_by_network(tree, known.address) for known in register]
    named: dict[int, str] = {}
    for node in tree.nodes.values():
        for key in node.devices:
            for n in places.get(device_key.same(key), ()):
                if named.setdefault(n, node.name) != node.name:
                    notes.append(f"{key} of node {node.name} is named at {named[n]} too and counted there")
            if device_key.same(key) not in places:
                notes.append(f"node {node.name}: device {key} was never seen")
    for n, name in named.items():
        nodes[n] = name
    held = []
    for hold in tree.holds:
        notes += [
            f"client {hold.client}: device {key} was never seen"
            for key in hold.devices
            if device_key.same(key) not in places
        ]
        held.append(frozenset(n for key in hold.devices for n in places.get(device_key.same(key), ())))
    return Placement(tree, tuple(nodes), tuple(held), tuple(notes))


def _by_network(tree: Tree, address: str | None) -> str | None:
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    fits = [
        (network.prefixlen, node.name)
        for node in tree.nodes.values()
        for network in node.networks
        if found in network
    ]
    return max(fits)[1] if fits else None


def site_tree(
    site: str,
    meter: str | None,
    overhead: OverheadRule,
    nodes: Mapping[str, NodeSection],
    clients: Mapping[str, ClientSection],
) -> Tree:
    """The tree of sections that `problems` found nothing wrong with."""
    return Tree(
        meter,
        {
            name: Node(
                name, node.parent, node.meter, tuple(node.devices), tuple(node.networks), _path(nodes, name)
            )
            for name, node in nodes.items()
        },
        tuple(
            Hold(client, tuple(hold.nodes), tuple(hold.devices), hold.start, hold.until)
            for client, section in clients.items()
            for hold in section.holds
            if hold.site == site
        ),
        overhead,
    )


def problems(
    sites: Mapping[str, tuple[str | None, Mapping[str, NodeSection]]], clients: Mapping[str, ClientSection]
) -> Iterator[str]:
    """Every mistake in the trees and holdings, each with its key; `sites`: main meter and nodes by site."""
    for site, (meter, nodes) in sites.items():
        yield from _node_problems(f"site.{site}", meter, nodes)
    for client, section in clients.items():
        for n, hold in enumerate(section.holds):
            yield from _hold_problems(f"client.{client}.holds[{n}]", hold, sites)
    yield from _double_holdings(clients)


def _node_problems(where: str, meter: str | None, nodes: Mapping[str, NodeSection]) -> Iterator[str]:
    meters = {} if meter is None else {meter: f"{where}.meter"}
    devices: dict[str, str] = {}
    networks: dict[Network, str] = {}
    for name, node in nodes.items():
        key = f"{where}.node.{name}"
        if node.parent is not None and node.parent not in nodes:
            yield f"{key}.parent: no node {node.parent}; known: {', '.join(nodes)}"
        elif name in _path(nodes, name)[1:]:
            yield f"{key}.parent: a circle: {' -> '.join(_path(nodes, name))}; the top node has no parent"
        if node.meter is not None and meters.setdefault(node.meter, f"{key}.meter") != f"{key}.meter":
            yield f"{key}.meter: {node.meter} is {meters[node.meter]} already; one meter measures one node"
        for n, device in enumerate(node.devices):
            here = f"{key}.devices[{n}]"
            first = devices.setdefault(device_key.same(device), here)
            if first != here:
                yield f"{here}: {device} is {first} already; a device is in one place"
        for n, network in enumerate(node.networks):
            here = f"{key}.networks[{n}]"
            if networks.setdefault(network, here) != here:
                yield f"{here}: {network} is {networks[network]} already; the smaller network of two counts"


def _path(nodes: Mapping[str, NodeSection], name: str) -> tuple[str, ...]:
    """A node and its ancestors; ends with the first that comes again where they make a circle."""
    path = [name]
    parent = nodes[name].parent
    while parent is not None and parent in nodes:
        path.append(parent)
        if path.count(parent) > 1:
            break
        parent = nodes[parent].parent
    return tuple(path)


def _hold_problems(
    where: str, hold: HoldSection, sites: Mapping[str, tuple[str | None, Mapping[str, NodeSection]]]
) -> Iterator[str]:
    if hold.site not in sites:
        yield f"{where}.site: {hold.site} has no section [site.{hold.site}]"
        return
    known = sites[hold.site][1]
    for n, node in enumerate(hold.nodes):
        if node not in known:
            known_names = ", ".join(known) or "none"
            yield f"{where}.nodes[{n}]: site {hold.site} has no node {node}; known: {known_names}"
    if not (hold.nodes or hold.devices):
        yield f"{where}: holds nothing; name nodes or devices"
    if hold.start is not None and hold.until is not None and hold.start >= hold.until:
        yield f"{where}.until: {hold.until} is not after from {hold.start}"


def _double_holdings(clients: Mapping[str, ClientSection]) -> Iterator[str]:
    every = [
        (f"client.{client}.holds[{n}]", hold)
        for client, section in clients.items()
        for n, hold in enumerate(section.holds)
    ]
    for (first, a), (second, b) in combinations(every, 2):
        if a.site != b.site or not _meet(a, b):
            continue
        devices = {device_key.same(key) for key in a.devices} & {device_key.same(key) for key in b.devices}
        for what in (*sorted(devices), *sorted({*a.nodes} & {*b.nodes})):
            yield f"{second}: {what} is held by {first} on the same days; give from and until"


def _meet(a: HoldSection, b: HoldSection) -> bool:
    starts = [hold.start for hold in (a, b) if hold.start is not None]
    ends = [hold.until for hold in (a, b) if hold.until is not None]
    return not (starts and ends) or max(starts) < min(ends)
