"""Sealed segments into an archive, and away from here once the archive's copy has been read back.

An archive is laid out as the journal is: segments and manifest, no lock. `verify` and `rebuild` read either.
A copy counts when it has been read back; what is already there is not written again. What goes from here is
first noted in the manifest, so that a segment is never neither here nor accounted for.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from collector import journal, manifest
from collector.manifest import Archived, Manifest, Seal
from collector.places import Place, sync


class ArchiveError(Exception):
    """The archive cannot be used, or does not hold what it should; nothing was removed on its account."""


def copy(folder: Path, archive: Place) -> list[int]:
    """Copy sealed segments that the archive lacks, then the manifest; the numbers copied."""
    with _alone(folder, archive):
        listed = manifest.load(folder)
        _check_same(_manifest_of(archive), listed, archive)
        copied = []
        for number, seal in sorted(listed.seals.items()):
            here = journal.path(folder, number)
            if here.exists() and archive.size(here.name) != seal.bytes:
                content = here.read_bytes()
                if hashlib.sha256(content).hexdigest() != seal.sha256:
                    raise ArchiveError(
                        f"{here}: is not what was sealed; `hashledger collector verify` says where"
                    )
                archive.write(here.name, content)
                copied.append(number)
        _copy_manifest(folder, archive)
    return copied


def remove(
    folder: Path, archive: Place, key: Ed25519PrivateKey, *, before_us: int, checkpoint: int, now_us: int
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
            _check_copy(archive, journal.path(folder, number).name, listed.seals[number])
        if not gone:
            return gone

        def note(now: Manifest) -> Archived:
            return Archived(prev=now.head, at_us=now_us, where=archive.text, segments=tuple(gone))

        manifest.append(folder, key, note)
        _copy_manifest(folder, archive)
        for number in gone:
            journal.path(folder, number).unlink()
        sync(folder)
    return gone


@contextmanager
def _alone(folder: Path, archive: Place) -> Iterator[None]:
    archive.check()
    if archive.text == str(folder.resolve()):
        raise ArchiveError(f"{archive.text}: is the journal itself; name another folder")
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ArchiveError(f"{folder}: is being archived by another process") from error
    finally:
        os.close(lock)


def _manifest_of(archive: Place) -> Manifest:
    try:
        return manifest.parse(archive.read(manifest.FILE))
    except FileNotFoundError:
        return Manifest()


def _check_same(theirs: Manifest, ours: Manifest, archive: Place) -> None:
    if theirs.problems or theirs.torn or theirs.lines != ours.lines[: len(theirs.lines)]:
        raise ArchiveError(
            f"{archive.text}: its manifest does not belong to this journal, or is damaged or newer than "
            "ours; archive elsewhere, and ask `hashledger collector verify` which one is right"
        )


def _check_copy(archive: Place, name: str, seal: Seal) -> None:
    try:
        content = archive.read(name)
    except OSError as error:
        raise ArchiveError(f"{archive.text}/{name}: {error}; nothing was removed") from error
    if hashlib.sha256(content).hexdigest() != seal.sha256:
        raise ArchiveError(f"{archive.text}/{name}: reads back otherwise than sealed; replace the copy")


def _copy_manifest(folder: Path, archive: Place) -> None:
    path = folder / manifest.FILE
    content = path.read_bytes() if path.exists() else b""
    if whole := content[: content.rfind(b"\n") + 1]:
        archive.write(manifest.FILE, whole)
