"""The owner's CSV of declared devices: columns are the fields of reporting.facts.DeclaredDevice."""

from __future__ import annotations

import csv
import dataclasses
from datetime import date
from pathlib import Path
from typing import Any

from reporting.facts import DeclaredDevice

_FIELDS = {field.name: field.type for field in dataclasses.fields(DeclaredDevice)}
_BOOLS = frozenset(name for name, kind in _FIELDS.items() if "bool" in str(kind))
_DATES = ("acquisition_date", "transfer_date")
_CHOICES = {"condition": ("functional", "defective"), "status": ("in_use", "stored", "in_transit")}


def read_declared(path: Path) -> tuple[tuple[DeclaredDevice, ...], list[str]]:
    """The devices of a file, and its mistakes by row and column; an empty cell is 'not declared'."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = [row for row in csv.reader(file, strict=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return (), [f"{path}: {error}"]
    header, rows = (table[0], table[1:]) if table else ([], [])
    wrong = [
        f"{path}: unknown column {name!r}; known: {', '.join(_FIELDS)}"
        for name in header
        if name not in _FIELDS
    ]
    if "serial" not in header:
        wrong.append(f"{path}: column serial is missing")
    if len(set(header)) != len(header):
        wrong.append(f"{path}: a column is named twice")
    if wrong:
        return (), wrong
    devices: dict[str, DeclaredDevice] = {}
    for n, row in enumerate(rows, start=2):
        if len(row) != len(header):
            wrong.append(f"{path}: row {n} has {len(row)} cells, the header {len(header)}")
            continue
        cells = {name: cell.strip() for name, cell in zip(header, row, strict=True) if cell.strip()}
        values = {name: _value(name, cell) for name, cell in cells.items()}
        bad = [f"{path}: row {n}, {name}: {v}" for name, v in values.items() if isinstance(v, ValueError)]
        serial = cells.get("serial", "")
        if not serial:
            bad.append(f"{path}: row {n}, serial: is empty")
        elif serial in devices:
            bad.append(f"{path}: row {n}, serial: {serial} is declared twice")
        if not bad:
            devices[serial] = DeclaredDevice(**values)
        wrong += bad
    return tuple(devices.values()), wrong


def _value(name: str, cell: str) -> Any:
    if name in _BOOLS:
        return {"true": True, "false": False}.get(cell.lower(), ValueError(f"{cell!r}; write true or false"))
    if name in _CHOICES and cell not in _CHOICES[name]:
        return ValueError(f"{cell!r}; one of {', '.join(_CHOICES[name])}")
    if name in _DATES:
        try:
            return date.fromisoformat(cell).isoformat()
        except ValueError:
            return ValueError(f"{cell!r}; an ISO date such as 2026-09-30")
    return cell
