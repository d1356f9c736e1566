"""How the schema and its migrations write columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column


def need(kind: Any, *names: str) -> list[Column[Any]]:
    """Columns that always hold something."""
    return [Column(name, kind, nullable=False) for name in names]


def may(kind: Any, *names: str) -> list[Column[Any]]:
    """Columns in which NULL is the unknown."""
    return [Column(name, kind, nullable=True) for name in names]
