"""Who gets in: bundles, requests, renewals and revocations, as they stand on the roll and at the broker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from agent import certificate, keys, wire, wire_enrol
from agent.enrol import request as ask
from agent.wire_enrol import Bundle
from collector import broker_config, ca, config, desk, enrol, ingest, private, roll
from collector.ca import Authority, CaError
from collector.config import Config, ConfigError
from collector.enrol import EnrolError
from collector.roll import Roll
from tests.collector.support import ORG, T0, Agent, S
from tests.collector.test_config import AGENT, MINIMAL

NAME = ("north", "box-1")
DAY_US = 86_400 * S
RENEW = wire.topic(ORG, *NAME, "renew")
MQTT = '[mqtt]\nhost = "127.0.0.1"\nport = 8883\n'


class Office:
    """A collector's state folder with its authority, and the roll in memory."""

    def __init__(self, folder: Path) -> None:
        (folder / "collector.toml").write_text(MINIMAL + MQTT)
        self.settings: Config = config.load(folder / "collector.toml")
        self.authority: Authority = ca.open_authority(self.settings.ca_dir, ORG, ca.instant(T0))
        self.roll = Roll()

    def bundle(self, name: roll.Key = NAME, now_us: int = T0) -> Bundle:
        key = private.collector_key(self.settings.state_dir).public_key().public_bytes_raw()
        self.roll, made = enrol.make_bundle(self.settings, self.authority, self.roll, name, key, 3600, now_us)
        return made

    def answer(self, bundle: Bundle, message: bytes, now_us: int = T0) -> wire_enrol.Answer:
        return self.at(wire_enrol.enrol_topic(bundle.id, "request"), message, now_us)

    def at(self, topic: str, message: bytes, now_us: int = T0) -> wire_enrol.Answer:
        self.roll, decided = enrol.answer(topic, message, ORG, self.roll, {}, self.authority, now_us)
        assert decided is not None
        return decided.answer

    def acl(self, now_us: int = T0) -> dict[str, set[str]]:
        """User -> its rights, as the broker reads them."""
        found: dict[str, set[str]] = {}
        for line in broker_config.acl(self.settings, self.roll, now_us).splitlines():
            word, _, rest = line.partition(" ")
            if word == "user":
                rights = found.setdefault(rest, set())
            elif word == "topic":
                rights.add(rest)
        return found


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def box(folder: Path) -> Ed25519PrivateKey:
    return keys.create(folder)


def test_the_same_request_again_gets_the_same_certificate_even_when_the_bundle_has_run_out(
    office: Office, tmp_path: Path
) -> None:
    bundle, key = office.bundle(), box(tmp_path / "box")
    first = office.answer(bundle, ask(bundle, tmp_path / "box", key))
    again = office.answer(bundle, ask(bundle, tmp_path / "box", key), T0 + DAY_US)
    assert first.certificate and again == first
    assert len(office.roll.members) == 1 and not office.roll.refused


def test_a_certificate_names_the_agent_and_is_for_clients_only(office: Office, tmp_path: Path) -> None:
    bundle = office.bundle()
    made = x509.load_pem_x509_certificate(
        office.answer(bundle, ask(bundle, tmp_path, box(tmp_path))).certificate.encode()
    )
    assert made.subject.rfc4514_string() == f"CN={ORG}/north/box-1"
    made.verify_directly_issued_by(office.authority.certificate)
    assert made.not_valid_after_utc - made.not_valid_before_utc > timedelta(days=365)
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]


@pytest.mark.parametrize("name", [("north", "x" * 63), ("north", "y" * 50)])
def test_a_name_that_no_certificate_holds_gets_no_bundle(office: Office, name: roll.Key) -> None:
    if len(f"{ORG}/{name[0]}/{name[1]}") <= 64:
        assert office.bundle(name).agent == name[1]
        return
    with pytest.raises(EnrolError, match="holds 64"):
        office.bundle(name)


def test_a_revoked_name_is_never_given_out_again(office: Office, tmp_path: Path) -> None:
    bundle = office.bundle()
    office.answer(bundle, ask(bundle, tmp_path, box(tmp_path)))
    office.roll = enrol.revoke(office.roll, NAME, T0)
    with pytest.raises(EnrolError, match="choose another"):
        office.bundle()
    topic = wire.topic(ORG, *NAME, "renew")
    wish = wire_enrol.Request(wire.VERSION, "", box(tmp_path).public_key().public_bytes_raw(), b"")
    assert "revoked" in office.at(topic, wire_enrol.seal_request(topic, wish, box(tmp_path))).refused
    with pytest.raises(EnrolError, match="is not enrolled"):
        enrol.revoke(office.roll, ("north", "nobody"), T0)


def test_a_withdrawn_bundle_enrols_nobody(office: Office, tmp_path: Path) -> None:
    bundle = office.bundle()
    office.roll = enrol.revoke(office.roll, NAME, T0)
    assert set(office.acl()) == {f"{ORG}/collector"}
    held = x509.load_pem_x509_certificate(bundle.certificate.encode())
    assert enrol.revoked_serials(office.roll, T0) == [held.serial_number]
    assert "bundle withdrawn" in office.answer(bundle, ask(bundle, tmp_path, box(tmp_path))).refused
    assert not office.roll.members
    another = office.bundle()  # the name was never held: another bundle may be made for it
    assert office.answer(another, ask(another, tmp_path, box(tmp_path))).certificate


def test_a_revoked_key_takes_no_new_batches_and_still_proves_the_old_ones(
    office: Office, tmp_path: Path
) -> None:
    bundle, agent = office.bundle(), Agent(name="box-1", key=box(tmp_path))
    office.answer(bundle, ask(bundle, tmp_path, agent.key))
    office.roll = enrol.revoke(office.roll, NAME, T0)
    roll.change(office.settings.state_dir, lambda _: (office.roll, None))
    loaded = config.load(office.settings.path)
    assert loaded.agents == {NAME: agent.public_key} and loaded.revoked == {NAME}
    known = desk.keys(loaded, office.roll)
    decided = ingest.decide(agent.batch(), agent.topic, {}, known, lambda *_: None)
    assert decided == ingest.SetAside("unknown agent", "not enrolled, or revoked")


def test_an_agent_by_hand_may_enrol_with_its_own_key_only(tmp_path: Path) -> None:
    office = Office(tmp_path)
    agent = Agent(name="box-1")
    bundle, by_hand = office.bundle(), {NAME: agent.public_key}
    topic = wire_enrol.enrol_topic(bundle.id, "request")
    for key, taken in ((Ed25519PrivateKey.generate(), False), (agent.key, True)):
        message = ask(bundle, tmp_path, key)
        _, decided = enrol.answer(topic, message, ORG, office.roll, by_hand, office.authority, T0)
        assert decided is not None and bool(decided.answer.certificate) is taken


def test_the_roll_and_the_configuration_may_not_contradict_each_other(office: Office, tmp_path: Path) -> None:
    member = roll.Member(*NAME, Ed25519PrivateKey.generate().public_key().public_bytes_raw(), T0)
    roll.change(office.settings.state_dir, lambda before: (before.with_member(member), None))
    office.settings.path.write_text(MINIMAL + AGENT)
    with pytest.raises(ConfigError, match="enrolled with another key"):
        config.load(office.settings.path)


def renewal(folder: Path, key: Ed25519PrivateKey, held: str) -> bytes:
    """A renewal of the certificate `held` (PEM), as the agent makes it."""
    private.write(folder / certificate.FILE, held.encode())
    csr, serial = certificate.request(folder, "x"), certificate.serial(folder / certificate.FILE)
    wish = wire_enrol.Request(wire.VERSION, serial, key.public_key().public_bytes_raw(), csr)
    return wire_enrol.seal_request(RENEW, wish, key)


def test_a_renewal_played_again_gets_no_new_certificate(office: Office, tmp_path: Path) -> None:
    bundle, key = office.bundle(), box(tmp_path)
    recorded = renewal(tmp_path, key, office.answer(bundle, ask(bundle, tmp_path / "1", key)).certificate)
    second_us, third_us, late_us = (T0 + days * DAY_US for days in (250, 500, 640))
    second = office.at(RENEW, recorded, second_us).certificate
    assert office.at(RENEW, recorded, third_us).certificate == second, "its answer may have been lost"
    third = office.at(RENEW, renewal(tmp_path / "3", key, second), third_us).certificate
    assert third not in ("", second)
    assert "old renewal" in office.at(RENEW, recorded, late_us).refused
    member = office.roll.member(NAME)
    assert member is not None and member.certificates[-1].pem == third


def test_renewals_are_bounded(office: Office, tmp_path: Path) -> None:
    bundle, key = office.bundle(), box(tmp_path)
    held = office.answer(bundle, ask(bundle, tmp_path, key)).certificate
    refused = ""
    for number in range(2 * enrol.CERTIFICATES_KEPT):
        wish = renewal(tmp_path / str(number), key, held)  # a new TLS key each time
        refused = office.at(RENEW, wish).refused
    member = office.roll.member(NAME)
    assert member is not None and len(member.certificates) == enrol.CERTIFICATES_KEPT
    assert "too many certificates" in refused


@examples(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from(["sealed", "body", "csr", "raw"]))
def test_no_bytes_from_outside_enrol_anyone_or_raise(office: Office, junk: bytes, where: str) -> None:
    bundle, key = office.bundle(), Ed25519PrivateKey.generate()
    topic = wire_enrol.enrol_topic(bundle.id, "request")
    wish = wire_enrol.Request(wire.VERSION, bundle.id, key.public_key().public_bytes_raw(), junk)
    message = {
        "raw": junk,
        "sealed": msgspec.msgpack.encode([junk, junk, junk]),
        "body": msgspec.msgpack.encode(wire_enrol.Sealed(junk, bytes(64), bytes(32))),
        "csr": wire_enrol.seal_request(topic, wish, key, bundle.token),
    }[where]
    assert office.at(topic, message).refused
    assert not office.roll.members


# ---- the broker's files


def test_everyone_has_their_own_topics_and_no_others(office: Office, tmp_path: Path) -> None:
    bundle, waiting = office.bundle(), office.bundle(("north", "box-2"))
    office.answer(bundle, ask(bundle, tmp_path, box(tmp_path)))
    agents = {
        f"{ORG}/north/{agent}": {
            *(f"write {wire.topic(ORG, 'north', agent, leaf)}" for leaf in ("batch", "status", "renew")),
            *(f"read {wire.topic(ORG, 'north', agent, leaf)}" for leaf in ("ack", "register", "certificate")),
        }
        for agent in ("box-1", "box-2")
    }
    own = {
        *(f"read {wire.topic(ORG, '+', '+', leaf)}" for leaf in ("batch", "status", "renew")),
        *(f"write {wire.topic(ORG, '+', '+', leaf)}" for leaf in ("ack", "register", "certificate")),
        "read hashledger/v1/enroll/+/request",
        "write hashledger/v1/enroll/+/answer",
    }
    place = f"hashledger/v1/enroll/{waiting.id}"
    bundles = {f"enroll/{waiting.id}": {f"write {place}/request", f"read {place}/answer"}}
    assert office.acl() == agents | {f"{ORG}/collector": own} | bundles
    office.roll = enrol.revoke(office.roll, NAME, T0)
    assert set(office.acl(T0 + DAY_US)) == {f"{ORG}/collector"}, "revoked, and run out"


def test_the_revocation_list_holds_revoked_agents_and_used_bundles(office: Office, tmp_path: Path) -> None:
    bundle, other = office.bundle(), office.bundle(("north", "box-2"))
    made = office.answer(bundle, ask(bundle, tmp_path, box(tmp_path))).certificate
    office.answer(other, ask(other, tmp_path / "2", box(tmp_path / "2")))
    office.roll = enrol.revoke(office.roll, NAME, T0)
    used = [
        x509.load_pem_x509_certificate(pem.encode()) for pem in (made, bundle.certificate, other.certificate)
    ]
    now = ca.instant(T0)
    pem = ca.revocation_list(office.authority, enrol.revoked_serials(office.roll, T0), now)
    revoked = x509.load_pem_x509_crl(pem)
    assert {entry.serial_number for entry in revoked} == {entry.serial_number for entry in used}
    assert revoked.next_update_utc == office.authority.certificate.not_valid_after_utc, (
        "a stale list locks all out"
    )


def test_the_server_certificate_is_kept_until_it_is_due_or_the_names_change(
    office: Office, tmp_path: Path
) -> None:
    def written(hosts: tuple[str, ...], now_us: int) -> bytes:
        broker_config.write(tmp_path, tmp_path, office.settings, office.authority, office.roll, hosts, now_us)
        return (tmp_path / "server.crt").read_bytes()

    first = written(("127.0.0.1",), T0)
    assert written(("127.0.0.1",), T0 + 500 * DAY_US) == first
    assert written(("127.0.0.1",), T0 + 600 * DAY_US) != first
    second = written(("127.0.0.1", "broker.example"), T0 + 600 * DAY_US)
    names = x509.load_pem_x509_certificate(second).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["broker.example"]
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o640


def test_the_broker_takes_every_batch_the_collector_takes(office: Office, tmp_path: Path) -> None:
    broker_config.write(tmp_path, tmp_path, office.settings, office.authority, office.roll, ("h",), T0)
    lines = (tmp_path / "mosquitto.conf").read_text().splitlines()
    settings = dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    largest = ingest.PACKET_BYTES + 64 * 1024  # and room for topic and header
    assert largest <= int(settings["max_packet_size"]) < 2 * largest
    assert "message_size_limit" not in settings, "it confirms what it drops"
    assert settings["allow_anonymous"] == "false" and settings["require_certificate"] == "true"


def test_the_collectors_own_certificate_is_renewed_when_due(office: Office) -> None:
    assert broker_config.own_certificate(office.settings, office.authority, T0)
    assert not broker_config.own_certificate(office.settings, office.authority, T0 + 200 * DAY_US)
    assert broker_config.own_certificate(office.settings, office.authority, T0 + 300 * DAY_US)
    assert (office.settings.ca_dir / broker_config.OWN_CERTIFICATE).stat().st_mode & 0o777 == 0o600


# ---- keys and the roll on the disk


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("collector.key", lambda state: private.collector_key(state)),
        ("ca/ca.key", lambda state: ca.open_authority(state / "ca", ORG, ca.instant(T0))),
        ("roll.json", lambda state: roll.load(state)),
    ],
    ids=["collector.key", "ca.key", "roll.json"],
)
def test_a_secret_that_others_can_read_is_refused(
    office: Office, name: str, read: Callable[[Path], object]
) -> None:
    state = office.settings.state_dir
    office.bundle()
    roll.change(state, lambda _: (office.roll, None))
    assert (state / name).stat().st_mode & 0o777 == 0o600
    for mode in (0o640, 0o604, 0o620):
        (state / name).chmod(mode)
        with pytest.raises(private.PrivateFileError, match="chmod 600"):
            read(state)
    (state / name).chmod(0o400)
    read(state)


def test_a_failed_write_leaves_the_old_secret_and_no_draft(tmp_path: Path) -> None:
    private.write(tmp_path / "secret", b"old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        private.write(tmp_path / "folder", b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"secret", "folder"}
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_an_authority_with_anothers_key_is_refused(office: Office, tmp_path: Path) -> None:
    other = ca.open_authority(tmp_path / "other", ORG, ca.instant(T0))
    private.write(office.settings.ca_dir / ca.KEY_FILE, private.pem(other.key))
    with pytest.raises(CaError, match="is not the key of"):
        ca.open_authority(office.settings.ca_dir, ORG, ca.instant(T0))


def test_a_change_that_fails_leaves_the_roll_as_it_was(office: Office) -> None:
    state = office.settings.state_dir
    office.bundle()
    roll.change(state, lambda _: (office.roll, None))

    def fails(_: Roll) -> tuple[Roll, None]:
        raise EnrolError("no")

    with pytest.raises(EnrolError):
        roll.change(state, fails)
    assert roll.load(state) == office.roll
    assert [p.name for p in state.glob(".roll*")] == []


def test_a_damaged_roll_is_named_by_the_configuration(office: Office) -> None:
    private.write(office.settings.state_dir / roll.FILE, b"{")
    with pytest.raises(ConfigError, match="restore it from the backup"):
        config.load(office.settings.path)


def test_a_request_shows_neither_token_nor_private_key(office: Office, tmp_path: Path) -> None:
    bundle, key = office.bundle(), box(tmp_path)
    message = ask(bundle, tmp_path, key)
    tls = load_pem_private_key((tmp_path / certificate.NEXT_KEY_FILE).read_bytes(), None)
    assert isinstance(tls, ec.EllipticCurvePrivateKey)
    for secret in (
        bundle.token,
        key.private_bytes_raw(),
        tls.private_numbers().private_value.to_bytes(32, "big"),
    ):
        assert secret not in message
