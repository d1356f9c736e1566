"""The spool: gapless, chained, durable, and deleted from only what the collector has confirmed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent import wire
from agent.spool import Author, Spool

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
AUTHOR = Author("org", "site", "agent-1", KEY, synthetic=True, clock_source="simulated")


def event(number: int) -> wire.Event:
    return wire.Event(number, "test", detail={"number": str(number)})


def opened(spool: Spool) -> list[wire.Packet]:
    return [wire.open_packet(packet) for _, packet in spool.packets(1, 10_000)]


def assert_chained(packets: list[wire.Packet]) -> None:
    for before, after in pairwise(packets):
        assert after.envelope.seq == before.envelope.seq + 1
        assert after.envelope.prev == before.hash
    assert all(wire.verify(packet, PUBLIC) for packet in packets)


class SpoolAgainstModel(RuleBasedStateMachine):
    """Any order of append, confirm, prune and reopen behaves as a plain list would."""

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "spool.db"
        self.spool = Spool(self.path, AUTHOR)
        self.stored: list[int] = []  # the number in each batch, seq 1 first
        self.acked = 0
        self.pruned = 0

    @rule(number=st.integers(0, 2**40))
    def append(self, number: int) -> None:
        assert self.spool.append([event(number)], number) == len(self.stored) + 1
        self.stored.append(number)

    @rule()
    def reopen(self) -> None:
        self.spool.close()
        self.spool = Spool(self.path, AUTHOR)

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        packets = opened(self.spool)
        if packets:
            chosen = data.draw(st.sampled_from(packets))
            assert self.spool.acknowledge(chosen.envelope.seq, chosen.hash)
            self.acked = chosen.envelope.seq

    @rule(seq=st.integers(1, 50), forged=st.binary(min_size=32, max_size=32))
    def forged_ack_changes_nothing(self, seq: int, forged: bytes) -> None:
        assert not self.spool.acknowledge(seq, forged)

    @rule()
    def prune_all_confirmed(self) -> None:
        self.spool.prune(keep_s=-1)
        self.pruned = max(self.pruned, self.acked - 1)

    @invariant()
    def same_as_model(self) -> None:
        packets = opened(self.spool)
        assert_chained(packets)
        assert [p.envelope.seq for p in packets] == list(range(self.pruned + 1, len(self.stored) + 1))
        assert [p.records[0].at_us for p in packets] == self.stored[self.pruned :]  # type: ignore[union-attr]
        depth = self.spool.depth()
        assert (depth.last_seq, depth.acked_seq) == (len(self.stored), self.acked)
        assert depth.waiting == len(self.stored) - self.acked

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
            self.folder.cleanup()


TestSpoolAgainstModel = SpoolAgainstModel.TestCase
TestSpoolAgainstModel.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_what_append_returned_survives_a_kill(tmp_path: Path) -> None:
    """The child prints each seq after append returned; killed at once, none of them is missing."""
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from agent import keys, wire
        from agent.spool import Author, Spool
        folder = Path(sys.argv[1])
        author = Author("org", "site", "agent-1", keys.create(folder), True, "simulated")
        spool = Spool(folder / "spool.db", author)
        for number in range(100_000):
            print(spool.append([wire.Event(number, "test")], number), flush=True)
        """
    )
    last = 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        )
        assert child.stdout is not None
        for _ in range(15):
            last = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        last = max([last, *(int(line) for line in child.stdout if line.endswith("\n"))])
        child.wait()
        from agent import keys

        author = Author("org", "site", "agent-1", keys.load(tmp_path), True, "simulated")
        spool = Spool(tmp_path / "spool.db", author)
        seqs = [seq for seq, _ in spool.packets(1, 100_000)]
        assert seqs == list(range(1, len(seqs) + 1)) and len(seqs) >= last
        spool.close()


def test_a_batch_that_cannot_be_packed_leaves_no_trace(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", AUTHOR)
    spool.append([event(1)], 1)
    with pytest.raises(TypeError):
        spool.append([object()], 2)  # type: ignore[list-item]
    assert spool.append([event(2)], 2) == 2
    assert_chained(opened(spool))
    spool.close()


def test_an_ack_that_goes_back_brings_the_mark_back(tmp_path: Path) -> None:
    """A collector restored from a backup stands lower: what it lost waits again."""
    spool = Spool(tmp_path / "spool.db", AUTHOR)
    for number in range(5):
        spool.append([event(number)], number)
    packets = opened(spool)
    assert spool.acknowledge(5, packets[4].hash)
    assert spool.acknowledge(2, packets[1].hash)
    assert spool.depth().waiting == 3
    assert spool.acknowledge(0, wire.GENESIS)
    assert spool.depth().waiting == 5
    spool.close()
