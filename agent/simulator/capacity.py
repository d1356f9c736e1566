"""What a large farm needs of the machine: file descriptors."""

from __future__ import annotations

import resource

from agent.simulator.families import FAMILIES
from agent.simulator.model import FarmPlan

# Connections open at once: one at each port of a small farm, some hundreds of a large one.
MAX_CONNECTIONS = 1500
OWN_DESCRIPTORS = 64


def descriptors(plan: FarmPlan, processes: int = 1) -> int:
    """How many a process needs that serves one of `processes` shares of the farm."""
    ports = -(-sum(len(FAMILIES[device.model.family]) for device in plan.devices) // processes)
    return ports + min(ports, MAX_CONNECTIONS) + OWN_DESCRIPTORS


def raise_limit(wanted: int) -> int:
    """Raise the soft limit of file descriptors to the hard one; OSError where `wanted` are not to be had."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise OSError(
            f"the farm needs {wanted} file descriptors and this process may have {hard}: raise the hard limit"
            f" (ulimit -Hn), serve fewer devices, or share them with --processes {-(-wanted // hard)}"
        )
    return hard
