"""A disk of a few MiB, and sweeps to fill it with."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import depth, wire
from agent.spool import Author, Spool
from tests.collector.support import ORG

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
AUTHOR = Author(ORG, "site", "agent-1", KEY, synthetic=True, clock_source="simulated")
MIB = 1024 * 1024
INTERVAL_S = 60
# 2026-09-01 00:00 UTC, a half-hour's begin.
T0_US = 1_788_220_800_000_000


@contextmanager
def small_disk(folder: Path, size_mib: int) -> Iterator[Path]:
    """A tmpfs of that size at `folder`; skips where nobody may mount one."""
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs of a few MiB needs root")
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(folder: Path) -> Path:
    """A file that takes all that is left of the disk; delete it to free the disk."""
    ballast = folder / "somebody-elses.log"
    with ballast.open("ab", buffering=0) as file:
        for chunk in (MIB, 4096, 1):
            try:
                while file.write(bytes(chunk)) == chunk:
                    pass
            except OSError:
                pass
    assert depth.free_bytes(folder) == 0
    return ballast


def sweep(number: int, devices: int = 100, power_w: float | None = None) -> wire.Sweep:
    """The number-th sweep, a minute after the one before; its columns hardly compress."""
    rng = random.Random(number)
    columns = {name: rng.randbytes(devices * width) for name, (width, _) in wire.COLUMNS.items()}
    columns["delay_ms"] = wire.column("delay_ms", [0] * devices)
    if power_w is not None:
        columns |= {name: wire.column(name, [None] * devices) for name in ("uptime_s", "hashrate_mhs")}
        columns["power_mw"] = wire.column("power_mw", [power_w] * devices)
        columns["origin"] = wire.column("origin", [wire.ORIGINS.index("psu_measured")] * devices)
        columns["state"] = wire.column("state", [1] * devices)
    ids = b"".join(random.Random(n).randbytes(16) for n in range(devices))
    return wire.Sweep(at_us(number), INTERVAL_S, ids, columns, [])


def at_us(number: int) -> int:
    return T0_US + number * INTERVAL_S * 1_000_000


def event(number: int) -> wire.Event:
    return wire.Event(at_us(number), "test", detail={"number": str(number)})


def packets(spool: Spool) -> list[wire.Packet]:
    return [wire.open_packet(packet) for _, packet in spool.packets(1, 1_000_000)]


def records(spool: Spool) -> list[wire.Record]:
    return [record for packet in packets(spool) for record in packet.records]


def sweeps(spool: Spool) -> list[wire.Sweep]:
    return [record for record in records(spool) if isinstance(record, wire.Sweep)]


def events(spool: Spool, kind: str) -> list[wire.Event]:
    return [record for record in records(spool) if isinstance(record, wire.Event) and record.kind == kind]
