"""Statements: read exactly, or rejected whole with every mistake named."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector import imports
from collector.ledger import tables
from collector.ledger.coins import CoinConflict, CoinEntry
from collector.sources.statements import PROBLEMS_SHOWN, StatementError, parse
from collector.store import Store
from reporting.facts import AddressKind
from tests.collector.databases import ledger_url
from tests.collector.support import ORG, SITE, T0

pytestmark = pytest.mark.usefixtures("both_stores")

HEADER = "external_id,received_at,coin,amount,address,address_kind,pool,network,txid"
ADDRESS = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"
GOOD = f"e1,2026-09-30T21:15:00.000001+03:00,BTC,0.01234567,{ADDRESS},onchain,Ocean,bitcoin,"
TAPROOT = "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"


def statement(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def changed(column: str, value: str, row: str = GOOD) -> str:
    cells = row.split(",")
    cells[HEADER.split(",").index(column)] = value
    return ",".join(cells)


def problems(content: bytes) -> list[str]:
    with pytest.raises(StatementError) as caught:
        parse(content, T0)
    return caught.value.problems


def test_read_exactly() -> None:
    assert parse(statement(GOOD), T0) == [
        CoinEntry(
            row=2, external_id="e1", received_us=1_790_792_100_000_001, coin="BTC", amount=1_234_567,
            address=ADDRESS, address_kind=AddressKind.ONCHAIN,
            pool="Ocean", network="bitcoin", txid=None,
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount", "21"), ("amount", "0.00000001"), ("address", TAPROOT), ("address", TAPROOT.upper()),
        ("address", "1NEDqZPvTWRaoho48qXuLLsrYomMXPABfD"), ("received_at", "2026-09-30T18:15:00Z"),
        ("txid", "ab" * 32),
    ],
)  # fmt: skip
def test_accepted(column: str, value: str) -> None:
    assert len(parse(statement(changed(column, value)), T0)) == 1


def test_account_of_a_pool_needs_no_checksum() -> None:
    row = changed("address_kind", "pool_account", changed("address", "farm.north"))
    assert parse(statement(row), T0)[0].address == "farm.north"


@pytest.mark.parametrize(
    ("column", "value", "right"),
    [
        ("amount", "0.123456789", "9 decimal places; this coin has 8"),
        ("amount", "-1", "no sign"),
        ("amount", "1e-3", "exponent"),
        ("amount", '"1,000.5"', "thousands separator"),
        ("amount", "1 000", "thousands separator"),
        ("amount", ".5", "0.01234567"),
        ("amount", "٣", "0.01234567"),
        ("amount", "0", "more than 0"),
        ("amount", "99999999999999999999", "64 bits"),
        ("received_at", "2026-09-30T21:15:00", "has no offset"),
        ("received_at", "30.09.2026", "ISO 8601"),
        ("received_at", "2036-09-30T21:15:00Z", "future"),
        ("received_at", "1999-09-30T21:15:00Z", "before there was any coin"),
        ("coin", "btc", "one of BTC"),
        ("address_kind", "wallet", "one of onchain, pool_account, depositary"),
        ("address", ADDRESS[:-1] + "x", "no valid bitcoin address"),
        ("address", TAPROOT[:-1] + "q", "no valid bitcoin address"),
        ("address", "", "must be there"),
        ("external_id", "", "must be there"),
        ("external_id", " e1", "without blanks"),
        ("txid", "xyz", "64 hex digits"),
    ],
)
def test_mistake_names_row_column_and_what_would_be_right(column: str, value: str, right: str) -> None:
    found = problems(statement(changed("external_id", "e2"), changed(column, value)))
    assert len(found) == 1
    assert f", {column}: " in found[0]
    assert right in found[0]


def test_columns_are_named() -> None:
    (problem,) = problems(statement(GOOD, header=HEADER.replace("amount", "sum")))
    assert "missing amount" in problem
    assert "unknown sum" in problem
    assert "missing" in problems(b"")[0]


def test_all_mistakes_at_once_and_twenty_shown() -> None:
    rows = [changed("external_id", f"e{n}", changed("amount", "x")) for n in range(30)]
    with pytest.raises(StatementError) as caught:
        parse(statement(*rows), T0)
    assert len(caught.value.problems) == 30
    assert str(caught.value).count("row ") == PROBLEMS_SHOWN
    assert "and 10 more" in str(caught.value)


def test_broken_rows_and_bytes() -> None:
    assert "8 cells" in problems(statement(GOOD.removesuffix(",")))[0]
    assert "in row 2 already" in problems(statement(GOOD, GOOD))[0]
    assert "not UTF-8" in problems(b"\xff\xfe")[0]
    assert "not CSV" in problems(statement('"unclosed'))[0]


class Book:
    """A ledger and its kept statements."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store.open(ledger_url(folder / "ledger.sqlite3"))

    def add(self, content: bytes, source: str = "ocean", synthetic: bool = False) -> tuple[int, int]:
        path = self.folder / "statement.csv"
        path.write_bytes(content)
        return imports.import_statement(
            self.store, ORG, self.folder / "statements",
            site=SITE, source=source, path=path, synthetic=synthetic, now_us=T0,
        )  # fmt: skip

    def rows(self) -> dict[str, int]:
        content = tables.contents(self.store)
        return {name: len(content[name]) for name in ("coin_entry", "statement")}


def test_idempotent_and_rebuilt(tmp_path: Path) -> None:
    book = Book(tmp_path)
    second = changed("external_id", "e2")
    assert book.add(statement(GOOD)) == (1, 0)
    assert book.add(statement(GOOD)) == (0, 1)
    assert book.add(statement(GOOD, second), synthetic=True) == (1, 1)
    assert book.add(statement(GOOD), source="other") == (1, 0)
    assert book.rows() == {"coin_entry": 3, "statement": 3}
    again = Store.open(ledger_url(tmp_path / "again.sqlite3"))
    imports.replay(again, ORG, tmp_path / "statements")
    imports.replay(again, ORG, tmp_path / "statements")
    assert tables.contents(again) == tables.contents(book.store)


def test_other_content_of_a_known_entry_rejects_the_whole(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.add(statement(GOOD))
    before = tables.contents(book.store)
    with pytest.raises(CoinConflict) as caught:
        book.add(statement(changed("external_id", "e9"), changed("amount", "0.5")))
    assert caught.value.problems == ["row 3, amount: the ledger has e1 with 1234567, here 50000000"]
    assert tables.contents(book.store) == before
    assert len(list((tmp_path / "statements").glob("*.csv"))) == 1


def test_malformed_statement_stores_nothing(tmp_path: Path) -> None:
    book = Book(tmp_path)
    with pytest.raises(StatementError):
        book.add(statement(GOOD, changed("external_id", "e2", changed("amount", "-1"))))
    assert book.rows() == {"coin_entry": 0, "statement": 0}
    assert not (tmp_path / "statements").exists()
