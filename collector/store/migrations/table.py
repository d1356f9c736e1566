"""A table as migrations make it, in the words of the schema."""

from __future__ import annotations

from typing import Any

from alembic.operations import Operations
from sqlalchemy import Column, PrimaryKeyConstraint


def table(op: Operations, name: str, key: str, *columns: Column[Any], indexes: tuple[str, ...] = ()) -> None:
    """Make a table with its key and indexes."""
    op.create_table(name, *columns, PrimaryKeyConstraint(*key.split()))
    for index in indexes:
        op.create_index(f"{name}_{index.replace(' ', '_')}", name, index.split())
