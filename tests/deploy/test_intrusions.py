"""The matrix of intrusions, each tried against a real mosquitto, a running collector and the agent's parts.

Each is refused or detected, and named: in the log of broker, collector or agent, or in `collector status`.
Where the attack needs a broker that lets everything through, ROGUE is that broker. A changed bit in the
journal and a removed segment are tried where the journal is tested.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import agent.app
from agent import certificate, enrol, keys, wire, wire_enrol
from agent.publish import Publisher
from agent.spool import Author, Spool
from agent.wire import Event, Inventory
from collector import app, ca, private, roll
from hashledger import main
from tests.deploy.broker import HOST, ORG, WAIT_S, Broker, Client, call, running

A, B, REVOKED, STOLEN = "site-1-agent-1", "site-2-agent-1", "site-1-agent-9", "site-1-agent-8"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Farm:
    """The broker, its process id, and the running collector's output."""

    broker: Broker
    broker_pid: int
    said: Path

    def status(self) -> dict[str, set[str]]:
        """Reason -> details of everything that was set aside or refused."""
        rows = json.loads(self.broker.collector("status", "--json"))["set_aside"]
        return {row["reason"]: {r["detail"] for r in rows if r["reason"] == row["reason"]} for row in rows}

    def counted(self, result: str) -> float:
        """How many batches had this result, by the collector's metrics."""
        page = urllib.request.urlopen(f"http://127.0.0.1:{self.broker.metrics}/metrics").read().decode()
        name = f'hashledger_batches_total{{result="{result}"}} '
        return float(next(line for line in page.splitlines() if line.startswith(name)).removeprefix(name))

    def agents(self) -> dict[str, dict[str, object]]:
        """SITE-agent-N -> how the ledger stands with it."""
        rows = json.loads(self.broker.collector("status", "--json"))["agents"]
        return {f"{row['site']}-{row['agent']}": row for row in rows}

    def has(self, user: str, seq: int) -> bool:
        """Is the agent's batch `seq` the last one in the ledger?"""
        return self.agents().get(user, {}).get("last_seq") == seq

    def rogue(self) -> Client:
        return Client(self.broker, self.broker.folder / "rogue.pem")

    def author(self, user: str) -> Author:
        return agent.app.author(self.broker.agent(user))


@pytest.fixture(scope="module")
def farm(mosquitto: str) -> Iterator[Farm]:
    with (
        tempfile.TemporaryDirectory(prefix="hashledger-") as folder,
        running(mosquitto, Path(folder), (A, B, REVOKED, STOLEN)) as (broker, pid),
    ):
        key, authority = ec.generate_private_key(ec.SECP256R1()), app.open_authority(broker.settings)
        assert authority is not None
        rogue = ca.issue_client(authority, f"{ORG}/rogue", key.public_key(), certificate.now())
        private.write(Path(folder) / "rogue.pem", private.pem(key) + ca.pem(rogue).encode())
        said = Path(folder) / "said"
        with said.open("wb") as output:
            command = [sys.executable, "-u", "-m", "collector", "run", "--config", str(broker.config)]
            collector = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        try:
            until(lambda: "metrics http" in said.read_text(), said.read_text)
            yield Farm(broker, pid, said)
        finally:
            collector.terminate()
            collector.wait(WAIT_S)


def until(holds: Callable[[], object], told: Callable[[], object] = lambda: "") -> None:
    until_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until_s, told()
        time.sleep(0.02)


def topic(user: str, leaf: str) -> str:
    site, _, number = user.rpartition("-agent-")
    return wire.topic(ORG, site, f"agent-{number}", leaf)


def forger(author: Author) -> Author:
    return replace(author, key=Ed25519PrivateKey.generate())


def batches(folder: Path, author: Author, count: int = 1) -> list[bytes]:
    """Signed batches of an agent, as it would send them."""
    spool = Spool(folder / f"{time.monotonic_ns()}.db", author)
    for number in range(count):
        spool.append([Event(number, "test")], app.now_us())
    found = [packet for _, packet in spool.packets(1, count)]
    spool.close()
    return found


# ---- at the broker's door


def test_without_a_certificate_nobody_gets_in(farm: Farm) -> None:
    with Client(farm.broker, None) as client:
        assert client.refused
    farm.broker.wait_log("peer did not return a certificate")


def test_a_certificate_of_another_authority_is_refused(farm: Farm, tmp_path: Path) -> None:
    foreign, key = (
        ca.open_authority(tmp_path, ORG, certificate.now()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    made = ca.issue_client(foreign, f"{ORG}/site-1/agent-1", key.public_key(), certificate.now())
    private.write(tmp_path / "tls.pem", private.pem(key) + ca.pem(made).encode())
    before = farm.broker.log.count("certificate verify failed")
    with Client(farm.broker, tmp_path / "tls.pem") as client:
        assert client.refused
    farm.broker.wait_log("certificate verify failed", before + 1)


def test_a_certificate_that_has_run_out_is_refused(farm: Farm, tmp_path: Path) -> None:
    authority, key = app.open_authority(farm.broker.settings), ec.generate_private_key(ec.SECP256R1())
    assert authority is not None
    past = certificate.now() - timedelta(hours=1)
    made = ca.issue_client(authority, f"{ORG}/site-1/agent-1", key.public_key(), past, past)
    private.write(tmp_path / "tls.pem", private.pem(key) + ca.pem(made).encode())
    before = farm.broker.log.count("certificate verify failed")
    with Client(farm.broker, tmp_path / "tls.pem") as client:
        assert client.refused
    farm.broker.wait_log("certificate verify failed", before + 1)


def test_a_revoked_agent_is_out_at_once_and_its_key_counts_no_more(farm: Farm, tmp_path: Path) -> None:
    broker, author = farm.broker, farm.author(REVOKED)
    first, second = batches(tmp_path, author, 2)
    with (
        Client(broker, broker.certificate(REVOKED)) as held,
        Client(broker, broker.certificate(A)) as other,
        farm.rogue() as rogue,
    ):
        held.publish(topic(REVOKED, "batch"), first)
        until(lambda: farm.has(REVOKED, 1))
        broker.collector("revoke", "site-1", "agent-9")
        broker.reload(farm.broker_pid)
        rogue.subscribe(topic(REVOKED, "batch"))
        held.publish(topic(REVOKED, "batch"), second)  # over the connection that it still holds
        broker.wait_log("Denied PUBLISH")
        rogue.publish(topic(REVOKED, "batch"), b"own")
        assert rogue.receive() == (topic(REVOKED, "batch"), b"own"), (
            "the denied one came first, and did not come"
        )
        assert other.connected, "no downtime for the others"
        before = broker.log.count("certificate verify failed")
        with Client(broker, broker.certificate(REVOKED)) as again:
            assert again.refused
        broker.wait_log("certificate verify failed", before + 1)
        rogue.publish(topic(REVOKED, "batch"), second)  # past a broker that lets it through
        until(lambda: "not enrolled, or revoked" in farm.status().get("unknown agent", ()))
    assert farm.agents()[REVOKED]["revoked"]


# ---- topic rights


def test_an_agent_cannot_write_as_another(farm: Farm, tmp_path: Path) -> None:
    (packet,) = batches(tmp_path, farm.author(A))
    with Client(farm.broker, farm.broker.certificate(A)) as client, farm.rogue() as rogue:
        rogue.subscribe(topic(B, "batch"))
        before = farm.broker.log.count("Denied PUBLISH")
        client.publish(topic(B, "batch"), packet)
        farm.broker.wait_log("Denied PUBLISH", before + 1)
        assert f"'{topic(B, 'batch')}'" in farm.broker.log
        rogue.publish(topic(B, "batch"), packet)  # past a broker that lets it through
        assert rogue.receive() == (topic(B, "batch"), packet)
        until(lambda: f"the envelope is from {ORG}/site-1/agent-1" in farm.status().get("topic", ()))


def test_an_agent_cannot_read_anothers_ack(farm: Farm) -> None:
    with Client(farm.broker, farm.broker.certificate(A)) as client, farm.rogue() as rogue:
        client.subscribe(topic(B, "ack"))
        farm.broker.wait_log(f"1 {topic(B, 'ack')}")  # who asked for what
        client.subscribe(topic(A, "certificate"))
        rogue.publish(topic(B, "ack"), b"for B")
        rogue.publish(topic(A, "certificate"), b"for A")  # one connection, one order
        assert client.receive() == (topic(A, "certificate"), b"for A")


def test_a_last_will_in_anothers_name_is_not_published(farm: Farm) -> None:
    with farm.rogue() as rogue:
        for user in (A, B):
            rogue.subscribe(topic(user, "status"))
        for user in (B, A):  # its own is: the denied one came first, and did not come
            gone = farm.broker.log.count("closed its connection")
            with Client(farm.broker, farm.broker.certificate(A), will_topic=topic(user, "status")) as client:
                client.drop()
            farm.broker.wait_log("closed its connection", gone + 1)
        assert rogue.receive() == (topic(A, "status"), b"last will")
    assert re.search(rf"Will message specified .*\n\d+: \t{topic(B, 'status')}\n", farm.broker.log)


def test_nobody_throws_another_out_by_its_client_id(farm: Farm) -> None:
    with (
        Client(farm.broker, farm.broker.certificate(B), "hashledger-b") as other,
        Client(farm.broker, farm.broker.certificate(A), "hashledger-b") as thief,
        farm.rogue() as rogue,
    ):
        thief.subscribe(topic(A, "certificate"))
        other.subscribe(topic(B, "certificate"))
        rogue.publish(topic(B, "certificate"), b"for B")
        assert other.receive() == (topic(B, "certificate"), b"for B")
        assert other.connected and thief.connected
    # The id is the certificate's name, whatever was asked for.
    assert f" as {ORG}/site-1/agent-1 (" in farm.broker.log and " as hashledger-b " not in farm.broker.log


# ---- batches


def test_a_batch_signed_with_another_key_is_set_aside(farm: Farm, tmp_path: Path) -> None:
    (packet,) = batches(tmp_path, forger(farm.author(B)))
    with Client(farm.broker, farm.broker.certificate(B)) as client:
        client.publish(topic(B, "batch"), packet)
        until(lambda: "not signed with the enrolled key" in farm.status().get("signature", ()))


def test_old_batches_played_again_change_nothing_and_are_counted(farm: Farm, tmp_path: Path) -> None:
    recorded = batches(tmp_path, farm.author(STOLEN), 3)
    with Client(farm.broker, farm.broker.certificate(STOLEN)) as client, farm.rogue() as rogue:
        for packet in recorded:
            client.publish(topic(STOLEN, "batch"), packet)
        until(lambda: farm.has(STOLEN, len(recorded)))
        accepted, duplicate = farm.counted("accepted"), farm.counted("duplicate")
        for packet in recorded:
            rogue.publish(topic(STOLEN, "batch"), packet)
        until(lambda: farm.counted("duplicate") == duplicate + len(recorded))
        assert farm.counted("accepted") == accepted


def test_a_copied_box_forks_its_chain_and_is_told(farm: Farm, tmp_path: Path) -> None:
    """Stolen key and certificate on a second box: its first batch contradicts what is known."""
    with Client(farm.broker, farm.broker.certificate(A)) as client:
        for packet in (*batches(tmp_path, farm.author(A)), *batches(tmp_path, farm.author(A))):
            client.publish(topic(A, "batch"), packet)
        until(lambda: any("another batch 1 is known" in text for text in farm.status().get("fork", ())))


# ---- the collector's word


@dataclass
class Box:
    """Agent B's sending half, and a rogue broker's ear and mouth."""

    spool: Spool
    publisher: Publisher
    rogue: Client

    def drained(self) -> None:
        until(lambda: self.spool.depth().waiting == 0, self.spool.depth)


@pytest.fixture
def box(farm: Farm) -> Iterator[Box]:
    settings, author = farm.broker.agent(B), farm.author(B)
    spool = Spool(settings.agent.state_dir / "spool.db", author)
    with farm.rogue() as rogue:
        publisher = Publisher(spool, author, settings.mqtt)
        yield Box(spool, publisher, rogue)
        publisher.stop()
        spool.close()


def test_a_forged_ack_is_refused_counted_and_named(
    farm: Farm, box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    box.spool.append([Event(1, "test")], 1)
    box.publisher.start()
    box.drained()
    depth = box.spool.depth()
    ((_, packet),) = box.spool.packets(depth.last_seq, 1)
    true = wire.encode_ack(depth.last_seq, wire.open_packet(packet).hash)
    collector_key = private.collector_key(farm.broker.settings.state_dir)
    forged = [
        true,  # unsigned
        wire.sign_word(topic(B, "ack"), true, Ed25519PrivateKey.generate()),
        wire.sign_word(topic(A, "ack"), true, collector_key),  # genuine, but said to another agent
        wire.sign_word(topic(B, "register"), true, collector_key),  # genuine, but no ack
    ]
    for message in forged:
        box.rogue.publish(topic(B, "ack"), message)
    until(lambda: box.publisher.refused_words == len(forged))
    assert box.spool.depth() == depth
    named = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert [text.split(": ")[:2] for text in named] == [[topic(B, "ack"), "forged, refused"]] * len(forged)


def test_an_agents_certificate_makes_no_broker(
    farm: Farm, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(farm.broker.certificate(A))
    with socket.create_server((HOST, 0)) as door:
        door.settimeout(WAIT_S)
        settings = farm.broker.agent(B).mqtt.model_copy(update={"port": door.getsockname()[1]})
        spool = Spool(tmp_path / "spool.db", farm.author(B))
        publisher = Publisher(spool, farm.author(B), settings)
        publisher.start()
        plain, _ = door.accept()
        with plain, pytest.raises(ssl.SSLError):
            context.wrap_socket(plain, server_side=True).read()
        until(lambda: "unsuitable certificate purpose" in caplog.text, lambda: caplog.text)
        publisher.stop()
        spool.close()


def test_an_old_ack_played_again_costs_a_bounded_resend_and_ends(farm: Farm, box: Box) -> None:
    rounds, count = 20, 30
    box.rogue.subscribe(topic(B, "ack"))
    box.spool.append([Event(1, "test")], 1)
    box.publisher.start()
    box.drained()
    _, old = box.rogue.receive()
    for number in range(count):
        box.spool.append([Event(number, "test")], number)
    box.publisher.wake()
    box.drained()
    before, accepted = farm.counted("duplicate"), farm.counted("accepted")
    for _ in range(rounds):
        box.rogue.publish(topic(B, "ack"), old)
    until(lambda: farm.counted("duplicate") > before)  # it did go back, as to a restored collector
    box.drained()
    assert farm.counted("duplicate") - before < rounds * count
    assert farm.counted("accepted") == accepted
    assert box.publisher.refused_words == 0


def test_a_forged_register_is_refused(farm: Farm, box: Box, caplog: pytest.LogCaptureFixture) -> None:
    device = Inventory(1, b"d" * 16, "10.0.0.1", "antminer", serial="FORGED")
    forged = wire.sign_word(
        topic(B, "register"), wire.encode_register([device]), Ed25519PrivateKey.generate()
    )
    box.rogue.publish(topic(B, "register"), forged, retain=True)
    box.publisher.want_register()
    box.publisher.start()
    until(lambda: box.publisher.refused_words == 1)
    assert box.publisher.take_register(0.0) is None
    assert f"{topic(B, 'register')}: forged, refused" in caplog.text


# ---- enrolment


def enroll(bundle: Path, folder: Path) -> tuple[int, str]:
    words = ["agent", "enroll", str(bundle), "--config", str(folder / "agent.toml")]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    return result.exit_code, result.output


def test_a_bundle_enrols_one_box_and_no_second_one(farm: Farm, tmp_path: Path) -> None:
    broker, user = farm.broker, "site-2-agent-5"
    bundle = broker.bundle(user)
    broker.reload(farm.broker_pid)
    status, output = enroll(bundle, broker.folder / user)
    assert (status, "enrolled as my-farm/site-2/agent-5" in output) == (0, True), output
    assert "enrolment: site-2/agent-5 has its certificate" in farm.said.read_text()
    (packet,) = batches(tmp_path, farm.author(user))
    with Client(broker, broker.certificate(user)) as client:  # no restart, no further reload
        client.publish(topic(user, "batch"), packet)
        until(lambda: farm.has(user, 1))
    status, output = enroll(bundle, tmp_path)
    assert (status, "bundle used twice" in output) == (2, True), output
    assert "enrolment refused: site-2/agent-5: bundle used twice" in farm.said.read_text()
    assert "enrolment: bundle used twice" in farm.status()
    assert not (tmp_path / "agent-state" / certificate.FILE).exists()
    broker.reload(farm.broker_pid)
    before = broker.log.count("certificate verify failed")
    opened = enrol.open_bundle(bundle)
    with pytest.raises(enrol.EnrolError):  # by now the broker refuses the bundle's own certificate
        enrol.ask(opened, b"", wait_s=0.5)
    broker.wait_log("certificate verify failed", before + 1)


def test_an_expired_bundle_is_refused_by_box_broker_and_collector(farm: Farm, tmp_path: Path) -> None:
    broker = farm.broker
    bundle = broker.bundle("site-2-agent-6", "--valid-h", "0.000001")
    broker.reload(farm.broker_pid)
    status, output = enroll(bundle, tmp_path)
    assert (status, "the bundle was good until" in output) == (2, True), output
    opened, before = enrol.open_bundle(bundle), broker.log.count("certificate verify failed")
    request = enrol.request(opened, tmp_path, keys.create(tmp_path))  # a box whose clock is behind
    with pytest.raises(enrol.EnrolError):
        enrol.ask(opened, request, wait_s=0.5)
    broker.wait_log("certificate verify failed", before + 1)
    with farm.rogue() as rogue:  # past a broker that lets it through
        rogue.publish(wire_enrol.enrol_topic(opened.id, "request"), request)
        until(lambda: "enrolment: bundle expired" in farm.status())
    assert "enrolment refused: site-2/agent-6: bundle expired" in farm.said.read_text()


def test_a_request_without_the_token_is_refused(farm: Farm, tmp_path: Path) -> None:
    opened = enrol.open_bundle(farm.broker.bundle("site-2-agent-7"))
    guessed = msgspec.structs.replace(opened, token=b"guess")
    with farm.rogue() as rogue:
        request = enrol.request(guessed, tmp_path, keys.create(tmp_path))
        rogue.publish(wire_enrol.enrol_topic(opened.id, "request"), request)
        until(lambda: "enrolment: token" in farm.status())
    assert ("site-2", "agent-7") not in roll.load(farm.broker.settings.state_dir).keys


def test_an_answer_that_is_not_the_collectors_is_refused(farm: Farm, tmp_path: Path) -> None:
    opened = enrol.open_bundle(farm.broker.bundle("site-2-agent-7"))
    forged = wire_enrol.encode_answer(wire_enrol.Answer(wire.VERSION, "PEM"))
    place = wire_enrol.enrol_topic(opened.id, "answer")
    for message in (forged, wire.sign_word(place, forged, Ed25519PrivateKey.generate())):
        with pytest.raises(enrol.EnrolError, match="not the collector's"):
            enrol.finish(opened, tmp_path, message)


def test_an_enrolled_name_goes_to_no_other_key(farm: Farm, tmp_path: Path) -> None:
    """A new bundle for a name that is taken, in a thief's hands: another box gets nothing with it."""
    bundle, request = farm.broker.bundle(A), tmp_path / "a.request"
    call("agent", "enroll", bundle, "--config", tmp_path / "agent.toml", "--request", request)
    words = ["collector", "enroll", "--config", str(farm.broker.config), "--sign", str(request)]
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, "another key" in result.output) == (2, True), result.output
    assert "enrolment: another key" in farm.status()


# ---- renewal


def test_a_due_certificate_is_renewed_over_itself(farm: Farm, box: Box) -> None:
    settings, authority = farm.broker.agent(B), app.open_authority(farm.broker.settings)
    assert authority is not None and settings.mqtt.client_cert_file is not None
    file, key = settings.mqtt.client_cert_file, ec.generate_private_key(ec.SECP256R1())
    name, until_instant = f"{ORG}/site-2/agent-1", certificate.now() + timedelta(minutes=2)
    short = ca.issue_client(authority, name, key.public_key(), certificate.now(), until_instant)
    private.write(file, private.pem(key) + ca.pem(short).encode())
    until_us = int(until_instant.timestamp()) * 1_000_000
    held = roll.Certificate(certificate.serial(file), until_us, ca.pem(short))

    def how(before: roll.Roll) -> tuple[roll.Roll, None]:
        member = before.member(("site-2", "agent-1"))
        assert member is not None
        return before.with_member(msgspec.structs.replace(member, certificates=(held,))), None

    roll.change(farm.broker.settings.state_dir, how)
    assert certificate.is_due(file, certificate.now())
    box.publisher.start()
    until(lambda: not certificate.is_due(file, certificate.now()))
    assert "enrolment: site-2/agent-1 has its certificate" in farm.said.read_text()
    with Client(farm.broker, file) as client:
        assert not client.refused


def test_another_agent_cannot_renew_it(farm: Farm, tmp_path: Path) -> None:
    author = forger(farm.author(A))
    csr = certificate.request(tmp_path, f"{ORG}/site-1/agent-1")
    wish = wire_enrol.Request(wire.VERSION, "", author.key.public_key().public_bytes_raw(), csr)
    with farm.rogue() as rogue:
        rogue.publish(topic(A, "renew"), wire_enrol.seal_request(topic(A, "renew"), wish, author.key))
        until(lambda: "enrolment refused: site-1/agent-1: another key" in farm.said.read_text())
