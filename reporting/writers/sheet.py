"""A filing as titled sheets of rows, the common ground of the CSV and the XLSX writer."""

from __future__ import annotations

from dataclasses import dataclass

from reporting.filing import Filing, content_hash
from reporting.writers.words import Words, words_of

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A title, lines that stand above, column labels, and rows of exact texts."""

    title: str
    above: tuple[str, ...]
    columns: Row
    rows: tuple[Row, ...]


def sheets_of(filing: Filing) -> tuple[Sheet, ...]:
    """All of a filing: its fields, its tables, findings, rules and evidence."""
    words = words_of(filing)
    tables = (
        Sheet(
            table.title,
            (),
            tuple(column.label for column in table.columns),
            tuple(tuple(_shown(cell, words) for cell in row) for row in table.rows),
        )
        for table in filing.tables
    )
    return (
        _fields(filing, words),
        *tables,
        _findings(filing, words),
        _rules(filing, words),
        _evidence(filing, words),
    )


def _shown(value: str | None, words: Words) -> str:
    return words.unknown if value is None else value


def _fields(filing: Filing, words: Words) -> Sheet:
    return Sheet(
        words.fields,
        (filing.title, *filing.statements),
        (words.section, words.label, words.value, words.unit, words.key),
        (
            ("", words.form, filing.form, "", "form"),
            ("", words.status, words.statuses[filing.status], "", "status"),
            *((f.section, f.label, _shown(f.value, words), f.unit or "", f.key) for f in filing.fields),
        ),
    )


def _findings(filing: Filing, words: Words) -> Sheet:
    return Sheet(
        words.findings,
        (),
        (words.code, words.level, words.text, words.where),
        tuple((one.code, words.levels[one.level], one.local, one.where) for one in filing.findings),
    )


def _rules(filing: Filing, words: Words) -> Sheet:
    return Sheet(
        words.rules,
        (),
        (
            words.rule,
            words.text,
            words.value,
            words.unit,
            words.start,
            words.until,
            words.published,
            words.last_checked,
            words.status,
            words.reference,
        ),
        tuple(
            (
                f"{rule.id} ({rule.key})" if rule.key else rule.id,
                rule.title,
                rule.value,
                rule.unit,
                rule.start,
                rule.until or "",
                rule.published or "",
                rule.last_checked,
                rule.status.value,
                rule.reference if rule.note is None else f"{rule.reference}. {rule.note}",
            )
            for rule in filing.rules
        ),
    )


def _evidence(filing: Filing, words: Words) -> Sheet:
    return Sheet(
        words.evidence,
        tuple(
            f"{label}: {value}"
            for label, value in (
                (words.org, filing.org),
                (words.taken, filing.taken),
                (words.facts_hash, filing.facts_hash),
                (words.content_hash, content_hash(filing)),
                (words.software, filing.software),
                (words.tzdata, filing.tzdata),
            )
        ),
        (words.agent, words.first_seq, words.last_seq, words.last_hash),
        tuple((one.agent, str(one.first_seq), str(one.last_seq), one.last_hash) for one in filing.evidence),
    )
