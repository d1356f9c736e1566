"""Meter readings that people typed or listed in a file (CSV, XLSX): read exactly, or rejected as a whole."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from agent.wire import EARLIEST_US, check_name
from collector.ledger.registers import MOST_WH
from collector.sources.statements import StatementError

COLUMNS = ("meter", "read_at", "import_kwh", "export_kwh")
_NEEDED = COLUMNS[:3]
# A year of half-hourly readings of ten meters is some 10 MB; a sheet unpacks to many times its size.
FILE_BYTES = 16 * 1024 * 1024
SHEET_BYTES = 256 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HALF_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class TypedReading:
    """One row: a meter's registers as somebody read them; `row` is its line in the file."""

    row: int
    meter: str
    at_us: int
    import_wh: int
    export_wh: int | None


def parse(content: bytes, zone: str, now_us: int) -> list[TypedReading]:
    """The readings of a file, in its order; StatementError with every mistake in it."""
    if len(content) > FILE_BYTES:
        raise StatementError([f"{len(content)} bytes; a file of up to {FILE_BYTES} is taken"])
    rows = list(_sheet(content) if content[:2] == b"PK" else _csv(content))
    header = [str(cell or "").strip() for cell in rows[0]] if rows else []
    missing = [name for name in _NEEDED if name not in header]
    extra = [name for name in header if name not in COLUMNS]
    if missing or extra or len(set(header)) != len(header):
        raise StatementError(
            [
                f"columns: missing {', '.join(missing) or 'none'}; unknown {', '.join(extra) or 'none'}; "
                f"each of these once: {', '.join(COLUMNS)} (export_kwh may be left out)"
            ]
        )
    problems: list[str] = []
    readings: list[TypedReading] = []
    seen: dict[tuple[str, int], int] = {}
    for n, cells in enumerate(rows[1:], start=2):
        if len(cells) != len(header):
            problems.append(f"row {n}: {len(cells)} cells; the header has {len(header)}")
            continue
        reading, wrong = _reading(n, dict(zip(header, cells, strict=True)), zone, now_us)
        problems += wrong
        if reading is None:
            continue
        first = seen.setdefault((reading.meter, reading.at_us), n)
        if first != n:
            problems.append(f"row {n}, read_at: row {first} has the same meter and instant")
        readings.append(reading)
    if problems:
        raise StatementError(problems)
    return readings


def _reading(
    row: int, cells: dict[str, Any], zone: str, now_us: int
) -> tuple[TypedReading | None, list[str]]:
    problems: list[str] = []

    def take(name: str, read: Callable[[Any], Any]) -> Any:
        try:
            return read(cells.get(name))
        except ValueError as error:
            problems.append(f"row {row}, {name}: {cells.get(name)!r}; {error}")
            return None

    values = {
        "meter": take("meter", lambda cell: check_name(str(cell or ""))),
        "at_us": take("read_at", lambda cell: instant_us(cell, zone, now_us)),
        "import_wh": take("import_kwh", watt_hours),
        "export_wh": take("export_kwh", lambda cell: None if cell in (None, "") else watt_hours(cell)),
    }
    return (None, problems) if problems else (TypedReading(row, **values), [])


def watt_hours(kwh: object) -> int:
    """kWh as somebody wrote them, as whole Wh; ValueError says what would be right."""
    # A sheet's cell is a binary number; its shortest text is what was typed into it.
    text = repr(kwh) if isinstance(kwh, int | float) and not isinstance(kwh, bool) else str(kwh or "")
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]+)?", text):
        raise ValueError("kWh as a decimal number with a point, no sign, exponent or separator: 123456.7")
    wh = Decimal(text) * 1000
    if wh != wh.to_integral_value():
        raise ValueError("finer than 1 Wh: at most three decimal places")
    if wh > MOST_WH:
        raise ValueError(f"more than any register counts ({MOST_WH // 1000} kWh)")
    return int(wh)


def instant_us(when: object, zone: str, now_us: int) -> int:
    """An instant as somebody wrote it, without an offset in civil time of a zone; ValueError if unclear."""
    right = "an ISO 8601 instant such as 2026-09-30T21:15 (civil time of the site) or 2026-09-30T21:15+03:00"
    if isinstance(when, datetime):
        moment = when
    else:
        try:
            moment = datetime.fromisoformat(str(when or "").strip())
        except ValueError as error:
            raise ValueError(right) from error
        if len(str(when).strip()) <= len("2026-09-30"):
            raise ValueError(f"a day without a time of day; {right}")
    if moment.tzinfo is None:
        moment = _civil(moment, zone)
    found_us = (moment - _EPOCH) // _HALF_US
    if found_us < EARLIEST_US:
        raise ValueError("is before 2020")
    if found_us > now_us:
        raise ValueError("is in the future")
    return found_us


def _civil(moment: datetime, zone: str) -> datetime:
    tz = ZoneInfo(zone)
    early, late = (moment.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early != late:
        what = "twice" if early < late else "never"
        raise ValueError(f"this time of day was there {what} in {zone}: write the offset, such as +03:00")
    return early


def _csv(content: bytes) -> Iterator[Sequence[Any]]:
    try:
        yield from csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    except UnicodeDecodeError as error:
        raise StatementError([f"byte {error.start} is not UTF-8: save the file as UTF-8"]) from error
    except csv.Error as error:
        raise StatementError([f"not CSV: {error}"]) from error


def _sheet(content: bytes) -> Iterator[Sequence[Any]]:
    """The first sheet's rows that hold anything."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            size = sum(part.file_size for part in parts.infolist())
        if size > SHEET_BYTES:
            raise StatementError([f"{size} bytes unpacked; a file of up to {SHEET_BYTES} is taken"])
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        for cells in book.worksheets[0].iter_rows(values_only=True):
            if any(cell is not None for cell in cells):
                yield cells
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, IndexError) as error:
        raise StatementError([f"not a workbook (XLSX): {error}"]) from error
