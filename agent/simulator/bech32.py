"""BIP-173 addresses for the simulated pools: valid by checksum, and nobody's (their programs are random)."""

from __future__ import annotations

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate(_GENERATOR):
            check ^= term if top >> bit & 1 else 0
    return check


def p2wpkh(program: bytes, hrp: str = "bc") -> str:
    """The version 0 address of a 20-byte witness program."""
    if len(program) != 20:
        raise ValueError(f"a P2WPKH program has 20 bytes, not {len(program)}")
    number = int.from_bytes(program, "big")
    # 160 bits are 32 groups of 5 without padding; version 0 goes before them.
    payload = [0, *(number >> shift & 31 for shift in range(155, -1, -5))]
    expanded = [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]
    check = _polymod(expanded + payload + [0] * 6) ^ 1
    checksum = [check >> shift & 31 for shift in range(25, -1, -5)]
    return f"{hrp}1" + "".join(_CHARSET[value] for value in payload + checksum)
