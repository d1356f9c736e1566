"""`hashledger agent simulate ...`: a farm to rehearse with, its month, and its truth."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from agent import app, clock, config
from agent.simulator import capacity, faults, meters_cli, shares
from agent.simulator import fleet as fleets
from agent.simulator import month as months
from agent.simulator import serve as servers
from agent.simulator import truth as truths
from agent.simulator.farm import Farm
from agent.simulator.model import FarmPlan
from agent.simulator.plan import DEFAULT_MINERS, plan
from agent.transports import loop

# A collector on the same machine confirms thousands of batches a second: a minute without an end is a fault.
DRAIN_S = 60.0


@click.group()
def simulate() -> None:
    """A farm on loopback addresses that speaks the real protocols, with its ground truth."""


def options(*given: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Several options as one decorator, in the order of the help."""

    def apply(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(given):
            command = option(command)
        return command

    return apply


_SEED = click.option("--seed", type=int, default=7, show_default=True)
_MINERS = click.option("--miners", type=int, default=DEFAULT_MINERS, show_default=True)
farm_options = options(
    _SEED, _MINERS, click.option("--month", required=True, help="The month it lives through, e.g. 2026-10.")
)
# The demo's farm of three sites, or with one of the last two a fleet.
fleet_options = options(
    _SEED,
    _MINERS,
    click.option("--month", help="The month it lives through, e.g. 2026-10; of a fleet: this month."),
    click.option("--devices", type=int, help=f"A fleet of so many, up to {fleets.MAX_DEVICES}."),
    click.option("--families", help="A fleet's mix by weight, e.g. antminer=4,whatsminer=2,avalon=1."),
)


@simulate.command()
@fleet_options
@click.option("--cgminer-port", type=int, default=4028, show_default=True)
@click.option("--http-port", type=int, default=8080, show_default=True)
@click.option("--whatsminer-v3-port", type=int, default=4433, show_default=True)
@click.option(
    "--fault", "specs", multiple=True, help=f"WHO:WHAT, e.g. '%20:silence'. WHAT: {', '.join(faults.Fault)}."
)
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True)
def serve(
    seed: int,
    miners: int,
    month: str | None,
    devices: int | None,
    families: str | None,
    specs: tuple[str, ...],
    processes: int,
    **ports: int,
) -> None:
    """Serve the farm on its 127.77.x.y addresses until stopped; says READY when all ports are open."""
    farm_plan = _plan(seed, miners, month, devices, families)
    try:
        chosen = faults.parse(specs, farm_plan)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    try:
        capacity.raise_limit(capacity.descriptors(farm_plan, processes))
    except OSError as error:
        raise click.ClickException(str(error)) from error
    farm = Farm(farm_plan)
    networks = ", ".join(site.network for site in farm_plan.sites)
    click.echo(f"{len(farm_plan.devices)} devices in {networks}", err=True)

    def serve_share(number: int, ready: Callable[[], object]) -> None:
        serving = servers.run(
            farm, clock.now_us, faults=chosen, share=(number, processes), ready=ready, **ports
        )
        try:
            loop.run(serving)
        except OSError as error:  # a port is taken
            click.echo(f"Error: {error}", err=True)
            sys.exit(1)

    if not shares.run(serve_share, processes, lambda: click.echo("READY")):
        sys.exit(1)


@simulate.command(name="month")
@farm_options
@click.option("--config", "path", type=click.Path(path_type=Path), required=True)
def month_command(seed: int, miners: int, month: str, path: Path) -> None:
    """Let the month pass for one agent: the same roster, batches, spool and uplink, in simulated time."""
    loaded = config.load(path)
    agent = app.Agent(loaded, report=click.echo)
    farm = Farm(_plan(seed, miners, month))
    agent.publisher.start()
    readings = months.play(agent, farm, loaded.agent.site, lambda share: click.echo(f"PROGRESS {share:.4f}"))
    confirmed = agent.publisher.stop(DRAIN_S)
    depth = agent.spool.depth()
    agent.spool.close()
    click.echo(f"DONE {json.dumps({'readings': readings, 'batches': depth.last_seq})}")
    if not confirmed:
        click.echo(f"{depth.waiting} batches were not confirmed within {DRAIN_S:g} s", err=True)
        sys.exit(1)


@simulate.command()
@fleet_options
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
def truth(
    seed: int, miners: int, month: str | None, devices: int | None, families: str | None, out: Path
) -> None:
    """Write the farm's own account of the month: truth.json, and each site's pool statement."""
    farm_plan = _plan(seed, miners, month, devices, families)
    out.mkdir(parents=True, exist_ok=True)
    (out / "truth.json").write_text(json.dumps(truths.truth(farm_plan), indent=1) + "\n", encoding="utf-8")
    for site in farm_plan.sites:
        statement = truths.statement_csv(farm_plan, site.name)
        (out / f"statement-{site.name}.csv").write_text(statement, encoding="utf-8")


def _plan(
    seed: int, miners: int, month: str | None, devices: int | None = None, families: str | None = None
) -> FarmPlan:
    """The demo's farm, or the fleet that was asked for."""
    try:
        if devices is None and families is None:
            if month is None:
                raise ValueError("--month is needed, e.g. 2026-10")
            return plan(seed, miners, month)
        weights = None if families is None else _weights(families)
        now = datetime.fromtimestamp(clock.now_us() // 1_000_000, tz=UTC)
        count = fleets.DEFAULT_DEVICES if devices is None else devices
        return fleets.fleet(seed, count, weights, month or f"{now:%Y-%m}")
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _weights(text: str) -> dict[str, int]:
    """Family -> weight of `antminer=4,whatsminer=2`; a family alone weighs 1."""
    weights = {}
    for part in text.split(","):
        name, sign, weight = part.strip().partition("=")
        if sign and not weight.isdecimal():
            raise ValueError(f"families: {part.strip()!r} is not written family=weight, such as antminer=4")
        weights[name] = int(weight) if sign else 1
    return weights


simulate.add_command(meters_cli.meters)
