"""Messages become acknowledged batches: decide, journal with one fsync, fold and commit, then acknowledge.

The broker is trusted for nothing. A batch counts when it is in the journal; the agent learns that from the
ack and only then lets go of it. What cannot be used never blocks a stream: a validly signed batch in sequence
takes its place in the chain, whatever is in it, and the fold says why it gave no rows.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select

from agent import wire
from agent.wire import Packet, WireError
from collector.journal import Journal
from collector.ledger import tables
from collector.ledger.fold import Fold
from collector.store import Store, schema, upsert

# A group shares one fsync and one commit: large enough to amortise them, short enough to acknowledge soon.
GROUP_BATCHES = 200
GROUP_WAIT_S = 0.1
# What may wait in memory. Beyond it messages are dropped: their agents send them again for want of an ack.
INBOX_MESSAGES = 1_000
INBOX_BYTES = 256 * 1024 * 1024
# A payload that would unpack is smaller than this even where it does not compress.
PACKET_BYTES = wire.MAX_PAYLOAD_BYTES + 1024 * 1024
# Reasons by sender: names come from whoever may publish, so the table must not grow with them.
SET_ASIDE_ROWS = 1_000
SET_ASIDE_PACKET_BYTES = 256 * 1024

# Asked for every few seconds for a minute: a lost message or a restarted broker is long mended.
MISSING_US = 60_000_000

AgentKey = tuple[str, str, str]  # org, site, agent


class Message(NamedTuple):
    """What came from the broker."""

    topic: str
    packet: bytes
    received_us: int


class Head(NamedTuple):
    """Where a stream stands: the last committed sequence and its hash."""

    seq: int = 0
    hash: bytes = wire.GENESIS


@dataclass(frozen=True, slots=True)
class Accept:
    """The next batch of its stream."""

    packet: Packet


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Known already: acknowledge again."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """Batches are missing before `seq`: acknowledge where we stand, the agent goes back."""

    seq: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """Not a batch of an enrolled agent's chain; `reason` is one of a few words, `detail` for people."""

    reason: str
    detail: str


Decision = Accept | Duplicate | Ahead | SetAside


def decide(
    packet_bytes: bytes,
    topic: str,
    streams: Mapping[AgentKey, Head],
    agents: Mapping[AgentKey, bytes],
    hash_at: Callable[[AgentKey, int], bytes | None],
) -> Decision:
    """What to do with a message; `agents` maps to public keys, `hash_at` gives the hash of a known batch."""
    try:
        *who, leaf = wire.parse_topic(topic)
        key = (who[0], who[1], who[2])
        if leaf != "batch":
            return SetAside("topic", f"{leaf} is no batch")
        if key not in agents:
            return SetAside("unknown agent", "not enrolled, or revoked")
        packet = wire.open_packet(packet_bytes)
    except WireError as error:
        return SetAside("envelope", str(error))
    envelope = packet.envelope
    if (envelope.org, envelope.site, envelope.agent) != key:
        return SetAside("topic", f"the envelope is from {envelope.org}/{envelope.site}/{envelope.agent}")
    if not wire.verify(packet, agents[key]):
        return SetAside("signature", "not signed with the enrolled key")
    head = streams.get(key, Head())
    if envelope.seq > head.seq + 1:
        return Ahead(envelope.seq)
    if envelope.seq == head.seq + 1:
        if envelope.prev == head.hash:
            return Accept(packet)
        return SetAside("fork", f"batch {envelope.seq} does not continue the batch {head.seq} that is known")
    if hash_at(key, envelope.seq) == packet.hash:
        return Duplicate()
    return SetAside("fork", f"another batch {envelope.seq} is known; the last one is {head.seq}")


@dataclass(slots=True)
class Counters:
    """What ingest has done since the start, for the metrics."""

    accepted: int = 0
    duplicate: int = 0
    ahead: int = 0
    set_aside: int = 0
    dropped: int = 0
    groups: int = 0


class Inbox:
    """The bounded queue between the network's thread and the worker's."""

    def __init__(self, messages: int = INBOX_MESSAGES, size_bytes: int = INBOX_BYTES) -> None:
        self._waiting: deque[Message] = deque()
        self._room = messages
        self._room_bytes = size_bytes
        self._changed = threading.Condition()

    def put(self, message: Message) -> bool:
        """False if there is no room: the message is dropped."""
        size = len(message.packet)
        with self._changed:
            if not self._room or size > min(self._room_bytes, PACKET_BYTES):
                return False
            self._room -= 1
            self._room_bytes -= size
            self._waiting.append(message)
            self._changed.notify()
        return True

    def take(self, wait_s: float) -> list[Message]:
        """The next group: as soon as there is something, what comes within GROUP_WAIT_S of it."""
        with self._changed:
            if not self._waiting and not self._changed.wait_for(lambda: bool(self._waiting), wait_s):
                return []
            self._changed.wait_for(lambda: len(self._waiting) >= GROUP_BATCHES, GROUP_WAIT_S)
            group = [self._waiting.popleft() for _ in range(min(GROUP_BATCHES, len(self._waiting)))]
            self._room += len(group)
            self._room_bytes += sum(len(message.packet) for message in group)
            return group


@dataclass(slots=True)
class _Gap:
    # What an agent shows beyond the batch that is wanted, while it does not come: the lowest since when.
    head_seq: int
    seq: int
    since_us: int


@dataclass(slots=True)
class _Refused:
    message: Message
    detail: str
    count: int = 0
    first_us: int = 0


@dataclass(slots=True)
class _Group:
    # One group on its way; heads and hashes of what it has accepted but not yet committed.
    accepted: list[tuple[Message, Packet]] = field(default_factory=list)
    hashes: dict[tuple[AgentKey, int], bytes] = field(default_factory=dict)
    answer: dict[AgentKey, None] = field(default_factory=dict)
    refused: dict[tuple[str, str, str, str], _Refused] = field(default_factory=dict)


class Ingest:
    """Takes groups of messages into journal and ledger; one thread only."""

    def __init__(self, store: Store, journal: Journal, fold: Fold, agents: Mapping[AgentKey, bytes]) -> None:
        self._store, self._journal, self._fold, self._agents = store, journal, fold, agents
        self.counters = Counters()
        self._gaps: dict[AgentKey, _Gap] = {}
        self.heads = {
            (fold.org, site, agent): Head(stream.last_seq, stream.last_hash)
            for (site, agent), stream in fold.streams.items()
        }

    def acks(self, keys: Sequence[AgentKey] | None = None) -> list[tuple[str, bytes]]:
        """(topic, ack) of these agents, or of every enrolled one, as committed now."""
        heads = [(key, self.heads.get(key, Head())) for key in (self._agents if keys is None else keys)]
        return [(wire.topic(*key, "ack"), wire.encode_ack(*head)) for key, head in heads]

    def enrol(self, agents: Mapping[AgentKey, bytes]) -> list[tuple[str, bytes]]:
        """From now on these agents' batches are taken, and no others'; acks of those that are new."""
        new = [key for key in agents if key not in self._agents]
        self._agents = agents
        return self.acks(new)

    def take(self, messages: Sequence[Message]) -> list[tuple[str, bytes]]:
        """Commit a group; returns the acks to send, one an agent."""
        group, heads = _Group(), dict(self.heads)
        for message in messages:
            self._sort(message, group, heads)
        if group.accepted:
            packets = [(message.received_us, message.packet) for message, _ in group.accepted]
            for entry, (_, packet) in zip(self._journal.append(packets), group.accepted, strict=True):
                self._fold.take(entry, packet)
        if group.accepted or group.refused:
            tables.commit(self._store, self._fold, lambda connection: _keep(connection, group.refused))
        self.heads = heads
        self.counters.groups += 1
        return self.acks(list(group.answer))

    def _sort(self, message: Message, group: _Group, heads: dict[AgentKey, Head]) -> None:
        def hash_at(key: AgentKey, seq: int) -> bytes | None:
            return group.hashes.get((key, seq)) or self._known_hash(key, seq)

        decision = decide(message.packet, message.topic, heads, self._agents, hash_at)
        if isinstance(decision, SetAside):
            self.counters.set_aside += 1
            _refuse(group, message, decision)
            return
        org, site, agent, _ = wire.parse_topic(message.topic)
        key = (org, site, agent)
        group.answer[key] = None
        if isinstance(decision, Accept):
            envelope = decision.packet.envelope
            heads[key] = Head(envelope.seq, decision.packet.hash)
            group.hashes[key, envelope.seq] = decision.packet.hash
            group.accepted.append((message, decision.packet))
            self.counters.accepted += 1
        elif isinstance(decision, Duplicate):
            self.counters.duplicate += 1
        else:
            self.counters.ahead += 1
            self._miss(key, heads.get(key, Head()), decision.seq, message, group)

    def _miss(self, key: AgentKey, head: Head, seq: int, message: Message, group: _Group) -> None:
        """Note what is asked for and does not come; an agent that still has it goes back within seconds."""
        gap = self._gaps.get(key)
        if gap is None or gap.head_seq != head.seq:
            gap = self._gaps[key] = _Gap(head.seq, seq, message.received_us)
        gap.seq = min(gap.seq, seq)
        if gap.seq > head.seq + 1 and message.received_us - gap.since_us >= MISSING_US:
            detail = (
                f"batches {head.seq + 1} to {gap.seq - 1} are asked for and do not come: the agent shows"
                f" {gap.seq} as its oldest. Restore a newer backup of this collector if there is one"
            )
            _refuse(group, message, SetAside("missing", detail))

    def _known_hash(self, key: AgentKey, seq: int) -> bytes | None:
        c = schema.batch.c
        query = select(c.hash).where(c.org == key[0], c.site == key[1], c.agent == key[2], c.seq == seq)
        with self._store.read() as connection:
            return connection.execute(query).scalar_one_or_none()


def _refuse(group: _Group, message: Message, decision: SetAside) -> None:
    try:
        org, site, agent, _ = wire.parse_topic(message.topic)
    except WireError:
        org, site, agent = "", "", ""
    key = (org, site, agent, decision.reason)
    known = group.refused.get(key)
    group.refused[key] = _Refused(
        message,
        decision.detail,
        (known.count if known else 0) + 1,
        known.first_us if known else message.received_us,
    )


def _keep(connection: Connection, refused: Mapping[tuple[str, str, str, str], _Refused]) -> None:
    table = schema.set_aside
    c = table.c
    for (org, site, agent, reason), last in refused.items():
        known = connection.execute(
            select(c.count, c.first_us).where(
                c.org == org, c.site == site, c.agent == agent, c.reason == reason
            )
        ).one_or_none()
        packet = last.message.packet
        row = {
            "org": org, "site": site, "agent": agent, "reason": reason, "detail": last.detail,
            "count": last.count + (known[0] if known else 0),
            "first_us": known[1] if known else last.first_us,
            "last_us": last.message.received_us,
            "packet": packet if len(packet) <= SET_ASIDE_PACKET_BYTES else None,
        }  # fmt: skip
        upsert(connection, table, [row])
    rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
    if rows > SET_ASIDE_ROWS:
        oldest = select(c.last_us).order_by(c.last_us).offset(rows - SET_ASIDE_ROWS - 1).limit(1)
        connection.execute(delete(table).where(c.last_us <= oldest.scalar_subquery()))
