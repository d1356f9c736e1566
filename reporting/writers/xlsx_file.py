"""A filing as a workbook: one sheet for the fields, one per table, then findings, rules and evidence."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.workbook import Workbook

from reporting.filing import Filing
from reporting.writers.sheet import Row, Sheet, sheets_of
from reporting.writers.words import words_of

# Excel's own limits and forbidden letters for the name of a sheet.
_NAME_LENGTH = 31
_NAME_FORBIDDEN = re.compile(r"[\[\]:*?/\\]")

# Characters: wide enough for a heading, narrow enough that a row can be read.
_WIDTH_MIN, _WIDTH_MAX = 12, 60


def render(filing: Filing) -> bytes:
    """An XLSX of text cells only: no amount passes through a float. Same filing, same bytes."""
    buffer = io.BytesIO()
    workbook = xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False})
    # "Now" is when the facts were taken: the clock would make every file differ.
    taken = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=filing.taken_us)
    workbook.set_properties({"title": filing.title, "created": taken.replace(tzinfo=None, microsecond=0)})
    formats = _Formats(workbook)
    banner = words_of(filing).simulated if filing.simulated else None
    for number, sheet in enumerate(sheets_of(filing), start=1):
        _write_sheet(workbook, formats, sheet, number, banner=banner, right_to_left=filing.right_to_left)
    workbook.close()
    return buffer.getvalue()


class _Formats:
    """The cell formats of one workbook."""

    def __init__(self, workbook: Workbook) -> None:
        wrap = {"text_wrap": True, "valign": "top"}
        self.banner: Format = workbook.add_format(
            {"bold": True, "font_color": "white", "bg_color": "#C00000"}
        )
        self.title: Format = workbook.add_format({"bold": True})
        self.heading: Format = workbook.add_format({**wrap, "bold": True, "bottom": 1})
        self.cell: Format = workbook.add_format({**wrap, "num_format": "@"})


def _write_sheet(
    workbook: Workbook,
    formats: _Formats,
    sheet: Sheet,
    number: int,
    *,
    banner: str | None,
    right_to_left: bool,
) -> None:
    # The number in front keeps names apart that the limit of length would make equal.
    name = f"{number} {_NAME_FORBIDDEN.sub(' ', sheet.title)}"[:_NAME_LENGTH].rstrip()
    page = workbook.add_worksheet(name)
    if right_to_left:
        page.right_to_left()
    above = [(line, formats.title) for line in (sheet.title, *sheet.above)]
    if banner is not None:
        above.insert(0, (banner, formats.banner))
    for line, (text, style) in enumerate(above):
        page.write_string(line, 0, text, style)
    top = len(above)
    for line, row in enumerate((sheet.columns, *sheet.rows)):
        for column, text in enumerate(row):
            page.write_string(top + line, column, text, formats.heading if line == 0 else formats.cell)
    for column, width in enumerate(_widths(sheet)):
        page.set_column(column, column, width)
    page.freeze_panes(top + 1, 0)


def _widths(sheet: Sheet) -> list[int]:
    columns: list[Row] = list(zip(sheet.columns, *sheet.rows, strict=True))
    return [min(_WIDTH_MAX, max(_WIDTH_MIN, *map(len, cells))) for cells in columns]
