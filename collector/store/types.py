"""Text that SQLite and PostgreSQL keep and sort alike."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine


class Text(TypeDecorator[str]):
    """Sorted by code point, whatever the database's language; NUL, which PostgreSQL refuses, as U+FFFD."""

    impl = sqlalchemy.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(
            sqlalchemy.Text(collation="C" if dialect.name == "postgresql" else None)
        )

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable_text(value)


def storable_text(text: str) -> str:
    """The text as both databases keep it."""
    return text.replace("\0", "\ufffd")
