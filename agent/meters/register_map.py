"""A meter family as data: which Modbus registers hold its energy, and how their words become exact numbers.

A map is a TOML file in `maps/`, named after the family; `agent/README.md` shows how to write one. Everything
is exact: integers and floats become fractions of Wh or W, and are rounded nowhere here.

Words of one register, first to last, are taken in `word_order` (big: the first one is the highest), the two
bytes of each in `byte_order`. `mod10` holds four decimal digits a word, `bcd` one digit a nibble.
"""

from __future__ import annotations

import math
import struct
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from agent.sections import Section

FOLDER = Path(__file__).parent / "maps"

# Type -> (words, struct code); None: as many words as the register says.
TYPES: dict[str, tuple[int | None, str]] = {
    "u16": (1, ">H"), "u32": (2, ">I"), "u64": (4, ">Q"),
    "i16": (1, ">h"), "i32": (2, ">i"), "i64": (4, ">q"),
    "f32": (2, ">f"), "f64": (4, ">d"), "mod10": (None, ""), "bcd": (None, ""), "text": (None, ""),
}  # fmt: skip
UNITS = {"Wh": Fraction(1), "kWh": Fraction(1000), "MWh": Fraction(10**6), "GWh": Fraction(10**9),
         "W": Fraction(1), "kW": Fraction(1000), "MW": Fraction(10**6)}  # fmt: skip
ENERGY, POWER = ("import_wh", "export_wh"), ("power_w",)
IDENTITY = ("serial", "model", "firmware")
# 1 PWh is what 1 GW takes in 114 years, 100 GW is a country: beyond them something else was read.
MAX_WH, MAX_W = 10**15, 10**11
# The Modbus specification's limit for one request (function codes 3 and 4).
MAX_WORDS = 125
# A power of ten beyond it is no scale of an electricity meter.
MAX_EXPONENT = 12


class MapError(ValueError):
    """A map that cannot be used; the text names file, key and what would be right, a line a mistake."""


class NotRead(ValueError):
    """Words that hold no value; the text says why."""


class Register(Section, BaseModel):
    """One value: where it stands and how it is read. `address` counts from 0, as it is sent on the wire."""

    address: int = Field(ge=0, le=0xFFFF)
    type: str
    words: int = Field(default=0, ge=0, le=MAX_WORDS)  # of text, mod10 and bcd
    function: Literal[3, 4] | None = None  # 3 holding, 4 input registers; None: the map's
    word_order: Literal["big", "little"] | None = None
    byte_order: Literal["big", "little"] | None = None
    scale: Decimal | int = 1  # how much of `unit` one step is
    unit: str | None = None
    scaled_by: str | None = None  # a register of `[scaling]`
    plus: list[str] = []  # registers of `[parts]` that belong to this sum, such as other tariffs
    not_available: list[int] = []  # raw values, unsigned, by which the meter says that it has none
    names: dict[str, str] = {}  # a code and what it stands for

    @model_validator(mode="after")
    def _whole(self) -> Register:
        if self.type not in TYPES:
            raise ValueError(f"type {self.type!r} is none of {', '.join(TYPES)}")
        words = TYPES[self.type][0]
        if words is None and not self.words:
            raise ValueError(f"words: how many words this {self.type} has is missing")
        if words is not None and self.words not in (0, words):
            raise ValueError(f"words: a {self.type} has {words}")
        if self.unit is not None and self.unit not in UNITS:
            raise ValueError(f"unit {self.unit!r} is none of {', '.join(UNITS)}")
        if self.scale <= 0:
            raise ValueError("scale must be above 0")
        if self.address + self.count > 0x10000:
            raise ValueError("ends beyond address 65535")
        return self

    @property
    def count(self) -> int:
        return TYPES[self.type][0] or self.words

    @property
    def factor(self) -> Fraction:
        """What one step of the register is, in Wh or W."""
        return Fraction(self.scale) * UNITS[self.unit or "W"]


class Scaling(Register):
    """A register that scales others: a power of ten, or a number to multiply by."""

    use: Literal["exponent", "multiplier"]


class RegisterMap(Section, BaseModel):
    """A meter family: its registers and where they were looked up."""

    make: str
    models: str
    source: list[str] = Field(min_length=1)  # the maker's document first
    status: Literal["verified", "secondary"]  # verified: read in the maker's own list; else in others' code
    last_checked: date
    note: str = ""
    function: Literal[3, 4] = 3
    word_order: Literal["big", "little"] = "big"
    byte_order: Literal["big", "little"] = "big"
    max_words: int = Field(default=100, ge=1, le=MAX_WORDS)  # in one request
    modulus: Decimal | int | None = None  # kWh at which the energy registers return to 0
    registers: dict[str, Register]
    parts: dict[str, Register] = {}
    scaling: dict[str, Scaling] = {}

    @model_validator(mode="after")
    def _consistent(self) -> RegisterMap:
        wrong = []
        for name, register in self.registers.items():
            if name not in (*ENERGY, *POWER, *IDENTITY):
                wrong.append(f"registers.{name} is none of {', '.join((*ENERGY, *POWER, *IDENTITY))}")
            elif name not in IDENTITY and (register.unit or "").endswith("h") != (name in ENERGY):
                wrong.append(f"registers.{name}: unit is missing, or of the other kind")
            wrong += [
                f"registers.{name}.plus: [parts.{p}] is missing" for p in register.plus if p not in self.parts
            ]
        for name, register in (*self.registers.items(), *self.parts.items()):
            if name not in IDENTITY and register.type == "text":
                wrong.append(f"{name}: a text is no number")
            if register.scaled_by is not None and register.scaled_by not in self.scaling:
                wrong.append(f"{name}.scaled_by: [scaling.{register.scaled_by}] is missing")
        if "import_wh" not in self.registers:
            wrong.append("registers.import_wh is missing")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @cached_property
    def every(self) -> dict[str, Register]:
        """Every register by name, energy first, with the map's own settings filled in."""
        ordered = sorted(self.registers.items(), key=lambda item: (item[0] in IDENTITY, item[0] in POWER))
        return {n: self._filled(r) for n, r in (*ordered, *self.parts.items(), *self.scaling.items())}

    @property
    def inner(self) -> set[str]:
        """The registers that are no value of their own: parts of sums, and what scales others."""
        return {*self.parts, *self.scaling}

    def _filled(self, register: Register) -> Register:
        own = {"function": self.function, "word_order": self.word_order, "byte_order": self.byte_order}
        return register.model_copy(update={k: v for k, v in own.items() if getattr(register, k) is None})


@dataclass(frozen=True, slots=True)
class Block:
    """One request: registers `address` to `address + count - 1` of a function code."""

    function: int
    address: int
    count: int

    def holds(self, register: Register) -> bool:
        ends = self.address + self.count
        return register.function == self.function and (
            self.address <= register.address and register.address + register.count <= ends
        )


def blocks(registers: Mapping[str, Register], max_words: int) -> list[Block]:
    """The requests for all registers, those that adjoin in one; the first register's block comes first.

    Nothing between registers is asked for: many meters refuse a request that touches what they do not have.
    """
    found: list[Block] = []
    for function, address, count in sorted(
        {(r.function or 3, r.address, r.count) for r in registers.values()}
    ):
        last = found[-1] if found else None
        end = address + count
        if last and last.function == function and address <= last.address + last.count:
            whole = max(end, last.address + last.count) - last.address
            if whole <= max_words:
                found[-1] = Block(function, last.address, whole)
                continue
        found.append(Block(function, address, count))
    order = list(registers.values())
    return sorted(found, key=lambda b: next((n for n, r in enumerate(order) if b.holds(r)), len(order)))


def number(register: Register, words: Sequence[int]) -> Fraction:
    """A register's number in its own steps, exact; NotRead where the words hold none."""
    raw = _bytes(register, words)
    if register.type == "mod10":
        return Fraction(
            _digits([int.from_bytes(raw[n : n + 2], "big") for n in range(0, len(raw), 2)], 10_000)
        )
    unsigned = int.from_bytes(raw, "big")
    if unsigned in register.not_available or _marks_absence(register.type, unsigned, len(raw)):
        raise NotRead(f"the meter says that it has no value (0x{raw.hex().upper()})")
    if register.type == "bcd":
        return Fraction(_digits([nibble for byte in raw for nibble in (byte >> 4, byte & 15)], 10))
    value = struct.unpack(TYPES[register.type][1], raw)[0]
    if isinstance(value, float) and not math.isfinite(value):
        raise NotRead(f"{value} is no number")
    return Fraction(value)


def text(register: Register, words: Sequence[int]) -> str:
    """A register as text: of a code its name where the map has it; NotRead if nothing printable is there."""
    if register.type != "text":
        code = str(number(register, words))
        return register.names.get(code, code)
    shown = _bytes(register, words).split(b"\0")[0].decode("ascii", "replace").strip()
    if not shown or not shown.isprintable() or "�" in shown:
        raise NotRead("no printable text")
    return shown


def scale(register: Scaling, words: Sequence[int]) -> Fraction:
    """What a scaling register multiplies others by; NotRead if that is no scale."""
    value = number(register, words)
    if register.use == "multiplier":
        if value <= 0:
            raise NotRead(f"a multiplier of {value}")
        return value * Fraction(register.scale)
    if value.denominator != 1 or abs(value) > MAX_EXPONENT:
        raise NotRead(f"an exponent of {value}")
    return Fraction(10) ** int(value)


def step(register: Register, words: Sequence[int]) -> Fraction:
    """The least change that the register can show where it stands, in its own steps."""
    if register.type not in ("f32", "f64"):
        return Fraction(1)
    _, exponent = math.frexp(float(number(register, words)))
    mantissa = 24 if register.type == "f32" else 53
    return Fraction(2) ** max(exponent - mantissa, -149)


def _bytes(register: Register, words: Sequence[int]) -> bytes:
    if len(words) != register.count:
        raise NotRead(f"{len(words)} words instead of {register.count}")
    ordered = words if register.word_order != "little" else words[::-1]
    return b"".join(w.to_bytes(2, "little" if register.byte_order == "little" else "big") for w in ordered)


def _marks_absence(kind: str, unsigned: int, size: int) -> bool:
    """Of unsigned registers all bits set, of signed ones the least value: no count comes there honestly."""
    if kind in ("u32", "u64", "bcd"):
        return unsigned == (1 << 8 * size) - 1
    return kind in ("i16", "i32", "i64") and unsigned == 1 << (8 * size - 1)


def _digits(digits: Sequence[int], base: int) -> int:
    value = 0
    for digit in digits:
        if digit >= base:
            raise NotRead(f"{digit:#x} is no digit to the base {base}")
        value = value * base + digit
    return value


def parse(document: str, name: str) -> RegisterMap:
    """A map's text; MapError tells all its mistakes."""
    try:
        return RegisterMap.model_validate(tomllib.loads(document, parse_float=Decimal))
    except tomllib.TOMLDecodeError as error:
        raise MapError(f"{name}: not TOML: {error}") from error
    except ValidationError as error:
        lines = [f"{name}: {'.'.join(map(str, e['loc'])) or 'map'}: {e['msg']}" for e in error.errors()]
        raise MapError("\n".join(lines)) from error


def names() -> list[str]:
    """The maps that come with the agent."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@cache
def load(name: str) -> RegisterMap:
    """A map by its name, or by the path of one's own file; MapError if there is none."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not name.endswith(".toml") and name not in names():
        raise MapError(f"no map {name!r}; there are {', '.join(names())}, or the path of a .toml of your own")
    try:
        return parse(path.read_text(encoding="utf-8"), str(path.name))
    except (OSError, UnicodeDecodeError) as error:
        raise MapError(f"{path}: {error}") from error
