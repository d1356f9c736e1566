"""Kazakh identifier: BIN of a legal entity and IIN of a person share one form and checksum."""

from __future__ import annotations

from reporting.identifier import Digits

_WEIGHTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
_SECOND_WEIGHTS = (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2)


def _checks(number: str) -> bool:
    digits = [int(digit) for digit in number]
    for weights in (_WEIGHTS, _SECOND_WEIGHTS):
        check = sum(digit * weight for digit, weight in zip(digits, weights, strict=False)) % 11
        if check < 10:
            return check == digits[11]
    return False


bin_iin = Digits(12, _checks)
