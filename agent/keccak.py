"""Keccak-256, the hash of Ethereum's addresses; hashlib has only SHA-3, which pads otherwise."""

from __future__ import annotations

RATE_BYTES = 136  # of a state of 200: the other 64 are twice the digest
KECCAK, SHA3 = 0x01, 0x06  # the first byte of the padding is all that the two differ in
_MASK = (1 << 64) - 1


def _constants() -> list[int]:
    """The constants of the 24 rounds, by their shift register."""
    found, register = [], 1
    for _ in range(24):
        constant = 0
        for bit in range(7):
            if register & 1:
                constant |= 1 << ((1 << bit) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        found.append(constant)
    return found


_ROUNDS = _constants()


def keccak256(data: bytes, padding: int = KECCAK) -> bytes:
    """The 32 bytes; with the other padding they are SHA3-256's."""
    padded = bytearray(data + bytes(RATE_BYTES - len(data) % RATE_BYTES))
    padded[len(data)] ^= padding
    padded[-1] ^= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), RATE_BYTES):
        block = padded[start : start + RATE_BYTES]
        for n in range(RATE_BYTES // 8):
            lanes[n] ^= int.from_bytes(block[8 * n : 8 * n + 8], "little")
        lanes = _permuted(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


def _permuted(a: list[int]) -> list[int]:
    for constant in _ROUNDS:
        columns = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        parity = [columns[x - 1] ^ _turned(columns[(x + 1) % 5], 1) for x in range(5)]
        a = [lane ^ parity[n % 5] for n, lane in enumerate(a)]
        x, y, moving = 1, 0, a[1]
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            place = x + 5 * y
            a[place], moving = _turned(moving, (step + 1) * (step + 2) // 2), a[place]
        a = [
            a[5 * y + x] ^ (~a[5 * y + (x + 1) % 5] & a[5 * y + (x + 2) % 5])
            for y in range(5)
            for x in range(5)
        ]
        a[0] ^= constant
    return a


def _turned(lane: int, bits: int) -> int:
    bits %= 64
    return ((lane << bits) | (lane >> (64 - bits))) & _MASK
