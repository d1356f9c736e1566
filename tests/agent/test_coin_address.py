"""Addresses by their checksums: the published vectors hold, one changed character never does."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.coin_address import coins
from agent.keccak import KECCAK, SHA3, keccak256

VALID = {
    # BIP-173 and BIP-350
    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4": ("BTC",),
    "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y": ("BTC",),
    "BC1SW50QGDZ25J": ("BTC",),
    "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs": ("BTC",),
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0": ("BTC",),
    # the genesis block's; the wiki's examples of scripts and of Litecoin
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa": ("BCH", "BTC"),
    "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2": ("BCH", "BTC"),
    "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy": ("BCH", "BTC", "LTC"),
    "LdP8Qox1VAhCzLJNqrr74YovaWYyNBUWvL": ("LTC",),
    "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9": ("LTC",),
    "t1VmmGiyjVNeCjxDZzg7vZmd99WyzVby9yC": ("ZEC",),  # ZIP-320
    "t3LmX1cxWPPPqL4TZHx42HU3U5ghbFjRiif": ("ZEC",),
    "XpESxaUmonkq8RaLLp46Brx2K39ggQe226": ("DASH",),
    "DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L": ("DOGE",),
    # cashaddr's specification: both hashes of its table of translations, and the vectors of 20 bytes
    "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a": ("BCH",),
    "bitcoincash:ppm2qsznhks23z7629mms6s4cwef74vcwvn0h829pq": ("BCH",),
    "bitcoincash:qr6m7j9njldwwzlg9v7v53unlr4jkmx6eylep8ekg2": ("BCH",),
    "qr6m7j9njldwwzlg9v7v53unlr4jkmx6eylep8ekg2": ("BCH",),
    "BITCOINCASH:QR6M7J9NJLDWWZLG9V7V53UNLR4JKMX6EYLEP8EKG2": ("BCH",),
    "kaspa:qpauqsvk7yf9unexwmxsnmg547mhyga37csh0kj53q6xxgl24ydxjsgzthw5j": ("KAS",),
    "kaspa:qypu7vn4dkvv4pzhwy9gp5r6n80ym3c6wdfgpum5zpg6de8gznl9xnghhscjnpt": ("KAS",),
    # EIP-55
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed": ("ETC", "ETH"),
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359": ("ETC", "ETH"),
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB": ("ETC", "ETH"),
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb": ("ETC", "ETH"),
    "0x52908400098527886E0F7030069857D2E4169EE7": ("ETC", "ETH"),
    "0xde709f2102306220921060314715629080e2fb77": ("ETC", "ETH"),
}  # fmt: skip
INVALID = [
    # BIP-350: wrong checksum for the version, wrong version, mixed case, bad length, bad padding, empty
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
    "BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh",
    "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
    "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
    "bc1pw5dgrnzv",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
    "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf",
    "bc1gmk9yu",
    "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",  # another network
    "bchtest:pr6m7j9njldwwzlg9v7v53unlr4jkmx6eyvwc0uz5t",
    "bitcoin:qr6m7j9njldwwzlg9v7v53unlr4jkmx6eylep8ekg2",
    "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",  # bitcoin's test network
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
    "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "1" * 34,
    "farm",
    "",
]  # fmt: skip


@pytest.mark.parametrize(("address", "its"), VALID.items())
def test_the_published_addresses_belong_to_their_coins(address: str, its: tuple[str, ...]) -> None:
    assert coins(address) == its


@pytest.mark.parametrize("text", INVALID)
def test_the_published_counter_examples_belong_to_none(text: str) -> None:
    assert coins(text) == ()


_ALNUM = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKED = sorted(address for address in VALID if not address.startswith("0x"))


@given(st.sampled_from(_CHECKED), st.integers(0, 99), st.sampled_from(_ALNUM))
def test_one_changed_character_is_refused(address: str, place: int, sign: str) -> None:
    place %= len(address)
    changed = address[:place] + sign + address[place + 1 :]
    assert coins(changed) == () or changed == address


@given(st.sampled_from(_CHECKED), st.integers(0, 98))
def test_two_characters_that_changed_places_are_refused(address: str, place: int) -> None:
    place %= len(address) - 1
    swapped = address[:place] + address[place + 1] + address[place] + address[place + 2 :]
    assert coins(swapped) == () or swapped == address


@given(st.integers(2, 41))
def test_a_letter_of_the_other_case_breaks_eip_55(place: int) -> None:
    address = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB"
    changed = address[:place] + address[place].swapcase() + address[place + 1 :]
    assert coins(changed) == () or changed == address


_VERSIONS = {
    b"\x00": ("BCH", "BTC"), b"\x05": ("BCH", "BTC", "LTC"), b"\x30": ("LTC",), b"\x32": ("LTC",),
    b"\x1e": ("DOGE",), b"\x16": ("DOGE",), b"\x4c": ("DASH",), b"\x10": ("DASH",), b"\x1c\xb8": ("ZEC",),
    b"\x1c\xbd": ("ZEC",), b"\x6f": (), b"\x80": (),
}  # fmt: skip


@given(st.sampled_from(sorted(_VERSIONS)), st.binary(min_size=20, max_size=20))
def test_base58_tells_the_coins_of_its_version(version: bytes, digest: bytes) -> None:
    assert coins(base58check(version + digest)) == _VERSIONS[version]


@given(st.binary(max_size=40))
def test_base58_of_another_length_is_no_address(body: bytes) -> None:
    if len(body) not in (21, 22):
        assert coins(base58check(body)) == ()


def base58check(body: bytes) -> str:
    signs = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    raw = body + hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4]
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = signs[rest] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


@given(st.text(max_size=120))
def test_any_text_is_an_address_or_none_and_never_an_error(text: str) -> None:
    assert isinstance(coins(text), tuple)


@given(st.binary(max_size=300))
def test_keccak_with_the_other_padding_is_sha3(data: bytes) -> None:
    assert keccak256(data, SHA3) == hashlib.sha3_256(data).digest() != keccak256(data, KECCAK)


def test_keccak_of_nothing() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
