"""A segment's bytes: header, then records. Pure functions over what a file holds; no file is opened here.

    header  16 bytes      magic "HLJ1" | u32 segment number | u64 zero (room for a later format)
    record  16 + n bytes  u32 n | u32 crc32 | i64 received_us | n packet bytes, exactly as received

All integers are little-endian. The crc covers n, received_us and the packet.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from agent import wire

MAGIC = b"HLJ1"
_HEADER = struct.Struct("<4sIQ")
_RECORD = struct.Struct("<IIq")
HEADER_BYTES = _HEADER.size
RECORD_BYTES = _RECORD.size  # of a record's head, before its packet


class Record(NamedTuple):
    """A whole, undamaged record: where it begins and ends, when it was received, and the packet."""

    offset: int
    end: int
    received_us: int
    packet: bytes


def header(segment: int) -> bytes:
    """The header of a segment."""
    return _HEADER.pack(MAGIC, segment, 0)


def record(received_us: int, packet: bytes) -> bytes:
    """A packet as a record."""
    return _RECORD.pack(len(packet), _crc(received_us, packet), received_us) + packet


def record_at(content: bytes, offset: int) -> Record | None:
    """The record that begins there; None where no whole, undamaged one does."""
    if offset < 0 or offset + RECORD_BYTES > len(content):
        return None
    length, crc, received_us = _RECORD.unpack_from(content, offset)
    begin = offset + RECORD_BYTES
    if not 0 < length <= len(content) - begin:  # a length of 0 is none: a tail of zeros is a torn one
        return None
    packet = content[begin : begin + length]
    if _crc(received_us, packet) != crc:
        return None
    return Record(offset, begin + length, received_us, packet)


def records(content: bytes, offset: int = HEADER_BYTES) -> Iterator[Record]:
    """The records from there on, until the end or the first damage: where the last one ends."""
    while (found := record_at(content, offset)) is not None:
        yield found
        offset = found.end


def next_record(content: bytes, offset: int) -> Record | None:
    """The first whole record behind a damage at `offset`.

    The damage may be in the length, so a packet's magic is looked for; trying every offset would take hours.
    """
    at = offset
    while (at := content.find(wire.MAGIC, at + 1)) >= 0:
        if at > offset + RECORD_BYTES and (found := record_at(content, at - RECORD_BYTES)) is not None:
            return found
    return None


def _crc(received_us: int, packet: bytes) -> int:
    return zlib.crc32(packet, zlib.crc32(struct.pack("<Iq", len(packet), received_us)))
