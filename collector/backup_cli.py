"""`hashledger collector upgrade`, `backup` and `restore`."""

from __future__ import annotations

from pathlib import Path

import click

from collector import app, config
from collector.told import config_option, told


@click.command("upgrade")
@config_option
def upgrade_command(path: Path) -> None:
    """Bring an older program's ledger up to date, as the next `run` would; a copy of it is kept."""
    with told():
        settings = config.load(path)
        if not app.upgrade_ledger(settings, click.echo):
            click.echo("ledger: is up to date")
