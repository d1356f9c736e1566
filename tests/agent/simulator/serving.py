"""A farm served on free ports of loopback, as the tests of this folder want it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from agent.simulator.farm import Farm
from agent.simulator.faults import NO_FAULTS, Fault
from agent.simulator.serve import Served, serve
from agent.transports.network import Network


class Now:
    """A clock that a test sets."""

    def __init__(self, t_us: int) -> None:
        self.t_us = t_us

    def __call__(self) -> int:
        return self.t_us


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def served(
    farm: Farm, now: Callable[[], int], faults: Mapping[str, Fault] = NO_FAULTS
) -> AsyncIterator[tuple[Served, Network]]:
    network = Network(
        cgminer_port=free_port(),
        http_port=free_port(),
        whatsminer_v3_port=free_port(),
        deadline_s=1.0,
        poll_deadline_s=3.0,
    )
    async with await serve(
        farm,
        now,
        cgminer_port=network.cgminer_port,
        http_port=network.http_port,
        whatsminer_v3_port=network.whatsminer_v3_port,
        faults=faults,
    ) as sockets:
        yield sockets, network
