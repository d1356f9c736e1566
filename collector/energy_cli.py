"""`hashledger collector energy`: kWh with bounds, origins and gaps, of whatever is asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console

from collector import app, civil, energy_ask, energy_show, metered_show
from collector.civil import Resolution
from collector.config import Config, ConfigError
from collector.config import load as load_config
from collector.energy_ask import Ask, By
from collector.outlook import outlook
from collector.told import config_option, told
from reporting.period import Period

_PIPE_COLUMNS = 200


@click.command("energy")
@config_option
@click.option("--site", help="Which site; may be left out if there is one.")
@click.option("--device", help="Of one device: its serial number, MAC or id.")
@click.option("--client", help="Of what a client held: [client.x].")
@click.option("--node", help="Of the devices at a node and below it: [site.x.node.y].")
@click.option("--meter", help="Of a meter; --by device or client: its kWh allotted to those behind it.")
@click.option("--period", help="A month or quarter: 2026-10, 2026-Q4, 1405-07.")
@click.option(
    "--from", "start", help="A day or half-hour in the site's civil time: 2026-10-01, 2026-10-01T06:30."
)
@click.option("--until", help="Where it ends; this day or half-hour is no longer in it.")
@click.option("--resolution", type=click.Choice([r.value for r in Resolution]), help="Length of the rows.")
@click.option(
    "--by", type=click.Choice(get_args(By)), default="origin", show_default=True, help="What has rows."
)
@click.option("--json", "as_json", is_flag=True, help="For programs; energy in Wh.")
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets.")
def energy_command(
    path: Path, site: str | None, as_json: bool, as_csv: bool, **asked: Any
) -> None:  # fmt: skip
    """kWh with bounds, origins and gaps, in the site's civil time."""
    with told():
        settings = load_config(path)
        name = _site(settings, site)
        ask = _ask(settings, name, asked)
        store = app.open_store(settings)
        try:
            with store.read() as connection:
                now_us = app.now_us()
                shown = energy_ask.answer(connection, settings, ask, now_us)
                shown["outlook"] = outlook(connection, settings, name, now_us)
        finally:
            store.close()
    show = metered_show if "kind" in shown else energy_show
    if as_json:
        click.echo(json.dumps(shown, ensure_ascii=False))
    elif as_csv:
        click.echo(show.csv_text(shown), nl=False)
    else:
        # A file or a pipe has no width of its own; no figure may be cut for want of it.
        console = Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
        for part in (*show.people(shown, _title(shown)), *shown["outlook"]["lines"]):
            console.print(part, highlight=False, markup=not isinstance(part, str))


def _site(settings: Config, site: str | None) -> str:
    known = ", ".join(settings.sites) or "none"
    if site is None:
        if len(settings.sites) != 1:
            raise ConfigError([f"--site: name one of the sites of {settings.path}: {known}"])
        return next(iter(settings.sites))
    if site not in settings.sites:
        raise ConfigError([f"--site {site}: no section [site.{site}] in {settings.path}; known: {known}"])
    return site


def _ask(settings: Config, site: str, asked: dict[str, Any]) -> Ask:
    one = [f"--{name}" for name in ("device", "client", "node", "meter") if asked[name] is not None]
    if len(one) > 1:
        raise ConfigError([f"{' and '.join(one)}: of one thing at a time"])
    resolution = None if asked["resolution"] is None else Resolution(asked["resolution"])
    names = {name: asked[name] for name in ("device", "client", "node", "meter", "by")}
    return Ask(site, *_time(settings, site, asked), resolution=resolution, **names)


def _time(settings: Config, site: str, asked: dict[str, Any]) -> tuple[int, int, bool]:
    zone = settings.sites[site].site.zone
    period, start, until = asked["period"], asked["start"], asked["until"]
    if (period is None) == (start is None and until is None) or (start is None) != (until is None):
        raise ConfigError(["give --period 2026-10, or --from and --until"])
    if period is not None:
        found = Period.parse(period, zone)
        return found.start_us, found.end_us, found.solar_hijri
    start_us, end_us = civil.instant_us(start, zone), civil.instant_us(until, zone)
    if start_us >= end_us:
        raise ConfigError([f"--until {until} is not after --from {start}"])
    return start_us, end_us, False


def _title(shown: dict[str, Any]) -> str:
    kind = next((name for name in ("device", "client", "node", "meter") if name in shown), None)
    what = f"site {shown['site']}" + ("" if kind is None else f", {kind} {shown['name']}")
    what += f", tariff {shown['tariff']}" if "tariff" in shown else ""
    what += "" if "kind" not in shown else f", {shown['kind']}"
    return f"{what}, {shown['from']} to {shown['until']} ({shown['zone']})"
