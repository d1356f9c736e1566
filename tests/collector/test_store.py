"""The store, on SQLite and on PostgreSQL: snapshots, one writer, one collector, drafts."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from collector.store import Store, StoreError, draft, engines, schema, upsert
from tests.collector.databases import ledger_url

pytestmark = pytest.mark.usefixtures("both_stores")


def point(offset: int, org: str = "acme") -> dict[str, object]:
    return {"org": org, "segment": 1, "offset": offset}


def offset_of(store: Store) -> int | None:
    with store.read() as connection:
        found = connection.execute(select(schema.checkpoint.c.offset)).scalar_one_or_none()
        return None if found is None else int(found)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(ledger_url(tmp_path / "ledger"))
    with store.write() as connection:
        upsert(connection, schema.checkpoint, [point(1)])
    return store


def test_a_snapshot_stays_as_it_was(store: Store) -> None:
    query = select(schema.checkpoint.c.offset)
    with store.read() as connection:
        assert connection.execute(query).scalar_one() == 1
        with store.write() as writer:
            upsert(writer, schema.checkpoint, [point(2)])
        assert connection.execute(query).scalar_one() == 1
    assert offset_of(store) == 2


def test_writers_wait_for_each_other_and_see_what_was_written(store: Store) -> None:
    """Read, then write: were two of them at it at once, one count would be lost."""

    def count() -> None:
        for _ in range(5):
            with store.write() as connection:
                before = connection.execute(select(schema.checkpoint.c.offset)).scalar_one()
                time.sleep(0.002)
                upsert(connection, schema.checkpoint, [point(before + 1)])

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert offset_of(store) == 21


def test_a_write_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), store.write() as connection:
        upsert(connection, schema.checkpoint, [point(9)])
        raise RuntimeError
    assert offset_of(store) == 1


def test_a_draft_takes_the_ledgers_place_whole_or_not_at_all(store: Store) -> None:
    url = store.engine.url
    with pytest.raises(RuntimeError), draft(url) as other:
        with other.write() as connection:
            upsert(connection, schema.checkpoint, [point(5)])
        raise RuntimeError
    assert offset_of(store) == 1
    with draft(url) as other:
        assert offset_of(other) is None
        with other.write() as connection:
            upsert(connection, schema.checkpoint, [point(7)])
        assert offset_of(store) == 1
    store.close()
    store = Store.open(url)
    assert offset_of(store) == 7
    with draft(url):
        pass
    store.close()
    assert offset_of(Store.open(url)) is None


def test_text_is_kept_and_sorted_alike(store: Store) -> None:
    with store.write() as connection:
        upsert(connection, schema.checkpoint, [point(0, org) for org in ("b", "B", "a", "é", "-", "a\0")])
    with store.read() as connection:
        names = connection.execute(
            select(schema.checkpoint.c.org).order_by(schema.checkpoint.c.org)
        ).scalars()
        assert list(names) == ["-", "B", "a", "acme", "a\ufffd", "b", "é"]
        assert connection.execute(select(func.max(schema.checkpoint.c.org))).scalar_one() == "é"


def test_json_keeps_what_json_has_and_no_more(store: Store) -> None:
    key = {
        "org": "o",
        "site": "s",
        "agent": "a",
        "seq": 1,
        "ordinal": 0,
        "at_us": 0,
        "source": "x",
        "kind": "k",
    }
    detail = {"text": 'a\0"é\n', "none": None, "nan": float("nan")}
    with store.write() as connection:
        upsert(connection, schema.event, [key | {"detail": detail, "device": None}])
    with store.read() as connection:
        kept = connection.execute(select(schema.event.c.detail)).scalar_one()
    assert kept == detail | {"nan": None}


def test_one_collector_folds_into_a_ledger(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "CLAIM_WAIT_S", 0.0)
    other = Store.open(store.engine.url)
    if store.engine.dialect.name == "sqlite":  # the journal's lock holds, in the same folder
        with store.claimed(), other.claimed():
            return
    with store.claimed():
        with pytest.raises(StoreError, match="in use by another collector"), other.claimed():
            pass
        assert offset_of(other) == 1  # reading is everybody's
    with other.claimed():
        pass
