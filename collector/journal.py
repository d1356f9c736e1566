"""The journal: append-only segment files that hold every accepted packet, and are the collector's truth.

    DIR/lock              flock of the one process that appends
    DIR/00000001.hlj      segment: header, then records; a record never straddles two segments
    header  16 bytes      magic "HLJ1" | u32 segment number | u64 zero (room for a later format)
    record  16 + n bytes  u32 n | u32 crc32 | i64 received_us | n packet bytes, exactly as received

All integers are little-endian. The crc covers n, received_us and the packet. A group is written with one
write and one fsync; what `append` has returned for is on the disk and may be acknowledged.

A crash during an append leaves a torn tail in the last segment. It is cut off when the journal is opened, and
the loss is told: only unacknowledged bytes can be there. Damage that has a whole record behind it is no torn
tail: acknowledged records would go with it, so it is an error that names segment and offset.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

MAGIC = b"HLJ1"
_HEADER = struct.Struct("<4sIQ")
_RECORD = struct.Struct("<IIq")
# Copies and checks in one go on a small server, yet a year of a 10,000-device farm is some 4,000 files only.
SEGMENT_BYTES = 64 * 1024 * 1024


class JournalError(Exception):
    """The journal cannot be used as it is; the text names segment and offset."""


class Position(NamedTuple):
    """A place between two records: segment number and byte offset in it; orders as the journal does."""

    segment: int
    offset: int


START = Position(1, _HEADER.size)


class Entry(NamedTuple):
    """One record: where it ends, when it was received, and the packet."""

    after: Position
    received_us: int
    packet: bytes

    @property
    def start(self) -> Position:
        """Where the record begins."""
        return Position(self.after.segment, self.after.offset - _RECORD.size - len(self.packet))


class Journal:
    """The journal opened for appending by the one process that may; `cut` tells what a crash had torn."""

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise JournalError(f"{folder} is in use by another collector process") from error
        try:
            self._file, self.end, self.cut = self._open_last()
        except BaseException:
            os.close(self._lock)
            raise

    def _open_last(self) -> tuple[int, Position, str | None]:
        segments = _segments(self.folder)
        if not segments:
            return *self._create(1), None
        if segments != list(range(1, len(segments) + 1)):
            raise JournalError(f"{self.folder}: a segment is missing among {segments[0]}..{segments[-1]}")
        last = segments[-1]
        path = _path(self.folder, last)
        content = path.read_bytes()
        if len(content) < _HEADER.size:  # killed between creating the segment and writing its header
            path.unlink()
            if last > 1:
                return *self._reopen(last - 1), f"{path.name}: {len(content)} bytes of an unfinished header"
            return *self._create(1), None
        _check_header(path, content, last)
        end = _HEADER.size
        while (found := _record_at(content, end)) is not None:
            end += _RECORD.size + len(found[1])
        cut = None
        if end < len(content):
            if _record_behind(content, end):
                raise JournalError(f"{path}: damaged record at offset {end}, with whole records behind it")
            cut = f"{path.name}: {len(content) - end} bytes of an unfinished append cut off at offset {end}"
            os.truncate(path, end)
        file, _ = self._reopen(last)
        os.fsync(file)
        return file, Position(last, end), cut

    def _create(self, segment: int) -> tuple[int, Position]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        file = os.open(_path(self.folder, segment), flags, 0o640)
        _write(file, _HEADER.pack(MAGIC, segment, 0))
        os.fsync(file)
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)  # the name of the new file, too
        os.close(folder)
        return file, Position(segment, _HEADER.size)

    def _reopen(self, segment: int) -> tuple[int, Position]:
        file = os.open(_path(self.folder, segment), os.O_WRONLY | os.O_APPEND)
        return file, Position(segment, os.fstat(file).st_size)

    def append(self, group: Sequence[tuple[int, bytes]]) -> list[Entry]:
        """(received_us, packet) pairs written and fsynced as one group; an OSError means: end the process."""
        if self.end.offset >= self._segment_bytes:
            os.close(self._file)
            self._file, self.end = self._create(self.end.segment + 1)
        entries: list[Entry] = []
        parts: list[bytes] = []
        segment, offset = self.end
        for received_us, packet in group:
            parts += (_RECORD.pack(len(packet), _crc(received_us, packet), received_us), packet)
            offset += _RECORD.size + len(packet)
            entries.append(Entry(Position(segment, offset), received_us, packet))
        _write(self._file, b"".join(parts))
        os.fsync(self._file)
        self.end = Position(segment, offset)
        return entries

    def read(self, start: Position = START) -> Iterator[Entry]:
        """The records from `start` on."""
        return read(self.folder, start)

    def close(self) -> None:
        """Release the files and the lock."""
        os.close(self._file)
        os.close(self._lock)


def read(folder: Path, start: Position = START) -> Iterator[Entry]:
    """The records of a journal from `start` on; stops before an unfinished append at the very end."""
    segments = _segments(folder)
    for segment in segments:
        if segment < start.segment:
            continue
        path = _path(folder, segment)
        content = path.read_bytes()
        if len(content) < _HEADER.size and segment == segments[-1] > start.segment:
            return  # its writer is just making it
        _check_header(path, content, segment)
        offset = start.offset if segment == start.segment else _HEADER.size
        if offset > len(content):
            raise JournalError(f"{path}: ends at offset {len(content)}, before the checkpoint at {offset}")
        while (found := _record_at(content, offset)) is not None:
            received_us, packet = found
            offset += _RECORD.size + len(packet)
            yield Entry(Position(segment, offset), received_us, packet)
        if offset != len(content) and (segment != segments[-1] or _record_behind(content, offset)):
            raise JournalError(f"{path}: damaged record at offset {offset}")
    if segments and start.segment > segments[-1]:
        raise JournalError(f"{folder}: segment {start.segment}, where the checkpoint is, is missing")


def size_bytes(folder: Path) -> int:
    """How much disk the journal takes."""
    return sum(path.stat().st_size for path in folder.glob("*.hlj"))


def _segments(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.hlj"))


def _path(folder: Path, segment: int) -> Path:
    return folder / f"{segment:08d}.hlj"


def _check_header(path: Path, content: bytes, segment: int) -> None:
    if len(content) < _HEADER.size or _HEADER.unpack_from(content) != (MAGIC, segment, 0):
        raise JournalError(f"{path}: damaged header at offset 0")


def _crc(received_us: int, packet: bytes) -> int:
    return zlib.crc32(packet, zlib.crc32(struct.pack("<Iq", len(packet), received_us)))


def _record_at(content: bytes, offset: int) -> tuple[int, bytes] | None:
    # None: no whole, undamaged record begins here. A length of 0 is none: a tail of zeros is a torn one.
    if offset + _RECORD.size > len(content):
        return None
    length, crc, received_us = _RECORD.unpack_from(content, offset)
    begin = offset + _RECORD.size
    if not 0 < length <= len(content) - begin:
        return None
    packet = content[begin : begin + length]
    return (received_us, packet) if _crc(received_us, packet) == crc else None


def _record_behind(content: bytes, offset: int) -> bool:
    # Every offset is tried, because the damage may be in the length. Slow, but only ever run on damage.
    return any(_record_at(content, at) is not None for at in range(offset + 1, len(content) - _RECORD.size))


def _write(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
