"""One run: everything started, troubled until each component has had its kills, drained and compared."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from agent import keys
from collector import private
from demo.processes import free_ports
from tests.agent.disk import fill_up
from tests.chaos import plan
from tests.chaos.check import Result, Told, check
from tests.chaos.live import Live
from tests.chaos.processes import ROOT, Component, mosquitto, python
from tests.chaos.proxy import HOST, Link
from tests.chaos.site import Site

ORG, AGENT = "chaos", "box-1"
DEVICES = 12
# tmpfs sizes: many times what a run writes, and filled in no time.
DISK_MIB = {"agent": 128, "collector": 256}
# The collector as it is, but that a segment of its journal is closed and sealed every few dozen batches.
SMALL_SEGMENTS = (
    "from functools import partial; from collector import app, cli, journal;"
    " app.Journal = partial(journal.Journal, segment_bytes=32_768); cli.collector()"
)
AGENT_TOML = """\
[agent]
org = "{org}"
site = "{site}"
name = "{agent}"
state_dir = "{folder}/agent/state"
synthetic = true
[network]
scan = ["{network}"]
[mqtt]
host = "127.0.0.1"
port = {port}
collector_key_file = "{folder}/collector.pub"
[exporter]
port = 0
"""
COLLECTOR_TOML = """\
[collector]
org = "{org}"
state_dir = "{folder}/collector/state"
metrics = "127.0.0.1:{metrics}"
[mqtt]
port = {port}
[[agent]]
site = "{site}"
name = "{agent}"
public_key = "{key}"
[[agent]]
site = "live"
name = "{agent}"
public_key = "{live_key}"
[site.{site}]
name = "Chaos"
country = "ru"
zone = "Etc/UTC"
[site.live]
name = "Chaos, in real time"
country = "ru"
zone = "Etc/UTC"
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much goes wrong, and how fast the site lives."""

    kills: int
    sweep_pause_s: float = 0.04
    link_pause_s: float = 6.0
    disk_pause_s: float = 20.0
    haste: float = 1.0  # lives and faults are shorter by this


@dataclass(slots=True)
class Summary:
    """What a run tells."""

    seed: int
    result: Result
    kills: dict[str, int]
    starts: dict[str, int]  # by component
    faults: dict[str, int] = field(default_factory=dict)
    took_s: float = 0.0

    @property
    def problems(self) -> list[str]:
        return self.result.problems


def run(seed: int, sizes: Sizes, say: Callable[[str], None]) -> Summary:
    """A whole run in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="hashledger-chaos-") as text, _disks(Path(text), say) as disks:
        return asyncio.run(_Run(seed, sizes, Path(text), disks, say).run())


class _Run:
    def __init__(
        self, seed: int, sizes: Sizes, folder: Path, disks: bool, say: Callable[[str], None]
    ) -> None:
        self._seed, self._sizes, self._folder, self._disks, self._say = seed, sizes, folder, disks, say
        self._site, self._told = Site(seed, DEVICES), Told()
        self._faults: dict[str, int] = {}
        self._full: dict[str, list[tuple[float, float]]] = {"agent": [], "collector": []}
        program = mosquitto()
        if program is None:
            raise FileNotFoundError("mosquitto is not installed (Debian: apt-get install mosquitto)")
        broker, metrics, cgminer, http, *ports = free_ports(6)
        self._live = Live(folder, seed, (cgminer, http))
        self._ports = dict(zip(plan.LINKS, ports, strict=True))
        self._configure(broker, metrics)
        conf = f"{folder}/mosquitto.conf"
        brokers = {
            "mosquitto": [program, "-c", conf],
            "embedded": python("collector", "broker", "--port", str(broker)),
        }
        self._broker_port = broker
        collector = [sys.executable, "-c", SMALL_SEGMENTS, "run", "--config", f"{folder}/collector.toml"]
        self._agent = Component(
            "agent", lambda _: self._writer(), "stands", folder / "agent.log", self._told.hear
        )
        self._broker = Component("broker", lambda kind: brokers[kind], "broker:", folder / "broker.log")
        self._collector = Component("collector", lambda _: collector, "metrics", folder / "collector.log")
        self._running = Component(
            "running agent", lambda _: self._live.agent(), "sweep:", folder / "live.log", self._live.told.hear
        )
        self._components = (self._agent, self._running, self._broker, self._collector)
        self._farm = Component("farm", lambda _: self._live.farm(), "READY", folder / "farm.log")

    async def run(self) -> Summary:
        began_s = time.monotonic()
        async with AsyncExitStack() as stack:
            links = {
                name: await stack.enter_async_context(Link(port, self._broker_port))
                for name, port in self._ports.items()
            }
            farm = asyncio.create_task(self._farm.stay())
            troubles = [asyncio.create_task(self._trouble_links(links))]
            if self._disks:
                troubles.append(asyncio.create_task(self._trouble_disks()))
            try:
                await self._all_lives(troubles)
            finally:
                for task in troubles:
                    task.cancel()
                await asyncio.gather(*troubles, return_exceptions=True)
            self._say("all kills done; the agent stops sweeping, what waits is drained")
            await self._drain()
            await self._farm.stop()
            await farm
        self._live.kills = sum(self._running.kills.values())
        result = await asyncio.to_thread(
            check,
            self._told,
            self._site,
            self._live,
            ORG,
            self._folder / "collector/state",
            self._folder / "again.sqlite3",
        )
        self._verify(result)
        self._look_at_ends(result)
        return Summary(
            self._seed, result,
            {k: n for c in self._components for k, n in c.kills.items()},
            {c.name: c.starts for c in self._components}, self._faults, time.monotonic() - began_s,
        )  # fmt: skip

    async def _all_lives(self, troubles: list[asyncio.Task[None]]) -> None:
        kills, seed = self._sizes.kills, self._seed
        lasting = {self._broker: "mosquitto"}

        async def whole(component: Component) -> None:
            await component.live(plan.lives(seed, component.name, kills), self._sizes.haste)
            self._say(f"{component.name}: killed {component.kills}")
            self._lasting.append(asyncio.create_task(component.stay(lasting.get(component, ""))))

        self._lasting: list[asyncio.Task[None]] = []
        lives = [asyncio.create_task(whole(component)) for component in self._components]
        while pending := [task for task in (*lives, *troubles) if not task.done()]:
            if all(task.done() for task in lives):
                break
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED, timeout=30)
            self._say(
                f"{self._told.stored_sweep + 1} sweeps stored, killed"
                f" {', '.join(f'{n} {k}' for c in self._components for k, n in c.kills.items())}"
            )
            for task in (*lives, *troubles):
                if task.done() and not task.cancelled() and (error := task.exception()):
                    raise error

    async def _drain(self) -> None:
        for component in self._components:
            self._say(f"{component.name} ends: {await component.stop()}")
        await asyncio.gather(*self._lasting)
        if self._told.waiting:
            self._told.problems.append(f"{self._told.waiting} batches were not confirmed at the end")

    async def _trouble_links(self, links: dict[str, Link]) -> None:
        for fault in plan.link_faults(self._seed, self._sizes.link_pause_s):
            await asyncio.sleep(fault.pause_s)
            self._count(f"{fault.kind} link")
            await links[fault.link].suffer(fault.kind, fault.for_s / self._sizes.haste, fault.rate)

    async def _trouble_disks(self) -> None:
        for fault in plan.disk_faults(self._seed, self._sizes.disk_pause_s):
            await asyncio.sleep(fault.pause_s)
            self._count(f"full disk of the {fault.disk}")
            began_s = time.monotonic()
            ballast = fill_up(self._folder / fault.disk)
            try:
                await asyncio.sleep(fault.for_s / self._sizes.haste)
            finally:
                ballast.unlink()
                self._full[fault.disk].append((began_s, time.monotonic()))

    def _verify(self, result: Result) -> None:
        """The journal by its public keys alone: signatures, chains, seals."""
        command = python("collector", "verify", "--config", f"{self._folder}/collector.toml", "--rows", "0")
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        result.verified = done.stdout.splitlines()
        if done.returncode:
            result.problems.append(f"collector verify: {done.stdout} {done.stderr}")

    def _count(self, fault: str) -> None:
        self._faults[fault] = self._faults.get(fault, 0) + 1

    def _look_at_ends(self, result: Result) -> None:
        """A component may end by itself where its disk is full, and nowhere else."""
        for component in self._components:
            for ended in component.ended:
                if component is self._agent and ended.status == 0:
                    self._count("reboot of the agent's box")
                elif any(a <= ended.at_s <= b + 2 for a, b in self._full.get(component.name, [])):
                    self._count(f"end of the {component.name} on a full disk")
                else:
                    result.problems.append(
                        f"{component.name} ended by itself with status {ended.status}: {ended.words}"
                    )

    def _writer(self) -> list[str]:
        told = self._told
        return python(
            "tests.chaos.writer", "--config", f"{self._folder}/agent.toml", "--seed", str(self._seed),
            "--devices", str(DEVICES), "--pause-s", str(self._sizes.sweep_pause_s),
            "--stored-seq", str(told.stored_seq), "--stored-sweep", str(told.stored_sweep),
            "--begun-sweep", str(told.begun),
        )  # fmt: skip

    def _configure(self, broker: int, metrics: int) -> None:
        folder = self._folder
        for name in ("agent", "collector"):
            (folder / name / "state").mkdir(parents=True, exist_ok=True, mode=0o700)
        public = keys.public_text(keys.create(folder / "agent/state"))
        (folder / "collector.pub").write_text(
            keys.public_text(private.collector_key(folder / "collector/state")), "ascii"
        )
        names = {"org": ORG, "site": self._site.name, "agent": AGENT, "folder": folder}
        network = self._site.farm.plan.sites[0].network
        live = self._live.configure(ORG, AGENT, self._ports["agent"])
        (folder / "agent.toml").write_text(
            AGENT_TOML.format(**names, network=network, port=self._ports["agent"])
        )
        (folder / "collector.toml").write_text(
            COLLECTOR_TOML.format(
                **names, metrics=metrics, port=self._ports["collector"], key=public, live_key=live
            )
        )
        # Without persistence: what it has acknowledged is gone with it.
        (folder / "mosquitto.conf").write_text(
            f"listener {broker} {HOST}\nallow_anonymous true\npersistence false\n"
        )


@contextlib.contextmanager
def _disks(folder: Path, say: Callable[[str], None]) -> Iterator[bool]:
    """Small file systems for agent and collector; False where none may be mounted."""
    mounted: list[Path] = []
    try:
        for name, size_mib in DISK_MIB.items():
            (folder / name).mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(folder / name)]
            if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
                say("disks are not filled: mounting a tmpfs of a few MiB needs root")
                break
            mounted.append(folder / name)
        yield len(mounted) == len(DISK_MIB)
    finally:
        for path in mounted:
            subprocess.run(["umount", "-l", str(path)], check=True)
