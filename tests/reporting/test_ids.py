"""Identifiers: known good ones pass, each single changed digit fails where the checksum promises it."""

from __future__ import annotations

import pytest

from reporting import bitcoin_address
from reporting.countries.ir import ids as ir
from reporting.countries.kz import ids as kz
from reporting.countries.ru import ids as ru
from reporting.identifier import Digits, Verbs
from tests.reporting.sample import SEGWIT, TAPROOT

GENESIS = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"
SCRIPT_HASH = "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"


def changed_digits(number: str) -> list[str]:
    return [
        number[:place] + digit + number[place + 1 :]
        for place, good in enumerate(number)
        for digit in "0123456789"
        if digit != good
    ]


@pytest.mark.parametrize("number", ["0499370899", "0790419904", "0084575948", "0684159414", "4271467685"])
def test_iranian_national_id(number: str) -> None:
    assert ir.national_id.validate(number) == number
    # The weights are coprime to 11, and each remainder but 10, which none of these has, is its own digit.
    assert not any(map(ir.national_id.is_valid, changed_digits(number)))


@pytest.mark.parametrize("number", ["14005893875", "10380284790", "10861677542"])
def test_iranian_legal_id(number: str) -> None:
    assert ir.legal_id.is_valid(number)
    # 10 becomes 0, so at a check digit of 0 one change of each digit may slip through.
    slipped = sum(map(ir.legal_id.is_valid, changed_digits(number)))
    assert slipped <= 10


@pytest.mark.parametrize("number", ["941240000193", "940140000385", "971240001315", "980540000852"])
def test_kazakh_bin(number: str) -> None:
    assert kz.bin_iin.is_valid(number)
    # The 11th digit has weight 11, which is 0 mod 11: its nine changes slip through, and hardly any other.
    slipped = [other for other in changed_digits(number) if kz.bin_iin.is_valid(other)]
    assert sum(other[10] == number[10] for other in slipped) <= 1


def test_kazakh_second_weights() -> None:
    assert kz.bin_iin.is_valid("000000000010")  # 11 x 1 mod 11 = 0
    assert kz.bin_iin.is_valid("000000000101")  # 10 x 1 = 10: second row, weight 1: check digit 1


@pytest.mark.parametrize(
    "verbs", [ru.inn, ru.ogrn, ru.kpp, kz.bin_iin, ir.national_id, ir.postal_code, ir.product_id]
)
@pytest.mark.parametrize("number", ["", "12", "x" * 10, "٪", "1" * 40])
def test_rubbish_is_not_valid_and_raises_nothing_else(verbs: Verbs, number: str) -> None:
    assert not verbs.is_valid(number)


def test_persian_digits_and_separators_are_understood() -> None:
    assert ir.national_id.compact(" ۰۴۹۹-۳۷۰۸۹۹ ") == "0499370899"
    assert Digits(4).validate("١٢٣٤") == "1234"


def test_russian_numbers() -> None:
    assert ru.inn.is_valid("7700000016")
    assert not any(map(ru.inn.is_valid, changed_digits("7700000016")[:40]))
    assert ru.kpp.validate("7701 01 001") == "770101001"
    assert ru.kpp.is_valid("7701AB001")
    assert not ru.kpp.is_valid("77010100")


@pytest.mark.parametrize("address", [SEGWIT, SEGWIT.upper(), TAPROOT, TAPROOT.upper(), GENESIS, SCRIPT_HASH])
def test_bitcoin_addresses_of_every_kind_pass(address: str) -> None:
    assert bitcoin_address.is_valid(address)


@pytest.mark.parametrize("address", [SEGWIT, TAPROOT, GENESIS, SCRIPT_HASH])
def test_a_changed_letter_of_a_bitcoin_address_fails(address: str) -> None:
    for place in range(5, len(address)):
        other = "q" if address[place] != "q" else "p"
        assert not bitcoin_address.is_valid(address[:place] + other + address[place + 1 :])
    assert not bitcoin_address.is_valid(TAPROOT[:-2] + TAPROOT[-2].upper() + TAPROOT[-1])
