"""The ways to a site's meters, opened together and closed together; what no meter needs is never imported."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from agent.meters import register_map
from agent.meters.config import Meter, ModbusMeter, host_port
from agent.meters.told import Told

Read = Callable[[], Awaitable[Told]]

MODBUS_PORT = 502


@contextlib.asynccontextmanager
async def drivers(meters: Sequence[Meter], state_dir: Path) -> AsyncIterator[Mapping[str, Read]]:
    """By the meter's name: a reading of it, or DeviceError; `state_dir` holds the counts of pulses."""
    reads: dict[str, Read] = {}
    async with contextlib.AsyncExitStack() as stack:
        if modbus_meters := [meter for meter in meters if isinstance(meter, ModbusMeter)]:
            reads |= _modbus(modbus_meters, stack)
        yield reads


def _modbus(meters: Sequence[ModbusMeter], stack: contextlib.AsyncExitStack) -> dict[str, Read]:
    from agent.meters import modbus

    gateways = modbus.Gateways()
    stack.callback(gateways.close)

    def reader(meter: ModbusMeter) -> Read:
        line = modbus.Line(*host_port(meter.address, MODBUS_PORT), meter.framing)
        rules = register_map.load(meter.map)
        return lambda: modbus.read(gateways.at(line), meter.unit, rules, meter.deadline_s)

    return {meter.name: reader(meter) for meter in meters}
