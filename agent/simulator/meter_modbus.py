"""Meters on Modbus: a real pymodbus server, TCP or RTU over TCP, whose registers follow simulated lives."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agent.meters.register_map import Register, RegisterMap
from agent.simulator.meter_life import MeterLife, Shown

PACKED = {
    "u16": ">H",
    "i16": ">h",
    "u32": ">I",
    "i32": ">i",
    "u64": ">Q",
    "i64": ">q",
    "f32": ">f",
    "f64": ">d",
}
# A meter that does not answer: longer than anybody waits.
SILENCE_S = 3600


@dataclass(frozen=True, slots=True)
class Unit:
    """One meter behind the server: its life, its map, and the transformers' ratio in front of it."""

    life: MeterLife
    rules: RegisterMap
    ratio: Fraction = Fraction(1)  # its registers hold primary values divided by it


def words(register: Register, value: Fraction | str) -> list[int]:
    """A value in the register's own steps as the words that a meter of this map would send."""
    size = 2 * register.count
    if isinstance(value, str):
        raw = value.encode("ascii").ljust(size, b"\0")[:size]
    elif register.type in ("f32", "f64"):
        raw = struct.pack(PACKED[register.type], float(value))
    elif register.type == "mod10":
        digits = f"{math.floor(value):0{4 * register.count}d}"
        raw = b"".join(int(digits[n : n + 4]).to_bytes(2, "big") for n in range(0, len(digits), 4))
    elif register.type == "bcd":
        raw = bytes.fromhex(f"{math.floor(value):0{2 * size}d}")
    else:
        raw = struct.pack(PACKED[register.type], math.floor(value))
    cells = [raw[n : n + 2] for n in range(0, size, 2)]
    if register.word_order == "little":
        cells.reverse()
    return [int.from_bytes(cell, register.byte_order or "big") for cell in cells]


def registers(rules: RegisterMap, shown: Shown, ratio: Fraction = Fraction(1)) -> dict[tuple[int, int], int]:
    """Every word of a map at an instant, by function code and address."""
    values: dict[str, Fraction | str] = {
        "import_wh": shown.import_wh / ratio,
        "export_wh": shown.export_wh / ratio,
        "power_w": shown.power_w / ratio,
        "serial": shown.serial,
        "model": rules.models.split(",")[0].strip(),
        "firmware": "1.0",
    }
    for name, register in rules.registers.items():
        for part in register.plus:  # a third of what was counted fell into each other tariff
            values[part] = third = Fraction(values[name]) / 3
            values[name] = Fraction(values[name]) - third
    found: dict[tuple[int, int], int] = {}
    for name, register in rules.every.items():
        value = values.get(name, Fraction(0))
        if isinstance(value, str) and register.type != "text":
            codes = [code for code, known in register.names.items() if known == value]
            value = Fraction(codes[0] if codes else "".join(filter(str.isdecimal, value)) or 1)
        elif isinstance(value, Fraction) and name not in rules.scaling:
            value = value / register.factor
        for n, word in enumerate(words(register, value)):
            found[register.function or 3, register.address + n] = word
    return found


def device(number: int, unit: Unit, now_us: Callable[[], int]) -> SimDevice:
    """A pymodbus device that holds exactly the map's registers, computed anew at each request."""
    cells = registers(unit.rules, Shown(Fraction(0), Fraction(0), Fraction(0), "1"), unit.ratio)

    async def refresh(
        function: int,
        first: int,
        _at: int,
        _count: int,
        current: list[int],
        _set: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        shown = unit.life.shown(now_us())
        if shown is None:
            await asyncio.sleep(SILENCE_S)
            return ExcCodes.GATEWAY_NO_RESPONSE
        for (code, address), word in registers(unit.rules, shown, unit.ratio).items():
            if code == function:
                current[address - first] = word
        return None

    def held(function: int) -> list[SimData]:
        found = [
            SimData(a, values=[w], datatype=DataType.REGISTERS)
            for (f, a), w in sorted(cells.items())
            if f == function
        ]
        return found or [SimData(0xFFFF, values=[0], datatype=DataType.REGISTERS)]

    bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    return SimDevice(number, simdata=(bits, bits, held(3), held(4)), action=refresh)


@asynccontextmanager
async def serve(
    units: Mapping[int, Unit],
    now_us: Callable[[], int],
    port: int,
    *,
    host: str = "127.0.0.1",
    framing: str = "tcp",
) -> AsyncIterator[ModbusTcpServer]:
    """A gateway with these units behind it; OSError if the port is taken."""
    framer = FramerType.RTU if framing == "rtu" else FramerType.SOCKET
    devices = [device(number, unit, now_us) for number, unit in units.items()]
    server = ModbusTcpServer(devices, framer=framer, address=(host, port))
    await server.serve_forever(background=True)
    try:
        yield server
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it untyped
