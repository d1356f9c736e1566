"""Modbus TCP, and RTU frames over TCP as simple serial gateways pass them on: one connection a gateway.

A gateway serves one request at a time, so its meters take turns. A reply that comes too late could be taken
for the answer to the next request (RTU frames bear no number): after a timeout the connection is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from agent.meters import register_map
from agent.meters.register_map import ENERGY, IDENTITY, POWER, Block, NotRead, Register, RegisterMap
from agent.meters.told import Raw, Told
from agent.readings import DeviceError, DeviceTimeout, FailureKind, ProtocolError, Unreachable, Unsupported

# It logs every time-out; ours are problems of the reading.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

# On site a gateway accepts within milliseconds; two retransmissions of a SYN fit.
CONNECT_TIMEOUT_S = 3.0
# One request over a gateway at 2,400 baud with 125 registers takes 1.2 s.
REQUEST_TIMEOUT_S = 2.0
# A gateway that does not accept is tried again after so long, doubled each time up to the last.
BACKOFF_S, MAX_BACKOFF_S = 2.0, 60.0

REFUSALS = {
    1: (Unsupported, "illegal function"),
    2: (Unsupported, "illegal data address"),
    3: (Unsupported, "illegal data value"),
    4: (ProtocolError, "the meter reports a failure"),
    5: (ProtocolError, "the meter needs longer"),
    6: (ProtocolError, "the meter is busy"),
    8: (ProtocolError, "the meter reports a memory error"),
    10: (Unreachable, "the gateway has no path to this unit"),
    11: (DeviceTimeout, "the gateway got no answer from this unit"),
}
Framing = Literal["tcp", "rtu"]


@dataclass(frozen=True, slots=True)
class Line:
    """Where a gateway listens and how it frames."""

    host: str
    port: int = 502
    framing: Framing = "tcp"


class Gateway:
    """One connection, made when it is needed and kept; its meters take turns."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._client: AsyncModbusTcpClient | None = None
        self._turn = asyncio.Lock()
        self._backoff_s = BACKOFF_S
        self._not_before_s = 0.0

    @contextlib.asynccontextmanager
    async def turn(self, deadline_s: float) -> AsyncIterator[None]:
        """Alone on the line for at most `deadline_s`; whatever goes wrong closes the connection."""
        async with self._turn:
            try:
                async with asyncio.timeout(deadline_s):
                    await self._connect()
                    yield
            except TimeoutError as error:
                self.close()
                raise DeviceTimeout(f"no whole answer within {deadline_s:g} s") from error
            except (DeviceTimeout, ProtocolError, asyncio.CancelledError):
                self.close()
                raise

    async def read(self, unit: int, block: Block) -> list[int]:
        """The words of a block; DeviceError says why there are none. Only inside `turn`."""
        assert self._client is not None
        ask = (
            self._client.read_holding_registers if block.function == 3 else self._client.read_input_registers
        )
        where = f"function {block.function}, registers {block.address} to {block.address + block.count - 1}"
        try:
            reply: ModbusPDU = await ask(block.address, count=block.count, device_id=unit)
        except ModbusException as error:
            if self._client.connected:
                raise DeviceTimeout(f"{where}: no answer within {REQUEST_TIMEOUT_S:g} s") from error
            raise ProtocolError(f"{where}: the connection broke off") from error
        if isinstance(reply, ExceptionResponse):
            kind, why = REFUSALS.get(reply.exception_code, (ProtocolError, "refused"))
            raise kind(f"{where}: {why} (exception {reply.exception_code})")
        if reply.isError() or len(reply.registers) != block.count:
            raise ProtocolError(f"{where}: an answer of {len(reply.registers)} registers")
        return list(reply.registers)

    def close(self) -> None:
        """Let the connection go; the next turn makes a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _connect(self) -> None:
        if self._client is not None and self._client.connected:
            return
        self.close()
        where = f"{self.line.host}:{self.line.port}"
        if (wait_s := self._not_before_s - time.monotonic()) > 0:
            raise Unreachable(f"{where}: does not accept a connection; tried again in {wait_s:.0f} s")
        framer = FramerType.RTU if self.line.framing == "rtu" else FramerType.SOCKET
        client = AsyncModbusTcpClient(
            self.line.host, port=self.line.port, framer=framer, reconnect_delay=0, retries=0,
            timeout=CONNECT_TIMEOUT_S,
        )  # fmt: skip
        if not await client.connect():
            client.close()
            self._not_before_s = time.monotonic() + self._backoff_s
            self._backoff_s = min(2 * self._backoff_s, MAX_BACKOFF_S)
            raise Unreachable(f"{where}: does not accept a connection")
        client.comm_params.timeout_connect = REQUEST_TIMEOUT_S  # what it waits for each answer
        self._backoff_s = BACKOFF_S
        self._client = client


class Gateways:
    """The gateways of a site, each once however many meters are behind it."""

    def __init__(self) -> None:
        self._known: dict[Line, Gateway] = {}

    def at(self, line: Line) -> Gateway:
        return self._known.setdefault(line, Gateway(line))

    def close(self) -> None:
        for gateway in self._known.values():
            gateway.close()


async def read(gateway: Gateway, unit: int, rules: RegisterMap, deadline_s: float) -> Told:
    """One meter's registers; DeviceError if its line, or the meter itself, does not answer."""
    registers = rules.every
    words: dict[str, list[int]] = {}
    failed: dict[str, DeviceError] = {}
    told_s = 0.0
    async with gateway.turn(deadline_s):
        for block in register_map.blocks(registers, rules.max_words):
            inside = {name: r for name, r in registers.items() if block.holds(r)}
            try:
                await _take(gateway, unit, block, inside, words, failed)
            except DeviceError as error:
                if not words:
                    raise
                failed.update(dict.fromkeys(registers.keys() - words.keys(), error))
                gateway.close()
                break  # what was read stands
            told_s = told_s or time.monotonic()  # the first block is the energy's
    if not words:
        raise next(iter(failed.values()))
    told = parse(rules, words, failed)
    told.told_s = told_s
    return told


async def _take(
    gateway: Gateway, unit: int, block: Block, inside: Mapping[str, Register],
    words: dict[str, list[int]], failed: dict[str, DeviceError],
) -> None:  # fmt: skip
    """A block's words; one that is refused is asked for register by register: some models lack some."""
    try:
        got = await gateway.read(unit, block)
    except Unsupported as error:
        if len(inside) == 1:
            failed.update(dict.fromkeys(inside, error))
            return
        for name, register in inside.items():
            alone = Block(block.function, register.address, register.count)
            await _take(gateway, unit, alone, {name: register}, words, failed)
        return
    for name, register in inside.items():
        at = register.address - block.address
        words[name] = got[at : at + register.count]


def parse(rules: RegisterMap, words: Mapping[str, list[int]], failed: Mapping[str, DeviceError]) -> Told:
    """What the words of a meter's registers say; exact."""
    told = Told(make=rules.make)
    for name, register in rules.every.items():
        where = f"{register.function}:{register.address} {register.type}"
        if name not in words:
            error = failed.get(name)
            detail = str(error) if error else "not asked for"
            if name not in IDENTITY and name not in rules.inner:
                told.refuse(name, detail, error.kind if error else FailureKind.PROTOCOL)
            told.raw.append(Raw(name, where, "", f"not read: {detail}"))
            continue
        came = " ".join(f"{word:04X}" for word in words[name])
        try:
            means = _meaning(told, rules, name, register, words)
        except NotRead as error:
            means = f"not read: {error}"
            if name not in IDENTITY and name not in rules.inner:
                told.refuse(name, str(error))
        told.raw.append(Raw(name, where, came, means))
    if rules.modulus is not None:
        told.modulus_wh = Fraction(rules.modulus) * 1000
    return told


def _meaning(
    told: Told, rules: RegisterMap, name: str, register: Register, words: Mapping[str, list[int]]
) -> str:
    if name in IDENTITY:
        shown = register_map.text(register, words[name])
        setattr(told, name, shown)
        return shown
    if name in rules.scaling:
        return f"times {register_map.scale(rules.scaling[name], words[name])}"
    value, step = _value(rules, name, words)
    unit = "W" if name in POWER else "Wh"
    if name not in rules.parts:
        told.take(name, value)
        if name in ENERGY and name not in told.unread:
            told.step_wh = max(step, told.step_wh or Fraction(0))
    return told.unread.get(name, f"{float(value):,.3f} {unit}")


def _value(rules: RegisterMap, name: str, words: Mapping[str, list[int]]) -> tuple[Fraction, Fraction]:
    """A register in Wh or W with all that belongs to its sum, and the least change that it can show."""
    register = rules.every[name]
    if name not in words:
        raise NotRead(f"{name} belongs to the sum and was not read")
    factor = register.factor
    if register.scaled_by is not None:
        if register.scaled_by not in words:
            raise NotRead(f"its scaling register {register.scaled_by} was not read")
        factor *= register_map.scale(rules.scaling[register.scaled_by], words[register.scaled_by])
    value = register_map.number(register, words[name]) * factor
    step = register_map.step(register, words[name]) * factor
    for part in register.plus:
        more, finer = _value(rules, part, words)
        value, step = value + more, max(step, finer)
    return value, step
