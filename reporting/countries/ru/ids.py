"""Russian identifiers: python-stdnum's, and what it lacks."""

from __future__ import annotations

import re

from stdnum.exceptions import InvalidFormat
from stdnum.ru import inn, ogrn
from stdnum.util import clean

__all__ = ["inn", "kpp", "ogrn"]


class _Kpp:
    """KPP: four digits of the tax office, two digits or capital letters of the ground, three digits."""

    _FORM = re.compile(r"\d{4}[\dA-Z]{2}\d{3}", re.ASCII)

    def compact(self, number: str) -> str:
        """The number without separators."""
        return clean(number, " ").strip().upper()

    def validate(self, number: str) -> str:
        """The compact number; InvalidFormat when it is not a KPP. It has no checksum."""
        number = self.compact(number)
        if self._FORM.fullmatch(number) is None:
            raise InvalidFormat()
        return number

    def is_valid(self, number: str) -> bool:
        """True when the number is a KPP."""
        return self._FORM.fullmatch(self.compact(number)) is not None


kpp = _Kpp()
