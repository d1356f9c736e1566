"""The register that goes back to a site's agents: each device as its last Inventory record shows it.

A box that was lost took its identities with it. The new one finds them in the retained `register` topic, and
its devices keep their UUIDs. Devices that a person has bound to another one, or split, are left out until
they are told of again: their keys belong to the other.

It is built from the ledger's history and kept here; each look reads only what is new since the last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Table, select

from agent import wire
from agent.wire import Inventory
from collector.store import Store, schema

# A first scan tells of thousands of devices in a row of batches: one message for many of them.
LOOK_EVERY_S = 60.0

AgentKey = tuple[str, str, str]  # org, site, agent
Place = tuple[int, str, int, int]  # received_us, agent, seq, ordinal: later ones count


class Register:
    """The registers of an organisation's sites, and their messages; safe from several threads."""

    def __init__(
        self,
        store: Store,
        org: str,
        agents: Iterable[AgentKey],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._org, self._agents = store, org, list(agents)
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._sites: dict[str, dict[bytes, tuple[Place, Inventory | None]]] = {
            site: {} for _, site, _ in self._agents
        }
        self._read_seq: dict[tuple[str, str], int] = {}  # (site, agent) -> the last batch that was read
        self._messages: dict[str, bytes] = {}
        self._look()
        self._looked_s = monotonic_s()

    def messages(self) -> list[tuple[str, bytes]]:
        """(topic, register) of every enrolled agent, as last built: for a new connection."""
        with self._lock:
            return self._addressed(self._messages)

    def changed(self) -> list[tuple[str, bytes]]:
        """(topic, register) of the agents whose site's register has changed; looks once in LOOK_EVERY_S."""
        with self._lock:
            now_s = self._monotonic_s()
            if now_s - self._looked_s < LOOK_EVERY_S:
                return []
            self._looked_s = now_s
            return self._addressed(self._look())

    def enrol(self, agents: Iterable[AgentKey]) -> list[tuple[str, bytes]]:
        """From now on the registers go to these agents; (topic, register) of all of them."""
        with self._lock:
            self._agents = list(agents)
            for _, site, _ in self._agents:
                self._sites.setdefault(site, {})
            self._look()
            return self._addressed(self._messages)

    def _addressed(self, messages: dict[str, bytes]) -> list[tuple[str, bytes]]:
        return [
            (wire.topic(*key, "register"), messages[key[1]]) for key in self._agents if key[1] in messages
        ]

    def _look(self) -> dict[str, bytes]:
        """Read on, and build the registers anew that have changed."""
        changed = {site for site in self._sites if site not in self._messages}
        with self._store.read() as connection:
            last = {
                (row.site, row.agent): row.last_seq
                for row in connection.execute(select(schema.stream).where(schema.stream.c.org == self._org))
            }
            for (site, agent), seq in last.items():
                if site in self._sites and seq > self._read_seq.get((site, agent), 0):
                    if self._read(connection, site, agent):
                        changed.add(site)
                    self._read_seq[site, agent] = seq
        built = {site: _message(self._sites[site]) for site in sorted(changed)}
        self._messages |= built
        return built

    def _read(self, connection: Connection, site: str, agent: str) -> bool:
        """Take what one agent's new batches tell; True if that changes the register."""
        entries = self._sites[site]
        since = self._read_seq.get((site, agent), 0)
        changed = False

        def note(device: bytes, place: Place, entry: Inventory | None) -> None:
            nonlocal changed
            if device not in entries or entries[device][0] < place:
                changed = changed or device not in entries or entries[device][1] != entry
                entries[device] = place, entry

        for row in self._new(connection, schema.inventory, site, agent, since):
            entry = _inventory(row.content)
            if entry is not None:  # without its pools: payout addresses are nobody's key to a device
                entry = msgspec.structs.replace(entry, pools=[])
                note(entry.device, (row.received_us, agent, row.seq, row.ordinal), entry)
        for row in self._new(connection, schema.event, site, agent, since, ("device_bound", "device_split")):
            device = _replaced(row.kind, row.device, row.detail)
            if device is not None:
                note(device, (row.received_us, agent, row.seq, row.ordinal), None)
        return changed

    def _new(
        self,
        connection: Connection,
        table: Table,
        site: str,
        agent: str,
        since: int,
        kinds: Sequence[str] = (),
    ) -> Iterable[Any]:
        c, b = table.c, schema.batch.c
        same = (b.org == c.org) & (b.site == c.site) & (b.agent == c.agent) & (b.seq == c.seq)
        query = select(table, b.received_us).join(schema.batch, same)
        query = query.where(c.org == self._org, c.site == site, c.agent == agent, c.seq > since)
        if kinds:
            query = query.where(c.source == "agent", c.kind.in_(kinds))
        return connection.execute(query.execution_options(yield_per=1000))


def _message(entries: dict[bytes, tuple[Place, Inventory | None]]) -> bytes:
    return wire.encode_register([entry for _, (_, entry) in sorted(entries.items()) if entry is not None])


def _inventory(content: dict[str, Any]) -> Inventory | None:
    try:
        return msgspec.convert(content, Inventory)
    except msgspec.ValidationError:
        return None


def _replaced(kind: str, device: str | None, detail: dict[str, str]) -> bytes | None:
    """The device whose keys went to another one: what was bound, or what was split."""
    try:
        return UUID(detail.get("other", "") if kind == "device_bound" else device or "").bytes
    except ValueError:
        return None
