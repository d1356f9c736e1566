"""Starts and ends what a measurement needs: the replying devices on one core, the measured on another."""

from __future__ import annotations

import json
import os
import resource
import secrets
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CORES = sorted(os.sched_getaffinity(0))
MEASURED, REPLYING = CORES[0], CORES[-1]
HOSTS_PER_24 = 250
# A replier holds listeners at two ports, and of each the connection that it serves and the next; a silent
# device is two listeners with two connections in each one's queue.
FILES_A_DEVICE = 7
LIFE_S = 1800  # a replier whose measurement was killed ends by itself
ANSWER_S = 400  # no single step of a measurement takes as long

Target = tuple[str, str]  # address, family


class Refused(Exception):
    """A measurement cannot be made here; the text says why."""


def base() -> str:
    """The first two numbers of loopback addresses that no other run is likely to use."""
    return f"127.{20 + secrets.randbelow(50)}"


def targets(count: int, families: Iterable[str], start: str) -> list[Target]:
    """Addresses with the families in turn."""
    named = list(families)
    return [
        (f"{start}.{number // HOSTS_PER_24}.{number % HOSTS_PER_24 + 1}", named[number % len(named)])
        for number in range(count)
    ]


@contextmanager
def replying(devices: Iterable[Target], cgminer_port: int, http_port: int) -> Iterator[None]:
    """The devices, in as many processes as the open files allow, on a core of their own."""
    arguments = ["bench.replier", str(cgminer_port), str(http_port), str(LIFE_S)]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] // FILES_A_DEVICE
    left = iter(devices)
    with ExitStack() as stack:
        while some := list(islice(left, most)):
            _serve(stack.enter_context(_child(arguments, REPLYING)), some)
        yield


def _serve(process: subprocess.Popen[str], devices: list[Target]) -> None:
    assert process.stdin is not None and process.stdout is not None
    with suppress(BrokenPipeError):
        for address, family in devices:
            process.stdin.write(f"{address} {family}\n")
        process.stdin.write("END\n")
        process.stdin.flush()
    if process.stdout.readline() != "READY\n":
        raise Refused(f"the devices from {devices[0][0]} on cannot be served: are their ports taken?")


class Side:
    """One of the compared: a child process that does one thing at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def settle(self, settings: dict[str, Any]) -> None:
        """Tell what it is about."""
        self._write(settings)

    def do(self, what: str, **more: Any) -> dict[str, Any]:
        """One step; Refused where the child ended or takes too long."""
        self._write({"do": what, **more})
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_S)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise Refused(f"no answer to {what!r}" + ("" if ready else f" within {ANSWER_S} s"))
        told: dict[str, Any] = json.loads(line)
        return told

    def _write(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise Refused("its process has ended") from error


@contextmanager
def side(module: str, settings: dict[str, Any]) -> Iterator[Side]:
    """`bench.<module>` on the measured core."""
    with _child([f"bench.{module}"], MEASURED) as process:
        started = Side(process)
        started.settle(settings)
        yield started


@contextmanager
def _child(arguments: list[str], core: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if os.environ.get("BENCH_QUIET", "1") == "1" else None,
        text=True,
        bufsize=1,
    )
    os.sched_setaffinity(process.pid, {core})
    try:
        yield process
    finally:
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()
