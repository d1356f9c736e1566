"""The commands of `hashledger collector`. Exit status 2: something that the user can mend."""

from __future__ import annotations

import base64
import json
import signal
import threading
from pathlib import Path
from queue import SimpleQueue

import click
from rich.console import Console

from agent.wire import check_name
from collector import (
    app,
    backup_cli,
    broker,
    config,
    energy_cli,
    enrol_cli,
    imports,
    journal_cli,
    meter_cli,
    private,
    status,
)
from collector.config import ConfigError
from collector.sample import SAMPLE
from collector.sources.statements import StatementError
from collector.told import config_option as _config
from collector.told import told as _told


@click.group()
def collector() -> None:
    """Receive signed batches, keep them, and fold them into the ledger."""


@collector.command()
@_config
def init(path: Path) -> None:
    """Write a commented sample configuration and make the collector's signing key; neither is overwritten."""
    with _told():
        if fresh := not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            imports.write_atomically(path, SAMPLE.encode())
        settings = config.load(path, unmade=True)
        key_file = settings.state_dir / private.KEY_FILE
        if not fresh and key_file.exists():
            raise ConfigError([f"{path}: exists already, and so does its key; neither is overwritten"])
        key = private.collector_key(settings.state_dir)
    click.echo(f"{'wrote' if fresh else 'kept'} {path}; the collector's signing key is in {key_file}")
    text = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    click.echo(f"Its public half, which every bundle carries: {text}")
    click.echo(f"Then: hashledger collector check --config {path}")


@collector.command()
@_config
def check(path: Path) -> None:
    """Check the configuration and name every mistake in it."""
    with _told():
        settings = config.load(path)
    click.echo(f"{path}: right; {len(settings.sites)} sites, {len(settings.agents)} agents")


@collector.command()
@_config
def run(path: Path) -> None:
    """Run until SIGTERM or SIGINT."""
    with _told():
        app.run(config.load(path), stop_on_signals(), click.echo)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM or SIGINT sets, however often they come."""
    # Not in the handler itself: it may run inside `stop.wait` or another `stop.set`, which hold the event's
    # lock, and would wait for itself for ever. A SimpleQueue's `put` may be interrupted by another.
    heard, stop = SimpleQueue[int](), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: heard.put(number))

    def wait() -> None:
        heard.get()
        stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return stop


@collector.command("status")
@_config
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status_command(path: Path, as_json: bool) -> None:
    """How far each agent is, what each site used, and what was set aside."""
    with _told():
        settings = config.load(path)
        store = app.open_store(settings)
        content = status.status(store, settings, app.now_us())
        store.close()
    if as_json:
        click.echo(json.dumps(content, ensure_ascii=False))
        return
    console = Console()
    for table in status.tables(content):
        console.print(table)
    for line in status.warnings(content):
        click.echo(line)
    click.echo(f"journal: {content['journal_bytes'] / 1e6:.1f} MB")


@collector.command("broker")
@click.option("--port", type=click.IntRange(1, 65535), default=1883, show_default=True)
@click.option("--parent", type=int, hidden=True)
def broker_command(port: int, parent: int | None) -> None:
    """Run the embedded MQTT broker, on loopback only."""
    with _told():
        broker.serve(port, click.echo, parent)


@collector.command("import")
@_config
@click.argument("statement", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--site", required=True, help="The site that received the coin.")
@click.option(
    "--source", required=True, help="Where the statement is from; with external_id the key of an entry."
)
@click.option("--synthetic", is_flag=True, help="The statement is simulated: filings will say so.")
def import_command(path: Path, statement: Path, site: str, source: str, synthetic: bool) -> None:
    """Import a pool's statement (CSV); the same statement again changes nothing."""
    with _told():
        settings = config.load(path)
        if site not in settings.sites:
            raise ConfigError([f"--site {site}: no section [site.{site}] in {path}"])
        try:
            check_name(source)
        except ValueError as error:
            raise ConfigError([f"--source {source!r}: {error}"]) from error
        store = app.open_store(settings)
        try:
            new, known = imports.import_statement(
                store, settings.org, settings.statements_dir,
                site=site, source=source, path=statement, synthetic=synthetic, now_us=app.now_us(),
            )  # fmt: skip
        except StatementError as error:
            raise StatementError([f"{statement}: rejected, nothing was imported", *error.problems]) from error
        finally:
            store.close()
    click.echo(f"{statement}: {new} new, {known} known")


@collector.command()
@_config
def rebuild(path: Path) -> None:
    """Fold journal and statements anew; the collector must not be running."""
    with _told():
        rows = app.rebuild(config.load(path))
    click.echo("ledger rebuilt: " + ", ".join(f"{count} {name}" for name, count in rows.items()))


for _command in (
    enrol_cli.enroll_command,
    enrol_cli.revoke_command,
    enrol_cli.broker_config_command,
    energy_cli.energy_command,
    journal_cli.verify_command,
    journal_cli.keys_command,
    journal_cli.archive_command,
    meter_cli.meter,
    backup_cli.upgrade_command,
    backup_cli.backup_command,
    backup_cli.restore_command,
):
    collector.add_command(_command)
