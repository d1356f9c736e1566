"""The agent's HTTP endpoint: /metrics for Prometheus, /healthz and /readyz for whoever supervises it.

Labels hold no payout address and no pool user: those are confidential. Ages instead of vanishing series.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric

from agent.intake import Pressure
from agent.readings import Failure
from agent.spool import Spool
from agent.sweep import Outcome

# name -> (help, labels): the contract with dashboards.
METRICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "hashledger_agent_up": ("1 while the agent runs", ("org", "site", "agent")),
    "hashledger_agent_sweep_age_seconds": ("Time since the last sweep ended", ()),
    "hashledger_agent_sweep_duration_seconds": ("How long the last sweep took", ()),
    "hashledger_agent_devices": ("Devices polled in the last sweep, by result", ("result",)),
    "hashledger_agent_hashrate_hashes_per_second": ("Sum over devices that told a hashrate", ()),
    "hashledger_agent_power_watts": ("Sum over devices that told a power, by origin", ("origin",)),
    "hashledger_agent_spool_waiting_batches": ("Batches not yet confirmed by the collector", ()),
    "hashledger_agent_spool_oldest_waiting_age_seconds": ("Age of the oldest unconfirmed batch", ()),
    "hashledger_agent_spool_bytes": ("Size of the spool on disk", ()),
    "hashledger_agent_spool_limit_bytes": ("Room for batches: the budget, or what the disk still has", ()),
    "hashledger_agent_spool_waiting_bytes": ("Bytes not yet confirmed by the collector", ()),
    "hashledger_agent_spool_one_sweep_in": ("1 while every sweep is stored, 2 for every second one, ...", ()),
    "hashledger_agent_spool_held_records": ("Records in memory because the spool cannot be written", ()),
    "hashledger_agent_spool_thinned_sweeps": ("Sweeps left out for want of room since the start", ()),
    "hashledger_agent_broker_connected": ("1 while connected to the broker", ()),
    "hashledger_agent_refused_words": ("Messages in the collector's name that it has not signed", ()),
    "hashledger_agent_unexpected_pool_devices": ("Devices with a pool that is not on the list", ()),
    "hashledger_agent_device_hashrate_hashes_per_second": ("Hashrate of a device", ("address", "model")),
    "hashledger_agent_device_power_watts": ("Power of a device", ("address", "model", "origin")),
    "hashledger_agent_device_chip_temperature_celsius": ("Hottest chip of a device", ("address", "model")),
    "hashledger_agent_device_state": (
        "1 for what a device's last poll brought: its state, or the kind of the failure",
        ("address", "model", "result", "state"),
    ),
    "hashledger_agent_device_reading_age_seconds": (
        "Time since a device was last read",
        ("address", "model"),
    ),
}


class Seen(NamedTuple):
    """What the last poll of one address brought: little, so that a sweep's readings need not be kept."""

    address: str
    model: str  # as last read in full
    result: str  # "reading", or the kind of the failure
    state: str = ""
    hashrate_hs: float | None = None
    power_w: float | None = None
    origin: str = ""
    chip_temp_c: float | None = None
    read_s: float | None = None  # monotonic, of its last reading


@dataclass(slots=True)
class Snapshot:
    """What the exporter shows; the sweep loop replaces it."""

    ended_s: float | None = None  # monotonic
    duration_s: float = 0.0
    seen: list[Seen] = field(default_factory=list)
    connected: bool = False
    unexpected_pools: int = 0
    refused_words: int = 0
    pressure: Pressure = field(default_factory=Pressure)


def seen(outcome: Outcome, model: str, now_s: float, before_s: float | None) -> Seen:
    """A row for one outcome; `before_s` is when its address was last read before this."""
    r = outcome.result
    if isinstance(r, Failure):
        return Seen(outcome.address, model, str(r.kind), read_s=before_s)
    return Seen(
        outcome.address, model, "reading", str(r.state), r.hashrate_hs, r.power_w, str(r.power_origin or ""),
        max(r.chip_temps_c, default=None), now_s,
    )  # fmt: skip


class Exporter:
    """A prometheus_client collector over the current snapshot."""

    def __init__(self, labels: tuple[str, str, str], spool: Spool, per_device: bool, interval_s: int) -> None:
        self._labels = labels
        self._spool = spool
        self._per_device = per_device
        self._interval_s = interval_s
        self.snapshot = Snapshot()

    def serve(self, host: str, port: int) -> WSGIServer:
        """Serve in a thread of its own; OSError if the port is taken."""
        registry = CollectorRegistry()
        registry.register(self)
        metrics = make_wsgi_app(registry)

        def route(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                shown: Iterable[bytes] = metrics(environ, start)
                return shown
            status, text = "200 OK", "ok"
            if path == "/readyz" and (text := self.not_ready() or "ok") != "ok":
                status = "503 Service Unavailable"
            elif path not in ("/healthz", "/readyz"):
                status, text = "404 Not Found", "no such page"
            start(status, [("Content-Type", "text/plain; charset=utf-8")])
            return [text.encode() + b"\n"]

        server = make_server(host, port, route, _Server, _Quiet)
        threading.Thread(target=server.serve_forever, name="exporter", daemon=True).start()
        return server

    def not_ready(self) -> str:
        """Why the agent does not do its work right now; empty if it does."""
        snapshot = self.snapshot
        if snapshot.ended_s is None:
            return "no sweep has ended yet"
        age_s = time.monotonic() - snapshot.ended_s
        # Three intervals: what the ledger bridges without a gap.
        if age_s > 3 * self._interval_s:
            return f"the last sweep ended {age_s:.0f} s ago; the interval is {self._interval_s} s"
        return snapshot.pressure.trouble

    def collect(self) -> Iterator[Metric]:
        snapshot = self.snapshot
        yield _gauge("hashledger_agent_up", {self._labels: 1})
        if snapshot.ended_s is not None:
            yield _gauge("hashledger_agent_sweep_age_seconds", {(): time.monotonic() - snapshot.ended_s})
            yield _gauge("hashledger_agent_sweep_duration_seconds", {(): snapshot.duration_s})
        depth = self._spool.depth()
        yield _gauge("hashledger_agent_spool_waiting_batches", {(): depth.waiting})
        oldest_us = depth.oldest_waiting_us
        age_s = 0.0 if oldest_us is None else max(0.0, time.time() - oldest_us / 1e6)
        yield _gauge("hashledger_agent_spool_oldest_waiting_age_seconds", {(): age_s})
        yield _gauge("hashledger_agent_spool_bytes", {(): depth.size_bytes})
        yield _gauge("hashledger_agent_spool_limit_bytes", {(): depth.limit_bytes})
        yield _gauge("hashledger_agent_spool_waiting_bytes", {(): depth.waiting_bytes})
        yield _gauge("hashledger_agent_spool_one_sweep_in", {(): snapshot.pressure.stride})
        yield _gauge("hashledger_agent_spool_held_records", {(): snapshot.pressure.held})
        yield _gauge("hashledger_agent_spool_thinned_sweeps", {(): snapshot.pressure.dropped})
        yield _gauge("hashledger_agent_broker_connected", {(): float(snapshot.connected)})
        yield _gauge("hashledger_agent_refused_words", {(): snapshot.refused_words})
        yield _gauge("hashledger_agent_unexpected_pool_devices", {(): snapshot.unexpected_pools})
        yield from _fleet(snapshot.seen)
        if self._per_device:
            yield from _devices(snapshot.seen)


def _fleet(rows: Sequence[Seen]) -> Iterator[Metric]:
    yield _gauge("hashledger_agent_devices", {(k,): n for k, n in Counter(r.result for r in rows).items()})
    hashrates = [row.hashrate_hs for row in rows if row.hashrate_hs is not None]
    if hashrates:
        yield _gauge("hashledger_agent_hashrate_hashes_per_second", {(): sum(hashrates)})
    power: dict[tuple[str, ...], float] = {}
    for row in rows:
        if row.power_w is not None:
            power[(row.origin,)] = power.get((row.origin,), 0.0) + row.power_w
    yield _gauge("hashledger_agent_power_watts", power)


class _Server(ThreadingMixIn, WSGIServer):
    """A slow scraper must not hold up a health check."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Requests are not logged: one a few seconds says nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        return


def _devices(rows: Sequence[Seen]) -> Iterator[Metric]:
    name, now_s = "hashledger_agent_device_", time.monotonic()
    yield _gauge(
        f"{name}hashrate_hashes_per_second",
        {(r.address, r.model): r.hashrate_hs for r in rows if r.hashrate_hs is not None},
    )
    yield _gauge(
        f"{name}power_watts",
        {(r.address, r.model, r.origin): r.power_w for r in rows if r.power_w is not None},
    )
    yield _gauge(
        f"{name}chip_temperature_celsius",
        {(r.address, r.model): r.chip_temp_c for r in rows if r.chip_temp_c is not None},
    )
    yield _gauge(f"{name}state", {(r.address, r.model, r.result, r.state): 1 for r in rows})
    yield _gauge(
        f"{name}reading_age_seconds",
        {(r.address, r.model): now_s - r.read_s for r in rows if r.read_s is not None},
    )


def _gauge(name: str, samples: Mapping[tuple[str, ...], float]) -> Metric:
    text, labels = METRICS[name]
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples.items():
        family.add_metric(list(values), number)
    return family
