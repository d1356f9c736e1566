"""A filing as CSV: its sheets one below the other, for spreadsheets and for the eye."""

from __future__ import annotations

import csv
import io

from reporting.filing import Filing
from reporting.writers.sheet import Row, sheets_of
from reporting.writers.words import words_of

# With the mark a spreadsheet takes the file for UTF-8; without it Cyrillic and Persian come out as noise.
_BYTE_ORDER_MARK = "\ufeff"

# The list separator of Russian, Kazakh and Persian settings; with a comma all would land in one column.
_DELIMITER = ";"

# A cell that begins so is run as a formula by spreadsheets; an apostrophe makes it text (OWASP).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def render(filing: Filing) -> bytes:
    """UTF-8 with byte order mark, semicolons, CRLF; when simulated the first line says so."""
    out = io.StringIO(newline="")
    out.write(_BYTE_ORDER_MARK)
    writer = csv.writer(out, delimiter=_DELIMITER, lineterminator="\r\n")
    mark = words_of(filing).simulated
    for sheet in sheets_of(filing):
        lines: list[Row] = [(mark,)] if filing.simulated else []
        lines += [(sheet.title,), *((line,) for line in sheet.above), sheet.columns, *sheet.rows, ()]
        writer.writerows(tuple(map(_guarded, line)) for line in lines)
    return out.getvalue().encode()


def _guarded(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
