"""The contract's other half: how a box gets into the farm, and how its certificate is renewed. Version 1.

    hashledger/v1/enroll/{id}/request               from the box, over the bundle's own certificate
    hashledger/v1/enroll/{id}/answer                from the collector, a signed word (`wire.sign_word`)
    hashledger/v1/{org}/{site}/{agent}/renew        from the agent, over the certificate it has
    hashledger/v1/{org}/{site}/{agent}/certificate  from the collector, a signed word

A bundle goes to the site once, as a file. With it the box asks for its certificate: it has made two keys, one
that signs batches (Ed25519) and one for TLS, and sends both public halves. The request is signed with the
first, the certificate request with the second, and the whole carries a MAC under the bundle's one-time token.
A renewal is the same request without a token: the signature of the enrolled key is its right. It names the
certificate that it follows, which has to be good still: played again a year later, it is worth nothing.
No private key and no token ever travels in a request or an answer.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.wire import VERSION, WireError

T = TypeVar("T")

# A request holds two public keys and two signatures; one of more than this is none.
MAX_MESSAGE_BYTES = 16 * 1024


class Bundle(msgspec.Struct, frozen=True):
    """What a box needs to enrol: where, whom to trust, and a token that counts once until `expires_us`."""

    v: int
    id: str
    org: str
    site: str
    agent: str
    host: str
    port: int
    expires_us: int
    ca: str  # PEM
    collector_key: bytes  # 32 bytes, Ed25519
    token: bytes
    certificate: str  # PEM, good for this enrolment's two topics only
    certificate_key: str  # PEM


class Request(msgspec.Struct, frozen=True):
    """A box's wish: `public_key` signs its batches, `csr` (DER) asks for the TLS certificate."""

    v: int
    id: str  # of the bundle; in a renewal the serial (hexadecimal) of the certificate that it follows
    public_key: bytes
    csr: bytes


class Sealed(msgspec.Struct, frozen=True):
    """A request as it travels: its exact bytes, the signing key's signature, the token's MAC (or empty)."""

    body: bytes
    signature: bytes
    mac: bytes


class Answer(msgspec.Struct, frozen=True):
    """The collector's answer: a certificate (PEM), or why there is none."""

    v: int
    certificate: str
    refused: str = ""


def enrol_topic(bundle_id: str, leaf: str) -> str:
    """The topic of one enrolment: leaf is request or answer."""
    return f"hashledger/v1/enroll/{bundle_id}/{leaf}"


def common_name(org: str, site: str, agent: str) -> str:
    """What an agent's certificate calls it; ValueError where a certificate cannot hold that."""
    name = f"{org}/{site}/{agent}"
    if len(name) > 64:  # X.520's bound on a common name
        raise ValueError(
            f"{name}: {len(name)} characters; a certificate's name holds 64, choose shorter ones"
        )
    return name


def encode_bundle(bundle: Bundle) -> bytes:
    return msgspec.json.format(msgspec.json.encode(bundle), indent=2) + b"\n"


def decode_bundle(content: bytes) -> Bundle:
    """A bundle's file; WireError if it is none of this version."""
    bundle = _decode(msgspec.json.Decoder(Bundle), content, "bundle")
    _check_version(bundle.v, "bundle")
    return bundle


def seal_request(topic: str, request: Request, key: Ed25519PrivateKey, token: bytes = b"") -> bytes:
    """A request signed and, with a token, MACed, both over its topic as well."""
    body = msgspec.msgpack.encode(request)
    text = _bound(topic, body)
    mac = hmac.digest(token, text, hashlib.sha256) if token else b""
    return msgspec.msgpack.encode(Sealed(body, key.sign(text), mac))


def open_request(topic: str, message: bytes) -> tuple[Request, Sealed]:
    """A request signed with the key that it names, WireError else; whether that key may ask is not said."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise WireError(f"request of {len(message)} bytes; at most {MAX_MESSAGE_BYTES} are taken")
    sealed = _decode(msgspec.msgpack.Decoder(Sealed), message, "request")
    request = _decode(msgspec.msgpack.Decoder(Request), sealed.body, "request")
    _check_version(request.v, "request")
    try:
        key = Ed25519PublicKey.from_public_bytes(request.public_key)
        key.verify(sealed.signature, _bound(topic, sealed.body))
    except (InvalidSignature, ValueError) as error:
        raise WireError("request: not signed with the key that it names") from error
    return request, sealed


def has_token(topic: str, sealed: Sealed, token: bytes) -> bool:
    """True if whoever made the request knew the bundle's token."""
    return hmac.compare_digest(sealed.mac, hmac.digest(token, _bound(topic, sealed.body), hashlib.sha256))


def encode_answer(answer: Answer) -> bytes:
    return msgspec.msgpack.encode(answer)


def decode_answer(body: bytes) -> Answer:
    """An answer, its word opened already; WireError if it is none."""
    answer = _decode(msgspec.msgpack.Decoder(Answer), body, "answer")
    _check_version(answer.v, "answer")
    return answer


def _bound(topic: str, body: bytes) -> bytes:
    return topic.encode() + b"\0" + body


def _check_version(version: int, what: str) -> None:
    if version != VERSION:
        raise WireError(f"{what} of version {version}; this program reads {VERSION}")


def _decode(decoder: msgspec.msgpack.Decoder[T] | msgspec.json.Decoder[T], content: bytes, what: str) -> T:
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WireError(f"{what}: {error}") from error
