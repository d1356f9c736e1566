"""Files of a filing: exact texts, the mark of a simulation, no formulas, all or none, the same bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest

from reporting import api, writers
from reporting.errors import ReportingError
from reporting.filing import Filing, content_hash
from reporting.writers import csv_file, folder, json_file, xlsx_file
from tests.reporting.sample import ir_facts, kz_facts, ru_facts

Render = Callable[[Filing], bytes]
RENDERERS = [json_file.render, csv_file.render, xlsx_file.render]


def filing(**changes: object) -> Filing:
    return api.prepare("ru-monthly", ru_facts(**changes))


def csv_rows(one: Filing) -> list[list[str]]:
    return list(csv.reader(io.StringIO(csv_file.render(one).decode("utf-8-sig"), newline=""), delimiter=";"))


def workbook(one: Filing) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(xlsx_file.render(one)))


def test_three_files_with_their_names(tmp_path: Path) -> None:
    files = writers.write(filing(), tmp_path / "new" / "folder")
    names = ["ru-monthly_msk-1_2026-09.json", "ru-monthly_msk-1_2026-09.csv", "ru-monthly_msk-1_2026-09.xlsx"]
    assert [file.name for file in files] == names
    assert sorted(file.name for file in (tmp_path / "new" / "folder").iterdir()) == sorted(names)


@pytest.mark.parametrize(
    ("site", "name"), [("../../etc", "etc"), ("a b/c", "a-b-c"), ("..", "site"), ("فارس", "فارس")]
)
def test_a_site_cannot_leave_the_folder(site: str, name: str) -> None:
    assert writers.file_name(replace(filing(), site=site), "json") == f"ru-monthly_{name}_2026-09.json"


@pytest.mark.parametrize("form", ["ru-monthly", "kz-quarterly", "ir-ntsw"])
def test_two_runs_give_the_same_bytes(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"ru-monthly": ru_facts, "kz-quarterly": kz_facts, "ir-ntsw": ir_facts}[form]()
    first = [render(api.prepare(form, facts)) for render in RENDERERS]
    monkeypatch.setattr("time.time", lambda: 4_000_000_000.0)
    assert [render(api.prepare(form, facts)) for render in RENDERERS] == first


def test_json_reads_back_and_a_changed_one_is_refused() -> None:
    one = filing()
    content = json_file.render(one)
    assert json_file.read(content) == one
    assert json.loads(content)["content_hash"] == content_hash(one)
    with pytest.raises(ReportingError, match="content hash does not match"):
        json_file.read(content.replace(b"1.23556790", b"2.23556790"))
    with pytest.raises(ReportingError, match="not a filing"):
        json_file.read(b"{}")


def test_amounts_are_exact_text_in_every_format() -> None:
    one = filing()
    assert any("1.23556790" in row for row in csv_rows(one))
    cells = {cell.value for page in workbook(one) for row in page.iter_rows() for cell in row}
    assert {"1.23556790", "123556790", "5000.000"} <= cells
    types = {type(cell) for cell in cells}
    assert types == {str, type(None)}


def test_csv_begins_with_the_byte_order_mark_and_names_the_unknown() -> None:
    assert csv_file.render(filing()).startswith(b"\xef\xbb\xbf")
    rows = {row[-1]: row for row in csv_rows(filing()) if row}
    assert rows["value_rub"][2] == "не указано"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_becomes_a_formula(start: str) -> None:
    facts = ru_facts()
    evil = f"{start}HYPERLINK(1)"
    one = api.prepare("ru-monthly", replace(facts, filer=replace(facts.filer, address=evil)))
    assert one.field("filer.address").value == evil
    cells = [cell for row in csv_rows(one) for cell in row]
    assert not [cell for cell in cells if cell.startswith(start)]
    for page in workbook(one):
        assert not [cell for row in page.iter_rows() for cell in row if cell.data_type == "f"]


@pytest.mark.parametrize("form", ["ru-monthly", "kz-quarterly", "ir-ntsw"])
def test_a_simulation_cannot_be_overlooked(form: str) -> None:
    facts = {"ru-monthly": ru_facts, "kz-quarterly": kz_facts, "ir-ntsw": ir_facts}[form](synthetic=True)
    one = api.prepare(form, facts)
    assert next(iter(json.loads(json_file.render(one)))) == "SIMULATED"
    assert "SIMULATED" in csv_rows(one)[0][0]
    pages = list(workbook(one))
    assert all("SIMULATED" in str(page["A1"].value) for page in pages)
    assert len(pages) >= 5


def test_a_real_filing_bears_no_mark_of_simulation() -> None:
    for content in (json_file.render(filing()), csv_file.render(filing())):
        assert b"SIMULATED" not in content


def test_the_iranian_workbook_reads_from_right_to_left_with_persian_headings() -> None:
    pages = list(workbook(api.prepare("ir-ntsw", ir_facts())))
    assert all(page.sheet_view.rightToLeft for page in pages)
    headings = [cell.value for cell in pages[1][2]]
    assert {"شناسه کالا", "شناسه رهگیری", "شماره سریال"} <= set(headings)
    assert not any(page.sheet_view.rightToLeft for page in workbook(filing()))


def test_a_failing_writer_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Filing) -> bytes:
        raise RuntimeError

    monkeypatch.setitem(folder.FORMATS, "xlsx", fail)
    with pytest.raises(RuntimeError):
        writers.write(filing(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("earlier", [False, True])
def test_a_failing_rename_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    if earlier:
        writers.write(filing(notes=["earlier"]), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    rename, target = Path.replace, "ru-monthly_msk-1_2026-09.xlsx"

    def fail_at_last(self: Path, to: Path) -> Path:
        if to.name == target:
            raise OSError(28, "No space left on device")
        return rename(self, to)

    monkeypatch.setattr(Path, "replace", fail_at_last)
    with pytest.raises(OSError, match="No space left"):
        writers.write(filing(), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    # They hold address-identifiers, which are confidential.
    assert {file.stat().st_mode & 0o077 for file in writers.write(filing(), tmp_path)} == {0}
