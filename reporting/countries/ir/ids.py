"""Iranian identifiers: national ID, legal ID, postal code, product identifier."""

from __future__ import annotations

from stdnum import ean

from reporting.identifier import Digits

_LEGAL_WEIGHTS = (29, 27, 23, 19, 17) * 2


def _national_checks(number: str) -> bool:
    check = sum(int(digit) * (10 - place) for place, digit in enumerate(number[:9])) % 11
    return int(number[9]) == (check if check < 2 else 11 - check)


def _legal_checks(number: str) -> bool:
    added = int(number[9]) + 2
    weighted = zip(number[:10], _LEGAL_WEIGHTS, strict=True)
    return int(number[10]) == sum((int(digit) + added) * weight for digit, weight in weighted) % 11 % 10


national_id = Digits(10, _national_checks)
legal_id = Digits(11, _legal_checks)
postal_code = Digits(10)
product_id = Digits(13)


def has_gtin_check_digit(number: str) -> bool:
    """True when a product identifier also passes GTIN's mod 10; the authority is not known to require it."""
    return bool(ean.is_valid(product_id.compact(number)))
