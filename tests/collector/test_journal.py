"""The journal: what append returned for is read again, whatever is cut off behind it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent import wire
from collector import journal
from collector.journal import START, Journal, JournalError

PACKETS = st.lists(
    st.tuples(st.integers(0, 2**62), st.binary(min_size=1, max_size=60)), min_size=1, max_size=4
)


class JournalModel(RuleBasedStateMachine):
    """The journal against a list: appends, crashes in mid-append, reopening."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.journal = Journal(self.folder, segment_bytes=200)
        self.model: list[tuple[int, bytes]] = []

    def teardown(self) -> None:
        self.journal.close()

    @rule(group=PACKETS)
    def append(self, group: list[tuple[int, bytes]]) -> None:
        entries = self.journal.append(group)
        self.model += group
        assert entries[-1].after == self.journal.end

    @rule(group=PACKETS, keep=st.floats(0, 1))
    def crash_in_append(self, group: list[tuple[int, bytes]], keep: float) -> None:
        # What reached the file of an append that never returned: its whole records, then a torn one.
        before = self.journal.end
        entries = self.journal.append(group)
        self.journal.close()
        last = entries[-1].after
        path = self.folder / f"{last.segment:08d}.hlj"
        begin = before.offset if before.segment == last.segment else START.offset
        length = begin + int((last.offset - begin) * keep)
        with path.open("r+b") as file:
            file.truncate(length)
        whole = [entry for entry in entries if entry.after.offset <= length]
        self.model += [(entry.received_us, entry.packet) for entry in whole]
        self.journal = Journal(self.folder, segment_bytes=200)
        torn = length != (whole[-1].after.offset if whole else begin)
        assert (self.journal.cut is not None) == torn

    @rule()
    def reopen(self) -> None:
        self.journal.close()
        self.journal = Journal(self.folder, segment_bytes=200)
        assert self.journal.cut is None

    @invariant()
    def reads_what_was_kept(self) -> None:
        entries = list(self.journal.read())
        assert [(entry.received_us, entry.packet) for entry in entries] == self.model
        for n, entry in enumerate(entries):
            assert next(self.journal.read(entry.start)) == entry
            assert len(list(self.journal.read(entry.after))) == len(entries) - n - 1


TestJournalModel = JournalModel.TestCase
TestJournalModel.settings = settings(max_examples=40, stateful_step_count=15)


def make(folder: Path) -> list[journal.Entry]:
    opened = Journal(folder)
    entries = opened.append([(n, wire.MAGIC + bytes([n]) * 96) for n in range(1, 6)])
    opened.close()
    return entries


@pytest.mark.parametrize("at", [0, 4, 8, 50])  # in the length, in the crc, in the time, in the packet
def test_damage_with_records_behind_it_is_loud(tmp_path: Path, at: int) -> None:
    entries = make(tmp_path)
    path = tmp_path / "00000001.hlj"
    content = bytearray(path.read_bytes())
    content[entries[2].start.offset + at] ^= 0x40
    path.write_bytes(content)
    for use in (lambda: Journal(tmp_path), lambda: list(journal.read(tmp_path))):
        with pytest.raises(
            JournalError, match=f"00000001.hlj: damaged record at offset {entries[2].start.offset}"
        ):
            use()


def test_tail_of_zeros_is_torn(tmp_path: Path) -> None:
    entries = make(tmp_path)
    with (tmp_path / "00000001.hlj").open("ab") as file:
        file.write(bytes(300))
    opened = Journal(tmp_path)
    assert opened.cut is not None
    assert "300 bytes" in opened.cut
    assert list(opened.read()) == entries
    opened.close()


def test_reading_beside_a_writer_stops_before_an_unfinished_append(tmp_path: Path) -> None:
    entries = make(tmp_path)
    path = tmp_path / "00000001.hlj"
    path.write_bytes(path.read_bytes()[:-1])
    assert list(journal.read(tmp_path)) == entries[:-1]


def test_one_writer(tmp_path: Path) -> None:
    opened = Journal(tmp_path)
    with pytest.raises(JournalError, match="in use"):
        Journal(tmp_path)
    opened.close()
    Journal(tmp_path).close()


def test_killed_while_making_a_segment(tmp_path: Path) -> None:
    entries = make(tmp_path)
    (tmp_path / "00000002.hlj").write_bytes(b"HL")
    opened = Journal(tmp_path)
    assert list(opened.read()) == entries
    opened.append([(9, b"more")])
    assert len(list(opened.read())) == 6
    opened.close()


def test_journal_that_ends_before_the_checkpoint_is_loud(tmp_path: Path) -> None:
    end = make(tmp_path)[-1].after
    for beyond in (end._replace(offset=end.offset + 1), end._replace(segment=2)):
        with pytest.raises(JournalError, match="checkpoint"):
            list(journal.read(tmp_path, beyond))


def test_missing_segment_is_loud(tmp_path: Path) -> None:
    opened = Journal(tmp_path, segment_bytes=50)
    for n in range(1, 5):
        opened.append([(n, b"x" * 60)])
    opened.close()
    (tmp_path / "00000002.hlj").unlink()
    with pytest.raises(JournalError, match="missing"):
        Journal(tmp_path)
