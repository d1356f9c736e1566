"""Bitcoin payout addresses: base58, bech32 and bech32m (taproot), by their checksums."""

from __future__ import annotations

from stdnum import bitcoin

# BIP-350: the checksum of witness versions 1 and up (taproot), which python-stdnum takes for a wrong bech32.
_BECH32M = 0x2BC830A3
_BECH32_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_HRP_EXPANDED = [3, 3, 0, 2, 3]  # "bc"


def is_valid(address: str) -> bool:
    """True when an address of bitcoin's main network has a good checksum."""
    lowered = address.lower()
    if not lowered.startswith("bc1"):
        return bool(bitcoin.is_valid(address))
    if address not in (lowered, address.upper()):
        return False  # BIP-173: never both cases in one
    if lowered.startswith("bc1q"):
        return bool(bitcoin.is_valid(lowered))
    values = [_BECH32_ALPHABET.find(letter) for letter in lowered[3:]]
    fits = -1 not in values and 11 <= len(address) <= 90
    return fits and int(bitcoin.bech32_checksum(_HRP_EXPANDED + values)) == _BECH32M
