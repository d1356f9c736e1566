"""Small journals of several segments for the tests of sealing, verification and archive."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from collector import journal, manifest, verify
from collector.journal import Journal
from collector.places import Place
from collector.verify import Finding, Head, Keys, Verified, Verifier
from tests.collector.support import ORG, SITE, T0, Agent, S, key_of, one

COLLECTOR = key_of(7)
SECOND = "box-2"
# Three batches of one reading each.
SEGMENT_BYTES = 1_200


def agents() -> list[Agent]:
    return [Agent(), Agent(name=SECOND, key=key_of(2))]


def keys(who: Iterable[Agent], collector: bytes | None = None) -> Keys:
    public = collector or COLLECTOR.public_key().public_bytes_raw()
    return Keys(ORG, (public,), tuple(verify.Agent(a.site, a.name, a.public_key) for a in who))


@dataclass
class Book:
    """A journal under `folder`, its agents, and what a ledger made of it would know."""

    folder: Path
    agents: list[Agent] = field(default_factory=agents)
    batches: int = 0

    def fill(self, batches: int) -> Book:
        """More batches, alternately of each agent."""
        opened = Journal(self.folder, SEGMENT_BYTES, COLLECTOR)
        for _ in range(batches):
            agent, at_s = self.agents[self.batches % len(self.agents)], 30 * self.batches
            opened.append([(T0 + at_s * S, agent.batch(one(at_s, 3000), created_us=T0 + at_s * S))])
            self.batches += 1
        opened.close()
        return self

    def copy(self, folder: Path) -> Book:
        """The same in another folder, to be changed."""
        shutil.copytree(self.folder, folder)
        return Book(folder, [replace(agent) for agent in self.agents], self.batches)

    @property
    def keys(self) -> Keys:
        return keys(self.agents)

    @property
    def ledger(self) -> dict[verify.AgentKey, Head]:
        return {(a.site, a.name): Head(a.seq, a.prev) for a in self.agents}

    @property
    def segments(self) -> list[Path]:
        return [journal.path(self.folder, number) for number in journal.numbers(self.folder)]

    @property
    def manifest(self) -> Path:
        return self.folder / manifest.FILE

    def verify(self, *, ledger: bool = False, archive: Place | None = None) -> Verified:
        heads = self.ledger if ledger else None
        return Verifier(self.folder, self.keys, archive, ledger=heads, wait_s=0).run()

    def findings(self, *, ledger: bool = False, archive: Place | None = None) -> list[Finding]:
        return self.verify(ledger=ledger, archive=archive).findings


@functools.cache
def shared() -> Book:
    """Three sealed segments and an open one; who changes it puts it back."""
    folder = tempfile.TemporaryDirectory(prefix="hashledger-")
    _folders.append(folder)
    book = Book(Path(folder.name) / "journal").fill(11)
    assert (len(book.segments), len(manifest.read(book.folder).seals)) == (4, 3)
    return book


_folders: list[tempfile.TemporaryDirectory[str]] = []  # removed when the tests end


def name_of(agent: Agent) -> verify.AgentKey:
    return SITE, agent.name
