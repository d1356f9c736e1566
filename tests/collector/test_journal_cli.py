"""`collector verify` and `keys`: what an auditor types, with exit status 0, 1 and 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from collector import enrol, manifest, roll
from collector.cli import collector
from collector.roll import Member
from tests.collector.journals import SECOND, Book, shared
from tests.collector.support import AGENT, SITE, T0
from tests.collector.test_archive import call, configure

SHARED = shared()


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return SHARED.copy(tmp_path / "state" / "journal")


@pytest.fixture
def path(book: Book) -> Path:
    return configure(book)


def offline(*words: str) -> Result:
    return CliRunner().invoke(collector, ["verify", *words])


def test_a_right_journal_ends_with_0_and_a_wrong_one_with_1(book: Book, path: Path) -> None:
    right = call(path, "verify")
    assert right.exit_code == 0, right.output
    assert "4 segments, 3 of them sealed; 11 batches of 2 agents, 11 readings" in right.output
    assert "all right" in right.output
    head = json.loads(call(path, "verify", "--json").output)["manifest_head"]
    assert head == manifest.read(book.folder).head
    assert call(path, "verify", "--expect", head).exit_code == 0
    assert call(path, "verify", "--expect", "0" * 63 + "1").exit_code == 1
    book.segments[1].unlink()
    wrong = call(path, "verify")
    assert wrong.exit_code == 1
    assert "WRONG: segment 2: missing; sealed with 3 batches: north/box-1" in wrong.output
    content = json.loads(call(path, "verify", "--json").output)
    assert (content["right"], content["findings_total"], content["findings"][0]["segment"]) == (False, 1, 2)


def test_public_keys_alone_are_enough(book: Book, path: Path, tmp_path: Path) -> None:
    printed = call(path, "keys")
    assert printed.exit_code == 0
    assert "PRIVATE" not in printed.output
    (tmp_path / "keys.json").write_text(printed.output)
    book.folder.rename(tmp_path / "carried")  # away from configuration, ledger and private keys
    words = ("--journal", str(tmp_path / "carried"), "--keys", str(tmp_path / "keys.json"))
    assert offline(*words).exit_code == 0
    (tmp_path / "keys.json").write_text(printed.output.replace(printed.output.split('"')[-2], "A" * 43 + "="))
    assert offline(*words).exit_code == 1


def test_what_a_person_can_mend_ends_with_2(book: Book, path: Path, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text('{"org":"acme","collector":["AAAA"],"agents":[]}')
    (tmp_path / "junk.json").write_text("{")
    for words, text in (
        (("--journal", str(book.folder)), "go together"),
        (("--keys", str(tmp_path / "keys.json")), "go together"),
        (("--journal", str(book.folder), "--keys", str(tmp_path / "keys.json")), "3 bytes"),
        (("--journal", str(book.folder), "--keys", str(tmp_path / "junk.json")), "hashledger collector keys"),
        (("--config", str(path), "--zone", "Mars/Olympus"), "IANA"),
        (("--config", str(path), "--from", "October"), "Invalid value"),
        (("--config", str(tmp_path / "none.toml")), "init"),
    ):
        result = offline(*words)
        assert (result.exit_code, text in result.output) == (2, True), result.output
    (tmp_path / "state" / "collector.key").unlink()
    missing = call(path, "verify")
    assert (missing.exit_code, "no collector.key" in missing.output) == (2, True)


def test_the_ledger_tells_of_a_removed_open_segment(book: Book, path: Path) -> None:
    assert call(path, "rebuild").exit_code == 0
    assert call(path, "verify").exit_code == 0
    book.segments[-1].unlink()
    wrong = call(path, "verify")
    assert wrong.exit_code == 1
    assert f"WRONG: {SITE}/{AGENT}, batch 6: the ledger has it" in wrong.output


def test_a_revoked_agents_old_batches_are_right(book: Book, path: Path) -> None:
    text = path.read_text()
    path.write_text(text[: text.rindex("[[agent]]")])
    assert f"{SITE}/{SECOND}, batch 1: of acme/{SITE}/{SECOND}, whose key" in call(path, "verify").output
    member = Member(SITE, SECOND, book.agents[1].public_key, T0)
    roll.change(path.parent / "state", lambda r: (r.with_member(member), None))
    roll.change(path.parent / "state", lambda r: (enrol.revoke(r, (SITE, SECOND), T0), None))
    assert call(path, "verify").exit_code == 0


def test_completeness_is_shown_by_device_and_day(book: Book, path: Path) -> None:
    content = json.loads(call(path, "verify", "--json", "--zone", "UTC").output)
    # Each agent has every second slot of 30 s: it made six (or five) of eleven (or nine) sweeps.
    assert [(t["agent"], t["sweeps_received"], t["sweeps_expected"]) for t in content["totals"]] == [
        (AGENT, 6, 11), (SECOND, 5, 9),
    ]  # fmt: skip
    assert [(row["agent"], row["day"], row["polls"]["missing"]) for row in content["worst"]] == [
        (AGENT, "2026-10-01", 5), (SECOND, "2026-10-01", 4),
    ]  # fmt: skip
    assert len(json.loads(call(path, "verify", "--json", "--rows", "1").output)["worst"]) == 1
    none = json.loads(call(path, "verify", "--json", "--from", "2026-10-02").output)
    assert (none["worst"], none["totals"][0]["polls"]["expected"]) == ([], 0)
    assert json.loads(call(path, "verify", "--json", "--site", "south").output)["totals"] == []
    assert "Devices and days that lack most" in call(path, "verify").output
