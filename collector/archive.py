"""Sealed segments into an archive folder, and away from here once the archive's copy has been read back.

An archive is laid out as the journal is: segments and manifest, no lock. `verify` and `rebuild` read either.
A copy comes under its name only when it is whole and on the disk; what is already there is not written again.
What goes from here is first noted in the manifest, so that a segment is never neither here nor accounted for.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from collector import imports, journal, manifest
from collector.manifest import Archived, Manifest, Seal


class ArchiveError(Exception):
    """The archive cannot be used, or does not hold what it should; nothing was removed on its account."""


def copy(folder: Path, archive: Path) -> list[int]:
    """Copy sealed segments that the archive lacks, then the manifest; the numbers copied."""
    with _alone(folder, archive):
        listed = manifest.load(folder)
        _check_same(manifest.read(archive), listed, archive)
        copied = []
        for number, seal in sorted(listed.seals.items()):
            here, there = journal.path(folder, number), journal.path(archive, number)
            if here.exists() and not _has_size(there, seal):
                _copy(here, there, seal)
                copied.append(number)
        _copy_manifest(folder, archive)
    return copied


def remove(
    folder: Path, archive: Path, key: Ed25519PrivateKey, *, before_us: int, checkpoint: int, now_us: int
) -> list[int]:
    """Remove segments received before `before_us` that the archive has; the numbers removed.

    Only those below `checkpoint`, the segment up to which the ledger has folded, and only after the archive's
    copy of each has been read back and hashed. ArchiveError names the first one that is not right there.
    """
    with _alone(folder, archive):
        listed = manifest.load(folder)
        gone = [
            number
            for number, seal in sorted(listed.seals.items())
            if number < checkpoint
            and (seal.last_received_us or 0) < before_us
            and journal.path(folder, number).exists()
        ]
        for number in gone:
            _check_copy(journal.path(archive, number), listed.seals[number])
        if not gone:
            return gone
        where = str(archive.resolve())

        def note(now: Manifest) -> Archived:
            return Archived(prev=now.head, at_us=now_us, where=where, segments=tuple(gone))

        manifest.append(folder, key, note)
        _copy_manifest(folder, archive)
        for number in gone:
            journal.path(folder, number).unlink()
        _fsync(folder)
    return gone


@contextmanager
def _alone(folder: Path, archive: Path) -> Iterator[None]:
    if not archive.is_dir():
        raise ArchiveError(f"{archive}: no such folder; make it, or mount what belongs there")
    if archive.resolve() == folder.resolve():
        raise ArchiveError(f"{archive}: is the journal itself; name another folder")
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ArchiveError(f"{folder}: is being archived by another process") from error
    finally:
        os.close(lock)


def _check_same(theirs: Manifest, ours: Manifest, archive: Path) -> None:
    if theirs.problems or theirs.torn or theirs.lines != ours.lines[: len(theirs.lines)]:
        raise ArchiveError(
            f"{archive / manifest.FILE}: does not belong to this journal, or is damaged or newer than its "
            "manifest; archive into another folder, and ask `hashledger collector verify` which one is right"
        )


def _has_size(path: Path, seal: Seal) -> bool:
    return path.exists() and path.stat().st_size == seal.bytes


def _copy(here: Path, there: Path, seal: Seal) -> None:
    content = here.read_bytes()
    if hashlib.sha256(content).hexdigest() != seal.sha256:
        raise ArchiveError(f"{here}: is not what was sealed; `hashledger collector verify` says where")
    draft = there.with_name(f".{there.name}.draft")  # one that a killed run has left is written over
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _check_copy(draft, seal)
    draft.replace(there)
    _fsync(there.parent)


def _check_copy(path: Path, seal: Seal) -> None:
    try:
        with path.open("rb") as file:
            # From the disk, where that can be had, not from memory.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror}; nothing was removed") from error
    if found != seal.sha256:
        raise ArchiveError(
            f"{path}: segment {seal.segment} reads back otherwise than sealed; replace the copy"
        )


def _copy_manifest(folder: Path, archive: Path) -> None:
    content = (folder / manifest.FILE).read_bytes() if (folder / manifest.FILE).exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole:
        imports.write_atomically(archive / manifest.FILE, whole)


def _fsync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
