"""The roll: which agents are enrolled, with which keys and certificates, and which bundles are out.

One JSON file in the state folder, written whole, under a lock: the running collector and the commands change
it. A member stays on it for ever: revoked, its public key still proves its old batches, and its name is
never given to another key. Lost, it costs every agent a new enrolment: back it up.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from collector import private

FILE = "roll.json"
# Refused enrolments are for people: the newest are enough, and whoever asks must not grow the file.
REFUSALS_KEPT = 50

T = TypeVar("T")
Key = tuple[str, str]  # site, agent


class RollError(Exception):
    """The roll cannot be read; the text says what is wrong."""


class Certificate(msgspec.Struct, frozen=True):
    """A certificate of the authority's that is out; `serial` in hexadecimal."""

    serial: str
    not_after_us: int
    pem: str


class Member(msgspec.Struct, frozen=True):
    """An enrolled agent; `certificates` that have not run out, the newest last."""

    site: str
    agent: str
    public_key: bytes
    enrolled_us: int
    certificates: tuple[Certificate, ...] = ()
    revoked_us: int | None = None


class Pending(msgspec.Struct, frozen=True):
    """A bundle that was made; the token is kept after its use, for the box whose answer was lost."""

    id: str
    site: str
    agent: str
    token: bytes
    certificate: Certificate
    expires_us: int
    used_us: int | None = None
    withdrawn_us: int | None = None

    def is_out(self, now_us: int) -> bool:
        """True if a box may still enrol with it."""
        return self.used_us is None and self.withdrawn_us is None and self.expires_us > now_us


class Refusal(msgspec.Struct, frozen=True):
    """An enrolment or renewal that was refused."""

    at_us: int
    site: str
    agent: str
    reason: str
    detail: str
    count: int = 1


class Roll(msgspec.Struct, frozen=True):
    """Everything that is known of who may get in."""

    members: tuple[Member, ...] = ()
    pending: tuple[Pending, ...] = ()
    refused: tuple[Refusal, ...] = ()

    def member(self, key: Key) -> Member | None:
        return next((m for m in self.members if (m.site, m.agent) == key), None)

    def bundle(self, bundle_id: str) -> Pending | None:
        return next((p for p in self.pending if p.id == bundle_id), None)

    @property
    def keys(self) -> dict[Key, bytes]:
        """Public keys of everyone ever enrolled, the revoked ones as well: they prove old batches."""
        return {(m.site, m.agent): m.public_key for m in self.members}

    @property
    def revoked(self) -> frozenset[Key]:
        return frozenset((m.site, m.agent) for m in self.members if m.revoked_us is not None)

    def with_member(self, member: Member) -> Roll:
        others = (m for m in self.members if (m.site, m.agent) != (member.site, member.agent))
        members = sorted((*others, member), key=lambda m: (m.site, m.agent))
        return msgspec.structs.replace(self, members=tuple(members))

    def with_bundle(self, pending: Pending, now_us: int) -> Roll:
        # A bundle that ran out unused for a day is forgotten; a used one stays, so that its reuse is known.
        kept = [
            p
            for p in self.pending
            if p.id != pending.id and (p.used_us is not None or p.expires_us > now_us - 86_400_000_000)
        ]
        return msgspec.structs.replace(self, pending=(*kept, pending))

    def with_refusal(self, refusal: Refusal) -> Roll:
        """One more refusal; of the same agent for the same reason, it takes the place of the last one."""
        same = (refusal.site, refusal.agent, refusal.reason)
        before = [r for r in self.refused if (r.site, r.agent, r.reason) == same]
        counted = msgspec.structs.replace(refusal, count=1 + sum(r.count for r in before))
        kept = [r for r in self.refused if r not in before]
        return msgspec.structs.replace(self, refused=(*kept, counted)[-REFUSALS_KEPT:])


def load(state_dir: Path) -> Roll:
    """The roll of a state folder, empty where none was begun; RollError if it is damaged."""
    path = state_dir / FILE
    if not path.exists():
        return Roll()
    try:
        return msgspec.json.decode(private.read(path), type=Roll)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RollError(f"{path}: {error}; restore it from the backup") from error


def change(state_dir: Path, how: Callable[[Roll], tuple[Roll, T]]) -> T:
    """Change the roll, alone; on the disk when this returns. What `how` raises changes nothing."""
    with _locked(state_dir):
        before = load(state_dir)
        after, result = how(before)
        if after != before:
            private.write(state_dir / FILE, msgspec.json.format(msgspec.json.encode(after), indent=1))
        return result


def version(state_dir: Path) -> tuple[int, int]:
    """Changes whenever the file does."""
    try:
        found = (state_dir / FILE).stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino


@contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(state_dir / "roll.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
