"""`hashledger collector verify`, `keys`, `archive`: the journal, for those who have to believe it."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import msgspec
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from collector import app, archive, config, private
from collector.completeness import Completeness, Polls
from collector.config import Config, ConfigError
from collector.manifest import GENESIS
from collector.places import place
from collector.store import StoreError, schema
from collector.told import config_option, told
from collector.verify import Agent, AgentKey, Head, Keys, Verified, Verifier

DAY_US = 86_400_000_000
# Device-days of a year of a large farm are millions; the worst ones are what somebody can act on.
ROWS_SHOWN = 20
_DAY = click.DateTime(["%Y-%m-%d"])


@click.command("keys")
@config_option
def keys_command(path: Path) -> None:
    """Print the public keys that `verify --keys` needs, as JSON: nothing in it is secret."""
    with told():
        settings = config.load(path, unmade=True)
        click.echo(msgspec.json.format(msgspec.json.encode(_keys(settings)), indent=1).decode())


def _keys(settings: Config) -> Keys:
    if not (settings.state_dir / private.KEY_FILE).exists():
        where = f"{settings.state_dir}: no {private.KEY_FILE}"
        raise ConfigError([f"{where}; `hashledger collector init` makes it, or name --journal and --keys"])
    public = private.collector_key(settings.state_dir).public_key().public_bytes_raw()
    agents = tuple(Agent(*key, public_key) for key, public_key in sorted(settings.agents.items()))
    return Keys(settings.org, (public,), agents)


def _keys_of(path: Path) -> Keys:
    try:
        keys = msgspec.json.decode(path.read_bytes(), type=Keys)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {error}; `hashledger collector keys` writes such a file"]) from error
    named = [("collector", key) for key in keys.collector]
    named += [(f"{agent.site}/{agent.agent}", agent.public_key) for agent in keys.agents]
    if wrong := [f"{path}: {name}: {len(key)} bytes; an Ed25519 public key has 32"
                 for name, key in named if len(key) != 32]:  # fmt: skip
        raise ConfigError(wrong)
    return keys


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    # What is to be shown of completeness.
    site: str | None
    first: date
    last: date
    rows: int


@click.command("verify")
@config_option
@click.option("--journal", "folder", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="A journal's or an archive's folder, without configuration; needs --keys.")  # fmt: skip
@click.option("--keys", "keys_file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Public keys, as `hashledger collector keys` prints them.")  # fmt: skip
@click.option("--archive", "archive_text", metavar="DIR_OR_URL",
              help="Check archived segments there.  [default: collector.archive]")  # fmt: skip
@click.option("--expect", metavar="HASH", help="A manifest head that was noted once: it must still be there.")
@click.option("--site", help="Completeness of this site alone.")
@click.option("--from", "first", type=_DAY, default="0001-01-01", help="Completeness from this day on.")
@click.option("--until", "last", type=_DAY, default="9999-12-31", help="Completeness to this day, included.")
@click.option("--zone", help="Whose days.  [default: each site's zone; UTC without a configuration]")
@click.option("--rows", type=click.IntRange(min=0), default=ROWS_SHOWN, show_default=True,
              help="How many devices and days to show, the worst first.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify_command(
    path: Path, folder: Path | None, keys_file: Path | None, archive_text: str | None, expect: str | None,
    site: str | None, first: datetime, last: datetime, zone: str | None, rows: int, as_json: bool,
) -> None:  # fmt: skip
    """Check signatures, chains, seals and completeness of the journal; 1 if something is wrong."""
    with told():
        if zone is not None:
            _check_zone(zone)
        zones, ledger = {}, {}
        if folder is not None or keys_file is not None:
            if folder is None or keys_file is None:
                raise click.UsageError("--journal and --keys go together")
            keys = _keys_of(keys_file)
        else:
            settings = config.load(path, unmade=True)
            folder, keys = settings.journal_dir, _keys(settings)
            archive_text = archive_text or settings.archive
            zones = {} if zone else {name: site.site.zone for name, site in settings.sites.items()}
            if not folder.is_dir():
                raise ConfigError([f"{path}: collector.state_dir: no journal in {settings.state_dir} yet"])
            ledger = ledger_heads(settings)
        seen, began_s = Completeness(zones, zone or "UTC"), time.monotonic()
        there = None if archive_text is None else place(archive_text)
        if there is not None:
            there.check()
        result = Verifier(folder, keys, there, seen, ledger, expect).run()
        took_s = time.monotonic() - began_s
    asked = _Asked(site, first.date(), last.date(), rows)
    if as_json:
        click.echo(json.dumps(_content(result, seen, asked), ensure_ascii=False))
    else:
        click.echo("\n".join(_summary(result, took_s)))
        console = Console()
        for table in _tables(seen, asked):
            console.print(table)
        click.echo("\n".join(_verdict(result)))
    if result.found:
        sys.exit(1)


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError([f"--zone {zone!r}: unknown; write an IANA name such as Asia/Irkutsk"]) from error


def ledger_heads(settings: Config) -> dict[AgentKey, Head]:
    """Where the ledger stands with each agent; empty if there is none yet."""
    if settings.ledger is None and not settings.ledger_path.is_file():
        return {}
    try:
        store = app.open_store(settings)
    except StoreError as error:
        click.echo(f"the ledger is not compared with the journal: {error}", err=True)
        return {}
    s = schema.stream.c
    try:
        with store.read() as connection:
            rows = connection.execute(select(schema.stream).where(s.org == settings.org))
            return {(row.site, row.agent): Head(row.last_seq, row.last_hash) for row in rows}
    finally:
        store.close()


def _content(result: Verified, seen: Completeness, asked: _Asked) -> dict[str, Any]:
    return {
        "right": not result.found,
        "findings": [{"text": f.text} | f._asdict() for f in result.findings], "findings_total": result.found,
        "notes": [{"text": n.text} | n._asdict() for n in result.notes], "notes_total": result.noted,
        "segments": result.segments, "sealed": result.sealed, "bytes": result.bytes,
        "archived_unchecked": result.archived_unchecked, "manifest_head": result.manifest_head,
        "batches": result.batches, "readings": result.readings,
        "agents": [
            {"site": key[0], "agent": key[1], "last_seq": head.seq, "last_hash": (head.hash or b"").hex()}
            for key, head in sorted(result.heads.items())
        ],
        "totals": [t._asdict() | {"polls": t.polls._asdict()}
                   for t in seen.totals(asked.site, asked.first, asked.last)],
        "worst": [r._asdict() | {"polls": r.polls._asdict()}
                  for r in seen.worst(asked.site, asked.first, asked.last, asked.rows)],
    }  # fmt: skip


def _summary(result: Verified, took_s: float) -> Iterator[str]:
    yield (
        f"{result.segments} segments, {result.sealed} of them sealed; {result.batches:,} batches of "
        f"{len(result.heads)} agents, {result.readings:,} readings; "
        f"{result.bytes / 1e6:.1f} MB in {took_s:.1f} s"
    )
    for (site, agent), head in sorted(result.heads.items()):
        yield f"{site}/{agent}: batches 1 to {head.seq}"
    if result.manifest_head != GENESIS:
        yield f"manifest head, to be noted elsewhere: {result.manifest_head}"
    if unchecked := result.archived_unchecked:
        yield (
            f"archived, not checked here: {len(unchecked)} segments, {min(unchecked)} to {max(unchecked)}; "
            "--archive checks them"
        )


def _verdict(result: Verified) -> Iterator[str]:
    yield from (f"note: {note.text}" for note in result.notes)
    yield from _left_out("notes", result.noted, len(result.notes))
    yield from (f"WRONG: {finding.text}" for finding in result.findings)
    yield from _left_out("findings", result.found, len(result.findings))
    yield f"findings: {result.found:,}" if result.found else "all right"


def _left_out(what: str, count: int, shown: int) -> Iterator[str]:
    if count > shown:
        yield f"... and {count - shown:,} more {what}"


def _tables(seen: Completeness, asked: _Asked) -> Iterator[Table]:
    columns = ("expected", "received", "failed", "missing")
    totals = Table("site", "agent", "", "came", "devices", *columns, title="Completeness: polls")
    for t in seen.totals(asked.site, asked.first, asked.last):
        came = f"{t.sweeps_received:,} of {t.sweeps_expected:,}"
        totals.add_row(t.site, t.agent, t.kind, came, str(t.devices), *_cells(t.polls))
    yield totals
    worst = seen.worst(asked.site, asked.first, asked.last, asked.rows)
    if worst:
        table = Table("site", "agent", "device", "day", *columns, title="Devices and days that lack most")
        table.columns[2].min_width = 36  # a device's id whole: it is to be copied
        for row in worst:
            table.add_row(*row[:4], *_cells(row.polls))
        yield table


def _cells(polls: Polls) -> Iterator[str]:
    return (f"{count:,}" for count in polls)


@click.command("archive")
@config_option
@click.argument("text", metavar="[DIR_OR_URL]", required=False)
@click.option("--remove", is_flag=True, help="Then remove old segments here; the manifest stays.")
@click.option(
    "--older-than", type=click.IntRange(min=0), metavar="DAYS",
    help="Which ones --remove takes, by when they were received.  [default: collector.keep_journal_days]",
)  # fmt: skip
def archive_command(path: Path, text: str | None, remove: bool, older_than: int | None) -> None:
    """Copy sealed journal segments and the manifest to a folder or s3://BUCKET/PREFIX.

    [default: collector.archive]
    """
    with told():
        settings = config.load(path, unmade=True)
        text = text or settings.archive
        if text is None:
            raise ConfigError([f"name DIR_OR_URL, or set collector.archive in {path}"])
        there = place(text)
        days = settings.keep_journal_days if older_than is None else older_than
        if remove and days is None:
            raise ConfigError(
                [f"--remove: name --older-than DAYS, or set collector.keep_journal_days in {path}"]
            )
        if older_than is not None and not remove:
            raise ConfigError(["--older-than: says what --remove takes; every sealed segment is copied"])
        copied = archive.copy(settings.journal_dir, there)
        click.echo(f"{there.text}: {len(copied)} segments copied")
        if remove and days is not None:
            key, now_us = private.collector_key(settings.state_dir), app.now_us()
            gone = archive.remove(
                settings.journal_dir, there, key,
                before_us=now_us - days * DAY_US, checkpoint=_checkpoint(settings), now_us=now_us,
            )  # fmt: skip
            click.echo(
                f"{settings.journal_dir}: {len(gone)} segments removed, each read back from the archive"
            )


def _checkpoint(settings: Config) -> int:
    if settings.ledger is None and not settings.ledger_path.is_file():
        return 0
    store, c = app.open_store(settings), schema.checkpoint.c
    try:
        with store.read() as connection:
            found = connection.execute(select(c.segment).where(c.org == settings.org)).scalar_one_or_none()
    finally:
        store.close()
    return found or 0
