"""`hashledger report`: list the forms, prepare and check a filing, explain a code or a number."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from reporting import api, explain, writers
from reporting.errors import ReportingError
from reporting.facts import PeriodFacts
from reporting.facts_json import decode_facts
from reporting.filing import SIMULATED, Filing
from reporting.findings import Level
from reporting.form import Mw, Options, PowerSource
from reporting.writers import json_file

FactsSource = Callable[[Path, str, str], PeriodFacts]


class _UserError(click.ClickException):
    """Something the user can put right: exit status 2."""

    exit_code = 2


def _price(text: str) -> Decimal:
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal("nan")
    if not (price.is_finite() and price >= 0):
        raise click.BadParameter(f"{text!r} is not a price: write it as 21.50")
    return price


@click.group()
def report() -> None:
    """Prepare filings from the ledger's facts."""


@report.command("list")
def list_forms() -> None:
    """Show the forms, their period and whether the duty stands."""
    table = Table("form", "country", "period", "in law", "title")
    for form in api.forms():
        table.add_row(form.id, form.country, " or ".join(form.period_kinds), form.in_law, form.title)
    Console().print(table)


def _facts_options(command: Callable[..., None]) -> Callable[..., None]:
    choices = (
        click.argument("form_id", metavar="FORM"),
        click.option("--period", help="2026-09, 2026-Q3, or Solar Hijri 1405-07."),
        click.option("--site", help="The site's id."),
        click.option(
            "--config",
            type=click.Path(path_type=Path, dir_okay=False),
            default="collector.toml",
            show_default=True,
            help="The collector's configuration: its ledger gives the facts.",
        ),
        click.option(
            "--facts",
            "facts_file",
            type=click.Path(path_type=Path, dir_okay=False, exists=True),
            help="Take the facts from this JSON file instead of the ledger.",
        ),
        click.option(
            "--mw",
            type=click.Choice([one.value for one in Mw]),
            default=Mw.AVERAGE.value,
            show_default=True,
            help="Kazakhstan: which power to state.",
        ),
        click.option(
            "--power-source",
            type=click.Choice([one.value for one in PowerSource]),
            default=PowerSource.ORDINARY.value,
            show_default=True,
            help="Kazakhstan: as you declare it; it decides the rate of the fee.",
        ),
        click.option("--price-kzt-kwh", type=_price, help="Kazakhstan, 2023: the price of electricity."),
    )
    for decorate in reversed(choices):
        command = decorate(command)
    return command


@report.command()
@_facts_options
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder to fill."
)
@click.pass_context
def prepare(ctx: click.Context, /, out: Path, **chosen: Any) -> None:
    """Fill FORM and write it as JSON, CSV and XLSX."""
    filing = _filing(ctx, **chosen)
    try:
        files = writers.write(filing, out)
    except OSError as error:
        raise _UserError(f"{out}: {error.strerror or error}; nothing was written") from error
    _show_summary(filing)
    for file in files:
        click.echo(f"written: {file}")


@report.command()
@_facts_options
@click.pass_context
def check(ctx: click.Context, /, **chosen: Any) -> None:
    """Show what stands against FORM; exit status 1 when a finding is an error."""
    filing = _filing(ctx, **chosen)
    for level in Level:
        for finding in filing.findings:
            if finding.level is level:
                click.echo(f"{level.value:13} {finding.code}  {finding.text}  [{finding.where}]")
    _show_summary(filing)
    if filing.count(Level.ERROR):
        ctx.exit(1)


@report.command("explain")
@click.argument("name", metavar="CODE|FORM|RULE|FILING.json")
@click.argument("field", required=False)
def explain_name(name: str, field: str | None) -> None:
    """Say what a code, form or rule means, or follow FIELD of a filing down to its facts and batches."""
    try:
        if not name.endswith(".json"):
            click.echo(explain.explain(name))
            return
        filing = json_file.read(_read(Path(name)))
        keys = [field] if field else [one.key for one in filing.fields]
        click.echo("\n\n".join(explain.explain_field(filing, key) for key in keys))
    except ReportingError as error:
        raise _UserError(str(error)) from error


def _filing(
    ctx: click.Context,
    *,
    form_id: str,
    period: str | None,
    site: str | None,
    config: Path,
    facts_file: Path | None,
    mw: str,
    power_source: str,
    price_kzt_kwh: Decimal | None,
) -> Filing:
    options = Options(mw=Mw(mw), power_source=PowerSource(power_source), price_kzt_kwh=price_kzt_kwh)
    try:
        api.form(form_id)
        if facts_file is not None:
            facts = _facts_of_file(facts_file, period, site)
        else:
            facts = _facts_of_ledger(ctx, config, period, site)
        return api.prepare(form_id, facts, options)
    except ReportingError as error:
        raise _UserError(str(error)) from error


def _facts_of_file(file: Path, period: str | None, site: str | None) -> PeriodFacts:
    try:
        facts = decode_facts(_read(file))
    except ReportingError as error:
        raise ReportingError(f"{file}: {error}") from error
    for option, wanted, given in (("--period", period, facts.period), ("--site", site, facts.site.site)):
        if wanted is not None and wanted != given:
            raise ReportingError(f"{file}: holds {given}, not {option} {wanted}")
    return facts


def _facts_of_ledger(ctx: click.Context, config: Path, period: str | None, site: str | None) -> PeriodFacts:
    load_facts: FactsSource | None = (ctx.obj or {}).get("load_facts")
    if load_facts is None:
        raise click.UsageError("no ledger is at hand: give the facts with --facts FILE", ctx)
    if period is None or site is None:
        raise click.UsageError("give --period and --site, or --facts FILE", ctx)
    return load_facts(config, site, period)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ReportingError(f"{file}: {error.strerror or error}") from error


def _show_summary(filing: Filing) -> None:
    if filing.simulated:
        click.secho(SIMULATED, bold=True)
    table = Table("form", "site", "period", "status", *(level.value.replace("_", " ") for level in Level))
    counts = (str(filing.count(level)) for level in Level)
    table.add_row(filing.form, filing.site, filing.period, filing.status.value, *counts)
    Console().print(table)
