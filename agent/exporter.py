"""The agent's HTTP endpoint: /metrics for Prometheus, /healthz and /readyz for whoever supervises it.

Labels hold no payout address and no pool user: those are confidential. Ages instead of vanishing series.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric

from agent.readings import Failure, Reading
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
    "hashledger_agent_spool_bytes": ("Size of the spool on disk", ()),
    "hashledger_agent_broker_connected": ("1 while connected to the broker", ()),
    "hashledger_agent_unexpected_pool_devices": ("Devices with a pool that is not on the list", ()),
    "hashledger_agent_device_hashrate_hashes_per_second": ("Hashrate of a device", ("address", "model")),
    "hashledger_agent_device_power_watts": ("Power of a device", ("address", "model", "origin")),
    "hashledger_agent_device_chip_temperature_celsius": ("Hottest chip of a device", ("address", "model")),
}


@dataclass(slots=True)
class Snapshot:
    """What the exporter shows; the sweep loop replaces it."""

    ended_s: float | None = None  # monotonic
    duration_s: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)  # address -> model, as last read in full
    connected: bool = False
    unexpected_pools: int = 0


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
            trouble = {"/healthz": "", "/readyz": self.not_ready()}.get(path, "no such page")
            status = (
                "200 OK"
                if not trouble
                else "503 Service Unavailable"
                if path == "/readyz"
                else "404 Not Found"
            )
            start(status, [("Content-Type", "text/plain; charset=utf-8")])
            return [(trouble or "ok").encode() + b"\n"]

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
        return ""

    def collect(self) -> Iterator[Metric]:
        snapshot = self.snapshot
        yield _gauge("hashledger_agent_up", {self._labels: 1})
        if snapshot.ended_s is not None:
            yield _gauge("hashledger_agent_sweep_age_seconds", {(): time.monotonic() - snapshot.ended_s})
            yield _gauge("hashledger_agent_sweep_duration_seconds", {(): snapshot.duration_s})
        depth = self._spool.depth()
        yield _gauge("hashledger_agent_spool_waiting_batches", {(): depth.waiting})
        yield _gauge("hashledger_agent_spool_bytes", {(): depth.size_bytes})
        yield _gauge("hashledger_agent_broker_connected", {(): float(snapshot.connected)})
        yield _gauge("hashledger_agent_unexpected_pool_devices", {(): snapshot.unexpected_pools})
        yield from self._fleet([o.result for o in snapshot.outcomes])
        if self._per_device:
            yield from _devices(snapshot)

    def _fleet(self, results: list[Reading | Failure]) -> Iterator[Metric]:
        readings = [r for r in results if isinstance(r, Reading)]
        counts: dict[tuple[str, ...], float] = {("reading",): len(readings)}
        for failure in (r for r in results if isinstance(r, Failure)):
            counts[(failure.kind,)] = counts.get((failure.kind,), 0) + 1
        yield _gauge("hashledger_agent_devices", counts)
        hashrates = [r.hashrate_hs for r in readings if r.hashrate_hs is not None]
        if hashrates:
            yield _gauge("hashledger_agent_hashrate_hashes_per_second", {(): sum(hashrates)})
        power: dict[tuple[str, ...], float] = {}
        for r in readings:
            if r.power_w is not None and r.power_origin is not None:
                power[(r.power_origin,)] = power.get((r.power_origin,), 0.0) + r.power_w
        yield _gauge("hashledger_agent_power_watts", power)


class _Server(ThreadingMixIn, WSGIServer):
    """A slow scraper must not hold up a health check."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Requests are not logged: one a few seconds says nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        return


def _devices(snapshot: Snapshot) -> Iterator[Metric]:
    rows = [
        (o.address, snapshot.models.get(o.address, ""), o.result)
        for o in snapshot.outcomes
        if isinstance(o.result, Reading)
    ]
    yield _gauge(
        "hashledger_agent_device_hashrate_hashes_per_second",
        {(a, m): r.hashrate_hs for a, m, r in rows if r.hashrate_hs is not None},
    )
    yield _gauge(
        "hashledger_agent_device_power_watts",
        {(a, m, r.power_origin or ""): r.power_w for a, m, r in rows if r.power_w is not None},
    )
    yield _gauge(
        "hashledger_agent_device_chip_temperature_celsius",
        {(a, m): max(r.chip_temps_c) for a, m, r in rows if r.chip_temps_c},
    )


def _gauge(name: str, samples: Mapping[tuple[str, ...], float]) -> Metric:
    text, labels = METRICS[name]
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples.items():
        family.add_metric(list(values), number)
    return family
