"""The demo, told in order: farm and collector, scan, live sweeps, the month, statements, filings, table."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from agent import config as agent_config
from agent import keys
from agent.simulator.model import FarmPlan
from demo import settings, table
from demo.processes import Processes, free_ports, together
from demo.settings import LIVE_SITE, Ports

LIVE_SWEEPS = 10
LIVE_INTERVAL_S = 2
# A cold start of Python with all its libraries on a slow machine.
START_S = 30.0

FORMS = (("ru-monthly", "ru"), ("kz-quarterly", "kz"), ("ir-ntsw", "ir"))


def tell(folder: Path, plan: FarmPlan, miners: int, leave: bool) -> None:
    """Run the whole demo in `folder`; stays until interrupted unless `leave`."""
    console = Console(highlight=False)
    began_s = time.monotonic()
    farm = ("--seed", str(plan.seed), "--miners", str(miners), "--month", plan.month)
    ports = Ports(*free_ports(4))
    with Processes(folder / "logs") as processes:
        console.print(f"[bold]1/5[/] farm of {miners} simulated miners, embedded broker, collector, agent")
        config = _configure(folder, plan, ports)
        ports_given = ("--cgminer-port", str(ports.cgminer), "--http-port", str(ports.http))
        processes.start("farm", "agent", "simulate", "serve", *farm, *ports_given)
        processes.start("collector", "collector", "run", "--config", str(config))
        processes.wait_line("farm", "READY", START_S)
        processes.wait_line("collector", "collector", START_S)

        console.print("[bold]2/5[/] scan, then sweep live over real sockets")
        _scan(processes, folder, console)
        _live(processes, folder, console)
        processes.stop("farm")

        console.print(f"[bold]3/5[/] {plan.month} passes in simulated time, a sweep a minute")
        made = _month(processes, folder, plan, farm, console)
        _statements(processes, folder, plan, farm, config)

        console.print(f"[bold]4/5[/] filings for {plan.month}")
        _filings(processes, folder, plan, config)

        console.print("[bold]5/5[/] what came of it")
        facts = table.month_facts(plan, config)
        text = json.dumps(table.summary(plan, facts), indent=1, sort_keys=True, ensure_ascii=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        table.show(console, folder, facts, made)
        console.print(f"took {time.monotonic() - began_s:.0f} s")
        if not leave:
            console.print(
                f"The collector stays up: http://127.0.0.1:{ports.metrics}/metrics and\n"
                f"hashledger collector status --config {config}\nCtrl-C ends it.",
                soft_wrap=True,
            )
            while True:
                time.sleep(1)


def _configure(folder: Path, plan: FarmPlan, ports: Ports) -> Path:
    """Write every configuration and make every key; the collector's path."""
    networks: dict[str, tuple[str, ...]] = {site.name: (site.network,) for site in plan.sites}
    networks[LIVE_SITE] = tuple(site.network for site in plan.sites)
    public = {}
    for site, scanned in networks.items():
        path = settings.write(folder, f"agent-{site}.toml", settings.agent_toml(site, scanned, ports))
        public[site] = keys.public_text(keys.create(agent_config.load(path).agent.state_dir))
    settings.write(folder, "declared-ir.csv", settings.declared_csv(plan, "ir"))
    return settings.write(folder, "collector.toml", settings.collector_toml(public, ports))


def _scan(processes: Processes, folder: Path, console: Console) -> None:
    config = str(folder / f"agent-{LIVE_SITE}.toml")
    families: dict[str, int] = {}
    for line in processes.lines("scan", "agent", "scan", "--json", "--config", config, aloud=True):
        family = json.loads(line)["family"]
        families[family] = families.get(family, 0) + 1
    told = ", ".join(f"{count} {family}" for family, count in sorted(families.items()))
    console.print(f"      found and identified {sum(families.values())}: {told}")


def _live(processes: Processes, folder: Path, console: Console) -> None:
    config = str(folder / f"agent-{LIVE_SITE}.toml")
    rhythm = ("--sweeps", str(LIVE_SWEEPS), "--interval-s", str(LIVE_INTERVAL_S))
    with _progress(console) as bar:
        task = bar.add_task("live", total=LIVE_SWEEPS, said="")
        for line in processes.lines("live", "agent", "run", "--config", config, *rhythm):
            if line.startswith("sweep"):
                bar.update(task, advance=1, said=line)


def _month(
    processes: Processes, folder: Path, plan: FarmPlan, farm: tuple[str, ...], console: Console
) -> dict[str, dict[str, int]]:
    """Every site's month, side by side; what each agent says it made."""
    made: dict[str, dict[str, int]] = {}

    def play(site: str, bar: Progress, task: TaskID) -> None:
        config = str(folder / f"agent-{site}.toml")
        for line in processes.lines(f"month-{site}", "agent", "simulate", "month", *farm, "--config", config):
            word, _, rest = line.partition(" ")
            if word == "PROGRESS":
                bar.update(task, completed=float(rest))
            elif word == "DONE":
                made[site] = json.loads(rest)
                bar.update(task, completed=1.0, said=f"{made[site]['readings']:,} readings, all confirmed")

    with _progress(console) as bar:
        jobs = [(s.name, bar.add_task(f"site {s.name}", total=1.0, said="")) for s in plan.sites]
        together(*(partial(play, name, bar, task) for name, task in jobs))
    return made


def _statements(
    processes: Processes, folder: Path, plan: FarmPlan, farm: tuple[str, ...], config: Path
) -> None:
    """The simulator's own account and the pools' statements; the statements go into the coin ledger."""
    list(processes.lines("truth", "agent", "simulate", "truth", *farm, "--out", str(folder)))
    for site in plan.sites:
        where = ("--site", site.name, "--source", "demo-pool", "--synthetic", "--config", str(config))
        statement = str(folder / f"statement-{site.name}.csv")
        list(processes.lines(f"import-{site.name}", "collector", "import", statement, *where))


def _filings(processes: Processes, folder: Path, plan: FarmPlan, config: Path) -> None:
    for form, site in FORMS:
        period = _quarter(plan.month) if form == "kz-quarterly" else plan.month
        where = ("--period", period, "--site", site, "--out", str(folder / "filings"))
        list(processes.lines(form, "report", "prepare", form, *where, "--config", str(config)))


def _progress(console: Console) -> Progress:
    columns = (
        "      {task.description}",
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        "{task.fields[said]}",
    )
    return Progress(*(TextColumn(c) if isinstance(c, str) else c for c in columns), console=console)


def _quarter(month: str) -> str:
    return f"{month[:4]}-Q{(int(month[5:]) + 2) // 3}"
