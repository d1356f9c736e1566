"""`hashledger collector upgrade`, `backup` and `restore`."""

from __future__ import annotations

from pathlib import Path

import click

from collector import app, backup, config, restore
from collector.told import config_option, told


@click.command("upgrade")
@config_option
def upgrade_command(path: Path) -> None:
    """Bring an older program's ledger up to date, as the next `run` would; a copy of it is kept."""
    with told():
        settings = config.load(path)
        if not app.upgrade_ledger(settings, click.echo):
            click.echo("ledger: is up to date")


@click.command("backup")
@config_option
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--keep", type=click.IntRange(min=1), default=backup.KEPT, show_default=True,
              help="How many backups stay in DIR.")  # fmt: skip
def backup_command(path: Path, folder: Path, keep: int) -> None:
    """Back up ledger, journal, statements and keys into DIR, beside a collector that may be running.

    Keys are in it: keep DIR as you keep the originals.
    """
    with told():
        made, content, linked = backup.make(config.load(path, unmade=True), folder, app.now_us(), keep)
    size = sum(file.bytes for file in content.files)
    click.echo(
        f"{made}: {len(content.files)} files, {size / 1e6:.1f} MB, {linked} segments not copied again;"
        f" ledger to segment {content.checkpoint[0]}, offset {content.checkpoint[1]}"
    )


@click.command("restore")
@config_option
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--into", type=click.Path(path_type=Path, file_okay=False),
              help="Another state folder than the configuration's; it must be empty.")  # fmt: skip
@click.option("--despite-findings", is_flag=True, help="Restore although signatures or chains do not hold.")
def restore_command(path: Path, folder: Path, into: Path | None, despite_findings: bool) -> None:
    """Restore the newest backup in DIR, or DIR itself, into an empty state folder; it is checked first."""
    with told():
        found = restore.newest(folder)
        if not path.exists():
            raise backup.BackupError(f"{path}: is missing; the backup has a copy in {found / 'config'}")
        settings = config.load(path, unmade=True)
        result = restore.check(found, settings, signatures=not despite_findings)
        heads = restore.restore(found, settings, into)
    if result is not None:
        checked = f"{result.batches} batches in {result.segments} segments"
        heads = {name: head.seq for name, head in result.heads.items()}  # the ledger will catch up
        click.echo(f"checked: {checked}, all hashes, signatures, chains and seals")
    click.echo(f"{found} is in {into or settings.state_dir}")
    for (site, agent), seq in heads.items():
        click.echo(f"{site}/{agent}: stands at batch {seq}; it is asked to send again what came after")
