"""The talk between a measurement and its child: JSON lines, settings first, then one request at a time."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")
PAGE_BYTES = resource.getpagesize()


def settings() -> dict[str, Any]:
    """The first line."""
    told: dict[str, Any] = json.loads(sys.stdin.readline())
    return told


async def requests() -> AsyncIterator[dict[str, Any]]:
    """The lines after it, until they end."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield json.loads(line)


@contextmanager
def measured() -> Iterator[dict[str, Any]]:
    """Wall clock, processor time of all our threads, and memory, of the block."""
    told: dict[str, Any] = {}
    gc.collect()  # nobody pays for another's round
    began_s, spent_s, kernel_s = time.monotonic(), time.process_time(), os.times().system
    yield told
    told["kernel_s"] = os.times().system - kernel_s
    told["cpu_s"] = time.process_time() - spent_s
    told["wall_s"] = time.monotonic() - began_s
    told["rss_mib"] = rss_mib()


def rss_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * PAGE_BYTES / 2**20


def tell(answer: dict[str, Any]) -> None:
    """One answer line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def each(things: Sequence[T], work: Callable[[T], Awaitable[R]], concurrency: int) -> list[R]:
    """The work on every thing, so many at a time."""
    queue, results = iter(things), list[R]()

    async def worker() -> None:
        for thing in queue:
            results.append(await work(thing))

    await asyncio.gather(*(worker() for _ in range(min(concurrency, len(things)))))
    return results
