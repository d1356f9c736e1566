"""The command's front door: agent, collector, report and demo, each loaded only when it is called."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

# command -> (where its click command is, what it is for); an installation may have one role only.
COMMANDS = {
    "agent": ("agent.cli:agent", "On site: poll the miners, keep every reading, send it to the collector."),
    "collector": ("collector.cli:collector", "Central: take the batches in, keep journal and ledgers."),
    "report": ("reporting.cli:report", "Filings: prepare, check and explain them."),
    "demo": ("demo.cli:demo", "The whole way on this machine, with a simulated farm."),
}


class FrontDoor(click.Group):
    """A group whose commands are imported when they are called, and only then."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name][0].split(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise click.UsageError(
                f"'{name}' needs {error.name}, which is not installed: pip install 'hashledger[all]'"
            ) from error
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def load_facts(config: Path, site: str, period: str) -> Any:
    """The facts of a period out of the ledger: reporting asks for them without knowing the collector."""
    from collector.app import load_facts

    return load_facts(config, site, period)


@click.group(cls=FrontDoor, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hashledger")
@click.pass_context
def main(ctx: click.Context) -> None:
    """The evidence chain of a mining farm: from the miner's socket to the filing."""
    ctx.obj = {"load_facts": load_facts}


if __name__ == "__main__":
    main()
