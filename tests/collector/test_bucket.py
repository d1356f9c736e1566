"""The archive in a bucket, on an S3 server that answers over HTTP."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from collector import app, config, journal
from collector.ledger import tables
from collector.places import PlaceError, place
from tests.collector.journals import Book, shared
from tests.collector.test_archive import call, configure
from tests.ports import free_port

pytestmark = pytest.mark.skipif(
    "CI" not in os.environ and not all(map(find_spec, ("moto", "obstore", "flask_cors"))),
    reason="no S3 server, or no client for it: pip install '.[dev]'",
)
SHARED = shared()
URL = "s3://evidence/journal"
STARTED_WITHIN_S = 60


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_s = time.monotonic() + STARTED_WITHIN_S
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert child.poll() is None and time.monotonic() < until_s, "moto's server does not start"
            time.sleep(0.05)
        yield port
    finally:
        child.terminate()
        child.wait()


@pytest.fixture
def bucket(server: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket; what names it and its server."""
    at = f"http://127.0.0.1:{server}"
    urllib.request.urlopen(urllib.request.Request(f"{at}/moto-api/reset", method="POST")).close()
    urllib.request.urlopen(urllib.request.Request(f"{at}/evidence", method="PUT")).close()
    for name, value in (
        ("AWS_ENDPOINT", at), ("AWS_ALLOW_HTTP", "true"), ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    return URL


def test_a_bucket_keeps_files_whole(bucket: str) -> None:
    there = place(bucket)
    there.check()
    assert there.size("a") is None
    with pytest.raises(FileNotFoundError):
        there.read("a")
    for content in (b"x" * 20_000_000, b"another"):  # the first one goes in parts
        there.write("a", content)
        assert (there.size("a"), there.read("a")) == (len(content), content)


def test_archive_removal_verification_and_rebuild_by_url(tmp_path: Path, bucket: str) -> None:
    book = SHARED.copy(tmp_path / "state" / "journal")
    path = configure(book, f'archive = "{bucket}"\n')
    assert call(path, "rebuild").exit_code == 0
    store = app.open_store(config.load(path))
    before = tables.contents(store)
    store.close()
    assert f"{bucket}: 3 segments copied" in call(path, "archive").output
    assert f"{bucket}: 0 segments copied" in call(path, "archive").output
    done = call(path, "archive", "--remove", "--older-than", "0")
    assert (done.exit_code, "3 segments removed" in done.output) == (0, True)
    assert [file.name for file in book.segments] == ["00000004.hlj"]
    checked = json.loads(call(path, "verify", "--json").output)
    assert (checked["right"], checked["batches"], checked["archived_unchecked"]) == (True, 11, [])
    assert len(list(journal.read(book.folder))) == 11  # the manifest says where they are
    assert call(path, "rebuild").exit_code == 0
    store = app.open_store(config.load(path))
    assert tables.contents(store) == before
    store.close()


def test_harm_in_a_bucket_is_found(tmp_path: Path, bucket: str) -> None:
    book: Book = SHARED.copy(tmp_path / "state" / "journal")
    path, there = configure(book, f'archive = "{bucket}"\n'), place(bucket)
    assert call(path, "rebuild").exit_code == 0
    call(path, "archive")
    content = there.read("00000002.hlj")
    there.write("00000002.hlj", content[:-1] + bytes([content[-1] ^ 1]))
    refused = call(path, "archive", "--remove", "--older-than", "0")
    assert (refused.exit_code, "reads back otherwise than sealed" in refused.output) == (2, True)
    assert len(book.segments) == 4
    there.write("00000002.hlj", content)
    assert call(path, "archive", "--remove", "--older-than", "0").exit_code == 0
    there.write("00000002.hlj", content[:-1] + bytes([content[-1] ^ 1]))
    wrong = call(path, "verify")
    assert (wrong.exit_code, "WRONG: segment 2, offset " in wrong.output) == (1, True)


def test_a_bucket_out_of_reach_is_told(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlaceError, match="s3://nowhere"):
        place("s3://nowhere/x").write("a", b"x")
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    path = configure(SHARED.copy(tmp_path / "state" / "journal"), f'archive = "{bucket}"\n')
    result = call(path, "archive")
    assert (result.exit_code, URL in result.output) == (2, True), result.output
