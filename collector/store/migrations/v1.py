"""Schema 1, the first one released. Never changed: ledgers that it made are out there."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import JSON, BigInteger, Boolean, Float, Integer, LargeBinary

from collector.store.columns import may, need
from collector.store.migrations.table import table
from collector.store.types import Text


def upgrade(op: Operations) -> None:
    """From nothing."""
    _streams(op)
    _register(op)
    _energy(op)
    _coins(op)


def _streams(op: Operations) -> None:
    table(op, "schema_version", "version", *need(Integer, "version"))
    table(op, "checkpoint", "org", *need(Text, "org"), *need(BigInteger, "segment", "offset"))
    table(
        op,
        "stream",
        "org site agent",
        *need(Text, "org", "site", "agent"),
        *need(BigInteger, "last_seq", "last_created_us", "last_received_us"),
        *need(LargeBinary, "last_hash", "session"),
        *need(BigInteger, "swept_us"),
        *may(BigInteger, "clock_offset_us"),
        *may(Text, "silent_cause"),
    )
    table(
        op,
        "batch",
        "org site agent seq",
        *need(Text, "org", "site", "agent"),
        *need(BigInteger, "seq", "created_us", "received_us", "segment", "offset", "readings"),
        *need(LargeBinary, "hash"),
        *need(Boolean, "synthetic"),
        *may(Text, "problem"),
        indexes=("org site agent created_us",),
    )


def _register(op: Operations) -> None:
    table(
        op,
        "device",
        "org site device",
        *need(Text, "org", "site", "device"),
        *need(BigInteger, "place", "first_seen_us"),
        *may(
            Text, "serial", "mac", "make", "model", "firmware", "family", "hostname", "address", "algorithm"
        ),
        *may(Float, "nameplate_hs", "nameplate_w"),
    )
    table(
        op,
        "inventory",
        "org site agent seq ordinal",
        *need(Text, "org", "site", "agent"),
        *need(BigInteger, "seq", "ordinal", "at_us"),
        *need(Text, "device"),
        *need(JSON, "content"),
        indexes=("org site device at_us",),
    )
    table(
        op,
        "event",
        "org site agent seq ordinal",
        *need(Text, "org", "site", "agent"),
        *need(BigInteger, "seq", "ordinal", "at_us"),
        *need(Text, "source", "kind"),
        *may(Text, "device"),
        *need(JSON, "detail"),
        indexes=("org site at_us",),
    )


def _energy(op: Operations) -> None:
    table(
        op,
        "interval",
        "org site chunk day",
        *need(Text, "org", "site"),
        *need(Integer, "chunk", "day"),
        *need(LargeBinary, "content"),
    )
    table(
        op,
        "day_sum",
        "org site day",
        *need(Text, "org", "site"),
        *need(Integer, "day", "places"),
        *need(LargeBinary, "devices", "half_hours"),
    )
    table(
        op,
        "absence",
        "org site place start_us",
        *need(Text, "org", "site"),
        *need(BigInteger, "place", "start_us", "end_us", "spare", "rate"),
        *need(BigInteger, "off_from_us", "off_until_us", "silent_from_us", "silent_until_us"),
        *need(BigInteger, "silent_cause", "cause"),
    )
    table(
        op,
        "fold_state",
        "org site",
        *need(Text, "org", "site"),
        *need(Integer, "places"),
        *need(LargeBinary, "now", "open"),
    )


def _coins(op: Operations) -> None:
    table(
        op,
        "statement",
        "org site source hash",
        *need(Text, "org", "site", "source", "hash", "name"),
        *need(BigInteger, "imported_us", "entries"),
        *need(Boolean, "synthetic"),
    )
    table(
        op,
        "coin_entry",
        "org site source external_id",
        *need(Text, "org", "site", "source", "external_id", "coin", "address", "address_kind"),
        *need(BigInteger, "received_us", "amount"),
        *may(Text, "network", "pool", "txid"),
        *need(Text, "statement"),
        *need(Boolean, "synthetic"),
        indexes=("org site received_us",),
    )
    table(
        op,
        "set_aside",
        "org site agent reason",
        *need(Text, "org", "site", "agent", "reason", "detail"),
        *need(BigInteger, "count", "first_us", "last_us"),
        *may(LargeBinary, "packet"),
    )
