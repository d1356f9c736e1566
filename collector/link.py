"""The collector's MQTT session: messages into the inbox, acks out; paho reconnects by itself."""

from __future__ import annotations

import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from agent import wire, wire_enrol
from agent.wire import WireError
from collector import private
from collector.config import Mqtt
from collector.desk import Desk
from collector.ingest import Counters, Inbox, Message

# A broker that restarts is back within a second; one that is down should not be hammered.
RECONNECT_MIN_S, RECONNECT_MAX_S = 1, 30
KEEPALIVE_S = 30
# Best throughput with QoS 1 is between 20 and 100 in flight.
IN_FLIGHT = 50
# Acks wait here only between a broken connection and paho's notice of it.
QUEUED_ACKS = 1_000
# Status is a line of text; the names of its topics come from whoever may publish.
STATUS_BYTES = 1_000
STATUS_TOPICS = 10_000


class Link:
    """One session; `statuses` holds each agent's last (retained) status."""

    def __init__(
        self,
        config: Mqtt,
        org: str,
        inbox: Inbox,
        counters: Counters,
        acks: Callable[[], Iterable[tuple[str, bytes]]],
        key: Ed25519PrivateKey,
        say: Callable[[str], None],
        desk: Desk | None = None,
    ) -> None:
        self._org, self._inbox, self._counters, self._acks = org, inbox, counters, acks
        self._key, self._desk, self._say = key, desk, say
        self._told = ""  # the last word on the connection; the same again is not said again
        self._stopping = False
        self._host, self._port = config.host, config.port
        self.statuses: dict[tuple[str, str], bytes] = {}
        self.connected = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, f"hashledger-collector-{org}", clean_session=True
        )
        if config.username is not None:
            file = config.password_file
            password = private.read(file).decode().strip() if file else None
            self._client.username_pw_set(config.username, password)
        self._tls, self._certificate = None, (config.client_cert_file, config.client_key_file)
        if config.ca_file is not None:
            self._tls = ssl.create_default_context(cafile=config.ca_file)
            self.take_certificate()
            self._client.tls_set_context(self._tls)
        self._client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
        self._client.max_inflight_messages_set(IN_FLIGHT)
        self._client.max_queued_messages_set(QUEUED_ACKS)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Connect in the background, and again whenever the connection is lost."""
        self._client.connect_async(self._host, self._port, KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect; what agents send meanwhile they send again."""
        self._stopping = True
        self._client.disconnect()
        self._client.loop_stop()

    def take_certificate(self) -> None:
        """Read our certificate (again); from the next connection on it is the one shown."""
        certificate, key = self._certificate
        if self._tls is not None and certificate is not None:
            private.read(key or certificate)  # for its check of who may read it
            self._tls.load_cert_chain(certificate, key)

    def publish(self, words: Iterable[tuple[str, bytes]], retain: bool = True) -> None:
        """Sign and send; without a connection they are left out: connecting sends the current ones."""
        if self.connected.is_set():
            for topic, body in words:
                self._client.publish(topic, wire.sign_word(topic, body, self._key), qos=1, retain=retain)

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._tell(f"refuses: {reason}")
            return
        self._tell("connected")
        client.subscribe(
            [(wire.topic(self._org, "+", "+", leaf), 1) for leaf in ("batch", "status", "renew")]
        )
        client.subscribe(wire_enrol.enrol_topic("+", "request"), 1)
        self.connected.set()
        self.publish(self._acks())

    def _on_connect_fail(self, *_: Any) -> None:
        self._tell(str(sys.exception()))  # paho calls this while it handles the error

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if self.connected.is_set() and not self._stopping:
            self._tell(f"connection lost: {reason}")
        self.connected.clear()

    def _tell(self, what: str) -> None:
        if what != self._told:
            self._told = what
            self._say(f"broker {self._host}:{self._port}: {what}")

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            _, site, agent, leaf = wire.parse_topic(message.topic)
        except WireError:
            site = agent = leaf = ""
        if leaf == "batch":
            received_us = time.time_ns() // 1000
            if not self._inbox.put(Message(message.topic, bytes(message.payload), received_us)):
                self._counters.dropped += 1
        elif leaf == "status" and (len(self.statuses) < STATUS_TOPICS or (site, agent) in self.statuses):
            self.statuses[site, agent] = bytes(message.payload[:STATUS_BYTES])
        elif self._desk is not None and (leaf == "renew" or message.topic.endswith("/request")):
            self._desk.put(message.topic, bytes(message.payload))
        # Anything else: amqtt 0.12 gives a returning session what is retained for anybody's subscriptions.
