"""The components as processes: started, killed with SIGKILL when their life says so, started anew."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from demo.processes import _die_with_parent
from tests.chaos.plan import Life

ROOT = Path(__file__).parents[2]
# A cold start of Python on a machine under load.
READY_S = 60.0
# What a supervisor waits before it starts a process anew that has ended by itself.
AGAIN_S = 0.5
STOP_S = 180.0

Command = Callable[[str], list[str]]


@dataclass(slots=True)
class Ended:
    """A component that ended without being killed."""

    at_s: float
    status: int
    words: str


@dataclass(eq=False)
class Component:
    """One component over all its lives."""

    name: str
    command: Command  # of the kind of broker
    ready: str  # what it says when it is up; empty: nothing
    log: Path
    heard: Callable[[str], None] = lambda _line: None
    kills: dict[str, int] = field(default_factory=dict)
    starts: int = 0
    ended: list[Ended] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    stopping: bool = False
    _is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    _reader: asyncio.Task[None] | None = None

    async def live(self, lives: Iterable[Life], haste: float) -> None:
        """All lives that end by a kill, each shorter by `haste` once it is up."""
        for life in lives:
            await self._until_killed(life if life.early else replace(life, after_s=life.after_s / haste))
            await asyncio.sleep(life.down_s)

    async def stay(self, broker: str = "") -> None:
        """One more life, until told to stop."""
        while not self.stopping:
            await self._start(broker)
            await self._end()
            if not self.stopping:
                await asyncio.sleep(AGAIN_S)

    async def stop(self) -> int:
        """End it as an operator does, once it is up; its status."""
        await asyncio.wait_for(self._is_ready.wait(), READY_S)
        self.stopping = True
        process = self.process
        assert process is not None
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._gone(process), STOP_S)
        except TimeoutError:
            process.kill()
        return await self._gone(process)

    async def _until_killed(self, life: Life) -> None:
        while True:
            await self._start(life.broker)
            assert self.process is not None
            due = asyncio.create_task(self._due(life))
            gone = asyncio.create_task(self._gone(self.process))
            await asyncio.wait({due, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not gone.done():
                self._kill()
            due.cancel()
            # One that ended by itself in this very moment was not killed by us.
            if await self._end() == -signal.SIGKILL:
                kind = life.broker or self.name
                self.kills[kind] = self.kills.get(kind, 0) + 1
                return
            await asyncio.sleep(AGAIN_S)

    def _kill(self) -> None:
        # Not by the process's own `kill`: it may reap one that is just ending, and its status would be lost.
        assert self.process is not None
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)

    async def _due(self, life: Life) -> None:
        if not life.early:
            await asyncio.wait_for(self._is_ready.wait(), READY_S)
        await asyncio.sleep(life.after_s)

    async def _start(self, broker: str) -> None:
        self._is_ready.clear()
        self.starts += 1
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command(broker), cwd=ROOT, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=log, env=os.environ | {"PYTHONUNBUFFERED": "1"},
                preexec_fn=_die_with_parent,
            )  # fmt: skip
        if not self.ready or broker == "mosquitto":
            self._is_ready.set()
        self._reader = asyncio.create_task(self._read(self.process))

    async def _end(self) -> int:
        """Wait for the process, and for the last that it said; its status."""
        assert self.process is not None and self._reader is not None
        status = await self._gone(self.process)
        await self._reader
        if status != -signal.SIGKILL and not self.stopping:
            words = self.log.read_text("utf-8", "replace").splitlines()[-1:]
            self.ended.append(Ended(time.monotonic(), status, "".join(words)))
        return status

    @staticmethod
    async def _gone(process: asyncio.subprocess.Process) -> int:
        return await process.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            text = line.decode("utf-8", "replace").rstrip("\n")
            if self.ready and self.ready in text:
                self._is_ready.set()
            self.heard(text)


def mosquitto() -> str | None:
    """The real broker's program; None where it is not installed."""
    return shutil.which("mosquitto")


def python(module: str, *arguments: str) -> list[str]:
    """A command of ours."""
    return [sys.executable, "-m", module, *arguments]
