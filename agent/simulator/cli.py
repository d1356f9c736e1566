"""`hashledger agent simulate ...`: a farm to rehearse with, its month, and its truth."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from agent import app, clock, config
from agent.simulator import month as months
from agent.simulator import serve as servers
from agent.simulator import truth as truths
from agent.simulator.farm import Farm
from agent.simulator.plan import DEFAULT_MINERS, plan

# A collector on the same machine confirms thousands of batches a second: a minute without an end is a fault.
DRAIN_S = 60.0


@click.group()
def simulate() -> None:
    """A farm on loopback addresses that speaks the real protocols, with its ground truth."""


def farm_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that fix a farm."""
    for option in (
        click.option("--month", required=True, help="The month it lives through, e.g. 2026-10."),
        click.option("--miners", type=int, default=DEFAULT_MINERS, show_default=True),
        click.option("--seed", type=int, default=7, show_default=True),
    ):
        command = option(command)
    return command


@simulate.command()
@farm_options
@click.option("--cgminer-port", type=int, default=4028, show_default=True)
@click.option("--http-port", type=int, default=8080, show_default=True)
def serve(seed: int, miners: int, month: str, cgminer_port: int, http_port: int) -> None:
    """Serve the farm on its 127.77.x.y addresses until stopped; says READY when all ports are open."""
    farm = Farm(_plan(seed, miners, month))
    asyncio.run(
        servers.run(
            farm,
            clock.now_us,
            cgminer_port=cgminer_port,
            http_port=http_port,
            ready=lambda: click.echo("READY"),
        )
    )


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
@farm_options
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
def truth(seed: int, miners: int, month: str, out: Path) -> None:
    """Write the farm's own account of the month: truth.json, and each site's pool statement."""
    farm_plan = _plan(seed, miners, month)
    out.mkdir(parents=True, exist_ok=True)
    (out / "truth.json").write_text(json.dumps(truths.truth(farm_plan), indent=1) + "\n", encoding="utf-8")
    for site in farm_plan.sites:
        statement = truths.statement_csv(farm_plan, site.name)
        (out / f"statement-{site.name}.csv").write_text(statement, encoding="utf-8")


def _plan(seed: int, miners: int, month: str) -> Any:
    try:
        return plan(seed, miners, month)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
