"""Sends the spool to the collector over MQTT: go-back-N against the collector's own acknowledgements.

The broker is trusted for nothing (it may acknowledge and then lose): what counts is the retained `ack` topic.
The publisher keeps at most WINDOW batches, or WINDOW_BYTES, beyond the last confirmed one under way; where
no confirmation comes for RESEND_S, or the collector says again where it stands, it goes back and sends from
there.

With the collector's public key at hand, only what that key has signed for our topic counts; anything else is
counted, logged and ignored. A genuine old ack, replayed, makes us go back as a restored collector's does: it
costs one window sent again, at most every BACK_EVERY_S, deletes nothing (the kept window), and ends with the
collector's next ack.

A collector restored from a backup older than the kept window asks for what is no longer here. Then nothing
more is deleted, the loss is logged with its numbers, and the oldest batch is shown every RESEND_S, from which
the collector sees the same.
"""

from __future__ import annotations

import logging
import ssl
import sys
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from agent import private, wire
from agent.config import MqttSection
from agent.renewal import Renewal
from agent.spool import Author, Spool

log = logging.getLogger("hashledger.publish")

# One group of the collector's: what a commit costs goes by the device, hardly by the batch.
WINDOW = 200
# What paho and the broker hold of it; the agent stays within its 150 MiB.
WINDOW_BYTES = 16 * 1024 * 1024
IN_FLIGHT = 50  # messages between us and the broker: 20 to 100 gave paho its best rate, 1,000 halved it
RESEND_S = 10.0  # a collector commits within a second; ten say the broker or it has forgotten
BACK_EVERY_S = 1.0  # one lost batch is answered by many acks that say the same; go back for them once
FIRST_ACK_S = 3.0  # a retained ack comes at once; without one the collector has never heard of us
KEEPALIVE_S = 30


class Publisher:
    """One MQTT connection of one agent; `start`, then `wake` after every append; `stop` says goodbye."""

    def __init__(self, spool: Spool, author: Author, settings: MqttSection) -> None:
        self._spool = spool
        self._settings = settings
        self._topics = {
            leaf: wire.topic(author.org, author.site, author.agent, leaf)
            for leaf in ("batch", "status", "ack", "register")
        }
        self._collector_key = settings.collector_key()
        self.refused_words = 0  # messages in the collector's name that it has not signed
        self._tls: ssl.SSLContext | None = None
        certificate = settings.client_cert_file if settings.client_key_file is None else None
        self._renewal = Renewal(author, certificate) if certificate and self._collector_key else None
        self._wake = threading.Condition()
        self._stopping = False
        self._paused = False
        self._connected_s: float | None = None  # monotonic
        self._failure = ""  # why the last try to connect failed; the same again is not told again
        self._ack: wire.Ack | None = None  # newest, not yet looked at
        self._acked_seq = -1  # -1: unknown until the first ack of this connection
        self._next_seq = 1
        self._sent: dict[int, int] = {}  # seq -> bytes of what is under way
        self._progress_s = 0.0
        self._behind_gap: int | None = None  # the oldest batch here, if the collector lacks some before it
        self._gap_told = (0, 0)  # where the collector stood, and the oldest batch; the same is told once
        self._back_wanted = False
        self._went_back_s = 0.0
        self._register: list[wire.Inventory] | None = None
        self._register_wanted = False
        self._client = self._make_client(author)
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)

    @property
    def connected(self) -> bool:
        return self._connected_s is not None

    def want_register(self) -> None:
        """Before `start`: ask for the site's register on connecting."""
        self._register_wanted = True

    def take_register(self, wait_s: float) -> list[wire.Inventory] | None:
        """The site's register, waiting up to `wait_s` for it; None: it has not come yet, and is wanted on."""
        with self._wake:
            self._wake.wait_for(lambda: self._register is not None or self._stopping, wait_s)
            register, self._register = self._register, None
            self._register_wanted = register is None
        if register is not None:
            self._client.unsubscribe(self._topics["register"])
        return register

    def start(self) -> None:
        """Connect in the background, for as long as it takes (retry with backoff)."""
        self._client.connect_async(self._settings.host, self._settings.port, KEEPALIVE_S)
        self._client.loop_start()
        self._thread.start()

    def wake(self) -> None:
        """There may be something to send."""
        with self._wake:
            self._wake.notify()

    def stop(self, drain_s: float = 0.0) -> bool:
        """Wait up to `drain_s` for the spool to be confirmed, then disconnect; True if all is confirmed."""
        until_s = time.monotonic() + drain_s
        while (waiting := self._spool.depth().waiting) and time.monotonic() < until_s:
            time.sleep(0.05)
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout=5)
        if self.connected:
            self._client.publish(self._topics["status"], b"stopped", qos=1, retain=True).wait_for_publish(2)
        self._client.disconnect()
        self._client.loop_stop()
        return not waiting

    def pause(self) -> None:
        """Cut the uplink (a rehearsal's outage); the spool goes on filling."""
        self._paused = True
        self._client.disconnect()
        self._client.loop_stop()

    def resume(self) -> None:
        """The uplink is back."""
        self._paused = False
        self._client.connect_async(self._settings.host, self._settings.port, KEEPALIVE_S)
        self._client.loop_start()

    # ---- the network thread: notes what happened, decides nothing

    def _make_client(self, author: Author) -> mqtt.Client:
        settings = self._settings
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"hashledger-{author.org}-{author.site}-{author.agent}",
            clean_session=True,  # nothing in the broker's memory is relied upon
        )
        client.max_inflight_messages_set(IN_FLIGHT)
        client.reconnect_delay_set(min_delay=1, max_delay=60)
        client.will_set(self._topics["status"], b"dead", qos=1, retain=True)
        if settings.username is not None:
            file = settings.password_file
            client.username_pw_set(settings.username, private.read(file).decode().strip() if file else None)
        if settings.ca_file is not None:
            self._tls = ssl.create_default_context(cafile=settings.ca_file)
            self._take_certificate()
            client.tls_set_context(self._tls)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _take_certificate(self) -> None:
        """Read our certificate (again); from the next connection on it is the one shown."""
        certificate, key = self._settings.client_cert_file, self._settings.client_key_file
        if self._tls is not None and certificate is not None:
            private.check(key or certificate)
            self._tls.load_cert_chain(certificate, key)

    def _on_connect_fail(self, _client: mqtt.Client, _user: object) -> None:
        failure = str(sys.exception())  # paho calls this while it handles the error
        if failure != self._failure:
            log.warning("broker %s:%d: %s", self._settings.host, self._settings.port, failure)
        self._failure = failure

    def _on_connect(
        self, client: mqtt.Client, _user: object, _flags: object, reason: ReasonCode, _more: object
    ) -> None:
        if reason.is_failure:
            log.warning("broker %s:%d refuses: %s", self._settings.host, self._settings.port, reason)
            return
        client.subscribe(self._topics["ack"], qos=1)
        if self._register_wanted:
            client.subscribe(self._topics["register"], qos=1)
        if self._renewal is not None:
            client.subscribe(self._renewal.answer_topic, qos=1)
        client.publish(self._topics["status"], b"alive", qos=1, retain=True)
        self._failure = ""
        with self._wake:
            self._connected_s = time.monotonic()
            self._acked_seq = -1
            self._ack = None
            self._wake.notify()

    def _on_disconnect(
        self, _client: mqtt.Client, _user: object, _flags: object, reason: ReasonCode, _more: object
    ) -> None:
        if not (self._stopping or self._paused):
            log.warning("broker %s:%d: connection lost: %s", self._settings.host, self._settings.port, reason)
        with self._wake:
            self._connected_s = None

    def _on_message(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        take = {self._topics["ack"]: self._on_ack}
        if self._register_wanted:
            take[self._topics["register"]] = self._on_register
        if self._renewal is not None:
            take[self._renewal.answer_topic] = self._on_certificate
        if message.topic not in take:
            return  # the embedded broker hands retained messages of other topics to a new session
        try:
            body = wire.open_word(message.topic, bytes(message.payload), self._collector_key)
        except wire.WireError as error:
            self.refused_words += 1
            log.error("%s: forged, refused: %s", message.topic, error)
            return
        try:
            take[message.topic](body)
        except wire.WireError as error:
            log.warning("%s: %s", message.topic, error)

    def _on_ack(self, body: bytes) -> None:
        ack = wire.decode_ack(body)
        with self._wake:
            self._ack = ack
            self._wake.notify()

    def _on_register(self, body: bytes) -> None:
        register = wire.decode_register(body)
        with self._wake:
            self._register = register
            self._wake.notify_all()

    def _on_certificate(self, body: bytes) -> None:
        if self._renewal is not None and self._renewal.take(body):
            self._take_certificate()

    # ---- the sending thread

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._ack is None:
                    self._wake.wait(timeout=0.5)
                if self._stopping:
                    return
                ack, self._ack = self._ack, None
                connected_s = self._connected_s
            if ack is not None:
                self._take(ack)
            if connected_s is not None:
                self._send(connected_s)
                if self._renewal is not None and (request := self._renewal.request()) is not None:
                    self._client.publish(self._renewal.topic, request, qos=1)

    def _take(self, ack: wire.Ack) -> None:
        behind_gap = self._spool.first_behind_gap(ack.seq)
        if behind_gap is not None:
            self._stuck(ack.seq, behind_gap)
            return
        self._behind_gap, self._gap_told = None, (0, 0)
        if not self._spool.acknowledge(ack.seq, ack.hash):
            log.error("the collector confirms batch %d with a hash that is not ours: ignored", ack.seq)
            return
        if self._acked_seq < 0:
            self._next_seq = ack.seq + 1  # the first word on this connection: all after it has to be sent
        # Said again, or less than before: everything after it has to be sent again.
        self._back_wanted = 0 <= ack.seq <= self._acked_seq
        self._acked_seq = ack.seq
        self._next_seq = max(self._next_seq, ack.seq + 1)
        self._progress_s = time.monotonic()

    def _stuck(self, seq: int, first: int) -> None:
        """The collector lacks what was deleted here long ago: keep what is left, and show it the first."""
        if self._gap_told != (seq, first):
            self._gap_told = (seq, first)
            self._behind_gap, self._progress_s = first, time.monotonic() - RESEND_S
            log.error(
                "the collector stands at batch %d, and batches %d to %d are no longer in the spool: it cannot"
                " go on before they are found in a newer backup of it; nothing is deleted here meanwhile",
                seq, seq + 1, first - 1,
            )  # fmt: skip
            self._spool.unconfirm()
        self._acked_seq, self._next_seq = first - 1, first

    def _send(self, connected_s: float) -> None:
        now_s = time.monotonic()
        if self._behind_gap is not None:
            # Its number tells the collector what is missing; the rest would only be sent in vain.
            if now_s - self._progress_s >= RESEND_S:
                self._progress_s = now_s
                for _, packet in self._spool.packets(self._behind_gap, 1):
                    self._client.publish(self._topics["batch"], packet, qos=1)
            return
        if self._acked_seq < 0:
            if now_s - connected_s < FIRST_ACK_S:
                return
            self._acked_seq = self._spool.depth().acked_seq
            self._next_seq = self._acked_seq + 1
            self._progress_s = now_s
        if self._back_wanted and now_s - self._went_back_s >= BACK_EVERY_S:
            self._back_wanted, self._went_back_s = False, now_s
            self._next_seq = self._acked_seq + 1
        under_way = self._next_seq - 1 - self._acked_seq
        if under_way and now_s - self._progress_s > RESEND_S:
            log.warning(
                "no confirmation for %d batches: sending again from %d", under_way, self._acked_seq + 1
            )
            self._next_seq = self._acked_seq + 1
            self._progress_s = now_s
            under_way = 0
        self._sent = {s: size for s, size in self._sent.items() if self._acked_seq < s < self._next_seq}
        room_bytes = WINDOW_BYTES - sum(self._sent.values())
        for seq, packet in self._spool.packets(self._next_seq, WINDOW - under_way, room_bytes):
            if self._client.publish(self._topics["batch"], packet, qos=1).rc != mqtt.MQTT_ERR_SUCCESS:
                return
            if not under_way:
                self._progress_s = now_s
                under_way = 1
            self._sent[seq] = len(packet)
            self._next_seq = seq + 1
