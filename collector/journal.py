"""The journal: append-only segment files that hold every accepted packet, and are the collector's truth.

    DIR/lock              flock of the one process that appends
    DIR/00000001.hlj      segment, see segment.py; a record never straddles two segments
    DIR/manifest          a signed line for each closed segment, see manifest.py

A group is written with one write and one fsync; what `append` has returned for is on the disk and may be
acknowledged. A segment is closed when it is large enough or a new UTC day begins: it is sealed, by a line in
the manifest, and only then is the next one made. So only the last segment is ever without a seal.

A crash during an append leaves a torn tail in the last segment. It is cut off when the journal is opened, and
the loss is told: only unacknowledged bytes can be there. Damage that has a whole record behind it is no torn
tail: acknowledged records would go with it, so it is an error that names segment and offset. A crash between
seal and next segment is mended when the journal is opened, and so are closed segments that were never sealed
(of versions before the manifest).

Sealed segments may be moved to an archive (`archive.py`); the manifest stays and says so, and `read` goes on
with the archive's copy. A segment that is neither here nor there is an error.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from collector import manifest
from collector import segment as segments
from collector.manifest import Manifest, ManifestError
from collector.places import place
from collector.segment import HEADER_BYTES, RECORD_BYTES

# Copies and checks in one go on a small server, yet a year of a 10,000-device farm is some 4,000 files only.
SEGMENT_BYTES = 64 * 1024 * 1024
# However small a farm is, what it has received is sealed a day later.
SEGMENT_US = 86_400_000_000


class JournalError(Exception):
    """The journal cannot be used as it is; the text names segment and offset."""


class Position(NamedTuple):
    """A place between two records: segment number and byte offset in it; orders as the journal does."""

    segment: int
    offset: int


START = Position(1, HEADER_BYTES)


class Entry(NamedTuple):
    """One record: where it ends, when it was received, and the packet."""

    after: Position
    received_us: int
    packet: bytes

    @property
    def start(self) -> Position:
        """Where the record begins."""
        return Position(self.after.segment, self.after.offset - RECORD_BYTES - len(self.packet))


class Journal:
    """The journal opened for appending by the one process that may; `cut` tells what a crash had torn.

    Closed segments are sealed with `key`; without one they wait for the next process that has it.
    """

    def __init__(
        self, folder: Path, segment_bytes: int = SEGMENT_BYTES, key: Ed25519PrivateKey | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._segment_bytes, self._key = segment_bytes, key
        self._day: int | None = None  # of the last segment's first record
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
        listed = _load(self.folder)
        if listed.torn:
            manifest.mend(self.folder)
        last = max(numbers(self.folder), default=0)
        if last < listed.last:
            # Its next one was not made yet, or it is gone: an archive never takes the last one.
            raise JournalError(f"{self.folder}: segment {listed.last} is sealed in the manifest, but missing")
        cut = None
        file_path = path(self.folder, last)
        if last and file_path.stat().st_size < HEADER_BYTES:  # killed while it was made
            cut = f"{file_path.name}: {file_path.stat().st_size} bytes of an unfinished header"
            file_path.unlink()
            last -= 1
        for number in range(1, last):
            if number not in listed.archived and not path(self.folder, number).exists():
                raise JournalError(f"{self.folder}: segment {number} is missing")
            if number > listed.last:
                self._seal(number)
        if last == 0 or (last <= listed.last):
            return *self._create(last + 1), cut
        return self._mend(last, cut)

    def _mend(self, last: int, cut: str | None) -> tuple[int, Position, str | None]:
        file_path = path(self.folder, last)
        content = file_path.read_bytes()
        _check_header(file_path, content, last)
        end, day = HEADER_BYTES, None
        for found in segments.records(content):
            end, day = found.end, found.received_us // SEGMENT_US if day is None else day
        if end < len(content):
            if segments.next_record(content, end) is not None:
                raise JournalError(
                    f"{file_path}: damaged record at offset {end}, with whole records behind it"
                )
            torn = len(content) - end
            cut = f"{file_path.name}: {torn} bytes of an unfinished append cut off at offset {end}"
            os.truncate(file_path, end)
        file = os.open(file_path, os.O_WRONLY | os.O_APPEND)
        os.fsync(file)
        self._day = day
        return file, Position(last, end), cut

    def _create(self, segment: int) -> tuple[int, Position]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        file = os.open(path(self.folder, segment), flags, 0o640)
        _write(file, segments.header(segment))
        os.fsync(file)
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)  # the name of the new file, too
        os.close(folder)
        self._day = None
        return file, Position(segment, HEADER_BYTES)

    def _seal(self, segment: int) -> None:
        if self._key is None:
            return
        content = path(self.folder, segment).read_bytes()

        def next_line(before: Manifest) -> manifest.Line | None:
            return manifest.seal(segment, content, before.head) if segment == before.last + 1 else None

        manifest.append(self.folder, self._key, next_line)

    def append(self, group: Sequence[tuple[int, bytes]]) -> list[Entry]:
        """(received_us, packet) pairs written and fsynced as one group; an OSError means: end the process."""
        day = group[0][0] // SEGMENT_US if group else self._day
        if self.end.offset >= self._segment_bytes or self._day not in (None, day):
            os.close(self._file)
            self._seal(self.end.segment)
            self._file, self.end = self._create(self.end.segment + 1)
        entries: list[Entry] = []
        parts: list[bytes] = []
        segment, offset = self.end
        for received_us, packet in group:
            parts.append(segments.record(received_us, packet))
            offset += len(parts[-1])
            entries.append(Entry(Position(segment, offset), received_us, packet))
        _write(self._file, b"".join(parts))
        os.fsync(self._file)
        self.end, self._day = Position(segment, offset), day if self._day is None else self._day
        return entries

    def read(self, start: Position = START) -> Iterator[Entry]:
        """The records from `start` on."""
        return read(self.folder, start)

    def close(self) -> None:
        """Release the files and the lock."""
        os.close(self._file)
        os.close(self._lock)


def read(folder: Path, start: Position = START, archive: str | None = None) -> Iterator[Entry]:
    """The records of a journal from `start` on; stops before an unfinished append at the very end.

    Archived segments are read where the manifest says they are, or in `archive` if that is given.
    """
    listed = _load(folder)
    last = max((*numbers(folder), listed.last))
    for number in range(start.segment, last + 1):
        file_path, content = path(folder, number), segment_bytes(folder, number, listed, archive)
        if len(content) < HEADER_BYTES and number == last > start.segment:
            return  # its writer is just making it
        _check_header(file_path, content, number)
        offset = start.offset if number == start.segment else HEADER_BYTES
        if offset > len(content):
            raise JournalError(
                f"{file_path}: ends at offset {len(content)}, before the checkpoint at {offset}"
            )
        for found in segments.records(content, offset):
            offset = found.end
            yield Entry(Position(number, offset), found.received_us, found.packet)
        if offset != len(content) and (number != last or segments.next_record(content, offset) is not None):
            raise JournalError(f"{file_path}: damaged record at offset {offset}")
    if last and start.segment > last:
        raise JournalError(f"{folder}: segment {start.segment}, where the checkpoint is, is missing")


def segment_bytes(folder: Path, number: int, listed: Manifest, archive: str | None = None) -> bytes:
    """A segment, from here or from the archive; JournalError if it is in neither."""
    try:
        return path(folder, number).read_bytes()
    except FileNotFoundError:
        moved = listed.archived.get(number)
    if moved is None:
        raise JournalError(f"{folder}: segment {number} is missing")
    try:
        return place(archive or moved.where).read(path(folder, number).name)
    except OSError as error:
        raise JournalError(
            f"segment {number} was moved to the archive {moved.where}, and cannot be had: {error}. "
            "Make it reachable there, or name its place: collector.archive"
        ) from error


def numbers(folder: Path) -> list[int]:
    """The numbers of the segments in a folder, in order."""
    found = (int(file.stem) for file in folder.glob("*.hlj") if file.stem.isdecimal())
    return sorted(n for n in found if path(folder, n).exists())


def path(folder: Path, segment: int) -> Path:
    """A segment's file."""
    return folder / f"{segment:08d}.hlj"


def size_bytes(folder: Path) -> int:
    """How much disk the journal takes."""
    total = 0
    for file in folder.glob("*.hlj"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue  # just now moved to the archive
    return total


def _load(folder: Path) -> Manifest:
    try:
        return manifest.load(folder)
    except ManifestError as error:
        raise JournalError(str(error)) from error


def _check_header(file_path: Path, content: bytes, segment: int) -> None:
    if content[:HEADER_BYTES] != segments.header(segment):
        raise JournalError(f"{file_path}: damaged header at offset 0")


def _write(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
