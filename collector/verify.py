"""Verification of a journal with public keys alone: no ledger, no private key, no word of the collector's.

What has to hold: every record's checksum; every packet's signature by the enrolled key; each agent's chain,
from its batch 1 on without gap or fork; each closed segment's seal; the manifest's own chain and signatures;
nothing missing, nothing foreign in the folder. What does not is a finding, and checking goes on behind it.
Batches that prove right but gave no readings are notes: the evidence is whole, their agent's word was not
usable. One segment is in memory at a time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from agent import wire
from agent.wire import Packet, Registers, Sweep, WireError
from collector import journal, manifest
from collector import segment as segments
from collector.completeness import Completeness
from collector.ledger.fold import possible_time
from collector.manifest import Part, Seal
from collector.places import Place

AgentKey = tuple[str, str]  # site, agent
# A ruined journal must not fill memory with what is wrong with it; the rest is counted.
FINDINGS_KEPT = 1_000
# A record at the very end that is not whole may be one that a running collector is writing.
APPEND_WAIT_S = 0.5
# Calendars end; an instant beyond is none, whatever the record says.
LATEST_US = 4_102_444_800_000_000  # 2100-01-01


class Agent(msgspec.Struct, frozen=True):
    """An agent's public key."""

    site: str
    agent: str
    public_key: bytes


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `verify` needs to know: whose batches and seals they must be (Ed25519, 32 bytes each)."""

    org: str
    collector: tuple[bytes, ...]
    agents: tuple[Agent, ...]


class Finding(NamedTuple):
    """Something that is wrong, and where."""

    what: str
    segment: int | None = None
    offset: int | None = None
    agent: AgentKey | None = None
    seq: int | None = None

    @property
    def text(self) -> str:
        """One line for people."""
        where = [
            None if self.segment is None else f"segment {self.segment}",
            None if self.offset is None else f"offset {self.offset}",
            None if self.agent is None else "/".join(self.agent),
            None if self.seq is None else f"batch {self.seq}",
        ]
        place = ", ".join(part for part in where if part)
        return f"{place}: {self.what}" if place else self.what


class Head(NamedTuple):
    """Where a chain stands; the hash is None behind damage."""

    seq: int = 0
    hash: bytes | None = wire.GENESIS


@dataclass(slots=True)
class Verified:
    """What was found; `findings` and `notes` up to FINDINGS_KEPT each, their numbers whole."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    found: int = 0
    noted: int = 0
    segments: int = 0
    sealed: int = 0
    archived_unchecked: list[int] = field(default_factory=list)
    batches: int = 0
    readings: int = 0
    bytes: int = 0
    manifest_head: str = manifest.GENESIS
    heads: dict[AgentKey, Head] = field(default_factory=dict)


class Verifier:
    """One pass over a journal's or an archive's folder."""

    def __init__(
        self, folder: Path, keys: Keys, archive: Place | None = None, seen: Completeness | None = None,
        ledger: Mapping[AgentKey, Head] | None = None, expect: str | None = None,
        wait_s: float = APPEND_WAIT_S,
    ) -> None:  # fmt: skip
        """`ledger`: heads that it has committed; `expect`: a manifest's head that somebody once noted."""
        self._wait_s = wait_s
        self._folder, self._archive, self._org = folder, archive, keys.org
        self._collector, self._expect = keys.collector, expect
        self._keys = {(a.site, a.agent): a.public_key for a in keys.agents}
        self._seen, self._ledger = seen or Completeness(), ledger or {}
        self.result = Verified()

    def run(self) -> Verified:
        """Check everything."""
        # The names first: what a running collector seals meanwhile is then in the manifest, if not here.
        listed = journal.numbers(self._folder)
        listing = manifest.read(self._folder)
        if listing.torn:
            time.sleep(self._wait_s)
            listing = manifest.read(self._folder)
        self._manifest(listing)
        self._foreign()
        known, before = sorted({*listed, *listing.seals}), 0
        for number in known:
            if number > before + 1:
                self._find(Finding(f"missing, with all up to {number - 1}, and in no manifest", before + 1))
            self._segment(number, known[-1], listing)
            before = number
        self._against_ledger()
        if not listed and not listing.seals:
            self._find(Finding(f"{self._folder}: no journal: neither segments nor a manifest"))
        return self.result

    def _find(self, finding: Finding) -> None:
        self.result.found += 1
        if len(self.result.findings) < FINDINGS_KEPT:
            self.result.findings.append(finding)

    def _note(self, note: Finding) -> None:
        self.result.noted += 1
        if len(self.result.notes) < FINDINGS_KEPT:
            self.result.notes.append(note)

    def _manifest(self, listing: manifest.Manifest) -> None:
        self.result.manifest_head = listing.head
        wrong = dict(listing.problems)
        for number, text in listing.problems:
            self._find(Finding(f"manifest, line {number}: {text}"))
        for number in listing.unsigned(self._collector):
            if not wrong.get(number, "").startswith("damaged"):
                self._find(Finding(f"manifest, line {number}: not signed with the collector's key"))
        if listing.torn:
            self._find(
                Finding(
                    f"manifest: {listing.torn} bytes of an unfinished line at offset {listing.whole_bytes}; "
                    "if that was a crash, the collector mends it at its next start"
                )
            )
        if self._expect is not None and self._expect not in (manifest.GENESIS, *listing.lines):
            self._find(Finding(f"manifest: no line has the hash {self._expect}: it was cut off or replaced"))

    def _foreign(self) -> None:
        for path in sorted(self._folder.iterdir()):
            segment = path.stem.isdecimal() and path == journal.path(self._folder, int(path.stem))
            if not segment and path.name not in (manifest.FILE, "lock"):
                self._find(Finding(f"{path.name}: not a file of the journal"))

    def _segment(self, number: int, last: int, listing: manifest.Manifest) -> None:
        seal = listing.seals.get(number)
        content = self._content(number, listing)
        if content is None:
            self._absent(number, seal, listing)
            return
        if number == last and seal is None:
            content = _settled(journal.path(self._folder, number), content, self._wait_s)
        self.result.segments += 1
        self.result.bytes += len(content)
        if content[: segments.HEADER_BYTES] != segments.header(number):
            what = "damaged header, or another segment's"
            if seal is None and number == last and segments.header(number).startswith(content):
                what = "unfinished header; if that was a crash, the collector mends it at its next start"
            self._find(Finding(what, number, 0))
        parts = self._records(number, content, sealed=seal is not None or number != last)
        if seal is not None:
            self.result.sealed += 1
            self._against_seal(seal, content, parts)
        elif number != last:
            self._find(
                Finding(
                    "closed but not sealed; the collector seals it at its next start if it is whole", number
                )
            )

    def _content(self, number: int, listing: manifest.Manifest) -> bytes | None:
        path = journal.path(self._folder, number)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            if number not in listing.archived or self._archive is None:
                return None
        try:
            return self._archive.read(path.name)
        except FileNotFoundError:
            return None

    def _absent(self, number: int, seal: Seal | None, listing: manifest.Manifest) -> None:
        # Asked again: it may be going to the archive just now.
        moved = listing.archived.get(number) or manifest.read(self._folder).archived.get(number)
        lost = "" if seal is None else f"; sealed with {seal.records} batches: {_told(seal.agents)}"
        if moved is None:
            self._find(Finding(f"missing{lost}", number))
        elif self._archive is not None:
            self._find(
                Finding(f"archived at {moved.where}, and missing in {self._archive.text}{lost}", number)
            )
        else:
            self.result.archived_unchecked.append(number)
        for part in seal.agents if seal is not None else ():
            self._follows(part, number)

    def _follows(self, part: Part, number: int) -> None:
        # A segment that is not here: its seal says where the chains stood before and behind it.
        key, head = (part.site, part.agent), self.result.heads.get((part.site, part.agent), Head())
        if part.first_seq != head.seq + 1:
            what = f"its seal begins there, but the segments before it end at batch {head.seq}"
            self._find(Finding(what, number, None, key, part.first_seq))
        self.result.heads[key] = Head(part.last_seq, bytes.fromhex(part.last_hash))

    def _records(self, number: int, content: bytes, *, sealed: bool) -> dict[tuple[str, str, str], Part]:
        parts: dict[tuple[str, str, str], Part] = {}
        end = segments.HEADER_BYTES
        while end < len(content):
            record = segments.record_at(content, end)
            if record is None:
                record = segments.next_record(content, end)
                self._damaged(number, content, end, record, sealed=sealed)
                if record is None:
                    break
            end = record.end
            packet = self._packet(number, record)
            if packet is not None:
                manifest.enter(parts, packet)
        return parts

    def _damaged(
        self, number: int, content: bytes, offset: int, behind: segments.Record | None, *, sealed: bool
    ) -> None:
        until = len(content) if behind is None else behind.offset
        what = f"{until - offset} bytes that are no whole record: changed, or cut off"
        if behind is None and not sealed:
            what += "; if that was a crash in an append, the collector cuts it off at its next start"
        try:
            e = wire.open_packet(content[offset + segments.RECORD_BYTES : until]).envelope
        except WireError:
            self._find(Finding(what, number, offset))
        else:
            self._find(Finding(what, number, offset, (e.site, e.agent), e.seq))

    def _packet(self, number: int, record: segments.Record) -> Packet | None:
        self.result.batches += 1
        try:
            packet = wire.open_packet(record.packet)
        except WireError as error:
            self._find(Finding(f"no batch: {error}", number, record.offset))
            return None
        e = packet.envelope
        key, place = (e.site, e.agent), (number, record.offset, (e.site, e.agent), e.seq)
        public_key = self._keys.get(key)
        if public_key is None or e.org != self._org:
            self._find(Finding(f"of {e.org}/{e.site}/{e.agent}, whose key is not among the keys", *place))
        elif not wire.verify(packet, public_key):
            self._find(Finding("not signed with the agent's key", *place))
        else:
            self._chained(packet, place)
            self._payload(packet, record.received_us, place)
            return packet
        if e.seq == self.result.heads.get(key, Head()).seq + 1:  # its place is taken, by something else
            self.result.heads[key] = Head(e.seq, None)
        return packet

    def _chained(self, packet: Packet, place: tuple[int, int, AgentKey, int]) -> None:
        key, seq = place[2], place[3]
        head = self.result.heads.get(key, Head())
        if seq > head.seq + 1:
            self._find(Finding(f"batches {head.seq + 1} to {seq - 1} are missing before it", *place))
        elif seq <= head.seq:
            self._find(Finding(f"comes after batch {head.seq}: a second one, or out of order", *place))
        elif head.hash is not None and packet.envelope.prev != head.hash:
            self._find(Finding(f"does not continue the batch {head.seq} before it: another history", *place))
        self.result.heads[key] = Head(seq, packet.hash)
        known = self._ledger.get(key)
        if known is not None and known.seq == seq and known.hash != packet.hash:
            self._find(Finding("the ledger was made of another batch of this number", *place))

    def _payload(self, packet: Packet, received_us: int, place: tuple[int, int, AgentKey, int]) -> None:
        received_us = min(received_us, LATEST_US)
        created_us = packet.envelope.created_us
        if not possible_time(created_us, received_us):
            self._note(Finding(f"impossible time: created_us {created_us}", *place))
            return
        try:
            records = packet.records
        except WireError as error:
            self._note(Finding(str(error), *place))
            return
        for record in records:
            if not isinstance(record, Sweep | Registers):
                continue
            at_us = record.started_us if isinstance(record, Sweep) else record.at_us
            if not all(possible_time(us, received_us) for us in _edges(record, at_us)):
                self._note(Finding(f"impossible time: a sweep of {at_us} us", *place))
            elif isinstance(record, Sweep):
                self.result.readings += len(record.devices) // 16
                self._seen.sweep(*place[2], record)
            else:
                self.result.readings += len(record.readings)
                self._seen.registers(*place[2], record)

    def _against_seal(self, seal: Seal, content: bytes, parts: dict[tuple[str, str, str], Part]) -> None:
        if len(content) != seal.bytes:
            self._find(Finding(f"has {len(content)} bytes, sealed with {seal.bytes}", seal.segment))
        elif hashlib.sha256(content).hexdigest() != seal.sha256:
            self._find(Finding("its SHA-256 is not the sealed one", seal.segment))
        elif tuple(parts[key] for key in sorted(parts)) != seal.agents:
            self._find(Finding(f"its seal tells of other batches: {_told(seal.agents)}", seal.segment))

    def _against_ledger(self) -> None:
        for key, known in sorted(self._ledger.items()):
            head = self.result.heads.get(key, Head())
            if head.seq < known.seq:
                what = f"the ledger has it, but the journal ends at batch {head.seq}"
                self._find(Finding(what, None, None, key, known.seq))


def _settled(path: Path, content: bytes, wait_s: float) -> bytes:
    # The open segment, read again where it ends within a record: a running collector may be writing it. If
    # that record is whole by then, what comes behind the last whole one is again an append under way.
    end = _whole(content)
    if end >= len(content) >= segments.HEADER_BYTES:
        return content
    time.sleep(wait_s)
    later = path.read_bytes()
    later_end = _whole(later)
    return later[:later_end] if later_end > end else later


def _whole(content: bytes) -> int:
    end = segments.HEADER_BYTES
    for record in segments.records(content):
        end = record.end
    return end


def _edges(record: Sweep | Registers, at_us: int) -> Iterator[int]:
    yield at_us
    if isinstance(record, Sweep):
        delays_ms = np.frombuffer(record.columns["delay_ms"], "<i4")
        if len(delays_ms):
            yield at_us + int(delays_ms.min()) * 1000
            yield at_us + int(delays_ms.max()) * 1000


def _told(parts: tuple[Part, ...]) -> str:
    return ", ".join(f"{p.site}/{p.agent} {p.first_seq} to {p.last_seq}" for p in parts) or "none"
