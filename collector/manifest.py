"""The manifest: one signed line for each closed segment of a journal, and for each that went to an archive.

    DIR/manifest    lines of: 128 hexadecimal digits (Ed25519 signature) | space | JSON | newline

The signature is the collector's key's, over the JSON bytes. The JSON of a line names the line before it by
the SHA-256 of its bytes without the newline (the first one: 64 zeros), so that no line can be changed,
dropped or put between. A seal follows from its segment and the line before it alone: made again, it is the
same line.

Lines are appended under a lock on the file and fsynced: the collector seals, `collector archive` notes what
it removes, each while the other runs. A crash leaves at most an unfinished line at the end, cut
off when the journal is opened or the next line is added. Public keys are enough to check all of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent import wire
from agent.wire import Packet, WireError
from collector import segment as segments

FILE = "manifest"
GENESIS = "0" * 64
_SIGNATURE_DIGITS = 2 * wire.SIGNATURE_BYTES


class ManifestError(Exception):
    """The manifest cannot be used as it is; the text names file and line."""


class Part(msgspec.Struct, frozen=True):
    """One agent's batches in a segment: the first and last sequence, and the last one's hash."""

    org: str
    site: str
    agent: str
    first_seq: int
    last_seq: int
    last_hash: str


class Seal(msgspec.Struct, frozen=True, tag="seal", tag_field="line"):
    """What a closed segment holds; `prev` is the hash of the line before."""

    prev: str
    segment: int
    bytes: int
    sha256: str
    records: int
    first_received_us: int | None
    last_received_us: int | None
    agents: tuple[Part, ...]


class Archived(msgspec.Struct, frozen=True, tag="archived", tag_field="line"):
    """From then on these segments are in the archive at `where` alone, each read back and hashed there."""

    prev: str
    at_us: int
    where: str
    segments: tuple[int, ...]


Line = Seal | Archived
_lines = msgspec.json.Decoder(Line)


def seal(segment: int, content: bytes, prev: str) -> Seal:
    """The seal of a closed segment's bytes."""
    parts: dict[tuple[str, str, str], Part] = {}
    count, first_us, last_us = 0, None, None
    for found in segments.records(content):
        count += 1
        first_us = found.received_us if first_us is None else first_us
        last_us = found.received_us
        try:
            packet = wire.open_packet(found.packet)
        except WireError:
            continue  # nothing but opened packets is appended; `verify` names what is none
        enter(parts, packet)
    return Seal(
        prev=prev, segment=segment, bytes=len(content), sha256=hashlib.sha256(content).hexdigest(),
        records=count, first_received_us=first_us, last_received_us=last_us,
        agents=tuple(parts[key] for key in sorted(parts)),
    )  # fmt: skip


def enter(parts: dict[tuple[str, str, str], Part], packet: Packet) -> None:
    """One more batch of a segment, in the order of its records."""
    envelope = packet.envelope
    key = (envelope.org, envelope.site, envelope.agent)
    first_seq = parts[key].first_seq if key in parts else envelope.seq
    parts[key] = Part(*key, first_seq, envelope.seq, packet.hash.hex())


@dataclass(slots=True)
class Manifest:
    """A manifest as read; `problems` by line number, `torn` bytes of an unfinished last line."""

    head: str = GENESIS
    seals: dict[int, Seal] = field(default_factory=dict)
    archived: dict[int, Archived] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)  # hashes, in order
    signed: list[tuple[bytes, bytes]] = field(default_factory=list)  # signature, JSON
    problems: list[tuple[int, str]] = field(default_factory=list)
    whole_bytes: int = 0
    torn: int = 0

    @property
    def last(self) -> int:
        """The last sealed segment, 0 if none is."""
        return max(self.seals, default=0)

    def unsigned(self, keys: tuple[bytes, ...]) -> Iterator[int]:
        """Numbers of lines that none of these public keys has signed."""
        checks = [Ed25519PublicKey.from_public_bytes(key) for key in keys]
        for number, (signature, text) in enumerate(self.signed, start=1):
            if not any(_signed(check, signature, text) for check in checks):
                yield number


def _signed(key: Ed25519PublicKey, signature: bytes, text: bytes) -> bool:
    try:
        key.verify(signature, text)
    except InvalidSignature:
        return False
    return True


def parse(content: bytes) -> Manifest:
    """A manifest's bytes; what is wrong with it stands in `problems`, signatures are not yet checked."""
    manifest = Manifest()
    *whole, rest = content.split(b"\n")
    manifest.torn, manifest.whole_bytes = len(rest), len(content) - len(rest)
    for number, raw in enumerate(whole, start=1):
        signature, text = b"", b""
        try:
            signature = bytes.fromhex(raw[:_SIGNATURE_DIGITS].decode("ascii"))
            text = raw[_SIGNATURE_DIGITS + 1 :]
            line = _lines.decode(text)
            for part in line.agents if isinstance(line, Seal) else ():
                bytes.fromhex(part.last_hash)
            if _encode(signature, line) != raw:
                raise ValueError("not written as the collector writes it")
        except (ValueError, msgspec.DecodeError) as error:
            manifest.problems.append((number, f"damaged: {error}"))
        else:
            _enter(manifest, number, line)
        manifest.signed.append((signature, text))
        manifest.head = hashlib.sha256(raw).hexdigest()
        manifest.lines.append(manifest.head)
    return manifest


def _enter(manifest: Manifest, number: int, line: Line) -> None:
    if line.prev != manifest.head:
        manifest.problems.append((number, "does not continue the line before it"))
    if isinstance(line, Archived):
        manifest.archived |= dict.fromkeys(line.segments, line)
        return
    if line.segment != manifest.last + 1:
        manifest.problems.append((number, f"seals segment {line.segment} after segment {manifest.last}"))
    manifest.seals[line.segment] = line


def read(folder: Path) -> Manifest:
    """The manifest of a folder as it is; an empty one where there is none."""
    try:
        return parse((folder / FILE).read_bytes())
    except FileNotFoundError:
        return Manifest()


def load(folder: Path) -> Manifest:
    """The manifest of a folder; ManifestError unless each line of it continues the one before."""
    manifest = read(folder)
    if manifest.problems:
        number, text = manifest.problems[0]
        raise ManifestError(
            f"{folder / FILE}: line {number}: {text}. `hashledger collector verify` tells all; put back the "
            "copy from backup or archive, or, if nothing was archived, move it away: it is made anew"
        )
    return manifest


def append(folder: Path, key: Ed25519PrivateKey, make: Callable[[Manifest], Line | None]) -> Manifest:
    """Add the line that `make` returns for the manifest as it is, if any; on the disk when this returns."""
    with _locked(folder) as file:
        manifest = load(folder)
        line = make(manifest)
        if line is None:
            return manifest
        os.truncate(file, manifest.whole_bytes)
        raw = _encode(key.sign(msgspec.json.encode(line)), line) + b"\n"
        view = memoryview(raw)
        while view:
            view = view[os.write(file, view) :]
        os.fsync(file)
        return load(folder)


def mend(folder: Path) -> None:
    """Cut off an unfinished line at the end, of a crash: what it was for is done again, or was not done."""
    with _locked(folder) as file:
        os.truncate(file, read(folder).whole_bytes)
        os.fsync(file)


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)  # its name, too
        os.close(descriptor)
        yield file
    finally:
        os.close(file)


def _encode(signature: bytes, line: Line) -> bytes:
    return signature.hex().encode() + b" " + msgspec.json.encode(line)
