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
)

from collector.store.columns import may as _may
from collector.store.columns import need as _need
from collector.store.types import Text

# A change of the tables needs the next number and its step in `migrations`; a test compares both.
SCHEMA_VERSION = 2

metadata = MetaData()


def _table(name: str, key: str, *columns: Column[Any], indexes: tuple[str, ...] = ()) -> Table:
    table = Table(name, metadata, *columns, PrimaryKeyConstraint(*key.split()))
    for index in indexes:
        Index(f"{name}_{index.replace(' ', '_')}", *(table.c[column] for column in index.split()))
    return table


schema_version = _table("schema_version", "version", *_need(Integer, "version"))

# How far the journal is folded into this ledger: written in the fold's own transaction.
checkpoint = _table("checkpoint", "org", *_need(Text, "org"), *_need(BigInteger, "segment", "offset"))

stream = _table(
    "stream",
    "org site agent",
    *_need(Text, "org", "site", "agent"),
    *_need(BigInteger, "last_seq", "last_created_us", "last_received_us"),
    *_need(LargeBinary, "last_hash", "session"),
    *_need(BigInteger, "swept_us"),
    *_may(BigInteger, "clock_offset_us"),
    *_may(Text, "silent_cause"),
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

# The register. `place` is the device's number in its site, in order of appearance: where the packed columns
# of `interval`, `day_sum` and `fold_state` have it.
device = _table(
    "device",
    "org site device",
    *_need(Text, "org", "site", "device"),
    *_need(BigInteger, "place", "first_seen_us"),
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

# Half-hours that will not change again, of one UTC day (days since 1970) and a chunk of devices by place.
# The packed columns are read and written by collector.ledger.tables and collector.ledger.profile alone.
interval = _table(
    "interval",
    "org site chunk day",
    *_need(Text, "org", "site"),
    *_need(Integer, "chunk", "day"),
    *_need(LargeBinary, "content"),
)

# The same half-hours of the whole site added up: over the day by device, and over the devices by half-hour.
day_sum = _table(
    "day_sum",
    "org site day",
    *_need(Text, "org", "site"),
    *_need(Integer, "day", "places"),
    *_need(LargeBinary, "devices", "half_hours"),
)

# Whole days of a gap, which no half-hour holds; the columns are those of collector.ledger.absence.
absence = _table(
    "absence",
    "org site place start_us",
    *_need(Text, "org", "site"),
    *_need(BigInteger, "place", "start_us", "end_us", "spare", "rate"),
    *_need(BigInteger, "off_from_us", "off_until_us", "silent_from_us", "silent_until_us"),
    *_need(BigInteger, "silent_cause", "cause"),
)

# Where the fold stands with each device of a site, and the half-hours that are still open, packed.
fold_state = _table(
    "fold_state",
    "org site",
    *_need(Text, "org", "site"),
    *_need(Integer, "places"),
    *_need(LargeBinary, "now", "open"),
)

# Every Meter record as it came: what the meter was from then on.
meter_told = _table(
    "meter_told",
    "org site agent seq ordinal",
    *_need(Text, "org", "site", "agent"),
    *_need(BigInteger, "seq", "ordinal", "at_us"),
    *_need(Text, "meter"),
    *_need(JSON, "content"),
    indexes=("org site meter at_us",),
)

# A meter's registers as they were read, of one UTC day (days since 1970), packed as columns in the order in
# which they came. Half-hours are derived from them whenever they are asked for.
meter_day = _table(
    "meter_day",
    "org site meter day",
    *_need(Text, "org", "site", "meter"),
    *_need(Integer, "day", "readings"),
    *_need(LargeBinary, "content"),
)

# What a person says of a meter: a register read by eye, a replacement with its end and start readings, a
# deduced event confirmed or corrected. Kept as files beside the statements; never edited, only added to.
meter_entry = _table(
    "meter_entry",
    "org site meter id",
    *_need(Text, "org", "site", "meter", "id", "kind"),
    *_need(BigInteger, "at_us", "entered_us"),
    *_need(JSON, "content"),
    indexes=("org site meter at_us",),
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
    checkpoint, stream, batch, device, inventory, event, interval, day_sum, absence, fold_state, meter_told,
    meter_day, meter_entry, statement, coin_entry,
)  # fmt: skip
