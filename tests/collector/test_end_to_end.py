"""A real broker, a real collector process, and an agent that resends until it is acknowledged."""

from __future__ import annotations

import json
import queue
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent import wire
from collector import broker, config
from collector.ingest import Counters, Inbox
from collector.ledger import tables
from collector.ledger.profile import SiteLedger
from collector.link import Link
from collector.store import Store
from tests.collector.databases import configured, ledger_url
from tests.collector.support import AGENT, ORG, SITE, T0, Agent, S, key_of, sweep
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 20
DEVICES = [bytes([n]) * 16 for n in range(1, 5)]
CONFIG = """
[collector]
org = "{org}"
state_dir = "state"
metrics = "127.0.0.1:{metrics}"
[mqtt]
port = {port}
embedded = {embedded}
[[agent]]
site = "{site}"
name = "{agent}"
public_key = "{key}"
[site.{site}]
name = "North"
country = "ru"
zone = "Asia/Irkutsk"
"""


class Sender:
    """An agent on the wire: sends what is not acknowledged yet, again and again."""

    def __init__(self, port: int, client_id: str = AGENT) -> None:
        self.agent = Agent()
        self.acks: queue.Queue[wire.Ack] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe(wire.topic(ORG, SITE, AGENT, "ack"), 1)
        self.client.on_message = lambda _c, _d, message: self.acks.put(_ack(message))
        self.client.will_set(wire.topic(ORG, SITE, AGENT, "status"), b"dead", 1, retain=True)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            self.client.publish(self.agent.topic, packet, qos=1)

    def acknowledged(self, seq: int, *resend: bytes) -> wire.Ack:
        """The ack of at least `seq`; `resend` goes out again after every second without one."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                ack = self.acks.get(timeout=1)
            except queue.Empty:
                self.send(*resend)
                continue
            if ack.seq >= seq:
                return ack
        raise AssertionError(f"no ack of {seq}")


def _ack(message: mqtt.MQTTMessage) -> wire.Ack:
    return wire.decode_ack(wire.open_word(message.topic, message.payload, None))


class Farm:
    """A collector process and its files."""

    def __init__(self, folder: Path, port: int, embedded: bool) -> None:
        self.folder, self.port, self.metrics = folder, port, free_port()
        self.path = folder / "collector.toml"
        text = CONFIG.format(
            org=ORG, site=SITE, agent=AGENT, key=Agent().public_text, port=port, metrics=self.metrics,
            embedded=str(embedded).lower(),
        )  # fmt: skip
        self.path.write_text(configured(folder, text))
        self.start()

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "collector", *words, "--config", str(self.path)]

    def start(self) -> None:
        self.process = subprocess.Popen(self.command("run"), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        while "metrics http://127.0.0.1" not in (line := self.process.stdout.readline()):
            assert line, "it has ended"

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT_S)

    def status(self) -> dict[str, object]:
        words = self.command("status", "--json")
        return dict(json.loads(subprocess.run(words, cwd=ROOT, check=True, capture_output=True).stdout))


@pytest.fixture
def port() -> Iterator[int]:
    number = free_port()
    child = broker.start_child(number)
    yield number
    broker.stop_child(child)


def batches(agent: Agent, count: int) -> list[bytes]:
    now_us = time.time_ns() // 1000
    start_s = (now_us - T0) // S - 30 * count
    return [
        agent.batch(
            sweep(start_s + 30 * n, [{"device": device, "power_w": 3000 + n} for device in DEVICES]),
            created_us=now_us,
        )
        for n in range(count)
    ]


@pytest.mark.usefixtures("both_stores")
def test_killed_in_between_and_every_reading_is_there_once(tmp_path: Path, port: int) -> None:
    farm = Farm(tmp_path, port, embedded=False)
    sender = Sender(port)
    sent = batches(sender.agent, 60)
    forged = Agent(key=key_of(7)).batch()
    sender.send(sent[0], sent[1], sent[0], sent[3], forged, b"junk", sent[2])
    sender.acknowledged(3, *sent[:4], forged, b"junk")
    sender.send(*sent[3:30])
    sender.acknowledged(10, *sent[3:30])
    assert farm.end(signal.SIGKILL) == -signal.SIGKILL
    sender.send(*sent[10:40])
    farm.start()
    assert sender.acknowledged(60, *sent).hash == wire.open_packet(sent[-1]).hash
    page = urllib.request.urlopen(f"http://127.0.0.1:{farm.metrics}/metrics").read().decode()
    assert f'hashledger_agent_last_seq{{agent="{AGENT}",site="{SITE}"}} 60.0' in page
    assert "hashledger_broker_connected 1.0" in page
    status = farm.status()
    assert [row["last_seq"] for row in status["agents"]] == [60]
    refused = {row["reason"]: row["detail"] for row in status["set_aside"]}
    assert set(refused) == {"signature", "envelope"}, refused
    assert farm.end(signal.SIGTERM) == 0

    settings = config.load(farm.path)
    ledger = Store.open(settings.ledger_url)
    again = Store.open(ledger_url(tmp_path / "again.sqlite3"))
    tables.catch_up(again, ORG, settings.journal_dir)
    content = tables.contents(ledger)
    assert content == tables.contents(again)
    assert [row.seq for row in content["batch"]] == list(range(1, 61))
    exact_wh = sum((3000 + n + 0.5) * 30 / 3600 for n in range(59))
    with ledger.read() as connection:
        by_origin_wh, _ = SiteLedger(connection, ORG, SITE).all_time()
    assert by_origin_wh.keys() == {"psu_measured"}
    assert 0 <= exact_wh * len(content["device"]) - by_origin_wh["psu_measured"] < len(content["device"])
    subprocess.run(farm.command("rebuild"), cwd=ROOT, check=True, capture_output=True)
    subprocess.run(farm.command("verify"), cwd=ROOT, check=True, capture_output=True)
    rebuilt = Store.open(settings.ledger_url)
    assert tables.contents(rebuilt) == content


def test_embedded_broker_lives_and_dies_with_the_collector(tmp_path: Path) -> None:
    port = free_port()
    farm = Farm(tmp_path, port, embedded=True)
    sender = Sender(port)
    assert sender.acknowledged(3, *batches(sender.agent, 3)).seq == 3
    late = Sender(port, "late")  # the ack is retained: an agent that comes later learns where it stands
    assert late.acknowledged(3).seq == 3
    assert farm.end(signal.SIGINT) == 0
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    farm.start()
    assert late.acknowledged(3).seq == 3  # the broker has forgotten it, the collector has not
    farm.end(signal.SIGKILL)
    deadline = time.monotonic() + TIMEOUT_S
    while socket.socket().connect_ex(("127.0.0.1", port)) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_embedded_broker_hears_loopback_alone(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=1).close()
    with pytest.raises(ConnectionRefusedError):  # an address of this machine, too: bound to all, it answers
        socket.create_connection(("127.0.0.2", port), timeout=1)


def test_last_will_is_seen(tmp_path: Path, port: int) -> None:
    link = Link(config.Mqtt(port=port), ORG, Inbox(), Counters(), list, key_of(9), print)
    link.start()
    assert link.connected.wait(TIMEOUT_S)
    sender = Sender(port)
    sender.client.publish(wire.topic(ORG, SITE, AGENT, "status"), b"born", 1, retain=True)
    _wait(lambda: link.statuses.get((SITE, AGENT)) == b"born")
    sock = sender.client.socket()
    assert sock is not None
    sender.client.loop_stop()
    sock.close()  # without DISCONNECT
    _wait(lambda: link.statuses[SITE, AGENT] == b"dead")
    link.stop()


def test_link_says_once_why_it_has_no_broker_and_when_it_has() -> None:
    port, told = free_port(), list[str]()
    link = Link(config.Mqtt(port=port), ORG, Inbox(), Counters(), list, key_of(9), told.append)
    link.start()
    _wait(lambda: bool(told))
    child = broker.start_child(port)
    try:
        assert link.connected.wait(TIMEOUT_S)
        assert [line.partition(f":{port}: ")[2] for line in told] == [
            "[Errno 111] Connection refused",
            "connected",
        ]
    finally:
        link.stop()
        broker.stop_child(child)
    assert len(told) == 2, "a link that is told to stop has lost nothing"


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
