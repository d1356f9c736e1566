"""`hashledger collector energy`: kWh with bounds, origins and gaps, of whatever is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from collector import app, civil, energy_read, energy_show
from collector.civil import Resolution
from collector.config import Config, ConfigError
from collector.config import load as load_config
from collector.ledger.profile import SiteLedger
from collector.store import Store
from collector.told import config_option, told
from reporting.period import Period

# Up to here half-hours are what one wants to see; beyond it days.
_SHORT_US = 2 * 86_400_000_000


@click.command("energy")
@config_option
@click.option("--site", help="Which site; may be left out if there is one.")
@click.option("--device", help="Of one device: its serial number, MAC or id.")
@click.option("--period", help="A month or quarter: 2026-10, 2026-Q4, 1405-07.")
@click.option(
    "--from", "start", help="A day or half-hour in the site's civil time: 2026-10-01, 2026-10-01T06:30."
)
@click.option("--until", help="Where it ends; this day or half-hour is no longer in it.")
@click.option("--resolution", type=click.Choice([r.value for r in Resolution]), help="Length of the rows.")
@click.option("--by", type=click.Choice(["origin", "device"]), default="origin", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="For programs; energy in Wh.")
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets.")
def energy_command(
    path: Path, site: str | None, as_json: bool, as_csv: bool, **asked: Any
) -> None:  # fmt: skip
    """kWh with bounds, origins and gaps, in the site's civil time."""
    with told():
        settings = load_config(path)
        name = _site(settings, site)
        start_us, end_us, hijri = _time(settings, name, asked)
        store = app.open_store(settings)
        try:
            shown = _content(store, settings, name, (start_us, end_us, hijri), asked)
        finally:
            store.close()
    if as_json:
        click.echo(json.dumps(shown, ensure_ascii=False))
    elif as_csv:
        click.echo(energy_show.csv_text(shown), nl=False)
    else:
        console = Console()
        for part in energy_show.people(shown, _title(shown)):
            console.print(part, highlight=False, markup=not isinstance(part, str))


def _content(
    store: Store, settings: Config, site: str, time: tuple[int, int, bool], asked: dict[str, Any]
) -> dict[str, Any]:
    start_us, end_us, hijri = time
    with store.read() as connection:
        span = energy_read.span(connection, settings, site, start_us, end_us, app.now_us(), hijri)
        ledger = SiteLedger(connection, settings.org, site)
        rows = energy_read.register(connection, settings.org, site)
        labels = {row.device: energy_read.name_of(row) for row in rows}
        of = {"org": settings.org, "site": site}
        default = Resolution.WHOLE if asked["by"] != "origin" else _default(span)
        resolution = Resolution(asked["resolution"]) if asked["resolution"] else default
        if asked["device"]:
            place = energy_read.find_device(rows, asked["device"], site)
            of["device"] = rows[place].device
            of["name"] = labels[of["device"]]
            profile = energy_read.device_profile(ledger, span, place)
        elif asked["by"] == "origin":
            profile = energy_read.site_profile(ledger, span)
        if asked["by"] == "device" and not asked["device"]:
            table = energy_read.by_device(ledger, span, resolution, list(labels))
        else:
            table = energy_read.by_time(profile, span, resolution)
    return energy_show.content(table, span.zone, of=of | {"resolution": resolution.value}, labels=labels)


def _site(settings: Config, site: str | None) -> str:
    known = ", ".join(settings.sites) or "none"
    if site is None:
        if len(settings.sites) != 1:
            raise ConfigError([f"--site: name one of the sites of {settings.path}: {known}"])
        return next(iter(settings.sites))
    if site not in settings.sites:
        raise ConfigError([f"--site {site}: no section [site.{site}] in {settings.path}; known: {known}"])
    return site


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


def _default(span: energy_read.Span) -> Resolution:
    return Resolution.HALF_HOUR if span.end_us - span.start_us <= _SHORT_US else Resolution.DAY


def _title(shown: dict[str, Any]) -> str:
    what = f"device {shown['name']}" if "device" in shown else f"site {shown['site']}"
    total = shown["total"]
    return f"{what}, {total['start']} to {total['end']} ({shown['zone']})"
