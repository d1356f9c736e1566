"""A site's sweeps without a farm behind them: signed packets of so many devices, the same for the same seed.

Whole watts with the noise of a running miner, as most firmware tells them; some polls fail.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import wire
from agent.wire import Envelope, FailedPoll, Sweep

ORG, SITE, AGENT = "bench", "site", "box-1"
START_US = 1_790_812_800_000_000  # 2026-10-01T00:00:00Z
S_US = 1_000_000
# Of a farm in fair order: some 1 % of polls fail.
FAILING = 0.01


class Chain:
    """One agent's packets, one sweep each."""

    def __init__(self, devices: int, interval_s: int, seed: int = 5, failing: float = FAILING) -> None:
        self._random = np.random.default_rng(seed)
        self.devices = [self._random.bytes(16) for _ in range(devices)]
        self.interval_s = interval_s
        self._failing = failing
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(32))
        self.public_key = self._key.public_key().public_bytes_raw()
        self._power_w = self._random.normal(3400, 60, devices)
        self._hashrate_mhs = self._random.normal(200e6, 3e6, devices)
        self._seq, self._prev = 0, wire.GENESIS
        self.readings = 0  # so far

    def packets(self, sweeps: int) -> Iterator[bytes]:
        """The next packets of the chain."""
        return (self._packet(sweep) for sweep in self.sweeps(sweeps))

    def sweeps(self, count: int) -> Iterator[Sweep]:
        """The next sweeps, not packed."""
        for _ in range(count):
            sweep = self._sweep()
            self.readings += len(sweep.devices) // 16
            self._seq += 1
            yield sweep

    def _sweep(self) -> Sweep:
        random, count = self._random, len(self.devices)
        answered = random.random(count) >= self._failing
        there = np.flatnonzero(answered)
        size = len(there)
        columns = {
            "delay_ms": random.integers(0, self.interval_s * 500, size),
            "hashrate_mhs": self._hashrate_mhs[there] * random.normal(1, 0.01, size),
            "power_mw": np.round(self._power_w[there] * random.normal(1, 0.005, size)) * 1000,
            "origin": np.full(size, wire.ORIGINS.index("psu_measured")),
            "state": np.full(size, wire.STATES.index("mining")),
            "uptime_s": np.full(size, 86_400 + self._seq * self.interval_s),
            "chip_temp_dc": random.integers(600, 800, size),
            "fan_rpm": random.integers(4000, 4200, size),
            "accepted": there * 7 + self._seq * 3,
            "rejected": there % 11,
        }
        return Sweep(
            START_US + self._seq * self.interval_s * S_US,
            self.interval_s,
            b"".join(self.devices[n] for n in there.tolist()),
            {name: column.astype(f"<i{wire.COLUMNS[name][0]}").tobytes() for name, column in columns.items()},
            [
                FailedPoll(self.devices[n], "10.0.0.1", 0, "timeout", "")
                for n in np.flatnonzero(~answered).tolist()
            ],
        )

    def _packet(self, sweep: Sweep) -> bytes:
        packet, self._prev = wire.seal(
            Envelope(
                wire.VERSION, ORG, SITE, AGENT, b"s" * 16, self._seq, self._prev, sweep.started_us,
                None, "none", True, wire.pack([sweep]),
            ),
            self._key,
        )  # fmt: skip
        return packet
