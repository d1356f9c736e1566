"""Filing: what is to be filed, as plain values that a writer prints without knowing the country."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from reporting.errors import ReportingError
from reporting.facts import BatchRange
from reporting.findings import Finding, Level
from reporting.rules.model import RuleUse

SIMULATED = "SIMULATED: these figures come from a simulator and must not be filed"


class Status(StrEnum):
    DRAFT = "draft"  # some finding is an error, or the facts are simulated
    READY = "ready"  # nothing stands against a seal


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One labelled value as exact text; None is unknown or not declared. `basis`: facts it was made from."""

    key: str
    section: str
    label: str
    value: str | None
    unit: str | None = None
    basis: dict[str, str]
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    key: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of exact texts, one cell per column; None is unknown or not declared."""

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str | None, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """One form filled for one site and period; `language` is that of its labels (ru, fa)."""

    form: str
    title: str
    language: str
    status: Status
    simulated: bool
    org: str
    site: str
    filer: str
    period: str
    zone: str
    start: str
    end: str
    taken: str
    taken_us: int
    statements: tuple[str, ...]
    fields: tuple[Field, ...]
    tables: tuple[Table, ...]
    findings: tuple[Finding, ...]
    rules: tuple[RuleUse, ...]
    evidence: tuple[BatchRange, ...]
    facts_hash: str
    software: str
    tzdata: str

    @property
    def right_to_left(self) -> bool:
        """True when the labels are written from right to left."""
        return self.language == "fa"

    def field(self, key: str) -> Field:
        """The field with this key; ReportingError lists those that exist."""
        for field in self.fields:
            if field.key == key:
                return field
        raise ReportingError(
            f"no field {key!r} in {self.form}: it has {', '.join(f.key for f in self.fields)}"
        )

    def table(self, key: str) -> Table:
        """The table with this key; ReportingError lists those that exist."""
        for table in self.tables:
            if table.key == key:
                return table
        raise ReportingError(
            f"no table {key!r} in {self.form}: it has {', '.join(t.key for t in self.tables)}"
        )

    def count(self, level: Level) -> int:
        """How many findings are of this level."""
        return sum(finding.level is level for finding in self.findings)


def canonical_bytes(filing: Filing) -> bytes:
    """Canonical JSON of a filing: sorted keys, no spaces; equal filings give equal bytes."""
    return msgspec.json.encode(filing, order="deterministic")


def content_hash(filing: Filing) -> str:
    """SHA-256 of the canonical bytes."""
    return hashlib.sha256(canonical_bytes(filing)).hexdigest()
