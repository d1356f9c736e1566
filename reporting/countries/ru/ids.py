"""Russian identifiers and bitcoin addresses: python-stdnum's, and what it lacks."""

from __future__ import annotations

import re

from stdnum import bitcoin
from stdnum.exceptions import InvalidFormat, ValidationError
from stdnum.ru import inn, ogrn
from stdnum.util import clean

__all__ = ["address_is_valid", "inn", "kpp", "ogrn"]

# BIP-350: the checksum of witness versions 1 and up (taproot), which python-stdnum takes for a wrong bech32.
_BECH32M = 0x2BC830A3
_BECH32_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_HRP_EXPANDED = [3, 3, 0, 2, 3]  # "bc"


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


def address_is_valid(address: str) -> bool:
    """True when a bitcoin mainnet address has a good checksum: base58, bech32 or bech32m."""
    lowered = address.lower()
    if not lowered.startswith("bc1") or lowered.startswith("bc1q"):
        return _stdnum_accepts(address)
    values = [_BECH32_ALPHABET.find(letter) for letter in lowered[3:]]
    one_case = address in (lowered, address.upper())
    fits = one_case and -1 not in values and 11 <= len(address) <= 90
    return fits and bitcoin.bech32_checksum(_HRP_EXPANDED + values) == _BECH32M


def _stdnum_accepts(address: str) -> bool:
    try:
        bitcoin.validate(address)
    except ValidationError:
        return False
    return True
