"""Whatever comes over MQTT, bytes or signed nonsense: each message is decided on and no stream stops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import wire, wire_enrol
from agent.wire import Event, Inventory, Meter, Registers, Sweep, WireError
from collector.ingest import Ingest, Message
from collector.journal import Journal
from collector.ledger import tables
from collector.store import Store
from tests.collector.databases import ledger_url
from tests.collector.support import ORG, T0, A, Agent, S, one
from tests.fuzz import EXAMPLES
from tests.fuzz.mutate import mutated
from tests.fuzz.structs import INTEGERS, TEXTS, any_of

DEVICES = st.sampled_from([A, bytes(16), b"\xff" * 16])


@dataclass
class Desk:
    """A running collector's middle, with one enrolled agent."""

    agent: Agent
    ingest: Ingest
    store: Store
    journal: Journal

    def take(self, packet: bytes, topic: str | None = None) -> list[tuple[str, bytes]]:
        return self.ingest.take([Message(self.agent.topic if topic is None else topic, packet, T0 + S)])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, both_stores: str) -> Iterator[Desk]:
    """One for all examples: what one of them leaves behind must not hurt the next."""
    folder = tmp_path_factory.mktemp("desk")
    agent, store, journal = Agent(), Store.open(ledger_url(folder / "ledger")), Journal(folder / "journal")
    fold = tables.catch_up(store, ORG, folder / "journal")
    desk = Desk(agent, Ingest(store, journal, fold, {(ORG, agent.site, agent.name): agent.public_key}), store,
                journal)  # fmt: skip
    yield desk
    journal.close()
    before = tables.contents(store)
    store.close()
    anew = Store.open(ledger_url(folder / "anew"))
    tables.catch_up(anew, ORG, folder / "journal")
    assert tables.contents(anew) == before, "a rebuild is not equal"
    anew.close()


@st.composite
def sweeps(draw: st.DrawFn) -> Sweep:
    """A sweep that has the form of one, with any content."""
    devices = draw(st.lists(DEVICES | st.binary(min_size=16, max_size=16), max_size=3))
    columns = {
        name: draw(st.binary(min_size=width * len(devices), max_size=width * len(devices)))
        for name, (width, _) in wire.COLUMNS.items()
    }
    started_us = draw(INTEGERS | st.integers(T0 - 3600 * S, T0 + 3600 * S))
    failures = draw(st.lists(any_of(wire.FailedPoll), max_size=2))
    return Sweep(started_us, draw(INTEGERS), b"".join(devices), columns, failures)


RECORDS = st.one_of(sweeps(), *map(any_of, (Sweep, Inventory, Event, Meter, Registers)))


@settings(max_examples=EXAMPLES)
@given(records=st.lists(RECORDS, max_size=3), created_us=INTEGERS | st.just(T0), offset=st.none() | INTEGERS)
def test_what_an_enrolled_agent_signs_takes_its_place_whatever_it_says(
    desk: Desk, records: list[wire.Record], created_us: int, offset: int | None
) -> None:
    packet = desk.agent.batch(*records, created_us=created_us, clock_offset_us=offset)
    ((_, ack),) = desk.take(packet)
    assert wire.decode_ack(ack).seq == desk.agent.seq


@settings(max_examples=EXAMPLES)
@given(payload=st.binary(max_size=300))
def test_a_payload_that_is_none_takes_its_place_in_the_chain(desk: Desk, payload: bytes) -> None:
    ((_, ack),) = desk.take(desk.agent.batch(payload=payload))
    assert wire.decode_ack(ack).seq == desk.agent.seq


@settings(max_examples=EXAMPLES)
@given(data=st.data(), topic=st.none() | TEXTS)
def test_a_changed_packet_changes_nothing(desk: Desk, data: st.DataObject, topic: str | None) -> None:
    agent = Agent(seq=desk.agent.seq, prev=desk.agent.prev)
    packet = agent.batch(one(0, 1000))
    junk = data.draw(mutated(packet))
    if junk == packet and topic is None:
        return
    desk.take(junk, topic)
    assert desk.ingest.heads.get((ORG, agent.site, agent.name), (0,))[0] == desk.agent.seq


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_the_agent_takes_no_word_but_what_can_be_read(data: st.DataObject) -> None:
    word: bytes = data.draw(
        st.one_of(
            st.binary(max_size=200),
            mutated(wire.encode_ack(5, bytes(32))),
            mutated(wire.encode_register([Inventory(T0, A, "10.0.0.1", "antminer")])),
            any_of(wire_enrol.Bundle).map(_packed),
            any_of(wire_enrol.Answer).map(_packed),
        )
    )
    readers: list[Any] = [wire.decode_ack, wire.decode_register, lambda w: wire.open_word("t", w, bytes(32))]
    for read in readers:
        with suppress(WireError):
            read(word)


def _packed(value: object) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return b""
