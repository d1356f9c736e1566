"""What the replies of the cgminer families have in common; each family's own are in the file of its name.

Replies are pure functions from a device and its snapshot to JSON. A family's command table maps a command to
the function that renders it; a command that is not in the table is unknown to that firmware.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.readings import State
from agent.simulator.farm import SLEEPING_FAN_RPM, Snapshot
from agent.simulator.model import Device

Reply = dict[str, Any]
Render = Callable[[Device, Snapshot], Reply]


def header(now: Snapshot, code: int, message: str, program: str, status: str = "S") -> list[Reply]:
    """The STATUS block of a cgminer reply."""
    when_s = now.observed_us // 1_000_000
    return [{"STATUS": status, "When": when_s, "Code": code, "Msg": message, "Description": program}]


def board_rates(device: Device, now: Snapshot) -> list[float]:
    """The hashrate of each board; they sum to the device's to the last decimal."""
    boards = device.model.boards
    share = round(now.hashrate / boards, 2)
    return [share] * (boards - 1) + [round(now.hashrate - share * (boards - 1), 2)]


def fans_rpm(device: Device, now: Snapshot) -> list[int]:
    """The speed of each fan."""
    return [rpm if now.state is State.MINING else SLEEPING_FAN_RPM for rpm in device.model.fans_rpm]
