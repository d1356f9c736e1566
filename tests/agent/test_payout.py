"""The payout address in a pool user: found where its checksum holds, never invented from an account name."""

from __future__ import annotations

import pytest

from agent.payout import payout_address

SEGWIT = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"  # BIP-173
TAPROOT = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"  # BIP-350
BASE58 = "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"


@pytest.mark.parametrize("address", [SEGWIT, TAPROOT, BASE58, SEGWIT.upper()])
def test_an_address_is_found_with_and_without_a_worker(address: str) -> None:
    assert payout_address(address) == address
    assert payout_address(f"{address}.rig7") == address


@pytest.mark.parametrize(
    "user", ["farm.rig7", "", ".", SEGWIT[:-1] + "5", TAPROOT[:-1] + "q", "BC1Q" + SEGWIT[4:]]
)
def test_what_is_no_address_is_none(user: str) -> None:
    assert payout_address(user) is None
