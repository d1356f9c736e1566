"""The coin ledger: entries that are there once by (source, external id), and are never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from collector.store import schema
from reporting.facts import AddressKind


@dataclass(frozen=True, slots=True, kw_only=True)
class CoinEntry:
    """Coin received: `amount` in integer base units; `row` is its line in the statement."""

    row: int
    external_id: str
    received_us: int
    coin: str
    amount: int
    address: str
    address_kind: AddressKind
    pool: str | None
    network: str | None
    txid: str | None


# What an entry says; the same key with any of these different is another entry under a used name.
_CONTENT = ("received_us", "coin", "amount", "address", "address_kind", "pool", "network", "txid")


class CoinConflict(Exception):
    """Entries that the ledger knows otherwise; each problem names row, column and both values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def enter(
    connection: Connection, org: str, site: str, source: str, statement: str, synthetic: bool,
    entries: list[CoinEntry],
) -> tuple[int, int]:  # fmt: skip
    """Add the entries not known yet; returns (new, known). CoinConflict if one is known otherwise."""
    table = schema.coin_entry
    c = table.c
    query = select(table).where(c.org == org, c.site == site, c.source == source)
    known: dict[str, Any] = {row["external_id"]: row for row in connection.execute(query).mappings()}
    problems: list[str] = []
    new: list[dict[str, Any]] = []
    for entry in entries:
        content = {name: getattr(entry, name) for name in _CONTENT}
        content["address_kind"] = entry.address_kind.value
        old = known.get(entry.external_id)
        if old is None:
            key = {"org": org, "site": site, "source": source, "external_id": entry.external_id}
            new.append(key | content | {"statement": statement, "synthetic": synthetic})
            continue
        problems += [
            f"row {entry.row}, {name}: the ledger has {entry.external_id} with {old[name]!r}, here {value!r}"
            for name, value in content.items()
            if old[name] != value
        ]
    if problems:
        raise CoinConflict(problems)
    if new:
        connection.execute(insert(table), new)
    return len(new), len(entries) - len(new)
