"""The archive: nothing goes from here before its copy has been read back, and a rebuild reads it there."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from collector import app, archive, config, journal, manifest, private
from collector.archive import ArchiveError
from collector.cli import collector
from collector.journal import Journal, JournalError
from collector.ledger import tables
from collector.places import PlaceError, place
from tests.collector.journals import COLLECTOR, SEGMENT_BYTES, Book, shared
from tests.collector.support import T0, Agent
from tests.collector.test_facts import CONFIG

SHARED = shared()


@pytest.fixture
def book(tmp_path: Path) -> Book:
    (tmp_path / "archive").mkdir()
    return SHARED.copy(tmp_path / "state" / "journal")


@pytest.fixture
def there(book: Book) -> Path:
    return book.folder.parents[1] / "archive"


def remove(book: Book, there: Path, checkpoint: int = 4, before_us: int = 2**62) -> list[int]:
    return archive.remove(
        book.folder, place(str(there)), COLLECTOR, before_us=before_us, checkpoint=checkpoint, now_us=T0
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "lock")


def test_an_archive_is_a_journal_of_sealed_segments(book: Book, there: Path) -> None:
    assert archive.copy(book.folder, place(str(there))) == [1, 2, 3]
    assert archive.copy(book.folder, place(str(there))) == []  # what is there is not written again
    copied = Book(there, SHARED.agents)
    assert names(there) == [*(path.name for path in SHARED.segments[:3]), "manifest"]
    assert (copied.verify().findings, copied.verify().sealed) == ([], 3)
    book.fill(3)
    assert archive.copy(book.folder, place(str(there))) == [4]


def test_removed_segments_are_archived_and_not_missing(book: Book, there: Path) -> None:
    archive.copy(book.folder, place(str(there)))
    assert remove(book, there) == [1, 2, 3]
    assert names(book.folder) == ["00000004.hlj", "manifest"]
    unchecked = book.verify(ledger=True)
    assert (unchecked.findings, unchecked.archived_unchecked, unchecked.batches) == ([], [1, 2, 3], 2)
    checked = book.verify(ledger=True, archive=place(str(there)))
    assert (checked.findings, checked.archived_unchecked, checked.batches) == ([], [], 11)
    assert Book(there, SHARED.agents).findings() == []
    book.fill(6)  # a collector goes on
    assert archive.copy(book.folder, place(str(there))) == [4, 5]
    assert book.findings(ledger=True, archive=place(str(there))) == []


@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
def test_harm_in_the_archive_is_found_there_and_nothing_is_removed(
    book: Book, there: Path, harm: str
) -> None:
    archive.copy(book.folder, place(str(there)))
    path = there / "00000002.hlj"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if harm == "changed" else content[:-1])
    if harm == "gone":
        path.unlink()
    with pytest.raises(ArchiveError, match=r"00000002\.hlj"):
        remove(book, there)
    assert len(book.segments) == 4
    assert manifest.read(book.folder).archived == {}
    assert any("2" in finding.text for finding in Book(there, SHARED.agents).findings())
    if harm != "changed":  # of the wrong size or gone: it is copied again
        assert archive.copy(book.folder, place(str(there))) == [2]
        assert remove(book, there) == [1, 2, 3]


def test_a_segment_that_goes_while_it_is_verified_is_no_missing_one(
    book: Book, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.copy(book.folder, place(str(there)))
    read, calls = manifest.read, []

    def read_then_remove(folder: Path) -> manifest.Manifest:
        found = read(folder)
        if folder == book.folder and not calls:
            calls.append(folder)
            monkeypatch.undo()
            remove(book, there)
        return found

    monkeypatch.setattr(manifest, "read", read_then_remove)
    found = book.verify(ledger=True)
    assert calls
    assert (found.findings, found.archived_unchecked) == ([], [1, 2, 3])


def test_harm_in_the_archive_after_the_removal_is_named(book: Book, there: Path) -> None:
    archive.copy(book.folder, place(str(there)))
    remove(book, there)
    (there / "00000001.hlj").unlink()
    path = there / "00000002.hlj"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    found = book.findings(archive=place(str(there)))
    assert {finding.segment for finding in found} >= {1, 2}
    assert any("missing in" in finding.what for finding in found)


def test_only_what_is_old_and_folded_goes(book: Book, there: Path) -> None:
    archive.copy(book.folder, place(str(there)))
    seals = manifest.read(book.folder).seals
    assert remove(book, there, checkpoint=1) == []
    assert remove(book, there, before_us=T0) == []
    assert seals[1].last_received_us is not None
    assert remove(book, there, before_us=seals[1].last_received_us + 1) == [1]
    assert remove(book, there, checkpoint=3) == [2]
    assert list(manifest.read(book.folder).archived) == [1, 2]


def test_a_changed_segment_is_not_archived(book: Book, there: Path) -> None:
    path = book.segments[1]
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(ArchiveError, match="is not what was sealed"):
        archive.copy(book.folder, place(str(there)))
    assert not (there / "00000002.hlj").exists()


def test_what_a_killed_run_left_is_written_over(book: Book, there: Path) -> None:
    (there / ".00000001.hlj.draft").write_bytes(b"half")
    archive.copy(book.folder, place(str(there)))
    assert Book(there, SHARED.agents).findings() == []


def test_an_archive_of_another_journal_is_refused(book: Book, there: Path, tmp_path: Path) -> None:
    other = Book(tmp_path / "other", [Agent(name="box-9")]).fill(7)
    archive.copy(other.folder, place(str(there)))
    with pytest.raises(ArchiveError, match="does not belong to this journal"):
        archive.copy(book.folder, place(str(there)))


def test_a_folder_that_is_not_there_is_not_made(book: Book, tmp_path: Path) -> None:
    """It may be a disk that is not mounted."""
    for folder, text in ((tmp_path / "mnt", "mount"), (book.folder, "the journal itself")):
        with pytest.raises((ArchiveError, PlaceError), match=text):
            archive.copy(book.folder, place(str(folder)))


# ---- the command, and the rebuild


def configure(book: Book, more: str = "") -> Path:
    folder = book.folder.parents[1]
    second = book.agents[1]
    text = CONFIG.replace('state_dir = "state"\n', f'state_dir = "state"\n{more}')
    text += (
        f'[[agent]]\nsite = "{second.site}"\nname = "{second.name}"\npublic_key = "{second.public_text}"\n'
    )
    (folder / "collector.toml").write_text(text)
    (folder / "devices.csv").write_text("serial\n")
    private.write(folder / "state" / private.KEY_FILE, private.pem(COLLECTOR))
    return folder / "collector.toml"


def call(path: Path, *words: str) -> Result:
    return CliRunner().invoke(collector, [*words, "--config", str(path)])


def test_a_rebuild_from_the_archive_equals_the_ledger(book: Book, there: Path) -> None:
    path = configure(book, 'archive = "archive"\nkeep_journal_days = 1\n')
    assert "0 segments removed" in call(path, "archive", "--remove").output  # the ledger is not made yet
    assert call(path, "rebuild").exit_code == 0
    store = app.open_store(config.load(path))
    before = tables.contents(store)
    store.close()
    assert before["batch"]
    done = call(path, "archive", "--remove", "--older-than", "0")
    assert (done.exit_code, "3 segments removed" in done.output) == (0, True)
    assert call(path, "rebuild").exit_code == 0
    store = app.open_store(config.load(path))
    assert tables.contents(store) == before
    store.close()
    assert call(path, "verify").exit_code == 0

    there.rename(there.with_name("elsewhere"))
    lost = call(path, "rebuild")
    assert lost.exit_code == 1
    assert "segment 1 was moved to the archive" in lost.output
    assert "collector.archive" in lost.output
    path.write_text(path.read_text().replace('"archive"', '"elsewhere"'))
    assert call(path, "rebuild").exit_code == 0


def test_the_manifest_says_where_a_segment_went(book: Book, there: Path) -> None:
    archive.copy(book.folder, place(str(there)))
    before = list(journal.read(book.folder))
    remove(book, there)
    assert list(journal.read(book.folder)) == before
    there.rename(there.with_name("elsewhere"))
    with pytest.raises(JournalError, match=rf"segment 1 was moved to the archive {there}, and cannot be had"):
        list(journal.read(book.folder))
    assert list(journal.read(book.folder, archive=str(there.with_name("elsewhere")))) == before
    Journal(book.folder, SEGMENT_BYTES, COLLECTOR).close()  # receiving goes on without it


def test_archive_asks_for_what_it_needs(book: Book) -> None:
    path = configure(book)
    for words, text in (
        (("archive",), "collector.archive"),
        (("archive", "archive", "--remove"), "collector.keep_journal_days"),
        (("archive", "archive", "--older-than", "3"), "every sealed segment is copied"),
        (("archive", "nowhere"), "no such folder"),
    ):
        result = call(path, *words)
        assert (result.exit_code, text in result.output) == (2, True), result.output
