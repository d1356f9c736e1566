"""Who gets in: bundles made, requests for certificates decided, members revoked.

A request counts when its bundle is known, has not run out, carries the bundle's token, and its name is not
held by another key. The same request again (its answer was lost) gets the same certificate; another one for
a used bundle is refused and told. Everything that is decided is on the disk before it is answered.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent import wire, wire_enrol
from agent.wire import VERSION, WireError
from agent.wire_enrol import Answer, Bundle, Request, Sealed
from collector import ca, private
from collector.ca import Authority, CaError
from collector.config import Config
from collector.roll import Certificate, Key, Member, Pending, Refusal, Roll

TOKEN_BYTES = 32
_ENROL_TOPIC = re.compile(r"hashledger/v1/enroll/([0-9a-f]{16})/request")


class EnrolError(Exception):
    """This cannot be enrolled or revoked; the text says why and what would be right."""


class Refused(Exception):
    """A request that gets no certificate: `reason` is one of a few words, `detail` for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class Decided(NamedTuple):
    """What a request has led to: the answer, for whom it was, and the refusal if it was one."""

    answer: Answer
    member: Key
    refusal: Refusal | None = None


def make_bundle(
    settings: Config,
    authority: Authority,
    roll: Roll,
    name: Key,
    collector_key: bytes,
    valid_s: float,
    now_us: int,
) -> tuple[Roll, Bundle]:
    """A one-time bundle for an agent; EnrolError if it may have none."""
    site, agent = name
    member = roll.member(name)
    if member is not None and member.revoked_us is not None:
        raise EnrolError(f"{site}/{agent} is revoked: a name is not given out again, choose another")
    try:
        wire_enrol.common_name(settings.org, site, agent)
    except ValueError as error:
        raise EnrolError(str(error)) from error
    bundle_id, key = secrets.token_hex(8), ec.generate_private_key(ec.SECP256R1())
    expires_us = now_us + int(valid_s * 1e6)
    certificate = ca.issue_client(
        authority, f"enroll/{bundle_id}", key.public_key(), ca.instant(now_us), ca.instant(expires_us)
    )
    bundle = Bundle(
        VERSION, bundle_id, settings.org, site, agent, settings.mqtt.host, settings.mqtt.port, expires_us,
        authority.pem, collector_key, secrets.token_bytes(TOKEN_BYTES), ca.pem(certificate),
        private.pem(key).decode(),
    )  # fmt: skip
    pending = Pending(bundle_id, site, agent, bundle.token, _entry(certificate), expires_us)
    return roll.with_bundle(pending, now_us), bundle


def revoke(roll: Roll, name: Key, now_us: int) -> Roll:
    """The agent out: its key, its certificates and its bundles count no more; EnrolError if it has none."""
    member = roll.member(name)
    out = [p for p in roll.pending if (p.site, p.agent) == name and p.is_out(now_us)]
    if member is None and not out:
        raise EnrolError(
            f"{'/'.join(name)} is not enrolled and has no bundle out; 'hashledger collector status' lists who"
            " is enrolled, and an [[agent]] of the configuration is taken out there"
        )
    for pending in out:
        roll = roll.with_bundle(msgspec.structs.replace(pending, withdrawn_us=now_us), now_us)
    if member is None or member.revoked_us is not None:
        return roll
    return roll.with_member(msgspec.structs.replace(member, revoked_us=now_us))


def revoked_serials(roll: Roll, now_us: int) -> list[int]:
    """What belongs on the revocation list: certificates of revoked agents, of used and withdrawn bundles."""
    found = [c for m in roll.members if m.revoked_us is not None for c in m.certificates]
    found += [p.certificate for p in roll.pending if not p.is_out(now_us)]
    return sorted(int(c.serial, 16) for c in found if c.not_after_us > now_us)


def answer(
    topic: str,
    message: bytes,
    org: str,
    roll: Roll,
    by_hand: Mapping[Key, bytes],
    authority: Authority,
    now_us: int,
) -> tuple[Roll, Decided | None]:
    """Decide a request or a renewal; None where the topic is neither. `by_hand`: the configuration's keys."""
    enrolment = _ENROL_TOPIC.fullmatch(topic)
    name: Key = ("", "")
    try:
        if enrolment:
            pending = roll.bundle(enrolment[1])
            if pending is None:
                raise Refused("unknown bundle", f"no bundle {enrolment[1]} is out")
            name = pending.site, pending.agent
        else:
            topic_org, *who, leaf = wire.parse_topic(topic)
            if topic_org != org or leaf != "renew":
                return roll, None
            pending, name = None, (who[0], who[1])
        request, sealed = wire_enrol.open_request(topic, message)
        if pending is not None:
            roll, certificate = _admit(topic, request, sealed, pending, org, roll, by_hand, authority, now_us)
        else:
            roll, certificate = _renew(request, name, org, roll, authority, now_us)
    except (Refused, WireError, CaError) as error:
        refused = error if isinstance(error, Refused) else Refused("request", str(error))
        refusal = Refusal(now_us, *name, refused.reason, refused.detail)
        return roll.with_refusal(refusal), Decided(Answer(VERSION, "", str(refused)), name, refusal)
    return roll, Decided(Answer(VERSION, certificate), name)


def _admit(
    topic: str, request: Request, sealed: Sealed, pending: Pending, org: str, roll: Roll,
    by_hand: Mapping[Key, bytes], authority: Authority, now_us: int,
) -> tuple[Roll, str]:  # fmt: skip
    name = pending.site, pending.agent
    member, tls_key = roll.member(name), ca.csr_key(request.csr)
    if not wire_enrol.has_token(topic, sealed, pending.token):
        raise Refused("token", "the request does not carry the bundle's token")
    if member is not None and member.revoked_us is not None:
        raise Refused("revoked", "the agent is revoked")
    if pending.used_us is not None:
        known = _held(member, tls_key) if member and member.public_key == request.public_key else None
        if known is None:
            raise Refused(
                "bundle used twice", f"it was used {ca.instant(pending.used_us):%F %T} UTC by another key"
            )
        return roll, known.pem
    if pending.withdrawn_us is not None:
        raise Refused("bundle withdrawn", f"{ca.instant(pending.withdrawn_us):%F %T} UTC, by revoke")
    if now_us >= pending.expires_us:
        raise Refused("bundle expired", f"it was good until {ca.instant(pending.expires_us):%F %T} UTC")
    if (member.public_key if member else by_hand.get(name, request.public_key)) != request.public_key:
        raise Refused(
            "another key", "the name is enrolled with another key; give the new box a name of its own"
        )
    member = member or Member(*name, request.public_key, now_us)
    roll, certificate = _issue(roll, member, tls_key, org, authority, now_us)
    return roll.with_bundle(msgspec.structs.replace(pending, used_us=now_us), now_us), certificate


def _renew(
    request: Request, name: Key, org: str, roll: Roll, authority: Authority, now_us: int
) -> tuple[Roll, str]:
    member = roll.member(name)
    if member is None:
        raise Refused("not enrolled", "only an agent that was enrolled with a bundle can renew")
    if member.revoked_us is not None:
        raise Refused("revoked", "the agent is revoked")
    if request.public_key != member.public_key:
        raise Refused("another key", "the renewal is not signed with the enrolled key")
    tls_key = ca.csr_key(request.csr)
    good = {c.serial: c for c in member.certificates if c.not_after_us > now_us}
    if (known := _held(member, tls_key)) is not None and known.serial in good:
        return roll, known.pem
    if request.id not in good:
        raise Refused("old renewal", "it does not follow a certificate of this agent's that is still good")
    return _issue(roll, member, tls_key, org, authority, now_us)


# A box that loses its answers asks with one key; more certificates than this at once are no box of ours.
CERTIFICATES_KEPT = 8


def _issue(
    roll: Roll, member: Member, key: ca.PublicKey, org: str, authority: Authority, now_us: int
) -> tuple[Roll, str]:
    valid = tuple(c for c in member.certificates if c.not_after_us > now_us)
    if len(valid) >= CERTIFICATES_KEPT:
        raise Refused(
            "too many certificates", f"{len(valid)} are still good; revoke the agent if it is not yours"
        )
    name = wire_enrol.common_name(org, member.site, member.agent)
    entry = _entry(ca.issue_client(authority, name, key, ca.instant(now_us)))
    return roll.with_member(msgspec.structs.replace(member, certificates=(*valid, entry))), entry.pem


def _held(member: Member | None, key: ca.PublicKey) -> Certificate | None:
    wanted = _spki(key)
    for entry in reversed(member.certificates if member else ()):
        if _spki(x509.load_pem_x509_certificate(entry.pem.encode()).public_key()) == wanted:
            return entry
    return None


def _spki(key: object) -> bytes:
    assert isinstance(key, ca.PublicKey)
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _entry(certificate: x509.Certificate) -> Certificate:
    until_us = int(certificate.not_valid_after_utc.timestamp()) * 1_000_000
    return Certificate(f"{certificate.serial_number:x}", until_us, ca.pem(certificate))
