"""Whom a pool user pays: an address with its coins, or an account; and the worker behind it.

`address.worker`, `account.worker`, `address+difficulty`, `coin:address.worker#code` and the like: an address
ends at the first sign that no address holds, an account at the first dot.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from agent import coin_address

_TOKEN = re.compile(rf"(?:(?:{'|'.join(coin_address.PREFIXES)}):)?[0-9a-z]+", re.IGNORECASE)
# What pools let a miner write before an address and what the table of coins knows of it.
_SYMBOLS = frozenset({"BTC", "BCH", "LTC", "DOGE", "DASH", "ZEC", "KAS", "ETC", "ETH"})
_MODES = frozenset({"SOLO", "PPLNS", "PPS", "FPPS"})  # how is paid, not what


class Payee(NamedTuple):
    """`account`: the address or the account's name; `coins`: all that the address may belong to."""

    account: str
    worker: str
    address: str | None = None
    coins: tuple[str, ...] = ()


def payee(user: str) -> Payee:
    """Who is paid by this pool user. A coin that nobody here knows leaves `coins` empty."""
    text = user.strip()
    named, colon, rest = text.partition(":")
    for coin, body in (("", text), *([(named.upper(), rest)] if colon else [])):
        token = _TOKEN.match(body)
        if token and (found := coin_address.coins(token[0])):
            if coin in _SYMBOLS:
                if coin not in found:
                    break  # an address, but not of the coin that it is said to be
                found = (coin,)
            elif coin and coin not in _MODES:
                found = ()
            return Payee(token[0], body[token.end() :].lstrip("."), token[0], found)
    account, _, worker = text.partition(".")
    return Payee(account, worker)
