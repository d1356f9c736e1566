"""Ports for what a test starts."""

from __future__ import annotations

from demo.processes import free_ports


def free_port() -> int:
    """One on which nothing listens."""
    return free_ports(1)[0]
