"""Which coins an address can belong to: its encoding's checksum and the prefixes of each coin's main network.

Base58check; bech32 and bech32m (BIP-173, BIP-350); cashaddr (Bitcoin Cash, Kaspa); EIP-55. Coins that share
an encoding share addresses: what cannot be told apart is told as it is, all coins that it may be.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from agent.keccak import keccak256

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

# Version bytes before the 20-byte hash -> coins. Litecoin's scripts once bore bitcoin's version.
_VERSIONS: dict[bytes, tuple[str, ...]] = {
    b"\x00": ("BCH", "BTC"),
    b"\x05": ("BCH", "BTC", "LTC"),
    b"\x30": ("LTC",),
    b"\x32": ("LTC",),
    b"\x1e": ("DOGE",),
    b"\x16": ("DOGE",),
    b"\x4c": ("DASH",),
    b"\x10": ("DASH",),
    b"\x1c\xb8": ("ZEC",),  # t1
    b"\x1c\xbd": ("ZEC",),  # t3
}
_SEGWIT = {"bc": ("BTC",), "ltc": ("LTC",)}
_BECH32, _BECH32M = 1, 0x2BC830A3
# Version byte -> bytes behind it: cashaddr's hashes (also with tokens), Kaspa's keys.
_CASHADDR = {
    "bitcoincash": ("BCH", {v | size: n for v in (0, 8, 16, 24) for size, n in ((0, 20), (3, 32))}),
    "kaspa": ("KAS", {0: 32, 1: 33, 8: 32}),
}
PREFIXES = tuple(_CASHADDR)
_HEX = re.compile(r"0x[0-9a-fA-F]{40}")


@lru_cache(maxsize=4096)  # a farm has few addresses and many workers; a checksum costs more than the look-up
def coins(address: str) -> tuple[str, ...]:
    """The coins whose address this can be, in alphabetical order; none where no checksum holds.

    Hexadecimal of one case has no checksum: only its form is known.
    """
    if _HEX.fullmatch(address):
        return ("ETC", "ETH") if _holds_eip55(address[2:]) else ()
    return _of_base58(address) or _of_segwit(address) or _of_cashaddr(address)


def _of_base58(text: str) -> tuple[str, ...]:
    if not 25 <= len(text) <= 36 or not set(text) <= set(_BASE58):
        return ()
    number = 0
    for sign in text:
        number = number * 58 + _BASE58.index(sign)
    zeros = len(text) - len(text.lstrip("1"))
    raw = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    body, check = raw[:-4], raw[-4:]
    if hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4] != check:
        return ()
    return _VERSIONS.get(body[:-20], ()) if len(body) > 20 else ()


def _of_segwit(text: str) -> tuple[str, ...]:
    prefix, separator, data = text.lower().rpartition("1")
    found = _SEGWIT.get(prefix, ())
    symbols = _symbols(data)
    # One version, a program, six of checksum; never both cases in one, never above ninety.
    if not (separator and found and symbols and len(symbols) > 7 and len(text) <= 90 and _one_case(text)):
        return ()
    high_and_low = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    version, program = symbols[0], _bytes(symbols[1:-6])
    if _bech32_checksum(high_and_low + symbols) != (_BECH32M if version else _BECH32):
        return ()
    fits = program is not None and (len(program) in (20, 32) if version == 0 else 2 <= len(program) <= 40)
    return found if fits and version <= 16 else ()


def _of_cashaddr(text: str) -> tuple[str, ...]:
    """With its prefix or without: the checksum covers the prefix either way."""
    named, separator, data = text.lower().rpartition(":")
    symbols = _symbols(data)
    if not symbols or len(symbols) <= 8 or not _one_case(text):
        return ()
    for prefix, (coin, sizes) in _CASHADDR.items():
        if separator and named != prefix:
            continue
        if _cashaddr_checksum([ord(c) & 31 for c in prefix] + [0] + symbols) == 0:
            raw = _bytes(symbols[:-8])
            return (coin,) if raw and sizes.get(raw[0]) == len(raw) - 1 else ()
    return ()


def _symbols(data: str) -> list[int]:
    """The base32 values, or none where one sign is not of the alphabet."""
    found = [_BASE32.find(sign) for sign in data]
    return [] if -1 in found else found


def _one_case(text: str) -> bool:
    return text in (text.lower(), text.upper())


def _bytes(symbols: list[int]) -> bytes | None:
    """Five bits each, as bytes; None where what is left over is a whole symbol or not zero."""
    number = 0
    for symbol in symbols:
        number = number << 5 | symbol
    count, spare = divmod(5 * len(symbols), 8)
    if spare >= 5 or number & ((1 << spare) - 1):
        return None
    return (number >> spare).to_bytes(count, "big")


def _bech32_checksum(values: list[int]) -> int:
    return _polymod(values, 25, (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3))


def _cashaddr_checksum(values: list[int]) -> int:
    steps = (0x98F2BC8E61, 0x79B76D99E2, 0xF33E5FB3C4, 0xAE2EABE2A8, 0x1E4F43E470)
    return _polymod(values, 35, steps) ^ 1


def _polymod(values: list[int], shift: int, steps: tuple[int, ...]) -> int:
    """The remainder of the code's polynomial, `shift` bits below the symbol that falls out."""
    state = 1
    for value in values:
        top = state >> shift
        state = (state & ((1 << shift) - 1)) << 5 ^ value
        for bit, step in enumerate(steps):
            if top >> bit & 1:
                state ^= step
    return state


def _holds_eip55(digits: str) -> bool:
    """One case says nothing; both cases must be those of the hash."""
    if _one_case(digits):
        return True
    nibbles = keccak256(digits.lower().encode()).hex()
    return all(
        sign == (sign.upper() if nibble >= "8" else sign.lower())
        for sign, nibble in zip(digits, nibbles, strict=False)
    )
