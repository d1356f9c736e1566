"""A real mosquitto with the shipped configuration on loopback, and a client to speak to it."""

from __future__ import annotations

import datetime
import ipaddress
import os
import queue
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion

from tests.deploy.files import DEPLOY

HOST = "127.0.0.1"
WAIT_S = 10
PASSWORDS = {"collector": "c-secret", "site-1-agent-1": "a-secret", "site-2-agent-1": "b-secret"}


@dataclass(frozen=True)
class Broker:
    """Where the running broker is and what it was made of."""

    port: int
    folder: Path

    @property
    def ca_file(self) -> Path:
        return self.folder / "certs" / "ca.crt"


@contextmanager
def running(program: str, folder: Path) -> Iterator[Broker]:
    """The shipped mosquitto.conf and acl, with paths and port of a test; ended with the block."""
    broker = Broker(_free_port(), folder)
    _write(broker)
    log = folder / "log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [program, "-c", str(folder / "mosquitto.conf")], stdout=output, stderr=output
        )
        try:
            until_s = time.monotonic() + WAIT_S
            while not _listens(broker.port):
                assert child.poll() is None and time.monotonic() < until_s, log.read_text()
                time.sleep(0.05)
            yield broker
        finally:
            child.terminate()
            try:
                child.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _write(broker: Broker) -> None:
    folder = broker.folder
    conf = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text("utf-8")
    for shipped, here in [
        ("/etc/mosquitto/", f"{folder}/"),
        ("/var/lib/mosquitto/", f"{folder}/data/"),
        ("\nlistener 8883\n", f"\nlistener {broker.port} {HOST}\n"),
    ]:
        assert shipped in conf
        conf = conf.replace(shipped, here)
    (folder / "mosquitto.conf").write_text(conf)
    acl = (DEPLOY / "mosquitto" / "acl").read_text("utf-8")
    block = acl[acl.index("user site-1-agent-1") :]
    (folder / "acl").write_text(
        acl + "\n" + block.replace("site-1", "site-2")
    )  # as the file tells people to do
    (folder / "data").mkdir()
    (folder / "certs").mkdir()
    _certificates(folder / "certs")
    (folder / "passwords").touch()
    tool = shutil.which("mosquitto_passwd")
    assert tool is not None
    for user, password in PASSWORDS.items():
        subprocess.run([tool, "-b", str(folder / "passwords"), user, password], check=True, timeout=30)
    if os.geteuid() == 0:  # the broker goes on as `user mosquitto`
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, "mosquitto", "mosquitto")


def _certificates(folder: Path) -> None:
    """A CA and a server certificate for loopback, both for a day."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    ca_id = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())

    def certificate(
        name: x509.Name, public: ec.EllipticCurvePublicKey, extensions: list[tuple[x509.ExtensionType, bool]]
    ) -> bytes:
        builder = x509.CertificateBuilder(ca_name, name, public, x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(minutes=5))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    usage = dict.fromkeys(_KEY_USAGES, False) | {"key_cert_sign": True, "crl_sign": True}
    (folder / "ca.crt").write_bytes(
        certificate(
            ca_name,
            ca_key.public_key(),
            [
                (x509.BasicConstraints(ca=True, path_length=0), True),
                (x509.KeyUsage(**usage), True),
                (ca_id, False),
            ],
        )
    )
    (folder / "server.crt").write_bytes(
        certificate(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test broker")]),
            key.public_key(),
            [
                (x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), False),
                (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_id), False),
            ],
        )
    )
    (folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


_KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


class Client:
    """A paho client over TLS; `messages` are (topic, payload) as they came."""

    def __init__(self, broker: Broker, user: str | None, password: str | None = None) -> None:
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: queue.Queue[bool] = queue.Queue()  # is the connection refused?
        self._subscribed: queue.Queue[int] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        if user is not None:
            self._client.username_pw_set(user, PASSWORDS[user] if password is None else password)
        self._client.tls_set_context(ssl.create_default_context(cafile=broker.ca_file))
        self._client.on_connect = lambda *a: self._answers.put(a[3].is_failure)
        self._client.on_subscribe = lambda *a: self._subscribed.put(a[2])
        self._client.on_message = lambda *a: self.messages.put((a[2].topic, bytes(a[2].payload)))
        self._client.connect(HOST, broker.port)
        self._client.loop_start()
        self.refused = self._answers.get(timeout=WAIT_S)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

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
