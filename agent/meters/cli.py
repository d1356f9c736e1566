"""`hashledger agent meter ...`: what an electrician types when a meter is put into service."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import click
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent import config
from agent.config import ConfigError
from agent.meters import oid_map, register_map
from agent.meters import told as tell
from agent.meters.config import Meter, ModbusMeter, MqttMeter, decimal_text
from agent.meters.drivers import Read, drivers
from agent.meters.oid_map import OidMap
from agent.meters.register_map import RegisterMap
from agent.meters.told import Told
from agent.readings import DeviceError

_config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path), default=config.DEFAULT_PATH, show_default=True
)


@click.group()
def meter() -> None:
    """Electricity meters: what they tell, and the register maps that are known."""


@meter.command()
@click.argument("which", metavar="NAME|ADDRESS")
@_config_option
@click.option("--map", "map_name", help="Read the Modbus meter at ADDRESS (HOST or HOST:PORT) with this map.")
@click.option("--unit", type=click.IntRange(0, 255), default=1, show_default=True)
@click.option("--framing", type=click.Choice(["tcp", "rtu"]), default="tcp", show_default=True)
@click.option("--ct-ratio", default="1", show_default=True, help='Such as 40 or "200/5".')
@click.option("--vt-ratio", default="1", show_default=True)
@click.option("--json", "as_json", is_flag=True)
def probe(
    which: str,
    path: Path,
    map_name: str | None,
    unit: int,
    framing: str,
    ct_ratio: str,
    vt_ratio: str,
    as_json: bool,
) -> None:
    """Read one meter: every register raw and decoded, to be compared with its display."""  # fmt: skip
    if map_name is None:
        one = _configured(which, path)
        state_dir = config.load(path).agent.state_dir
    else:
        one, state_dir = _adhoc(which, map_name, unit, framing, ct_ratio, vt_ratio), Path()
    if isinstance(one, MqttMeter):
        raise MeterError("a meter that publishes is not asked: its last value is in the agent's /metrics")
    try:
        told = asyncio.run(read_once([one], state_dir))[one.name]
    except KeyboardInterrupt:
        sys.exit(1)
    if isinstance(told, DeviceError):
        click.echo(tell.plain(f"{one.place}: {told.kind}: {told}"), err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(document(one, told), indent=2, ensure_ascii=False))
    else:
        for part in shown(one, told):
            click.echo(part) if isinstance(part, str) else Console().print(part)


class MeterError(click.ClickException):
    """Something that whoever typed it can mend."""

    exit_code = 2


def _configured(name: str, path: Path) -> Meter:
    try:
        loaded = config.load(path)
        loaded.credentials()
    except ConfigError as error:
        raise MeterError(str(error)) from error
    for one in loaded.meter:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in loaded.meter) or "none"
    raise MeterError(f"{path}: no meter {name!r} (there are: {known}); an address needs --map MAP")


def _adhoc(address: str, map_name: str, unit: int, framing: str, ct_ratio: str, vt_ratio: str) -> Meter:
    given = {
        "name": "probed", "source": "modbus", "address": address, "map": map_name, "unit": unit,
        "framing": framing, "ct_ratio": ct_ratio, "vt_ratio": vt_ratio,
    }  # fmt: skip
    try:
        one = ModbusMeter.model_validate(given)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise MeterError("\n".join(lines)) from error
    if wrong := one.mistakes():
        raise MeterError("\n".join(wrong))
    return one


async def read_once(meters: Sequence[Meter], state_dir: Path) -> dict[str, Told | DeviceError]:
    """One reading of each meter, or why there is none."""

    async def one(read: Read, deadline_s: float) -> Told | DeviceError:
        try:
            async with asyncio.timeout(2 * deadline_s):
                return await read()
        except TimeoutError:
            return DeviceError(f"no answer within {deadline_s:g} s")
        except DeviceError as error:
            return error

    async with drivers(meters, state_dir, f"probe-{time.time_ns()}") as reads:
        results = await asyncio.gather(*(one(reads[m.name], m.deadline_s) for m in meters))
    return {m.name: result for m, result in zip(meters, results, strict=True)}


def document(one: Meter, told: Told) -> dict[str, object]:
    """A reading for `--json`: raw registers, and what the record of it would be."""
    got = tell.measured(told, one.ratio)
    return {
        "meter": one.name, "place": one.place, "map": one.rules, "make": told.make, "model": told.model,
        "firmware": told.firmware, "serial": told.serial, "ct_ratio": one.ct_ratio, "vt_ratio": one.vt_ratio,
        "import_wh": got.import_wh, "export_wh": got.export_wh, "power_mw": got.power_mw,
        "problem": got.problem, "step_wh": tell.step_wh(told, one.ratio),
        "registers": [raw._asdict() for raw in told.raw],
    }  # fmt: skip


def shown(one: Meter, told: Told) -> list[Table | str]:
    """A reading for eyes: the registers as they came, then the primary side."""
    registers = Table("register", "where", "as it came", "means", box=SIMPLE_HEAD, pad_edge=False)
    for raw in told.raw:
        registers.add_row(*(escape(tell.plain(cell)) for cell in raw))
    about = " ".join(text for text in (told.make, told.model, told.firmware) if text)
    lines: list[Table | str] = [f"{one.place}  {about}  serial {told.serial or 'not told'}", registers]
    ratio, by = one.ratio, f"x CT {one.ct_ratio} x VT {one.vt_ratio}"
    for name, value, unit in (
        ("import", told.import_wh, "kWh"), ("export", told.export_wh, "kWh"), ("power", told.power_w, "kW"),
    ):  # fmt: skip
        if value is not None:
            lines.append(
                f"{name:6} {_thousandths(value)} {unit} on its display {by}"
                f" = {_thousandths(value * ratio)} {unit}"
            )
    if told.power_w is not None and told.power_w < 0:
        lines.append(
            "power is below 0: this meter exports, or a current transformer is mounted the wrong way"
        )
    lines += [tell.plain(f"{name}: {reason}") for name, reason in told.unread.items()]
    return lines


def _thousandths(value: Fraction) -> str:
    """Wh as kWh, or W as kW, to the whole Wh or W below."""
    return f"{float(decimal_text(Fraction(math.floor(value), 1000))):,.3f}"


@meter.command()
@click.option("--json", "as_json", is_flag=True)
def maps(as_json: bool) -> None:
    """The register maps (Modbus) and object maps (SNMP) that come with the agent, with their sources."""
    known: list[tuple[str, str, RegisterMap | OidMap]] = []
    known += [("modbus", name, register_map.load(name)) for name in register_map.names()]
    known += [("snmp", name, oid_map.load(name)) for name in oid_map.names()]
    if as_json:
        rows = [
            {
                "map": name, "way": way, "make": rules.make, "models": rules.models, "status": rules.status,
                "last_checked": rules.last_checked.isoformat(), "source": rules.source, "note": rules.note,
            }
            for way, name, rules in known
        ]  # fmt: skip
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for _, name, rules in known:
        checked = rules.last_checked.isoformat()
        click.echo(f"{name}: {rules.make} {rules.models} [{rules.status}, checked {checked}]")
        for line in (*rules.source, *([rules.note] if rules.note else [])):
            click.echo(f"    {line}")
