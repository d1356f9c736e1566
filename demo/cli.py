"""`hashledger demo`: the whole way on one machine, from simulated sockets to three filings."""

from __future__ import annotations

import shutil
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from agent.simulator.plan import DEFAULT_MINERS, plan
from demo import story
from demo.processes import ProcessFailed

MARKER = ".hashledger-demo"


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="demo-farm",
    show_default=True,
)
@click.option("--miners", type=int, default=DEFAULT_MINERS, show_default=True)
@click.option("--month", help="A month that is over, YYYY-MM.  [default: the last one]")
@click.option("--seed", type=int, default=7, show_default=True)
@click.option(
    "--exit", "leave", is_flag=True, help="End after the table; else the collector stays up to look at."
)
def demo(folder: Path, miners: int, month: str | None, seed: int, leave: bool) -> None:
    """A simulated farm, its month and its filings, on this machine alone: no broker, no database, no root."""
    # Ctrl-C too: a shell's background job begins with it ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    today = datetime.now(UTC).date()
    chosen = month or f"{today.replace(day=1) - timedelta(days=1):%Y-%m}"
    _check_month(chosen)
    try:
        farm_plan = plan(seed, miners, chosen)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _clear(folder)
    try:
        story.tell(folder.resolve(), farm_plan, miners, leave)
    except ProcessFailed as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("\nstopped; nothing is left running")
        sys.exit(130)


def _check_month(month: str) -> None:
    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError as error:
        raise click.UsageError(f"--month: {month!r} is no month; write it as 2026-10") from error
    after = (first + timedelta(days=32)).replace(day=1)
    # A day more: the month must be over in every site's zone, and the demo reads a little past its end.
    if datetime.now(UTC) < after + timedelta(days=1):
        raise click.UsageError(f"--month: {month} is not over yet; choose an earlier one")


def _clear(folder: Path) -> None:
    """Take an earlier demo's folder for this one; never a folder with anything else in it."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise click.UsageError(f"--dir: {folder} has other files in it; name a new or empty folder")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARKER).write_text("made by 'hashledger demo'; may be deleted\n", encoding="utf-8")


def _interrupt(_number: int, _frame: object) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # one is enough: the clean-up must not be cut short
    raise KeyboardInterrupt
