"""What a meter told: the one result type of every way to a meter, exact and before any transformer's ratio.

Wh and W as fractions. A value that was asked for and not read is None and has its reason in `unread`.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from agent.meters.register_map import MAX_W, MAX_WH
from agent.readings import DeviceError, FailureKind

MAX_PROBLEM = 300  # characters of a reading's problem
MAX_NAME = 64  # of a serial, a model: makers have some twenty


def plain(text: str) -> str:
    """A text of a device's as it may be stored and shown: what is not printable is a question mark."""
    return "".join(c if c.isprintable() else "?" for c in text)


def named(given: object) -> str | None:
    """A serial, model or version as a device tells it, or None where it tells none that can be one."""
    text = str(given).strip() if isinstance(given, str | int) and not isinstance(given, bool) else ""
    return text if text and text.isprintable() and len(text) <= MAX_NAME else None


class Raw(NamedTuple):
    """One value as it came, for the eyes of whoever commissions a meter."""

    name: str
    where: str
    came: str
    means: str


@dataclass(slots=True)
class Told:
    """One reading; `told_s` is the monotonic instant at which its energy was read."""

    import_wh: Fraction | None = None
    export_wh: Fraction | None = None
    power_w: Fraction | None = None
    unread: dict[str, str] = field(default_factory=dict)  # name -> "kind: detail"
    make: str | None = None
    model: str | None = None
    firmware: str | None = None
    serial: str | None = None
    step_wh: Fraction | None = None
    modulus_wh: Fraction | None = None
    raw: list[Raw] = field(default_factory=list)
    told_s: float = field(default_factory=time.monotonic)

    def refuse(self, name: str, detail: str, kind: FailureKind = FailureKind.PROTOCOL) -> None:
        """The value was asked for and is none."""
        self.unread[name] = f"{kind}: {detail}"

    def take(self, name: str, value: Fraction) -> None:
        """Energy or power as read; a register that nothing can have counted to is not read."""
        if name == "power_w":
            if abs(value) > MAX_W:
                return self.refuse(name, f"{float(value):.6g} W is more than any meter measures")
        elif value < 0:
            return self.refuse(name, f"{float(value):.6g} Wh: a cumulative register is never below 0")
        elif value > MAX_WH:
            return self.refuse(name, f"{float(value):.6g} Wh is more than any meter has counted")
        setattr(self, name, value)
        return None


class Measured(NamedTuple):
    """A reading in the contract's units, the transformers' ratios applied: floors of Wh and mW."""

    import_wh: int | None = None
    export_wh: int | None = None
    power_mw: int | None = None
    problem: str = ""


def measured(told: Told, ratio: Fraction) -> Measured:
    """The reading at the primary side: every register times `ratio`, exact, then floored to whole Wh and mW.

    Floors of one register lose nothing: what one interval lacks the next one has.
    """
    kinds: dict[str, list[str]] = {}
    for name, reason in told.unread.items():
        kind, _, detail = reason.partition(": ")
        kinds.setdefault(kind, []).append(f"{name}: {detail}")
    problem = "; ".join(f"{kind}: {', '.join(details)}" for kind, details in kinds.items())
    return Measured(
        _floor(told.import_wh, ratio),
        _floor(told.export_wh, ratio),
        _floor(told.power_w, ratio * 1000),
        plain(problem)[:MAX_PROBLEM],
    )


def failed(error: DeviceError) -> Measured:
    """The reading of a meter that gave none."""
    return Measured(problem=plain(f"{error.kind}: {error}")[:MAX_PROBLEM])


def step_wh(told: Told, ratio: Fraction) -> int | None:
    """The least change of the register at the primary side, in whole Wh, at least 1."""
    return None if told.step_wh is None else max(1, math.ceil(told.step_wh * ratio))


def modulus_wh(told: Told, ratio: Fraction) -> int | None:
    """Where the register returns to 0, at the primary side."""
    return _floor(told.modulus_wh, ratio)


def _floor(value: Fraction | None, factor: Fraction) -> int | None:
    return None if value is None else math.floor(value * factor)
