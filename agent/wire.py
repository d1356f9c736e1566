"""The contract between agent and collector, version 1: batches, their encoding, chain and signature.

Topics (QoS 1; MQTT 3.1.1 and 5):
    hashledger/v1/{org}/{site}/{agent}/batch    not retained   one packet a message
    hashledger/v1/{org}/{site}/{agent}/status   retained       birth; the last will says dead
    hashledger/v1/{org}/{site}/{agent}/ack      retained       from the collector: committed up to `seq`
    hashledger/v1/{org}/{site}/{agent}/register retained       from the collector: the site's devices, for a
                                                               box that has lost its own (`encode_register`)
    hashledger/v1/{org}/{site}/{agent}/renew, .../certificate  see wire_enrol.py

A packet is `MAGIC | signature (64) | envelope`. The envelope is msgpack and is what is signed (Ed25519) and
what is hashed (SHA-256); the next envelope carries that hash as `prev`, so that a batch can be neither
changed, dropped nor inserted without breaking the chain. `seq` starts at 1 and is gapless, over restarts too.

What comes from the collector is `WORD | signature (64) | body`, signed with the collector's key over
`topic NUL body`: a word said to one agent, or under one leaf, is worth nothing under another topic. An old
word of the same topic stays genuine. An old ack costs the agent a window sent again, and `publish.py` bounds
how often; an old register gives a box that knows no device fewer identities than it could have had.

The payload is zstd over msgpack: a list of records. A sweep holds its readings as columns of scaled
little-endian integers: they compress to some 25 bytes a reading and decode without a Python loop. The least
integer of a column's type means "not read" (a value that was not read is not 0).
"""

from __future__ import annotations

import hashlib
import re
import sys
from array import array
from collections.abc import Sequence

import msgspec
import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

VERSION = 1
MAGIC = b"HLB1"
WORD = b"HLW1"
SIGNATURE_BYTES = 64
GENESIS = bytes(32)  # `prev` of the first batch of a chain
# The largest payload a collector will unpack: 10,000 devices x 60 sweeps take some 40 MiB; more is an attack.
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024

# The order is the wire's: append only.
ORIGINS = (None, "meter", "wall_measured", "psu_measured", "dc_output", "firmware_estimated", "nameplate")
STATES = ("unknown", "mining", "idle", "sleeping", "starting", "overheat", "fault")

# Column -> (bytes of its integer, steps per 1 of the reading's unit); mW and MH/s: finer than devices tell.
COLUMNS: dict[str, tuple[int, float]] = {
    "delay_ms": (4, 1.0),  # observed_us - sweep's started_us, in ms
    "hashrate_mhs": (8, 1e-6),
    "power_mw": (4, 1e3),
    "origin": (1, 1.0),
    "state": (1, 1.0),
    "uptime_s": (4, 1.0),
    "chip_temp_dc": (2, 10.0),  # hottest chip, 0.1 degC
    "fan_rpm": (4, 1.0),  # slowest fan
    "accepted": (8, 1.0),
    "rejected": (8, 1.0),
}
# Before any agent existed; a box without a clock battery starts in 1970 or at its image's build date.
EARLIEST_US = 1_577_836_800_000_000  # 2020-01-01
_TYPECODES = {array(code).itemsize: code for code in "bhiq"}


class WireError(ValueError):
    """A packet or payload that cannot be used; the text says why."""


class FailedPoll(msgspec.Struct, frozen=True, array_like=True):
    """One poll in a sweep that gave no reading; `device` is 16 bytes, empty where nobody is known there."""

    device: bytes
    address: str
    delay_ms: int
    kind: str
    detail: str


class Sweep(msgspec.Struct, frozen=True, tag="sweep"):
    """One pass over a site: `devices` is 16 bytes a reading; `columns` as in COLUMNS, same order."""

    started_us: int
    interval_s: int
    devices: bytes
    columns: dict[str, bytes]
    failures: list[FailedPoll] = []


class PoolUse(msgspec.Struct, frozen=True, array_like=True):
    """A configured pool of a device; `address` is the payout address found valid in `user`, or None.

    `coins`: all coins that the address may belong to.
    """

    url: str
    user: str
    active: bool | None
    address: str | None
    fee: bool | None = None  # the firmware's developer is paid there
    priority: int | None = None
    coins: list[str] = []


class Inventory(msgspec.Struct, frozen=True, tag="inventory"):
    """A device as it is from `at_us` on: sent when first seen and whenever anything in it changes."""

    at_us: int
    device: bytes
    address: str
    family: str
    make: str | None = None
    model: str | None = None
    firmware: str | None = None
    serial: str | None = None
    mac: str | None = None
    hostname: str | None = None
    algorithm: str | None = None
    nameplate_hs: float | None = None
    nameplate_w: float | None = None
    board_serials: list[str] = []
    psu_serial: str | None = None
    pools: list[PoolUse] = []


class Event(msgspec.Struct, frozen=True, tag="event"):
    """Something that happened: started, device_appeared, device_moved, device_vanished, clock_step, ..."""

    at_us: int
    kind: str
    device: bytes = b""
    detail: dict[str, str] = {}


class Meter(msgspec.Struct, frozen=True, tag="meter"):
    """An electricity meter as it is from `at_us` on: sent at each start and whenever anything in it changes.

    `meter` is its configured name, unique in its site. Ratios are decimals as text, already applied to the
    registers that are sent. `step_wh`: the register's resolution; it returns to 0 at `modulus_wh`.
    """

    at_us: int
    meter: str
    source: str  # modbus, http, snmp, mqtt, pulse
    address: str
    register_map: str | None = None
    make: str | None = None
    model: str | None = None
    firmware: str | None = None
    serial: str | None = None
    ct_ratio: str = "1"
    vt_ratio: str = "1"
    step_wh: int | None = None
    modulus_wh: int | None = None


class RegisterReading(msgspec.Struct, frozen=True, array_like=True):
    """A meter's cumulative registers `delay_ms` after their record's `at_us`; None was not read.

    `problem`: why, as "kind: detail" with the kinds of failed polls; empty if all was read that was asked.
    """

    meter: str
    delay_ms: int
    import_wh: int | None
    export_wh: int | None = None
    power_mw: int | None = None
    problem: str = ""


class Registers(msgspec.Struct, frozen=True, tag="registers"):
    """One pass over a site's meters; never thinned."""

    at_us: int
    interval_s: int
    readings: list[RegisterReading]


Record = Sweep | Inventory | Event | Meter | Registers


class Envelope(msgspec.Struct, frozen=True):
    """What is signed: who, where in the chain, when, whether simulated, and the packed payload."""

    v: int
    org: str
    site: str
    agent: str
    session: bytes
    seq: int
    prev: bytes
    created_us: int
    clock_offset_us: int | None
    clock_source: str
    synthetic: bool
    payload: bytes


class Ack(msgspec.Struct, frozen=True):
    """The collector's word: everything up to `seq`, whose envelope hash is `hash`, is committed."""

    v: int
    seq: int
    hash: bytes


class Packet(msgspec.Struct, frozen=True):
    """An opened packet: the envelope, its exact signed bytes, its signature and its hash."""

    envelope: Envelope
    signed: bytes
    signature: bytes
    hash: bytes

    @property
    def records(self) -> list[Record]:
        """The payload's records; WireError if it cannot be unpacked."""
        return unpack(self.envelope.payload)


_envelopes = msgspec.msgpack.Decoder(Envelope)
_records = msgspec.msgpack.Decoder(list[Record])
_acks = msgspec.msgpack.Decoder(Ack)
# msgspec tells of broken UTF-8 in its own way.
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError)


def topic(org: str, site: str, agent: str, leaf: str) -> str:
    """The topic of one agent: leaf is batch, status, ack or register."""
    return f"hashledger/v1/{org}/{site}/{agent}/{leaf}"


def parse_topic(text: str) -> tuple[str, str, str, str]:
    """(org, site, agent, leaf) of a topic; WireError for any other, and for names that are none."""
    parts = text.split("/")
    if len(parts) != 6 or parts[:2] != ["hashledger", "v1"]:
        raise WireError(f"topic {text!r} is not hashledger/v1/ORG/SITE/AGENT/LEAF")
    try:
        for name in parts[2:5]:  # they are shown to people: no control characters, no markup
            check_name(name)
    except ValueError as error:
        raise WireError(f"topic {text!r}: {error}") from error
    return parts[2], parts[3], parts[4], parts[5]


def check_name(name: str) -> str:
    """An org, site or agent name as topics and file names bear it; ValueError says what would be right."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name):
        raise ValueError("1 to 63 characters of a-z, 0-9 and '-', beginning with a letter or digit")
    return name


def pack(records: Sequence[Record]) -> bytes:
    """Records as payload bytes; the same records give the same bytes."""
    packed = zstandard.ZstdCompressor(level=3).compress(msgspec.msgpack.encode(list(records)))
    return bytes(memoryview(packed))  # the compressor's own bytes keep the room of the worst case


def unpack(payload: bytes) -> list[Record]:
    """Payload bytes as records; WireError if they are no payload of this version."""
    try:
        size = zstandard.frame_content_size(payload)
        if not 0 <= size <= MAX_PAYLOAD_BYTES:
            raise WireError(f"payload of {size} bytes unpacked; at most {MAX_PAYLOAD_BYTES} are taken")
        raw = zstandard.ZstdDecompressor().decompress(payload, max_output_size=MAX_PAYLOAD_BYTES)
        records = _records.decode(raw)
    except (zstandard.ZstdError, *_UNDECODABLE) as error:
        raise WireError(f"payload: {error}") from error
    for record in records:
        if isinstance(record, Sweep):
            _check_sweep(record)
    return records


def _check_sweep(sweep: Sweep) -> None:
    count, rest = divmod(len(sweep.devices), 16)
    if rest:
        raise WireError("sweep: devices is not a multiple of 16 bytes")
    for name, (width, _) in COLUMNS.items():
        if name not in sweep.columns or len(sweep.columns[name]) != count * width:
            raise WireError(f"sweep: column {name} does not hold {count} values of {width} bytes")


def column(name: str, values: Sequence[float | int | None]) -> bytes:
    """One column's bytes from values in the reading's own units; None, or what cannot fit, is 'not read'."""
    width, scale = COLUMNS[name]
    unread, limit = missing(name), -missing(name) - 1
    scaled = [unread if v is None or not -limit < (x := v * scale) < limit else round(x) for v in values]
    cells = array(_TYPECODES[width], scaled)
    if sys.byteorder == "big":
        cells.byteswap()
    return cells.tobytes()


def values(sweep: Sweep, name: str) -> list[int]:
    """One column of a sweep in the wire's scaled unit; `missing(name)` marks what was not read."""
    cells = array(_TYPECODES[COLUMNS[name][0]], sweep.columns[name])
    if sys.byteorder == "big":
        cells.byteswap()
    return cells.tolist()


def missing(name: str) -> int:
    """The integer that means 'not read' in a column: the least of its type."""
    return int(-(1 << (8 * COLUMNS[name][0] - 1)))


def seal(envelope: Envelope, key: Ed25519PrivateKey) -> tuple[bytes, bytes]:
    """(packet, hash): the envelope signed; the hash goes into the next one's `prev`."""
    signed = msgspec.msgpack.encode(envelope)
    return MAGIC + key.sign(signed) + signed, hashlib.sha256(signed).digest()


def open_packet(packet: bytes) -> Packet:
    """A packet taken apart, signature not yet checked; WireError if it is none of this version."""
    head = len(MAGIC) + SIGNATURE_BYTES
    if packet[: len(MAGIC)] != MAGIC or len(packet) <= head:
        raise WireError("not a hashledger packet of version 1")
    signed = packet[head:]
    try:
        envelope = _envelopes.decode(signed)
    except _UNDECODABLE as error:
        raise WireError(f"envelope: {error}") from error
    if envelope.v != VERSION:
        raise WireError(f"envelope version {envelope.v}; this collector reads {VERSION}")
    if envelope.seq < 1 or len(envelope.prev) != 32:
        raise WireError("envelope: seq must be at least 1 and prev 32 bytes")
    return Packet(envelope, signed, packet[len(MAGIC) : head], hashlib.sha256(signed).digest())


def verify(packet: Packet, public_key: bytes) -> bool:
    """True if the packet was signed with the private half of `public_key` (32 bytes)."""
    return _is_signed(public_key, packet.signature, packet.signed)


def _is_signed(public_key: bytes, signature: bytes, text: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, text)
    except InvalidSignature:
        return False
    return True


def encode_ack(seq: int, last_hash: bytes) -> bytes:
    return msgspec.msgpack.encode(Ack(VERSION, seq, last_hash))


def decode_ack(message: bytes) -> Ack:
    """An ack; WireError if the message is none."""
    try:
        ack = _acks.decode(message)
    except _UNDECODABLE as error:
        raise WireError(f"ack: {error}") from error
    if ack.v != VERSION or ack.seq < 0:
        raise WireError(f"ack of version {ack.v}, seq {ack.seq}")
    return ack


def sign_word(topic: str, body: bytes, key: Ed25519PrivateKey) -> bytes:
    """A message of the collector's, bound to its topic and signed."""
    return WORD + key.sign(topic.encode() + b"\0" + body) + body


def open_word(topic: str, message: bytes, public_key: bytes | None) -> bytes:
    """The body of the collector's message; WireError if it was not signed for this topic with its key.

    Without `public_key` (one machine, loopback) the signature is not looked at, and may be absent.
    """
    head = len(WORD) + SIGNATURE_BYTES
    signed = message[: len(WORD)] == WORD and len(message) >= head
    if public_key is not None:
        if not signed:
            raise WireError("not signed by the collector")
        signature, text = message[len(WORD) : head], topic.encode() + b"\0" + message[head:]
        if not _is_signed(public_key, signature, text):
            raise WireError("not signed with the collector's key for this topic")
    return message[head:] if signed else message


def encode_register(devices: Sequence[Inventory]) -> bytes:
    """A site's devices as the collector knows them: identities for an agent that has none, nothing else."""
    return pack(devices)


def decode_register(message: bytes) -> list[Inventory]:
    """The devices of a register; WireError if the message is none."""
    return [r for r in unpack(message) if isinstance(r, Inventory) and len(r.device) == 16]
