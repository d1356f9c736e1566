"""The ledger's tables. All of it follows from the journal and the statements, except `set_aside`.

Every key begins with org and site, so that sites can be spread over collectors and one PostgreSQL. Instants
are microseconds UTC, energy is integer Wh, coin integer base units; `device` is the UUID's text.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

SCHEMA_VERSION = 1

metadata = MetaData()


def _table(name: str, key: str, *columns: Column[Any], indexes: tuple[str, ...] = ()) -> Table:
    table = Table(name, metadata, *columns, PrimaryKeyConstraint(*key.split()))
    for index in indexes:
        Index(f"{name}_{index.replace(' ', '_')}", *(table.c[column] for column in index.split()))
    return table


def _need(kind: Any, *names: str) -> list[Column[Any]]:
    return [Column(name, kind, nullable=False) for name in names]


def _may(kind: Any, *names: str) -> list[Column[Any]]:
    return [Column(name, kind, nullable=True) for name in names]


schema_version = _table("schema_version", "version", *_need(Integer, "version"))

# How far the journal is folded into this ledger: written in the fold's own transaction.
checkpoint = _table("checkpoint", "org", *_need(Text, "org"), *_need(BigInteger, "segment", "offset"))

stream = _table(
    "stream",
    "org site agent",
    *_need(Text, "org", "site", "agent"),
    *_need(BigInteger, "last_seq", "last_created_us", "last_received_us"),
    *_need(LargeBinary, "last_hash", "session"),
    *_may(BigInteger, "clock_offset_us"),
)

# The evidence: each batch, where its signed bytes are in the journal, and why it was not used (or null).
batch = _table(
    "batch",
    "org site agent seq",
    *_need(Text, "org", "site", "agent"),
    *_need(BigInteger, "seq", "created_us", "received_us", "segment", "offset", "readings"),
    *_need(LargeBinary, "hash"),
    *_need(Boolean, "synthetic"),
    *_may(Text, "problem"),
    indexes=("org site agent created_us",),
)

device = _table(
    "device",
    "org site device",
    *_need(Text, "org", "site", "device"),
    *_need(BigInteger, "first_seen_us", "last_seen_us"),
    *_need(Boolean, "synthetic"),
    *_may(Text, "serial", "mac", "make", "model", "firmware", "family", "hostname", "address", "algorithm"),
    *_may(Float, "nameplate_hs", "nameplate_w"),
)

# Every Inventory record as it came; seq and ordinal place it in its agent's stream.
inventory = _table(
    "inventory",
    "org site agent seq ordinal",
    *_need(Text, "org", "site", "agent"),
    *_need(BigInteger, "seq", "ordinal", "at_us"),
    *_need(Text, "device"),
    *_need(JSON, "content"),
    indexes=("org site device at_us",),
)

# What happened, told by the agent (source "agent") or noticed by the fold (source "fold").
event = _table(
    "event",
    "org site agent seq ordinal",
    *_need(Text, "org", "site", "agent"),
    *_need(BigInteger, "seq", "ordinal", "at_us"),
    *_need(Text, "source", "kind"),
    *_may(Text, "device"),
    *_need(JSON, "detail"),
    indexes=("org site at_us",),
)

# A device's half-hour. energy_low_wh is what was measured, energy_high_wh adds the most its gaps can hold.
interval = _table(
    "interval",
    "org site device start_us",
    *_need(Text, "org", "site", "device"),
    *_need(BigInteger, "start_us", "energy_low_wh", "energy_high_wh", "covered_us", "gap_us", "samples"),
    *_need(Float, "hashes"),
    *_need(BigInteger, "hashrate_us"),
    indexes=("org site start_us",),
)

# The same half-hour's measured energy by origin.
energy = _table(
    "energy",
    "org site device start_us origin",
    *_need(Text, "org", "site", "device"),
    *_need(BigInteger, "start_us"),
    *_need(Text, "origin"),
    *_need(BigInteger, "energy_wh", "covered_us"),
    indexes=("org site start_us",),
)

# Where the fold stands with each device: its last reading and the remainders that no row holds yet.
fold_state = _table(
    "fold_state",
    "org site device",
    *_need(Text, "org", "site", "device"),
    *_need(BigInteger, "largest_mw", "gap_wh", "gap_spare", "skipped"),
    *_may(BigInteger, "last_us", "power_mw", "origin", "hashrate_mhs", "nameplate_mw"),
    *_may(BigInteger, "first_failure_us", "ended_us"),
    *_may(Text, "state", "cause"),
    *_need(JSON, "totals"),
)

statement = _table(
    "statement",
    "org site source hash",
    *_need(Text, "org", "site", "source", "hash", "name"),
    *_need(BigInteger, "imported_us", "entries"),
    *_need(Boolean, "synthetic"),
)

coin_entry = _table(
    "coin_entry",
    "org site source external_id",
    *_need(Text, "org", "site", "source", "external_id", "coin", "address", "address_kind"),
    *_need(BigInteger, "received_us", "amount"),
    *_may(Text, "network", "pool", "txid"),
    *_need(Text, "statement"),
    *_need(Boolean, "synthetic"),
    indexes=("org site received_us",),
)

# Packets that never got into the journal, counted by reason; the last one of each reason is kept.
set_aside = _table(
    "set_aside",
    "org site agent reason",
    *_need(Text, "org", "site", "agent", "reason", "detail"),
    *_need(BigInteger, "count", "first_us", "last_us"),
    *_may(LargeBinary, "packet"),
)

# The tables that a rebuild must give again, row for row.
DERIVED = (
    checkpoint, stream, batch, device, inventory, event, interval, energy, fold_state, statement, coin_entry,
)  # fmt: skip
