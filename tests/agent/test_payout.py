"""The payout address in a pool user: found where its checksum holds, never invented from an account name."""

from __future__ import annotations

import pytest

from agent.payout import payee

SEGWIT = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"  # BIP-173
TAPROOT = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"  # BIP-350
BASE58 = "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"


@pytest.mark.parametrize("address", [SEGWIT, TAPROOT, BASE58, SEGWIT.upper()])
def test_an_address_is_found_with_and_without_a_worker(address: str) -> None:
    assert payee(address).address == address
    assert payee(f"{address}.rig7").address == address


@pytest.mark.parametrize(
    "user", ["farm.rig7", "", ".", SEGWIT[:-1] + "5", TAPROOT[:-1] + "q", "BC1Q" + SEGWIT[4:]]
)
def test_what_is_no_address_is_none(user: str) -> None:
    assert payee(user).address is None


CASH = "bitcoincash:qr6m7j9njldwwzlg9v7v53unlr4jkmx6eylep8ekg2"
KASPA = "kaspa:qpauqsvk7yf9unexwmxsnmg547mhyga37csh0kj53q6xxgl24ydxjsgzthw5j"
DOGE = "DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L"
ETHER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.mark.parametrize(
    ("user", "address", "coins", "worker"),
    [
        (f"{BASE58}.rig7", BASE58, ("BCH", "BTC"), "rig7"),
        (f"{BASE58}+1024", BASE58, ("BCH", "BTC"), "+1024"),
        (f"{BASE58}/1024+8", BASE58, ("BCH", "BTC"), "/1024+8"),
        (f"{SEGWIT}_rig7", SEGWIT, ("BTC",), "_rig7"),
        (f"BTC:{BASE58}.rig7", BASE58, ("BTC",), "rig7"),
        (f"bch:{BASE58}", BASE58, ("BCH",), ""),
        (f"DOGE:{DOGE}.rig7#abcd-1234", DOGE, ("DOGE",), "rig7#abcd-1234"),
        (f"solo:{CASH}.rig7", CASH, ("BCH",), "rig7"),
        (f"{CASH}.rig7", CASH, ("BCH",), "rig7"),
        (f"{CASH[12:]}.rig7", CASH[12:], ("BCH",), "rig7"),
        (f"{KASPA}.rig7", KASPA, ("KAS",), "rig7"),
        (f"{ETHER}.rig7", ETHER, ("ETC", "ETH"), "rig7"),
        (f"ETC:{ETHER}.rig7", ETHER, ("ETC",), "rig7"),
        (f"SHIB:{ETHER}.rig7", ETHER, (), "rig7"),  # a coin that the table does not know
        (f"{BASE58}:x", BASE58, ("BCH", "BTC"), ":x"),
    ],
)
def test_the_coins_are_those_that_are_known_and_no_guess(
    user: str, address: str, coins: tuple[str, ...], worker: str
) -> None:
    assert payee(user) == (address, worker, address, coins)


@pytest.mark.parametrize("user", [f"LTC:{BASE58}", f"BTC:{DOGE}.1", f"DOGE:{SEGWIT}"])
def test_an_address_of_another_coin_than_it_is_said_to_be_is_none(user: str) -> None:
    assert payee(user).address is None


@pytest.mark.parametrize(
    ("user", "account", "worker"),
    [
        ("farm.rig7", "farm", "rig7"),
        ("farm", "farm", ""),
        ("a_b.c.d", "a_b", "c.d"),
        ("x@y.example", "x@y", "example"),
    ],
)
def test_an_account_ends_at_the_first_dot(user: str, account: str, worker: str) -> None:
    assert payee(user) == (account, worker, None, ())
