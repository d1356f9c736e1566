"""Schema 2: meters, what they were, what their registers said, and what people say of them."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import JSON, BigInteger, Integer, LargeBinary

from collector.store.columns import need
from collector.store.migrations.table import table
from collector.store.types import Text


def upgrade(op: Operations) -> None:
    """From schema 1."""
    table(
        op, "meter_told",
        "org site agent seq ordinal",
        *need(Text, "org", "site", "agent"),
        *need(BigInteger, "seq", "ordinal", "at_us"),
        *need(Text, "meter"),
        *need(JSON, "content"),
        indexes=("org site meter at_us",),
    )  # fmt: skip
    table(
        op, "meter_day",
        "org site meter day",
        *need(Text, "org", "site", "meter"),
        *need(Integer, "day", "readings"),
        *need(LargeBinary, "content"),
    )  # fmt: skip
    table(
        op, "meter_entry",
        "org site meter id",
        *need(Text, "org", "site", "meter", "id", "kind"),
        *need(BigInteger, "at_us", "entered_us"),
        *need(JSON, "content"),
        indexes=("org site meter at_us",),
    )  # fmt: skip
