"""Whatever is changed, removed, cut or put into a journal is found with public keys alone, and named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import manifest, segment, verify
from collector.verify import Verifier
from tests.collector.journals import COLLECTOR, Book, keys, name_of, shared
from tests.collector.support import T0, Agent, S, key_of, one

SHARED = shared()


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return SHARED.copy(tmp_path / "journal")


def named(book: Book, text: str, *, ledger: bool = False) -> None:
    texts = [finding.text for finding in book.findings(ledger=ledger)]
    assert any(text in found for found in texts), texts


def test_a_whole_journal_is_right(book: Book) -> None:
    found = book.verify(ledger=True)
    assert (found.findings, found.notes) == ([], [])
    assert (found.segments, found.sealed, found.batches, found.readings) == (4, 3, 11, 11)
    assert found.heads == book.ledger
    assert found.manifest_head == manifest.read(book.folder).head


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_changed_bit_is_found_and_named(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([*SHARED.segments, SHARED.manifest]))
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(changed)
    try:
        findings = SHARED.findings()
    finally:
        path.write_bytes(content)
    if path == SHARED.manifest:
        assert any(finding.text.startswith("manifest") for finding in findings)
        return
    records = list(segment.records(content))
    begin = next((record.offset for record in records if record.offset <= at < record.end), 0)
    assert (int(path.stem), begin) in {(finding.segment, finding.offset) for finding in findings}


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_cut_segment_is_found_and_named(data: st.DataObject) -> None:
    number, path = data.draw(st.sampled_from([*enumerate(SHARED.segments, start=1)]))
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    try:
        findings = SHARED.findings(ledger=True)
    finally:
        path.write_bytes(content)
    open_one = number == len(SHARED.segments)  # cut between two records, it is the ledger that knows of more
    assert any(f.segment == number or (open_one and "the ledger has it" in f.what) for f in findings)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_cut_manifest_is_found_and_named(data: st.DataObject) -> None:
    content = SHARED.manifest.read_bytes()
    SHARED.manifest.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    try:
        texts = [finding.text for finding in SHARED.findings()]
    finally:
        SHARED.manifest.write_bytes(content)
    assert any(text.startswith("manifest: ") or "closed but not sealed" in text for text in texts)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_removed_segment_is_found_and_what_it_held_is_told(book: Book, number: int) -> None:
    seal = manifest.read(book.folder).seals[number]
    book.segments[number - 1].unlink()
    (finding,) = book.findings(ledger=True)  # and no other: the chains go on behind it as its seal says
    assert finding.segment == number
    assert "missing" in finding.what
    assert all(f"{p.site}/{p.agent} {p.first_seq} to {p.last_seq}" in finding.what for p in seal.agents)


def test_all_that_was_removed_at_the_end_is_found(book: Book) -> None:
    for path in book.segments[2:]:
        path.unlink()
    assert [(f.segment, f.what[:7]) for f in book.findings()] == [(3, "missing")]
    named(book, "the ledger has it, but the journal ends at batch", ledger=True)


def test_a_removed_open_segment_is_found_where_the_ledger_is(book: Book) -> None:
    book.segments[-1].unlink()
    named(book, "the ledger has it, but the journal ends at batch", ledger=True)


def test_a_journal_and_manifest_cut_alike_are_found_by_a_head_that_was_noted(book: Book) -> None:
    head = book.verify().manifest_head
    for path in book.segments[2:]:
        path.unlink()
    lines = book.manifest.read_bytes().splitlines(keepends=True)
    book.manifest.write_bytes(b"".join(lines[:2]))
    assert book.findings() == []  # right in itself: nothing in it says that there was more
    (finding,) = Verifier(book.folder, book.keys, expect=head).run().findings
    assert "cut off or replaced" in finding.what
    assert Verifier(SHARED.folder, book.keys, expect=book.verify().manifest_head).run().findings == []


def test_a_manifest_that_is_gone_is_found(book: Book) -> None:
    book.manifest.unlink()
    assert [f.segment for f in book.findings() if "not sealed" in f.what] == [1, 2, 3]


@given(st.lists(st.one_of(st.binary(), st.sampled_from(shared().manifest.read_bytes().splitlines()))))
@settings(max_examples=200, deadline=None)
def test_no_manifest_stops_verification(lines: list[bytes]) -> None:
    content = SHARED.manifest.read_bytes()
    SHARED.manifest.write_bytes(b"\n".join(lines))
    try:
        findings = SHARED.findings()
    finally:
        SHARED.manifest.write_bytes(content)
    assert findings or b"\n".join(lines) == content


def test_a_dropped_or_swapped_line_of_the_manifest_is_found(book: Book) -> None:
    first, second, third = book.manifest.read_bytes().splitlines(keepends=True)
    for lines in ((first, third), (second, first, third), (first, second, second, third)):
        book.manifest.write_bytes(b"".join(lines))
        named(book, "does not continue the line before it")


def test_a_manifest_sealed_with_another_key_is_found(book: Book) -> None:
    book.manifest.unlink()
    for number, path in enumerate(book.segments[:3], start=1):
        content = path.read_bytes()
        manifest.append(book.folder, key_of(9), lambda m, n=number, c=content: manifest.seal(n, c, m.head))
    texts = [finding.text for finding in book.findings()]
    assert texts == [f"manifest, line {n}: not signed with the collector's key" for n in (1, 2, 3)]


def test_swapped_segments_are_found(book: Book) -> None:
    one_, two = book.segments[:2]
    content = one_.read_bytes()
    one_.write_bytes(two.read_bytes())
    two.write_bytes(content)
    found = {(f.segment, f.what) for f in book.findings()}
    assert {(n, "damaged header, or another segment's") for n in (1, 2)} <= found


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_segment_of_another_history_is_found(book: Book, tmp_path: Path, number: int) -> None:
    """Rightly formed, signed with the agents' own keys and chained: what copied boxes could make."""
    other = Book(tmp_path / "other")
    other.agents[0].batch(one(0, 1))
    other.agents[0].seq -= 1  # the same numbers with other content
    other.fill(11)
    shutil.copy(other.segments[number - 1], book.segments[number - 1])
    assert any(f.segment == number and f.agent == name_of(book.agents[0]) for f in book.findings())
    assert any(f.segment == number for f in book.findings(ledger=True) if f.seq is None) == (number < 4)


def test_a_changed_packet_with_a_right_checksum_is_found_and_named(book: Book) -> None:
    path = book.segments[1]
    content = path.read_bytes()
    *_, last = segment.records(content)
    packet = bytearray(last.packet)
    packet[-1] ^= 1
    path.write_bytes(content[: last.offset] + segment.record(last.received_us, bytes(packet)))
    seal = manifest.read(book.folder).seals[2]
    texts = [finding.text for finding in book.findings()]
    assert "segment 2: its SHA-256 is not the sealed one" in texts
    (text,) = (text for text in texts if "not signed with the agent's key" in text)
    assert text.startswith(f"segment 2, offset {last.offset}, north/box-")
    assert any(f"batch {part.last_seq}:" in text for part in seal.agents)


def test_batches_of_nobody_enrolled_are_found(book: Book) -> None:
    findings = Verifier(book.folder, keys(book.agents[:1])).run().findings
    assert {(finding.agent, finding.what[:3]) for finding in findings} == {(name_of(book.agents[1]), "of ")}


def test_a_foreign_file_is_found(book: Book) -> None:
    for name in ("1.hlj", "00000002.hlj.bak", "notes"):
        (book.folder / name).touch()
        named(book, f"{name}: not a file of the journal")


def test_batches_without_use_are_noted_and_wrong_they_are_not(tmp_path: Path) -> None:
    book = Book(tmp_path / "journal").fill(1)
    agent = book.agents[0]
    opened = verify.journal.Journal(book.folder, key=COLLECTOR)
    opened.append(
        [
            (T0, agent.batch(payload=b"?")),
            (T0, agent.batch(one(0, 1), created_us=1)),
            (T0, agent.batch(one(3 * 86_400, 1))),  # three days ahead
            (2**62, agent.batch(one(60, 1))),
        ]
    )
    opened.close()
    found = book.verify(ledger=True)
    assert found.findings == []
    noted = [(note.seq, note.what.partition(":")[0]) for note in found.notes]
    assert noted == [(2, "payload"), (3, "impossible time"), (4, "impossible time")]
    assert found.readings == 2


def test_what_is_wrong_with_a_ruined_journal_is_counted_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "FINDINGS_KEPT", 3)
    book = Book(tmp_path / "journal").fill(11)
    found = Verifier(book.folder, keys([])).run()
    assert (len(found.findings), found.found) == (3, 11)


def test_an_append_under_way_is_waited_for(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    path, whole = book.segments[-1], book.segments[-1].read_bytes()
    path.write_bytes(whole[:-5])
    monkeypatch.setattr(verify.time, "sleep", lambda _: path.write_bytes(whole))
    assert book.findings(ledger=True) == []


def test_times_are_those_of_the_records() -> None:
    seals = manifest.read(SHARED.folder).seals
    assert seals[1].first_received_us == T0
    assert [seal.last_received_us for seal in seals.values()] == [
        T0 + (sum(s.records for s in list(seals.values())[:n]) - 1) * 30 * S for n in (1, 2, 3)
    ]


def test_a_forked_agent_is_named(tmp_path: Path) -> None:
    book = Book(tmp_path / "journal").fill(4)
    fork = Agent(seq=1, prev=bytes(32))
    opened = verify.journal.Journal(book.folder, key=COLLECTOR)
    opened.append([(T0, fork.batch(one(0, 1)))])
    opened.close()
    (finding,) = book.findings()
    assert "comes after batch 2" in finding.what
    assert (finding.agent, finding.seq) == (name_of(fork), 2)
