"""A real mosquitto as `hashledger collector broker-config` sets it up, its farm, and a client for it."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
from click.testing import CliRunner
from paho.mqtt.enums import CallbackAPIVersion

import agent.config
import collector.config
from hashledger import main
from tests.ports import free_port

HOST = "127.0.0.1"
WAIT_S = 10
ORG = "my-farm"
CONFIG = """
[collector]
org = "{org}"
state_dir = "state"
metrics = "127.0.0.1:{metrics}"
[mqtt]
host = "127.0.0.1"
port = {port}
ca_file = "state/ca/ca.crt"
client_cert_file = "state/ca/collector.pem"
[site.site-1]
name = "One"
country = "kz"
zone = "UTC"
[site.site-2]
name = "Two"
country = "kz"
zone = "UTC"
"""
# A broker whose rights have failed, or that is itself the enemy: somebody who may say and hear everything.
ROGUE = f"\nuser {ORG}/rogue\ntopic readwrite #\n"


def call(*words: object) -> str:
    """What a command of `hashledger` prints; it has to succeed."""
    result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@dataclass(frozen=True)
class Broker:
    """Where the running broker is; in `folder`, farm/ is the collector's, m/ its own, a folder an agent's."""

    program: str
    port: int
    metrics: int
    folder: Path

    @property
    def ca_file(self) -> Path:
        return self.folder / "m" / "ca.crt"

    @property
    def config(self) -> Path:
        return self.folder / "farm" / "collector.toml"

    @property
    def settings(self) -> collector.config.Config:
        return collector.config.load(self.config)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def certificate(self, user: str) -> Path:
        """Key and certificate of `collector` or of an agent, SITE-agent-N."""
        if user == "collector":
            return self.settings.ca_dir / "collector.pem"
        return self.folder / user / "agent-state" / "tls.pem"

    def agent(self, user: str) -> agent.config.Config:
        return agent.config.load(self.folder / user / "agent.toml")

    def collector(self, command: str, *words: object) -> str:
        return call("collector", command, "--config", self.config, *words)

    def bundle(self, user: str, *words: object) -> Path:
        """A new bundle for SITE-agent-N."""
        site, _, number = user.rpartition("-agent-")
        path = self.folder / f"{user}-{time.monotonic_ns()}.bundle"
        self.collector("enroll", site, f"agent-{number}", "--out", path, *words)
        return path

    def enrol(self, user: str) -> None:
        """The agent enrolled by the offline form: four commands, no broker."""
        bundle, config = self.bundle(user), self.folder / user / "agent.toml"
        request, answer = self.folder / f"{user}.request", self.folder / f"{user}.answer"
        call("agent", "enroll", bundle, "--config", config, "--request", request)
        self.collector("enroll", "--sign", request, "--out", answer)
        call("agent", "enroll", bundle, "--config", config, "--answer", answer)

    def write(self) -> None:
        """The broker's files for the roll as it stands; loopback, folder and log for a test."""
        folder = self.folder / "m"
        self.collector("broker-config", folder)
        conf = (folder / "mosquitto.conf").read_text()
        for shipped, here in [
            ("/var/lib/mosquitto/", f"{self.folder}/data/"),
            (f"\nlistener {self.port}\n", f"\nlistener {self.port} {HOST}\n"),
            ("# log_type debug", "log_type debug\nlog_type information"),  # as the file says; and its reloads
        ]:
            assert shipped in conf
            conf = conf.replace(shipped, here)
        (folder / "mosquitto.conf").write_text(conf)
        (folder / "acl").write_text((folder / "acl").read_text() + ROGUE)
        if os.geteuid() == 0:  # the broker goes on as `user mosquitto`
            for path in (self.folder, self.folder / "data", folder, *folder.iterdir()):
                shutil.chown(path, "mosquitto", "mosquitto")

    def reload(self, pid: int) -> None:
        """The same on the running broker, without a restart."""
        self.write()
        before = self.log.count("Reloading config")
        os.kill(pid, signal.SIGHUP)
        self.wait_log("Reloading config", before + 1)
        time.sleep(0.1)  # it says so before it does so

    def wait_log(self, text: str, count: int = 1) -> None:
        """Until the broker's log has `text` so many times."""
        until_s = time.monotonic() + WAIT_S
        while self.log.count(text) < count:
            assert time.monotonic() < until_s, f"{text!r} is not in:\n{self.log[-3000:]}"
            time.sleep(0.02)


@contextmanager
def running(program: str, folder: Path, users: tuple[str, ...]) -> Iterator[tuple[Broker, int]]:
    """A farm with these agents enrolled and its broker, with its process id; ended with the block."""
    broker = Broker(program, free_port(), free_port(), folder)
    (folder / "data").mkdir()
    broker.config.parent.mkdir()
    broker.config.write_text(CONFIG.format(org=ORG, port=broker.port, metrics=broker.metrics))
    broker.write()  # makes the authority
    for user in users:
        broker.enrol(user)
    broker.write()
    with (folder / "log").open("wb") as output:
        child = subprocess.Popen(
            [program, "-c", str(folder / "m" / "mosquitto.conf")], stdout=output, stderr=output
        )
        try:
            until_s = time.monotonic() + WAIT_S
            while not _listens(broker.port):
                assert child.poll() is None and time.monotonic() < until_s, broker.log
                time.sleep(0.05)
            yield broker, child.pid
        finally:
            child.terminate()
            try:
                child.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


class Client:
    """A paho client over TLS with the certificate in a file, or none; `messages` are (topic, payload)."""

    def __init__(
        self, broker: Broker, certificate: Path | None, client_id: str = "", will_topic: str = ""
    ) -> None:
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: queue.Queue[bool] = queue.Queue()  # is the connection refused?
        self._subscribed: queue.Queue[int] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id)
        if will_topic:
            self._client.will_set(will_topic, b"last will", qos=1)
        context = ssl.create_default_context(cafile=broker.ca_file)
        if certificate is not None:
            context.load_cert_chain(certificate)
        self._client.tls_set_context(context)
        self._client.on_connect = lambda *a: self._answers.put(a[3].is_failure)
        # TLS 1.3: a client learns that its certificate was refused after its side of the handshake.
        self._client.on_disconnect = lambda *a: self._answers.put(True)
        self._client.on_subscribe = lambda *a: self._subscribed.put(a[2])
        self._client.on_message = lambda *a: self.messages.put((a[2].topic, bytes(a[2].payload)))
        self._client.reconnect_delay_set(60, 60)
        self._client.connect(HOST, broker.port)
        self._client.loop_start()
        self.refused = self._answers.get(timeout=WAIT_S)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def drop(self) -> None:
        """Go without a goodbye: the broker publishes the last will."""
        self._client.loop_stop()
        connection = self._client.socket()
        assert connection is not None
        connection.close()

    @property
    def connected(self) -> bool:
        return self._client.is_connected()

    def subscribe(self, topic: str) -> None:
        """Subscribe and wait for the broker's word."""
        self._client.subscribe(topic, qos=1)
        self._subscribed.get(timeout=WAIT_S)

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Publish and wait until the broker has confirmed; it confirms what it denies as well."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(WAIT_S)

    def receive(self) -> tuple[str, bytes]:
        """The next message."""
        return self.messages.get(timeout=WAIT_S)
