"""`python -m tests.chaos [--seed N] [--kills N]`: kill, cut, fill and step, then compare with the truth."""

from __future__ import annotations

import logging
import random
import sys

import click

from tests.chaos.run import Sizes, Summary, run


@click.command()
@click.option("--seed", type=int, help="Of the plan of faults.  [default: a new one, printed]")
@click.option(
    "--kills", default=200, show_default=True, help="Of each component, and of each kind of broker."
)
def main(seed: int | None, kills: int) -> None:
    """Trouble agent, broker and collector; exit 1 if a reading is lost or doubled, or a Wh is wrong."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    seed = random.SystemRandom().randrange(10_000) if seed is None else seed
    click.echo(f"chaos: seed {seed}, {kills} kills of each component")
    summary = run(seed, Sizes(kills), click.echo)
    for line in lines(summary):
        click.echo(line)
    sys.exit(1 if summary.problems else 0)


def lines(summary: Summary) -> list[str]:
    """What a person reads."""
    found = summary.result
    faults = ", ".join(f"{count} x {name}" for name, count in sorted(summary.faults.items()))
    return [
        f"seed {summary.seed}, {summary.took_s:.0f} s",
        *(f"{name}: killed {count} times" for name, count in summary.kills.items()),
        f"started: {', '.join(f'{name} {count}' for name, count in summary.starts.items())}",
        f"faults: {faults}",
        f"batches {found.batches}, sweeps {found.sweeps}; readings: told as stored {found.readings_stored},"
        f" in the journal {found.readings_in_journal}, in the ledger {found.readings_in_ledger}",
        f"batches of the running agent {found.live_batches}",
        f"lost {found.lost}, doubled {found.doubled}",
        f"energy: ledger {found.energy_wh} Wh, truth {found.truth_wh:.2f} Wh",
        f"rebuild equal: {'yes' if found.rebuild_equal else 'no'}",
        f"collector verify: {'; '.join(found.verified[:1])}",
        *(f"PROBLEM: {problem}" for problem in summary.problems[:20]),
        *([f"and {len(summary.problems) - 20} more"] if len(summary.problems) > 20 else []),
        "chaos: " + ("FAILED" if summary.problems else "nothing lost, nothing doubled, every Wh there"),
    ]


if __name__ == "__main__":
    main()
