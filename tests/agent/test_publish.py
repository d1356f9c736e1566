"""The publisher against a real broker: what the collector has not confirmed is sent again, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from agent import publish, wire
from agent.config import MqttSection
from agent.publish import Publisher
from agent.spool import Author, Spool
from collector import broker
from demo.processes import free_ports

AUTHOR = Author("org", "site", "agent-1", Ed25519PrivateKey.generate(), True, "simulated")
WAIT_S = 20.0


class Collector:
    """The far end as the contract describes it: takes what is next, says where it stands, deaf at will."""

    def __init__(self, port: int) -> None:
        self.seqs: list[int] = []  # every packet that came, in order
        self.committed, self.hash = 0, wire.GENESIS
        self.deaf_to: Callable[[int], bool] = lambda seq: False
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, "collector")
        self.client.on_connect = lambda client, *_: client.subscribe("hashledger/v1/+/+/+/batch", qos=1)
        self.client.on_message = self._on_message
        self.client.reconnect_delay_set(1, 1)
        self.client.connect(broker.HOST, port)
        self.client.loop_start()
        self.say()

    def say(self, seq: int | None = None, hash_: bytes | None = None) -> None:
        ack = wire.encode_ack(self.committed if seq is None else seq, hash_ or self.hash)
        self.client.publish(wire.topic("org", "site", "agent-1", "ack"), ack, qos=1, retain=True)

    def _on_message(self, _client: object, _user: object, message: mqtt.MQTTMessage) -> None:
        packet = wire.open_packet(bytes(message.payload))
        self.seqs.append(packet.envelope.seq)
        if self.deaf_to(packet.envelope.seq):
            return
        if packet.envelope.seq == self.committed + 1 and packet.envelope.prev == self.hash:
            self.committed, self.hash = packet.envelope.seq, packet.hash
        self.say()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def port() -> Iterator[int]:
    (chosen,) = free_ports(1)
    child = broker.start_child(chosen)
    yield chosen
    broker.stop_child(child)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool.db", AUTHOR)
    yield made
    made.close()


def fill(spool: Spool, count: int) -> None:
    for number in range(count):
        spool.append([wire.Event(number, "test")], number)


def wait(holds: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def test_what_is_gone_from_the_spool_is_told_and_the_rest_is_kept(
    port: int, spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A collector restored from a backup older than the kept window: it stands at 2, the spool at 6."""
    monkeypatch.setattr(publish, "RESEND_S", 0.3)
    fill(spool, 9)
    packets = [wire.open_packet(packet) for _, packet in spool.packets(1, 9)]
    assert spool.acknowledge(6, packets[5].hash)
    assert spool.prune(keep_s=0) == 5
    assert spool.acknowledge(9, packets[8].hash)
    collector = Collector(port)
    collector.committed, collector.hash = 2, packets[1].hash
    collector.say()
    made = publisher(spool, port)
    try:
        wait(lambda: len(collector.seqs) >= 3 and "batches 3 to 5" in caplog.text)
        assert set(collector.seqs) == {6}  # shown, not all of it sent in vain
        assert caplog.text.count("batches 3 to 5 are no longer in the spool") == 1
        assert spool.prune(keep_s=0) == 0
        assert spool.depth().waiting == 4
        collector.committed, collector.hash = 5, packets[4].hash  # a newer backup was found
        collector.say()
        wait(lambda: spool.depth().waiting == 0)
        assert collector.committed == 9
    finally:
        made.stop()
        collector.close()


def publisher(spool: Spool, port: int) -> Publisher:
    made = Publisher(spool, AUTHOR, MqttSection(host=broker.HOST, port=port))
    made.start()
    return made


def test_a_backlog_arrives_in_order_and_is_confirmed(port: int, spool: Spool) -> None:
    fill(spool, 3 * publish.WINDOW)
    collector = Collector(port)
    sender = publisher(spool, port)
    assert sender.stop(drain_s=WAIT_S)
    assert collector.committed == 3 * publish.WINDOW
    collector.close()


def test_what_got_lost_on_the_way_is_sent_again(port: int, spool: Spool) -> None:
    fill(spool, 40)
    collector = Collector(port)
    lost = {3, 17, 18}

    def once(seq: int) -> bool:
        gone = seq in lost
        lost.discard(seq)
        return gone

    collector.deaf_to = once
    sender = publisher(spool, port)
    assert sender.stop(drain_s=WAIT_S)
    assert collector.committed == 40 and not lost
    collector.close()


def test_silence_is_answered_by_sending_again(
    port: int, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "RESEND_S", 0.5)
    fill(spool, 5)
    collector = Collector(port)
    collector.deaf_to = lambda seq: len(collector.seqs) <= 10  # two whole rounds go unheard
    sender = publisher(spool, port)
    assert sender.stop(drain_s=WAIT_S)
    assert collector.committed == 5
    collector.close()


def test_a_forged_confirmation_deletes_nothing(port: int, spool: Spool) -> None:
    fill(spool, 3)
    collector = Collector(port)
    collector.deaf_to = lambda seq: True
    collector.say(3, b"\1" * 32)
    sender = publisher(spool, port)
    assert not sender.stop(drain_s=1.5)
    assert spool.depth().waiting == 3
    collector.close()


def test_a_restarted_agent_sends_only_what_is_not_confirmed(port: int, spool: Spool) -> None:
    fill(spool, 10)
    collector = Collector(port)
    assert publisher(spool, port).stop(drain_s=WAIT_S)
    fill(spool, 5)
    collector.seqs.clear()
    assert publisher(spool, port).stop(drain_s=WAIT_S)
    assert collector.seqs == [11, 12, 13, 14, 15]
    collector.close()


def test_a_collector_restored_from_a_backup_gets_the_rest_again(port: int, spool: Spool) -> None:
    fill(spool, 10)
    collector = Collector(port)
    assert publisher(spool, port).stop(drain_s=WAIT_S)
    collector.committed = 4
    collector.hash = wire.open_packet(dict(spool.packets(4, 1))[4]).hash
    collector.say()
    sender = publisher(spool, port)
    until_s = time.monotonic() + WAIT_S
    while collector.committed < 10 and time.monotonic() < until_s:
        time.sleep(0.05)
    sender.stop(drain_s=WAIT_S)
    assert collector.committed == 10
    collector.close()


def test_an_uplink_that_goes_and_comes_back_loses_nothing(port: int, spool: Spool) -> None:
    collector = Collector(port)
    sender = publisher(spool, port)
    fill(spool, 5)
    sender.wake()
    sender.pause()
    fill(spool, 20)
    waiting = spool.depth().waiting
    sender.resume()
    assert waiting >= 20 and sender.stop(drain_s=WAIT_S)
    assert collector.committed == 25
    assert threading.active_count() < 20
    collector.close()


def test_the_broker_may_die_and_forget_everything(port: int, spool: Spool) -> None:
    (chosen,) = free_ports(1)
    child = broker.start_child(chosen)
    collector = Collector(chosen)
    fill(spool, 60)
    sender = publisher(spool, chosen)
    time.sleep(0.3)
    child.kill()
    child.wait()
    fill(spool, 60)
    child = broker.start_child(chosen)
    try:
        assert sender.stop(drain_s=WAIT_S + publish.RESEND_S)
        assert collector.committed == 120
    finally:
        collector.close()
        broker.stop_child(child)
