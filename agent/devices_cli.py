"""`hashledger agent devices`, `bind`, `split`: who is known, what is in doubt, and a person's word on it."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from agent import clock, config, decisions, identity, wire
from agent.app import ROSTER_FILE, SPOOL_FILE
from agent.config import Config, ConfigError
from agent.identity import OpenDoubt, Roster
from agent.matching import normal_serial
from agent.wire import Inventory, Sweep

# How far back in the spool a device's last reading is looked for: four hours of sweeps a minute.
BATCHES_BACK = 240
MIN_PREFIX = 4  # of a device's id; a shorter one is a typing slip


class Refused(click.ClickException):
    """What the user can mend: the message says what, and what would be right."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """What the spool's newest batches tell: when each device was last read, and which the last sweep read."""

    last_us: dict[bytes, int]
    now: frozenset[bytes]


_config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path), default=config.DEFAULT_PATH, show_default=True,
    help="The agent's configuration.",
)  # fmt: skip
_reason_option = click.option(
    "--reason", required=True, help="Who says so and why; it goes into the journal with the event."
)


@click.command()
@_config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON; what is not known is null.")
@click.option("--doubts", "only_doubts", is_flag=True, help="Only devices in doubt, and what the doubt is.")
def devices(path: Path, as_json: bool, only_doubts: bool) -> None:
    """The devices that are known here, and the doubts that a person should settle."""
    settings = _load(path)
    roster, seen = _roster(settings), _seen(settings.agent.state_dir / SPOOL_FILE)
    rows = sorted(roster.devices, key=lambda inventory: (inventory.address == "", _order(inventory.address)))
    if only_doubts:
        rows = [inventory for inventory in rows if _doubts_of(roster, inventory.device)]
    if as_json:
        click.echo(json.dumps([_document(roster, seen, inventory) for inventory in rows], indent=2))
        return
    Console().print(_table(roster, seen, rows))
    if only_doubts:
        for doubt in roster.doubts.values():
            click.echo(_doubt_text(doubt))
    elif roster.doubts:
        click.echo(f"{len(roster.doubts)} open doubts: hashledger agent devices --doubts")


@click.command()
@click.argument("device")
@click.argument("other", metavar="DEVICE")
@_config_option
@_reason_option
def bind(device: str, other: str, path: Path, reason: str) -> None:
    """The second DEVICE is the first, from now on; the same one twice settles its doubts as they stand.

    DEVICE is an id (or its first 4 characters or more), a serial, a MAC or an address.
    """
    settings = _load(path)
    roster = _roster(settings)
    kept, gone = _find(roster, device), _find(roster, other)
    if kept.device == gone.device:
        if not _doubts_of(roster, kept.device):
            raise Refused(f"{device} and {other} are one device already, and nothing about it is in doubt")
        _decide(settings, decisions.Keep(clock.now_us(), kept.device, reason))
        click.echo(f"{_short(kept.device)} stays as it is: its doubts are settled at the next sweep")
        return
    if {kept.device, gone.device} <= _seen(settings.agent.state_dir / SPOOL_FILE).now:
        raise Refused(
            f"{_short(kept.device)} at {kept.address} and {_short(gone.device)} at {gone.address}"
            " both answered in the last sweep: they are two devices"
        )
    _decide(settings, decisions.Bind(clock.now_us(), kept.device, gone.device, reason))
    names = f"{_short(gone.device)} is {_short(kept.device)}"
    click.echo(f"{names} from the next sweep on; what was counted stays as it is")


@click.command()
@click.argument("address")
@_config_option
@_reason_option
def split(address: str, path: Path, reason: str) -> None:
    """What is at ADDRESS is a new device from now on, with the keys that it bears."""
    settings = _load(path)
    roster = _roster(settings)
    device = roster.at.get(address)
    if device is None:
        raise Refused(f"no device is known at {address}; 'hashledger agent devices' lists the addresses")
    if any(doubt.apart and doubt.device == device for doubt in roster.doubts.values()):
        _decide(settings, decisions.Keep(clock.now_us(), device, reason))
        click.echo(
            f"{_short(device)} is a device of its own already: its doubts are settled at the next sweep"
        )
        return
    made = decisions.split_of(roster.get(device), clock.now_us(), reason)
    _decide(settings, made)
    click.echo(f"{address}: {_short(made.new)} instead of {_short(device)} from the next sweep on")


def _load(path: Path) -> Config:
    try:
        return config.load(path)
    except ConfigError as error:
        raise Refused(str(error)) from error


def _roster(settings: Config) -> Roster:
    path = settings.agent.state_dir / ROSTER_FILE
    roster = identity.load(path)
    if not roster.devices:
        raise Refused(f"{path}: no device is known yet; 'hashledger agent run' finds them")
    return roster


def _decide(settings: Config, decision: decisions.Decision) -> None:
    try:
        decisions.append(settings.agent.state_dir / decisions.DECISIONS_FILE, decision)
    except (decisions.DecisionsError, OSError) as error:
        raise Refused(str(error)) from error


def _find(roster: Roster, text: str) -> Inventory:
    """The one device that the text names; Refused where it names none or several."""
    bare = text.replace("-", "").lower()
    found = [
        inventory
        for inventory in roster.devices
        if (len(bare) >= MIN_PREFIX and inventory.device.hex().startswith(bare))
        or (inventory.serial and normal_serial(inventory.serial) == normal_serial(text))
        or text.lower() == inventory.mac
        or text == inventory.address
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refused(f"no known device has the id, serial, MAC or address {text}")
    names = ", ".join(f"{_short(one.device)} at {one.address or 'no address'}" for one in found)
    raise Refused(f"{text} names {len(found)} devices: {names}; give the id")


def _seen(spool: Path) -> Seen:
    last_us: dict[bytes, int] = {}
    now: frozenset[bytes] | None = None
    for sweep in _sweeps(spool):
        told = [sweep.devices[at : at + 16] for at in range(0, len(sweep.devices), 16)]
        now = frozenset(told) if now is None else now
        for device, delay_ms in zip(told, wire.values(sweep, "delay_ms"), strict=True):
            last_us.setdefault(device, sweep.started_us + delay_ms * 1000)
    return Seen(last_us, now or frozenset())


def _sweeps(spool: Path) -> Iterator[Sweep]:
    """The newest sweeps first. Reads beside a running agent, and changes nothing."""
    if not spool.is_file():
        return
    db = sqlite3.connect(f"file:{spool}?mode=ro", uri=True)
    try:
        for (packet,) in db.execute("SELECT packet FROM batch ORDER BY seq DESC LIMIT ?", (BATCHES_BACK,)):
            yield from reversed([r for r in wire.open_packet(packet).records if isinstance(r, Sweep)])
    finally:
        db.close()


def _doubts_of(roster: Roster, device: bytes) -> list[OpenDoubt]:
    return [doubt for doubt in roster.doubts.values() if device in (doubt.device, *doubt.candidates)]


def _document(roster: Roster, seen: Seen, inventory: Inventory) -> dict[str, object]:
    return {
        "device": str(uuid.UUID(bytes=inventory.device)),
        "serial": inventory.serial,
        "mac": inventory.mac,
        "make": inventory.make,
        "model": inventory.model,
        "address": inventory.address or None,
        "last_seen_us": seen.last_us.get(inventory.device),
        "board_serials": inventory.board_serials,
        "psu_serial": inventory.psu_serial,
        "doubts": [
            {
                "at_us": doubt.at_us,
                "device": str(uuid.UUID(bytes=doubt.device)),
                "address": doubt.address,
                "evidence": doubt.evidence,
                "candidates": [str(uuid.UUID(bytes=one)) for one in doubt.candidates],
            }
            for doubt in _doubts_of(roster, inventory.device)
        ],
    }


def _table(roster: Roster, seen: Seen, rows: list[Inventory]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in ("device", "serial or MAC", "model", "address", "seen (UTC)", "doubts"):
        table.add_column(name, no_wrap=name != "model")
    for one in rows:
        doubts = len(_doubts_of(roster, one.device))
        last_us = seen.last_us.get(one.device)
        table.add_row(
            _short(one.device), one.serial or one.mac or "-", one.model or "-", one.address or "-",
            "-" if last_us is None else _time(last_us)[5:16], str(doubts or ""),
        )  # fmt: skip
    return table


def _doubt_text(doubt: OpenDoubt) -> str:
    others = ", ".join(_short(one) for one in doubt.candidates)
    return (
        f"{_time(doubt.at_us)} {doubt.address}: taken for {_short(doubt.device)}; {doubt.evidence}: {others}"
    )


def _time(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S}"


def _short(device: bytes) -> str:
    return device.hex()[:8]


def _order(address: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in address.split("."))
