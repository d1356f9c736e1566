"""Enrolment, the box's side: with the bundle it asks for its certificate, over MQTT or by a file.

All connections go outwards. Keys are made here and stay; a try that was cut off is simply made again.
"""

from __future__ import annotations

import base64
import contextlib
import queue
import ssl
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from agent import certificate, private, wire, wire_enrol
from agent.wire_enrol import Bundle, Request

CA_FILE, COLLECTOR_FILE = "ca.crt", "collector.pub"
# A running collector answers within a second; it may just be restarting.
ANSWER_WAIT_S = 30.0
ASK_AGAIN_S = 5.0


class EnrolError(Exception):
    """The box is not enrolled; the text says why and what would be right."""


def open_bundle(path: Path) -> Bundle:
    """The bundle in a file; EnrolError if it is none, or others than its owner may read it."""
    try:
        return wire_enrol.decode_bundle(private.read(path))
    except private.PrivateFileError as error:
        raise EnrolError(str(error)) from error
    except wire.WireError as error:
        raise EnrolError(f"{path}: {error}") from error


def check_time(bundle: Bundle, now_us: int) -> None:
    """EnrolError if the bundle has run out by this box's clock."""
    if now_us >= bundle.expires_us:
        until = datetime.fromtimestamp(bundle.expires_us // 1_000_000, UTC)
        raise EnrolError(
            f"the bundle was good until {until:%F %T} UTC; have another one made, or set this box's clock"
        )


def request(bundle: Bundle, state_dir: Path, key: Ed25519PrivateKey) -> bytes:
    """The request for this box's certificate, as it goes over MQTT."""
    name = wire_enrol.common_name(bundle.org, bundle.site, bundle.agent)
    wish = Request(
        wire.VERSION, bundle.id, key.public_key().public_bytes_raw(), certificate.request(state_dir, name)
    )
    return wire_enrol.seal_request(_topic(bundle, "request"), wish, key, bundle.token)


def request_file(bundle: Bundle, state_dir: Path, key: Ed25519PrivateKey) -> bytes:
    """The same as a file for `hashledger collector enroll --sign`."""
    return msgspec.msgpack.encode((_topic(bundle, "request"), request(bundle, state_dir, key)))


def finish(bundle: Bundle, state_dir: Path, message: bytes) -> datetime:
    """Take the collector's answer, and keep whom to trust from now on; until when the certificate is good."""
    try:
        answer = wire_enrol.decode_answer(
            wire.open_word(_topic(bundle, "answer"), message, bundle.collector_key)
        )
    except wire.WireError as error:
        raise EnrolError(f"the answer is not the collector's: {error}") from error
    if not answer.certificate:
        raise EnrolError(f"the collector refuses: {answer.refused}")
    private.write(state_dir / CA_FILE, bundle.ca.encode())
    private.write(state_dir / COLLECTOR_FILE, base64.b64encode(bundle.collector_key) + b"\n")
    try:
        return certificate.install(state_dir, answer.certificate)
    except certificate.CertificateError as error:
        raise EnrolError(f"the collector's answer: {error}") from error


def ask(bundle: Bundle, message: bytes, wait_s: float = ANSWER_WAIT_S) -> bytes:
    """Send a request to the bundle's broker until it is answered; EnrolError if no answer comes."""
    answers: queue.Queue[bytes] = queue.Queue()
    where = f"broker {bundle.host}:{bundle.port}"
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"hashledger-enroll-{bundle.id}")
    client.tls_set_context(_tls(bundle))

    def on_connect(*_: object) -> None:
        client.subscribe(_topic(bundle, "answer"), qos=1)

    client.on_connect = on_connect
    client.on_message = lambda *arguments: answers.put(bytes(arguments[2].payload))
    try:
        client.connect(bundle.host, bundle.port)
    except OSError as error:
        raise EnrolError(f"{where}: {error}") from error
    client.loop_start()
    try:
        until_s = time.monotonic() + wait_s
        while time.monotonic() < until_s:
            if client.is_connected():
                client.publish(_topic(bundle, "request"), message, qos=1)
            with contextlib.suppress(queue.Empty):
                return answers.get(timeout=ASK_AGAIN_S if client.is_connected() else 0.2)
    finally:
        client.disconnect()
        client.loop_stop()
    raise EnrolError(
        f"{where}: no answer within {wait_s:.0f} s: is the collector running, the bundle let in at the broker"
        " (hashledger collector broker-config, then a reload), and not yet run out?"
    )


def _tls(bundle: Bundle) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=bundle.ca)
    # OpenSSL reads certificates from files only; this one is for its owner alone and gone at once.
    with tempfile.NamedTemporaryFile() as file:
        file.write((bundle.certificate_key + bundle.certificate).encode())
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _topic(bundle: Bundle, leaf: str) -> str:
    return wire_enrol.enrol_topic(bundle.id, leaf)
