"""A full disk: what it looks like in an error, and the words for it."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from sqlalchemy.exc import DBAPIError

_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
# SQLITE_FULL, and SQLITE_IOERR: the log's index beside a ledger does not say why it cannot grow.
_SQLITE_CODES = (13, 10)
_POSTGRESQL_STATE = "53100"


def is_full(error: BaseException) -> bool:
    """True for an error of a disk that takes nothing more; freed, it takes it again."""
    if isinstance(error, OSError):
        return error.errno in _ERRNOS
    cause = error.orig if isinstance(error, DBAPIError) else error
    if getattr(cause, "sqlstate", None) == _POSTGRESQL_STATE:  # psycopg's; it may not be installed
        return True
    return isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode & 0xFF in _SQLITE_CODES


def words(folder: Path, error: BaseException) -> str:
    """What a person has to know and to do."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return (
        f"{folder}: the disk takes nothing more ({cause}). Nothing is acknowledged, so agents keep what they"
        " have and send it again: free some room and start the collector (its service tries by itself)"
    )
