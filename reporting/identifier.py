"""Identifiers that python-stdnum lacks, with its verbs: compact, validate, is_valid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stdnum.exceptions import InvalidChecksum, InvalidFormat, InvalidLength, ValidationError
from stdnum.util import clean

# Persian and Arabic-Indic digits, as Iranian documents write them.
_ASCII_DIGITS = str.maketrans("۰۱۲۳۴۵۶۷۸۹٠١٢٣٤٥٦٧٨٩", "0123456789" * 2)


class Verbs(Protocol):
    """What a module of python-stdnum offers, and `Digits` too."""

    def compact(self, number: str) -> str: ...

    def validate(self, number: str) -> str: ...

    def is_valid(self, number: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Digits:
    """An identifier of a fixed number of digits; `checks` is its checksum, None where it has none."""

    length: int
    checks: Callable[[str], bool] | None = None

    def compact(self, number: str) -> str:
        """The number without separators, in ASCII digits."""
        return clean(number, " -").strip().translate(_ASCII_DIGITS)

    def validate(self, number: str) -> str:
        """The compact number; a ValidationError of stdnum when it is not valid."""
        number = self.compact(number)
        if not (number.isascii() and number.isdigit()):
            raise InvalidFormat()
        if len(number) != self.length:
            raise InvalidLength()
        if self.checks is not None and not self.checks(number):
            raise InvalidChecksum()
        return number

    def is_valid(self, number: str) -> bool:
        """True when the number is valid."""
        try:
            self.validate(number)
        except ValidationError:
            return False
        return True
