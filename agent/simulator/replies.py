"""What the replies of the families have in common; each family's own are in the file of its name.

Replies are pure functions from a device and its snapshot to JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from agent.readings import State
from agent.simulator.farm import CHIP_ABOVE_BOARD_C, REJECTED_OF, SLEEPING_FAN_RPM, STALE_OF, Snapshot
from agent.simulator.model import Device
from agent.simulator.wires import WIRES

Reply = dict[str, Any]
Render = Callable[[Device, Snapshot], Reply]


def header(now: Snapshot, code: int, message: str, program: str, status: str = "S") -> list[Reply]:
    """The STATUS block of a cgminer reply."""
    when_s = now.observed_us // 1_000_000
    return [{"STATUS": status, "When": when_s, "Code": code, "Msg": message, "Description": program}]


def refusals(program: str) -> Callable[[Snapshot, int, str], Reply]:
    """The error replies of a cgminer that calls itself `program`."""
    return lambda now, code, message: {"STATUS": header(now, code, message, program, "E"), "id": 1}


def board_rates(device: Device, now: Snapshot) -> list[float]:
    """The hashrate of each board; they sum to the device's to the last decimal."""
    boards, decimals = device.model.boards, WIRES[device.model.family].decimals
    share = round(now.hashrate / boards, decimals)
    return [share] * (boards - 1) + [round(now.hashrate - share * (boards - 1), decimals)]


def fans_rpm(device: Device, now: Snapshot) -> list[int]:
    """The speed of each fan."""
    return [rpm if now.state is State.MINING else SLEEPING_FAN_RPM for rpm in device.model.fans_rpm]


def board_temps_c(device: Device, now: Snapshot) -> list[float]:
    """The temperature of each board."""
    return [float(temp_c + now.heat_c) for temp_c in device.board_temps_c]


def chip_temps_c(device: Device, now: Snapshot) -> list[float]:
    """The hottest chip of each board."""
    return [temp_c + CHIP_ABOVE_BOARD_C for temp_c in board_temps_c(device, now)]


def share_counts(now: Snapshot, place: int = 0) -> tuple[int, int, int]:
    """Accepted, rejected and stale shares of the pool at a place: all work goes to the first."""
    if place:
        return 0, 0, 0
    return now.accepted, now.accepted // REJECTED_OF, now.accepted // STALE_OF


def clock_text(now: Snapshot, form: str) -> str:
    """The device's clock, written in its own form."""
    return datetime.fromtimestamp(now.observed_us // 1_000_000, tz=UTC).strftime(form)


def cgminer_pools(device: Device, now: Snapshot, program: str) -> Reply:
    """The `pools` reply as most descendants of cgminer write it."""
    rows = []
    for n, pool in enumerate(device.pools):
        accepted, rejected, stale = share_counts(now, n)
        rows.append(
            {
                "POOL": n,
                "URL": pool.url,
                "Status": "Alive",
                "Priority": n,
                "Quota": 1,
                "Accepted": accepted,
                "Rejected": rejected,
                "Stale": stale,
                "User": pool.user,
                "Has Stratum": True,
                "Stratum Active": n == 0 and now.state is State.MINING,
                "Stratum URL": f"{pool.host}:{pool.port}",
            }
        )
    return {"STATUS": header(now, 7, f"{len(rows)} Pool(s)", program), "POOLS": rows, "id": 1}
