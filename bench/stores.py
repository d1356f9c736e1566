"""What people would put raw samples into instead, fed with the same sweeps.

Told what to do like `bench.ledger`. Everybody starts from the same packets and ends with a durable commit a
group; nothing is verified and nothing summed here. Rows go in as each documentation recommends for bulk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agent import wire
from bench import child
from bench.site import Chain

FIELDS = tuple(name for name in wire.COLUMNS if name != "delay_ms")
START_LIMIT_S = 20
POST_POINTS = 10_000  # InfluxDB's documentation: 5,000 to 10,000 points a request

Columns = dict[str, np.ndarray[Any, np.dtype[Any]]]


class Raw(Protocol):
    """A store of raw samples."""

    def put(self, group: Columns) -> None:
        """Commit a group."""


class DuckDb:
    """A table, one INSERT ... SELECT from arrays a group."""

    def __init__(self, folder: Path) -> None:
        import duckdb

        self._db = duckdb.connect(str(folder / "raw.duckdb"))
        self._db.execute("SET threads = 1")
        columns = ", ".join(f"{name} BIGINT" for name in FIELDS)
        self._db.execute(f"CREATE TABLE raw (device UINTEGER, at_us BIGINT, {columns})")

    def put(self, group: Columns) -> None:
        self._db.register("incoming", group)
        self._db.execute("INSERT INTO raw SELECT * FROM incoming")


class Sqlite:
    """A table, one executemany in a transaction a group, as durable as our own ledger."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / "raw.sqlite3", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"CREATE TABLE raw (device INTEGER, at_us INTEGER, {', '.join(FIELDS)})")

    def put(self, group: Columns) -> None:
        rows = zip(*(column.tolist() for column in group.values()), strict=True)
        self._db.execute("BEGIN")
        self._db.executemany(f"INSERT INTO raw VALUES ({', '.join('?' * (len(FIELDS) + 2))})", rows)
        self._db.execute("COMMIT")


class Influx:
    """InfluxDB 1.x on this core: line protocol over HTTP, the log fsynced with every request."""

    def __init__(self, folder: Path, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._post("/query?q=CREATE+DATABASE+raw", b"")

    def put(self, group: Columns) -> None:
        line = f"reading,device=%d {','.join(f'{name}=%di' for name in FIELDS)} %d"
        lines = [
            line % (device, *values, at_us)
            for device, at_us, *values in zip(*(column.tolist() for column in group.values()), strict=True)
        ]
        for begin in range(0, len(lines), POST_POINTS):
            body = "\n".join(lines[begin : begin + POST_POINTS])
            self._post("/write?db=raw&precision=u", body.encode())

    def _post(self, path: str, body: bytes) -> None:
        urllib.request.urlopen(
            urllib.request.Request(self._url + path, body, method="POST"), timeout=60
        ).close()


@contextlib.contextmanager
def influxd(folder: Path) -> Iterator[int]:
    """A server of its own folder and ports, on our core."""
    if (program := shutil.which("influxd")) is None:
        raise RuntimeError("influxd is not installed (apt-get install influxdb)")
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        port, other = one.getsockname()[1], two.getsockname()[1]
    config = folder / "influxdb.conf"
    config.write_text(
        f'bind-address = "127.0.0.1:{other}"\nreporting-disabled = true\n'
        f'[meta]\ndir = "{folder}/meta"\n[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\n'
        f'[http]\nbind-address = "127.0.0.1:{port}"\nlog-enabled = false\n',
        encoding="utf-8",
    )
    server = subprocess.Popen(
        [program, "run", "-config", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "GOMAXPROCS": "1"},
    )  # fmt: skip
    try:
        until_s = time.monotonic() + START_LIMIT_S
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if time.monotonic() > until_s or server.poll() is not None:
                raise RuntimeError("influxd does not start")
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=20)


@contextlib.contextmanager
def opened(name: str, folder: Path) -> Iterator[Raw]:
    """The store of this name."""
    if name == "influx":
        with influxd(folder) as port:
            yield Influx(folder, port)
    else:
        yield DuckDb(folder) if name == "duckdb" else Sqlite(folder)


def columns(packets: list[bytes], place: Mapping[bytes, int]) -> Columns:
    """The packets' readings as columns: device's number, instant, fields."""
    parts: dict[str, list[Any]] = {name: [] for name in ("device", "at_us", *FIELDS)}
    for packet in packets:
        for sweep in wire.unpack(wire.open_packet(packet).envelope.payload):
            assert isinstance(sweep, wire.Sweep)
            devices = [sweep.devices[n : n + 16] for n in range(0, len(sweep.devices), 16)]
            found = {
                name: np.frombuffer(content, f"<i{wire.COLUMNS[name][0]}").astype(np.int64)
                for name, content in sweep.columns.items()
            }
            parts["device"].append(np.array([place[device] for device in devices]))
            parts["at_us"].append(sweep.started_us + found["delay_ms"] * 1000)
            for name in FIELDS:
                parts[name].append(found[name])
    return {name: np.concatenate(part) for name, part in parts.items()}


async def serve(settings: dict[str, Any]) -> None:
    """Do what is asked, line by line, until the lines end."""
    chain = Chain(settings["devices"], settings["interval_s"])
    place = {device: number for number, device in enumerate(chain.devices)}
    with (
        tempfile.TemporaryDirectory(prefix="hashledger-bench-") as folder,
        opened(settings["store"], Path(folder)) as raw,
    ):
        async for asked in child.requests():
            told: dict[str, Any] = {"readings": 0, "wall_s": 0.0, "cpu_s": 0.0, "rss_mib": []}
            for begin in range(0, asked["sweeps"], asked["group"]):
                packets = list(chain.packets(min(asked["group"], asked["sweeps"] - begin)))
                with child.measured() as spent:
                    raw.put(columns(packets, place))
                for name in ("wall_s", "cpu_s"):
                    told[name] += spent[name]
                told["rss_mib"].append(spent["rss_mib"])
            told["readings"] = chain.readings
            child.tell(told)


if __name__ == "__main__":
    asyncio.run(serve(child.settings()))
