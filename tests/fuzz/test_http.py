"""Whatever is said to the metrics' ports, and whoever says nothing, the next scrape gets its answer."""

from __future__ import annotations

import contextlib
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import agent.exporter
from agent.exporter import Exporter
from agent.spool import Author, Spool
from collector.export import metrics as m
from collector.export import prometheus
from tests.fuzz import EXAMPLES
from tests.fuzz.mutate import mutated
from tests.ports import free_port

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nContent-Length: 3\r\n\r\nabc"
PATIENCE_S = 0.05


@pytest.fixture(scope="module", params=["agent", "collector"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patch:
        for room in (agent.exporter, prometheus):
            patch.setattr(room._Quiet, "timeout", PATIENCE_S)
        if request.param == "agent":
            folder: Path = tmp_path_factory.mktemp("spool")
            author = Author("org", "site", "agent-1", Ed25519PrivateKey.generate(), True, "simulated")
            spool = Spool(folder / "spool.db", author)
            server = Exporter(("org", "site", "agent-1"), spool, True, 60).serve("127.0.0.1", 0)
            yield server.server_address[1]
            server.shutdown()
            server.server_close()
            spool.close()
        else:
            free = free_port()
            stop = prometheus.serve("127.0.0.1", free, lambda: [(m.CONNECTED, (), 1.0)])
            yield free
            stop()


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        text: str = reply.read().decode()
    return text


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(junk=mutated(REQUEST) | st.binary(max_size=200))
def test_no_request_keeps_the_next_scrape_from_its_answer(port: int, junk: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as talk:
        with contextlib.suppress(OSError):  # it may hang up on junk before all is said
            talk.sendall(junk)
            talk.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while talk.recv(65_536):
                pass
    assert "hashledger" in scrape(port)


def test_who_connects_and_says_nothing_is_hung_up_on(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as talk:
        assert "hashledger" in scrape(port)
        assert talk.recv(1) == b""
