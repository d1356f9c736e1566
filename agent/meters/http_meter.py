"""What meters over HTTP have in common: numbers of JSON made exact, sums over phases and channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from agent.meters.told import Raw, Told


def exact(given: object) -> Fraction | None:
    """A number of JSON as it was written, or None where it is none.

    A float's shortest text is what the device wrote: 12.345 kWh are 12,345 Wh and not a little less.
    """
    if isinstance(given, bool) or not isinstance(given, int | float | str | Decimal):
        return None
    try:
        number = Decimal(str(given))
    except InvalidOperation:
        return None
    return Fraction(number) if number.is_finite() else None


def row(given: object) -> Mapping[str, Any]:
    """A JSON object, or an empty one."""
    return given if isinstance(given, Mapping) else {}


def take(told: Told, name: str, given: Sequence[object], factor: Fraction = Fraction(1)) -> None:
    """The sum of what was given, times `factor`, as one of a reading's values; one that is none spoils it."""
    numbers = [exact(value) for value in given]
    came = ", ".join(str(value) for value in given)[:100]
    if not numbers or any(number is None for number in numbers):
        told.refuse(name, f"no number in the reply ({came})")
    else:
        told.take(name, sum((n for n in numbers if n is not None), Fraction(0)) * factor)
    value = getattr(told, name)
    means = told.unread.get(name) or f"{float(value):,.3f} {'W' if name == 'power_w' else 'Wh'}"
    told.raw.append(Raw(name, "", came, means))
