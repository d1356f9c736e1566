"""mosquitto's configuration, written for exactly the agents on the roll: mutual TLS, default deny.

    DIR/mosquitto.conf  DIR/acl  DIR/ca.crt  DIR/crl.pem  DIR/server.crt  DIR/server.key

mosquitto 2.0 reads acl, crl.pem and the server's certificate anew on SIGHUP and keeps its connections
(measured with 2.0.11). The revocation list counts from the next handshake on; a connection that a revoked
agent still holds loses its rights with the acl, in the same moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent import wire, wire_enrol
from collector import ca, enrol, private
from collector.ca import Authority
from collector.config import Config
from collector.ingest import PACKET_BYTES
from collector.roll import Key, Roll

OWN_CERTIFICATE = "collector.pem"
# Topic and header beside the largest message that the collector takes.
PACKET_ROOM_BYTES = 64 * 1024

_CONF = """\
# Written by `hashledger collector broker-config`; written anew each time, changes here are lost.
# The broker between agents and collector. Nothing in its memory is relied upon: agents send again whatever
# the collector has not confirmed. It has to let the right ones in, and to stay bounded.

per_listener_settings false
allow_anonymous false
acl_file {seen}/acl

listener {port}
cafile {seen}/ca.crt
certfile {seen}/server.crt
keyfile {seen}/server.key
crlfile {seen}/crl.pem
tls_version tlsv1.2
# The certificate's common name is the user: ORG/SITE/AGENT. There are no passwords.
require_certificate true
use_identity_as_username true
# And the client id: else whoever is let in could take another's id, and throw it out with each connection.
use_username_as_clientid true

# 50 is what agents keep under way; 20 to 100 gave the best rate.
max_inflight_messages 50
# The default (1,000) drops acknowledged batches even with the collector online; 0 ("no limit") drops all of
# them in 2.0.16 and cuts clients off before 2.0.22 (mosquitto issues 2879 and 3244). The bound is in bytes,
# for a collector that is away: agents send their window again and again. What is dropped here comes again.
max_queued_messages 1000000
max_queued_bytes 268435456
# What the collector takes in one message, and room for topic and header. The whole packet is limited, not
# message_size_limit: that one confirms the batch and drops it, this one cuts the connection and says so.
max_packet_size {packet_bytes}
# A collector that was given up leaves no queue behind.
persistent_client_expiration 14d

# Spares a resend after a planned restart; retained states and acks are said anew on every connect anyway.
persistence true
persistence_location /var/lib/mosquitto/

# Started by root, it goes on as this user, who must be able to read the files above, at a reload too.
user mosquitto

# Not stdout: 2.0 holds that back in blocks of 4 KiB.
log_dest stderr
log_type error
log_type warning
log_type notice
# Names who asked for which topics: one line a subscription.
log_type subscribe
connection_messages true
# Names each message that is denied ("Denied PUBLISH from ..."), and all others: a dozen lines a batch.
# log_type debug
"""


def write(
    folder: Path,
    seen: Path,
    settings: Config,
    authority: Authority,
    roll: Roll,
    hosts: Sequence[str],
    now_us: int,
) -> None:
    """Write every file into `folder`, which the broker sees as `seen`; each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    now = ca.instant(now_us)
    _server_certificate(folder, authority, hosts, now)
    conf = _CONF.format(seen=seen, port=settings.mqtt.port, packet_bytes=PACKET_BYTES + PACKET_ROOM_BYTES)
    revoked = ca.revocation_list(authority, enrol.revoked_serials(roll, now_us), now)
    for name, content in (
        ("ca.crt", authority.pem.encode()),
        ("crl.pem", revoked),
        ("acl", acl(settings, roll, now_us).encode()),
        ("mosquitto.conf", conf.encode()),
    ):
        _write(folder / name, content, 0o644)


def acl(settings: Config, roll: Roll, now_us: int) -> str:
    """Who may say and hear what; what is not listed is denied."""
    org = settings.org
    out = [p for p in roll.pending if p.is_out(now_us)]
    agents = {*settings.agents, *roll.keys, *((p.site, p.agent) for p in out)} - roll.revoked
    blocks = [_block(collector_name(org), _collector_rights(org))]
    blocks += [
        _block(f"{org}/{site}/{agent}", _agent_rights(org, (site, agent))) for site, agent in sorted(agents)
    ]
    blocks += [_block(f"enroll/{p.id}", _bundle_rights(p.id)) for p in out]
    head = (
        "# Written by `hashledger collector broker-config`. What is not listed is denied. A denied batch is\n"
        "# still confirmed to an MQTT 3.1.1 client; what gives it away is that no ack ever comes for it.\n"
    )
    return head + "".join(f"\n{block}" for block in blocks)


def collector_name(org: str) -> str:
    """The common name of the collector's own certificate: one slash, where an agent's has two."""
    return f"{org}/collector"


def own_certificate(settings: Config, authority: Authority, now_us: int) -> bool:
    """The collector's own key and certificate in one file, renewed when due; True if it was written."""
    path, now = settings.ca_dir / OWN_CERTIFICATE, ca.instant(now_us)
    if path.exists():
        held = x509.load_pem_x509_certificate(private.read(path))
        if held.issuer == authority.certificate.subject and not ca.is_due(held, now):
            return False
    key = ec.generate_private_key(ec.SECP256R1())
    made = ca.issue_client(authority, collector_name(settings.org), key.public_key(), now)
    private.write(path, private.pem(key) + ca.pem(made).encode())
    return True


def _block(user: str, rights: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in (f"user {user}", *rights))


def _collector_rights(org: str) -> Iterator[str]:
    for leaf in ("batch", "status", "renew"):
        yield f"topic read {wire.topic(org, '+', '+', leaf)}"
    for leaf in ("ack", "register", "certificate"):
        yield f"topic write {wire.topic(org, '+', '+', leaf)}"
    yield f"topic read {wire_enrol.enrol_topic('+', 'request')}"
    yield f"topic write {wire_enrol.enrol_topic('+', 'answer')}"


def _agent_rights(org: str, name: Key) -> Iterator[str]:
    for leaf in ("batch", "status", "renew"):
        yield f"topic write {wire.topic(org, *name, leaf)}"
    for leaf in ("ack", "register", "certificate"):
        yield f"topic read {wire.topic(org, *name, leaf)}"


def _bundle_rights(bundle_id: str) -> Iterator[str]:
    yield f"topic write {wire_enrol.enrol_topic(bundle_id, 'request')}"
    yield f"topic read {wire_enrol.enrol_topic(bundle_id, 'answer')}"


def _server_certificate(folder: Path, authority: Authority, hosts: Sequence[str], now: datetime) -> None:
    # Kept while it is of this authority, for these names, and not due; its key is nowhere else.
    path, key_path = folder / "server.crt", folder / "server.key"
    if path.exists() and key_path.exists():
        held = x509.load_pem_x509_certificate(path.read_bytes())
        names = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if (
            held.issuer == authority.certificate.subject
            and not ca.is_due(held, now)
            and names == ca.host_names(hosts)
        ):
            return
    key = ec.generate_private_key(ec.SECP256R1())
    _write(key_path, private.pem(key), 0o640)
    _write(path, ca.pem(ca.issue_server(authority, hosts, key.public_key(), now)).encode(), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    # Not through private.write: the broker is another user and reads by the folder's group.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
