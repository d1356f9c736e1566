"""The shipped broker configuration, on a real mosquitto: who gets in, and who may say and hear what."""

from __future__ import annotations

import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent.app
from agent import wire
from agent.publish import Publisher
from agent.spool import Spool
from agent.wire import Event
from collector import private
from collector.ingest import PACKET_BYTES, Counters, Inbox
from collector.link import Link
from tests.deploy.broker import HOST, ORG, WAIT_S, Broker, Client, running

A, B = "site-1-agent-1", "site-2-agent-1"


def topic(user: str, leaf: str) -> str:
    site, _, name = user.rpartition("-agent-")
    return wire.topic(ORG, site, f"agent-{name}", leaf)


@pytest.fixture(scope="module")
def broker(mosquitto: str) -> Iterator[Broker]:
    # Not pytest's own folder: that one is closed to the user mosquitto.
    with (
        tempfile.TemporaryDirectory(prefix="hashledger-") as folder,
        running(mosquitto, Path(folder), (A, B)) as (it, _),
    ):
        yield it


@pytest.fixture
def listener(broker: Broker) -> Iterator[Client]:
    """The collector, hearing all that it may hear."""
    with Client(broker, broker.certificate("collector")) as client:
        client.subscribe("#")
        yield client


def test_unknown_authority_is_refused_by_the_client(broker: Broker) -> None:
    with (
        socket.create_connection((HOST, broker.port), timeout=WAIT_S) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname=HOST)


def test_plain_text_is_refused(broker: Broker) -> None:
    with socket.create_connection((HOST, broker.port), timeout=WAIT_S) as plain:
        plain.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")  # CONNECT, MQTT 3.1.1
        assert not _received(plain).startswith(b"\x20")  # CONNACK


def _received(plain: socket.socket) -> bytes:
    try:
        return plain.recv(16)
    except ConnectionError:
        return b""


def test_batch_and_status_reach_the_collector(broker: Broker, listener: Client) -> None:
    with Client(broker, broker.certificate(A)) as client:
        for leaf, payload in (("batch", b"packet"), ("status", b"alive")):
            client.publish(topic(A, leaf), payload)
            assert listener.receive() == (topic(A, leaf), payload)


def test_largest_batch_passes(broker: Broker, listener: Client) -> None:
    largest = bytes(PACKET_BYTES)
    with Client(broker, broker.certificate(A)) as client:
        client.publish(topic(A, "batch"), largest)
        assert listener.receive() == (topic(A, "batch"), largest)


@pytest.mark.parametrize(
    "foreign",
    [topic(B, "batch"), topic(B, "status"), "hashledger/v1/other/site-1/agent-1/batch"],
)
def test_agent_cannot_speak_for_another(broker: Broker, listener: Client, foreign: str) -> None:
    with Client(broker, broker.certificate(A)) as client:
        client.publish(foreign, b"forged")
        client.publish(topic(A, "batch"), b"own")  # one connection, one order: what came before was denied
        assert listener.receive() == (topic(A, "batch"), b"own")


def test_agent_cannot_acknowledge(broker: Broker, listener: Client) -> None:
    with Client(broker, broker.certificate(A)) as client, Client(broker, broker.certificate(B)) as other:
        for reader, own in ((client, topic(A, "ack")), (other, topic(B, "ack"))):
            reader.subscribe(own)
        client.publish(topic(B, "ack"), b"forged")
        client.publish(topic(A, "ack"), b"forged")
        listener.publish(topic(A, "ack"), b"true")
        listener.publish(topic(B, "ack"), b"true")
        assert client.receive() == (topic(A, "ack"), b"true")
        assert other.receive() == (topic(B, "ack"), b"true")


def test_agent_reads_its_own_register_and_writes_none(broker: Broker, listener: Client) -> None:
    with Client(broker, broker.certificate(A)) as client, Client(broker, broker.certificate(B)) as other:
        for reader, own in ((client, topic(A, "register")), (other, topic(B, "register"))):
            reader.subscribe(own)
        client.subscribe(topic(B, "register"))  # granted, but delivery asks the acl again
        client.publish(topic(B, "register"), b"forged")
        client.publish(topic(A, "register"), b"forged")
        listener.publish(topic(B, "register"), b"true B")
        listener.publish(topic(A, "register"), b"true A")
        assert client.receive() == (topic(A, "register"), b"true A")
        assert other.receive() == (topic(B, "register"), b"true B")
        assert client.messages.empty()


def test_agent_hears_its_own_ack_only(broker: Broker, listener: Client) -> None:
    for user in (B, A):
        listener.publish(topic(user, "ack"), b"1", retain=True)
    with Client(broker, broker.certificate(A)) as client:
        client.subscribe("#")  # granted, but delivery asks the acl again
        assert client.receive() == (topic(A, "ack"), b"1"), "retained"
        with Client(broker, broker.certificate(B)) as other:
            other.publish(topic(B, "batch"), b"packet")
        for user in (B, A):
            listener.publish(topic(user, "ack"), b"2", retain=True)
        assert client.receive() == (topic(A, "ack"), b"2")
        assert client.messages.empty()


def test_agent_and_collector_speak_through_it(broker: Broker) -> None:
    """The real publisher and the real link, with the settings that their configurations have."""
    ours = broker.agent(A)
    author = agent.app.author(ours)
    spool = Spool(ours.agent.state_dir / "spool.db", author)
    spool.append([Event(1, "agent_started")], 1)
    publisher = Publisher(spool, author, ours.mqtt)
    inbox, settings = Inbox(), broker.settings
    key = private.collector_key(settings.state_dir)
    link = Link(settings.mqtt, ORG, inbox, Counters(), tuple, key, print)
    link.start()
    publisher.start()
    try:
        packet = wire.open_packet(inbox.take(WAIT_S)[0].packet)
        link.publish([(topic(A, "ack"), wire.encode_ack(packet.envelope.seq, packet.hash))])
        until_s = time.monotonic() + WAIT_S
        while spool.depth().waiting:
            assert time.monotonic() < until_s, "the ack does not reach the agent"
            time.sleep(0.05)
    finally:
        publisher.stop()
        link.stop()
        spool.close()
