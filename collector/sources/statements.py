"""A pool's statement as CSV: read strictly, or rejected whole with every mistake named."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from collector.ledger.coins import CoinEntry
from reporting import bitcoin_address
from reporting.facts import AddressKind

COLUMNS = (
    "external_id", "received_at", "coin", "amount", "address", "address_kind", "pool", "network", "txid",
)  # fmt: skip
# Decimal places of a coin's base unit.
PLACES = {"BTC": 8, "BCH": 8, "LTC": 8, "DOGE": 8, "DASH": 8, "ZEC": 8, "KAS": 8}
# The ledger's integers have 64 bits.
AMOUNT_MAX = 2**63 - 1
# A statement of a year of daily payouts of a hundred accounts is some 5 MB.
STATEMENT_BYTES = 64 * 1024 * 1024
# Enough to see the kind of mistake; a wrong separator would give one for each row.
PROBLEMS_SHOWN = 20

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BITCOIN_GENESIS = datetime(2009, 1, 3, tzinfo=UTC)


class StatementError(Exception):
    """The statement is rejected as a whole; `problems` names rows and columns and what would be right."""

    def __init__(self, problems: list[str]) -> None:
        shown = problems[:PROBLEMS_SHOWN]
        more = [f"... and {len(problems) - len(shown)} more"] if len(problems) > len(shown) else []
        super().__init__("\n".join([*shown, *more]))
        self.problems = problems


def parse(content: bytes, now_us: int) -> list[CoinEntry]:
    """The entries of a statement, in its order; StatementError with every mistake in it."""
    rows = _table(content)
    header = rows[0] if rows else []
    missing = [name for name in COLUMNS if name not in header]
    extra = [name for name in header if name not in COLUMNS]
    if missing or extra or len(header) != len(COLUMNS):
        raise StatementError(
            [
                f"columns: missing {', '.join(missing) or 'none'}; unknown {', '.join(extra) or 'none'}; "
                f"each of these once: {','.join(COLUMNS)}"
            ]
        )
    problems: list[str] = []
    entries: list[CoinEntry] = []
    seen: dict[str, int] = {}
    for n, cells in enumerate(rows[1:], start=2):
        if len(cells) != len(header):
            problems.append(f"row {n}: {len(cells)} cells; the header has {len(header)}")
            continue
        entry, wrong = _entry(n, dict(zip(header, cells, strict=True)), now_us)
        if entry is not None and entry.external_id in seen:
            wrong = [f"row {n}, external_id: {entry.external_id} is in row {seen[entry.external_id]} already"]
        problems += wrong
        if entry is not None:
            seen[entry.external_id] = n
            entries.append(entry)
    if problems:
        raise StatementError(problems)
    return entries


def _table(content: bytes) -> list[list[str]]:
    if len(content) > STATEMENT_BYTES:
        raise StatementError([f"{len(content)} bytes; a statement of up to {STATEMENT_BYTES} is taken"])
    try:
        text = content.decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise StatementError([f"byte {error.start} is not UTF-8: save the file as UTF-8"]) from error
    except csv.Error as error:
        raise StatementError([f"not CSV: {error}"]) from error


def _entry(row: int, cells: dict[str, str], now_us: int) -> tuple[CoinEntry | None, list[str]]:
    problems: list[str] = []

    def take(name: str, read: Callable[[str], Any]) -> Any:
        try:
            return read(cells[name])
        except ValueError as error:
            problems.append(f"row {row}, {name}: {cells[name]!r}; {error}")
            return None

    coin = take("coin", _coin)
    values: dict[str, Any] = {
        "row": row,
        "external_id": take("external_id", _some),
        "received_us": take("received_at", lambda text: _instant(text, now_us)),
        "coin": coin,
        "amount": take("amount", lambda text: _amount(text, PLACES[coin])) if coin else None,
        "address_kind": take("address_kind", _address_kind),
        "pool": take("pool", _maybe),
        "network": take("network", _maybe),
        "txid": take("txid", _txid),
    }
    onchain = coin == "BTC" and values["address_kind"] is AddressKind.ONCHAIN
    values["address"] = take("address", _bitcoin_address if onchain else _some)
    return (None, problems) if problems else (CoinEntry(**values), [])


def _some(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable():
        raise ValueError("must be there, without blanks around it")
    return text


def _maybe(text: str) -> str | None:
    return _some(text) if text else None


def _coin(text: str) -> str:
    if text not in PLACES:
        raise ValueError(f"one of {', '.join(PLACES)}")
    return text


def _instant(text: str, now_us: int) -> int:
    right = "an ISO 8601 instant with its offset, such as 2026-09-30T21:15:00+03:00"
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(right) from error
    if instant.tzinfo is None:
        raise ValueError(f"has no offset from UTC; {right}")
    if instant < _BITCOIN_GENESIS:
        raise ValueError("is before there was any coin")
    instant_us = (instant - _EPOCH) // timedelta(microseconds=1)
    if instant_us > now_us + 86_400_000_000:
        raise ValueError("is in the future")
    return instant_us


def _amount(text: str, places: int) -> int:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError(
            "a decimal number with a point, no sign, exponent or thousands separator: 0.01234567"
        )
    whole, _, fraction = text.partition(".")
    if len(fraction) > places:
        raise ValueError(f"{len(fraction)} decimal places; this coin has {places}")
    amount = int(whole + fraction.ljust(places, "0"))
    if not 0 < amount <= AMOUNT_MAX:
        raise ValueError("more than 0, and such that 64 bits hold it in base units")
    return amount


def _address_kind(text: str) -> AddressKind:
    if text not in list(AddressKind):
        raise ValueError(f"one of {', '.join(AddressKind)}")
    return AddressKind(text)


def _txid(text: str) -> str | None:
    if text and not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise ValueError("64 hex digits, or empty")
    return text.lower() or None


def _bitcoin_address(text: str) -> str:
    if not bitcoin_address.is_valid(_some(text)):
        raise ValueError("no valid bitcoin address (its checksum does not hold)")
    return text
