"""How the collector's commands end: 2 for what a person can mend, 1 for a broken invariant; no traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy.exc import DBAPIError

from collector.app import CollectorError
from collector.archive import ArchiveError
from collector.backup import BackupError
from collector.broker import BrokerError
from collector.ca import CaError
from collector.config import ConfigError
from collector.enrol import EnrolError
from collector.journal import JournalError
from collector.ledger.coins import CoinConflict
from collector.ledger.fold import LedgerError
from collector.manifest import ManifestError
from collector.private import PrivateFileError
from collector.roll import RollError
from collector.sources.statements import StatementError
from collector.store import StoreAway, StoreError
from reporting.errors import ReportingError

config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path, dir_okay=False), default=Path("collector.toml"),
    show_default=True, help="The collector's configuration.",
)  # fmt: skip
# OSError: no right to a file, no room on the disk.
_CAN_BE_MENDED = (
    ConfigError, StatementError, CoinConflict, StoreError, BrokerError, ReportingError, PrivateFileError,
    RollError, CaError, EnrolError, ArchiveError, BackupError, OSError,
)  # fmt: skip


@contextmanager
def told() -> Iterator[None]:
    """Errors end the command with their text."""
    try:
        yield
    except StoreAway as error:  # not 2: a service has to try again, the database may start after it
        click.echo(str(error), err=True)
        sys.exit(1)
    except _CAN_BE_MENDED as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except (CollectorError, JournalError, ManifestError, LedgerError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except DBAPIError as error:
        click.echo(f"error: the ledger's database: {str(error.orig).strip()}", err=True)
        sys.exit(1)
