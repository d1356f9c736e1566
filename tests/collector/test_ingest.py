"""What becomes of each message, and what is committed when."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import wire
from collector.ingest import (
    SET_ASIDE_ROWS,
    Accept,
    AgentKey,
    Ahead,
    Decision,
    Duplicate,
    Head,
    Inbox,
    Ingest,
    Message,
    SetAside,
    decide,
)
from collector.journal import Journal
from collector.ledger import tables
from collector.store import Store, schema
from tests.collector.databases import ledger_url
from tests.collector.support import AGENT, ORG, SITE, T0, Agent, S, key_of, one

pytestmark = pytest.mark.usefixtures("both_stores")

KEY: AgentKey = (ORG, SITE, AGENT)


def packets(agent: Agent, count: int) -> list[bytes]:
    return [agent.batch(one(30 * n, 1000)) for n in range(count)]


def known(sent: list[bytes]) -> dict[int, bytes]:
    return {n: wire.open_packet(packet).hash for n, packet in enumerate(sent, start=1)}


def judged(
    packet: bytes, have: list[bytes], topic: str | None = None, agent: Agent | None = None
) -> Decision:
    agent = agent or Agent()
    hashes = known(have)
    streams = {KEY: Head(len(have), hashes[len(have)])} if have else {}
    return decide(
        packet, topic or agent.topic, streams, {KEY: Agent().public_key}, lambda _, seq: hashes.get(seq)
    )


def test_next_is_accepted() -> None:
    sent = packets(Agent(), 3)
    assert isinstance(judged(sent[0], []), Accept)
    assert isinstance(judged(sent[2], sent[:2]), Accept)


def test_known_is_a_duplicate() -> None:
    sent = packets(Agent(), 3)
    assert judged(sent[0], sent) == judged(sent[2], sent) == Duplicate()


def test_beyond_the_next_is_ahead() -> None:
    sent = packets(Agent(), 4)
    assert judged(sent[3], sent[:2]) == Ahead(4)
    assert judged(sent[1], []) == Ahead(2)


@pytest.mark.parametrize("have", [1, 2])
def test_another_history_is_a_fork(have: int) -> None:
    sent = packets(Agent(), 2)
    other = Agent()
    first, second = other.batch(one(0, 9)), other.batch(one(30, 9))
    decision = judged(first if have == 2 else second, sent[:have])
    assert isinstance(decision, SetAside)
    assert decision.reason == "fork"


def test_forged_signature() -> None:
    forged = Agent(key=key_of(9)).batch(one(0, 1))
    assert judged(forged, []) == SetAside("signature", "not signed with the enrolled key")
    changed = bytearray(Agent().batch(one(0, 1)))
    changed[-1] ^= 1
    decision = judged(bytes(changed), [])
    assert isinstance(decision, SetAside)
    assert decision.reason == "signature"


@pytest.mark.parametrize(
    ("packet", "topic", "reason"),
    [
        (Agent().batch(one(0, 1)), f"hashledger/v1/{ORG}/{SITE}/nobody/batch", "unknown agent"),
        (Agent(name="nobody").batch(one(0, 1)), Agent().topic, "topic"),
        (Agent(site="south").batch(one(0, 1)), Agent().topic, "topic"),
        (b"junk", Agent().topic, "envelope"),
        (b"", Agent().topic, "envelope"),
        (Agent().batch(one(0, 1)), "hashledger/v1/short", "envelope"),
        (Agent().batch(one(0, 1)), wire.topic(*KEY, "ack"), "topic"),
    ],
)
def test_set_aside(packet: bytes, topic: str, reason: str) -> None:
    decision = judged(packet, [], topic)
    assert isinstance(decision, SetAside)
    assert decision.reason == reason


def test_undecodable_payload_and_impossible_time_are_accepted() -> None:
    assert isinstance(judged(Agent().batch(payload=b"?"), []), Accept)
    assert isinstance(judged(Agent().batch(one(0, 1), created_us=1), []), Accept)


class Site:
    """An ingest over a folder, reopened at will."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open()

    def open(self) -> None:
        self.journal = Journal(self.folder / "journal")
        self.store = Store.open(ledger_url(self.folder / "ledger.sqlite3"))
        fold = tables.catch_up(self.store, ORG, self.folder / "journal")
        self.ingest = Ingest(self.store, self.journal, fold, {KEY: Agent().public_key})

    def close(self) -> None:
        self.journal.close()
        self.store.close()

    def take(self, *sent: bytes, topic: str = Agent().topic) -> list[int]:
        acks = self.ingest.take([Message(topic, packet, T0) for packet in sent])
        return [wire.decode_ack(ack).seq for _, ack in acks]


def test_group_in_any_order_is_acknowledged_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    a, b, c, d = packets(Agent(), 4)
    assert site.take(b) == [0]
    assert site.take(a, a, c, b) == [2]
    assert site.take(c, d, a) == [4]
    assert len(list(site.journal.read())) == 4
    counters = site.ingest.counters
    assert (counters.accepted, counters.duplicate, counters.ahead) == (4, 2, 2)
    site.close()
    site.open()
    assert site.take(a) == [4]
    assert [wire.decode_ack(ack) for _, ack in site.ingest.acks()] == [
        wire.Ack(1, 4, wire.open_packet(d).hash)
    ]
    site.close()


def test_journalled_but_not_folded_is_folded_at_the_next_start(tmp_path: Path) -> None:
    site = Site(tmp_path)
    sent = packets(Agent(), 6)
    site.take(*sent[:3])
    site.journal.append([(T0, packet) for packet in sent[3:5]])  # killed between fsync and commit
    site.close()
    site.open()
    assert site.take(sent[5]) == [6]
    again = Store.open(ledger_url(tmp_path / "again.sqlite3"))
    tables.catch_up(again, ORG, tmp_path / "journal")
    assert tables.contents(again) == tables.contents(site.store)
    site.close()


def test_batches_that_do_not_come_are_told_by_number_and_what_was_only_late_is_not(tmp_path: Path) -> None:
    site, sent = Site(tmp_path), packets(Agent(), 9)

    def told() -> list[tuple[str, str]]:
        with site.store.read() as connection:
            return [(row.reason, row.detail) for row in connection.execute(schema.set_aside.select())]

    def show(packet: bytes, at_s: int) -> None:
        site.ingest.take([Message(Agent().topic, packet, T0 + at_s * S)])

    show(sent[1], 0)
    show(sent[0], 70)
    show(sent[1], 80)  # it came, late
    show(sent[6], 100)
    show(sent[5], 110)
    show(sent[5], 150)
    assert told() == []
    show(sent[5], 160)
    ((reason, detail),) = told()
    assert reason == "missing" and detail.startswith("batches 3 to 5 are asked for and do not come")
    assert site.take(*sent[2:]) == [9]
    site.close()


def test_set_aside_is_counted_kept_and_bounded(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert site.take(b"junk", b"junk2") == []
    assert site.take(b"junk3") == []
    with site.store.read() as connection:
        (row,) = connection.execute(schema.set_aside.select()).all()
    assert (row.reason, row.count, row.packet) == ("envelope", 3, b"junk3")
    names = [wire.topic(ORG, SITE, f"x{n}", "batch") for n in range(SET_ASIDE_ROWS + 50)]
    site.ingest.take([Message(name, b"junk", T0 + n * S) for n, name in enumerate(names)])
    with site.store.read() as connection:
        agents = {row.agent for row in connection.execute(schema.set_aside.select())}
    assert len(agents) == SET_ASIDE_ROWS
    assert f"x{SET_ASIDE_ROWS + 49}" in agents
    site.close()


def test_inbox_is_bounded() -> None:
    inbox = Inbox(messages=3, size_bytes=100)
    assert [inbox.put(Message("t", b"x" * 40, T0)) for _ in range(3)] == [True, True, False]
    assert inbox.put(Message("t", b"", T0))
    assert not inbox.put(Message("t", b"", T0))
    assert len(inbox.take(0)) == 3
    assert inbox.take(0) == []
    assert inbox.put(Message("t", b"x" * 100, T0))
