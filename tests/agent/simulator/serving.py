"""A farm served on free ports of loopback, as the tests of this folder want it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from agent.simulator.farm import Farm
from agent.simulator.faults import NO_FAULTS, Fault
from agent.simulator.serve import Served, serve
from agent.transports.network import Network
from demo.processes import free_ports


class Now:
    """A clock that a test sets."""

    def __init__(self, t_us: int) -> None:
        self.t_us = t_us

    def __call__(self) -> int:
        return self.t_us


@asynccontextmanager
async def served(
    farm: Farm, now: Callable[[], int], faults: Mapping[str, Fault] = NO_FAULTS
) -> AsyncIterator[tuple[Served, Network]]:
    cgminer, http, v3 = free_ports(3)
    network = Network(
        cgminer_port=cgminer,
        http_port=http,
        whatsminer_v3_port=v3,
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
