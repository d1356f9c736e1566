"""A gateway of simulated meters on loopback, in a loop of its own, and a clock that a test may turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

from agent.simulator import meter_modbus
from agent.simulator.meter_life import Curve, MeterLife
from agent.simulator.meter_modbus import Unit

LIMIT_S = 20.0
START_US = 1_790_812_800_000_000  # 2026-10-01T00:00:00Z
HOUR_US = 3_600_000_000


class TurnedClock:
    """The instant that meters are at, moved by the test."""

    def __init__(self, at_us: int = START_US + 5 * HOUR_US) -> None:
        self.at_us = at_us

    def __call__(self) -> int:
        return self.at_us


def life(name: str = "m", **more: Any) -> MeterLife:
    return MeterLife(name, Curve(7, START_US), **more)


@contextmanager
def running(server: Callable[[], AbstractAsyncContextManager[object]]) -> Iterator[None]:
    """An asynchronous server in a thread of its own, ended at the end."""
    ready, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def live() -> None:
        async with server():
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),), daemon=True)
    thread.start()
    assert ready.wait(LIMIT_S)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(LIMIT_S)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def gateway(
    units: Mapping[int, Unit], clock: Callable[[], int], port: int, framing: str = "tcp"
) -> AbstractAsyncContextManager[object]:
    return meter_modbus.serve(units, clock, port, framing=framing)
