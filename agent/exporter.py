"""The agent's HTTP endpoint: /metrics for Prometheus, /healthz and /readyz for whoever supervises it.

Labels hold no payout address and no pool user: those are confidential. Ages instead of vanishing series.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from socketserver import ThreadingMixIn
from typing import Any, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from agent.clock import Stated
from agent.intake import Pressure
from agent.meters.meter_sweep import MeterSeen
from agent.pools import endpoint
from agent.power import NO_RULES, PowerRules
from agent.readings import NO_SHARES, Failure, Pool, Shares, shares
from agent.spool import Spool
from agent.sweep import Outcome
from agent.wire import Inventory

# name -> (help, labels): the contract with dashboards.
METRICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "hashledger_agent_up": ("1 while the agent runs", ("org", "site", "agent")),
    "hashledger_agent_sweep_age_seconds": ("Time since the last sweep ended", ()),
    "hashledger_agent_sweep_duration_seconds": ("How long the last sweep took", ()),
    "hashledger_agent_sweeps_left_out_total": ("Sweeps left out since one before took too long", ()),
    "hashledger_agent_devices": ("Devices polled in the last sweep, by result", ("result",)),
    "hashledger_agent_devices_not_shown": ("Devices left out of the series of devices: too many", ()),
    "hashledger_agent_hashrate_hashes_per_second": ("Sum over devices that told a hashrate", ()),
    "hashledger_agent_power_watts": ("Sum over devices' corrected power, by origin", ("origin",)),
    "hashledger_agent_spool_waiting_batches": ("Batches not yet confirmed by the collector", ()),
    "hashledger_agent_spool_oldest_waiting_age_seconds": ("Age of the oldest unconfirmed batch", ()),
    "hashledger_agent_spool_bytes": ("Size of the spool on disk", ()),
    "hashledger_agent_spool_limit_bytes": ("Room for batches: the budget, or what the disk still has", ()),
    "hashledger_agent_spool_waiting_bytes": ("Bytes not yet confirmed by the collector", ()),
    "hashledger_agent_spool_one_sweep_in": ("1 while every sweep is stored, 2 for every second one, ...", ()),
    "hashledger_agent_spool_held_records": ("Records in memory because the spool cannot be written", ()),
    "hashledger_agent_spool_thinned_sweeps": ("Sweeps left out for want of room since the start", ()),
    "hashledger_agent_clock_source": ("1 for who vouches for the time", ("source",)),
    "hashledger_agent_clock_offset_seconds": ("Synchronised wall clock less the agent's time", ()),
    "hashledger_agent_clock_error_seconds": ("Estimated error of the agent's time, where it is known", ()),
    "hashledger_agent_broker_connected": ("1 while connected to the broker", ()),
    "hashledger_agent_refused_words": ("Messages in the collector's name that it has not signed", ()),
    "hashledger_agent_unexpected_pool_devices": ("Devices with a pool that is not on the list", ()),
    "hashledger_agent_pool_devices": (
        "Devices by the host and port of the pool that they work for",
        ("pool",),
    ),
    "hashledger_agent_device_hashrate_hashes_per_second": ("Hashrate of a device", ("address", "model")),
    "hashledger_agent_device_power_watts": (
        "Power of a device, corrected as the configuration has it",
        ("address", "model", "origin"),
    ),
    "hashledger_agent_device_told_power_watts": (
        "Power of a device as it told it, before any correction",
        ("address", "model", "origin"),
    ),
    "hashledger_agent_device_shares_total": (
        "Shares of a device since it started, without those for the firmware's developer",
        ("address", "model", "result"),
    ),
    "hashledger_agent_device_chip_temperature_celsius": ("Hottest chip of a device", ("address", "model")),
    "hashledger_agent_device_state": (
        "1 for what a device's last poll brought: its state, or the kind of the failure",
        ("address", "model", "result", "state"),
    ),
    "hashledger_agent_device_reading_age_seconds": (
        "Time since a device was last read",
        ("address", "model"),
    ),
    "hashledger_agent_meter_import_watt_hours_total": (
        "Import register of a meter, transformers' ratios applied",
        ("meter", "model"),
    ),
    "hashledger_agent_meter_export_watt_hours_total": (
        "Export register of a meter, transformers' ratios applied",
        ("meter", "model"),
    ),
    "hashledger_agent_meter_power_watts": ("Power that a meter shows", ("meter", "model")),
    "hashledger_agent_meter_reading_age_seconds": ("Time since a meter's register was last read", ("meter",)),
    "hashledger_agent_meter_problem": (
        "1 where the last reading of a meter lacks something",
        ("meter", "kind"),
    ),
}


# One site's devices. Each has some ten series: more, and a scrape takes longer than Prometheus waits.
MAX_DEVICES = 10_000
MAX_POOLS = 20  # a farm has a handful; who points devices at many makes no series of them


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
    took_s: float = 0.0
    told_power_w: float | None = None
    told_origin: str = ""
    shares: Shares = NO_SHARES
    pool: str = ""  # host and port of the one that it works for


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
    left_out: int = 0
    clock: Stated | None = None
    clock_offset_us: int | None = None


def seen(
    outcome: Outcome, device: Inventory | None, power: PowerRules, now_s: float, before_s: float | None
) -> Seen:
    """A row for one outcome of what is known as `device`; `before_s`: when it was last read before this."""
    told, model = outcome.result, (device.model if device else None) or ""
    if isinstance(told, Failure):
        return Seen(outcome.address, model, str(told.kind), read_s=before_s, took_s=outcome.took_s)
    r = power.settle(told, device) if device is not None and power is not NO_RULES else told
    return Seen(
        outcome.address, model, "reading", str(r.state), r.hashrate_hs, r.power_w, str(r.power_origin or ""),
        max(r.chip_temps_c, default=None), now_s, outcome.took_s, told.power_w, str(told.power_origin or ""),
        shares(told.pools), _working_for(told.pools),
    )  # fmt: skip


def _working_for(pools: Sequence[Pool]) -> str:
    url = next((pool.url for pool in pools if pool.active and not pool.fee), None)
    return "" if url is None else _shown(url)


@lru_cache(maxsize=1024)  # a farm's devices have the same few
def _shown(url: str) -> str:
    place = endpoint(url)
    return f"{place[0]}:{place[1]}" if place else "unreadable"


class Exporter:
    """A prometheus_client collector over the current snapshot."""

    def __init__(self, labels: tuple[str, str, str], spool: Spool, per_device: bool, interval_s: int) -> None:
        self._labels = labels
        self._spool = spool
        self._per_device = per_device
        self._interval_s = interval_s
        self.snapshot = Snapshot()
        self.meters: Mapping[str, MeterSeen] = {}

    def serve(self, host: str, port: int) -> WSGIServer:
        """Serve in a thread of its own; OSError if the port is taken."""

        def route(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                start("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
                return self.page()
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

    def page(self) -> Iterator[bytes]:
        """The page of metrics, one at a time: the whole of ten thousand devices takes 30 MiB to make."""
        for metric in self.collect():
            yield generate_latest(_One(metric))

    def collect(self) -> Iterator[Metric]:
        snapshot = self.snapshot
        yield _gauge("hashledger_agent_up", {self._labels: 1})
        if snapshot.ended_s is not None:
            yield _gauge("hashledger_agent_sweep_age_seconds", {(): time.monotonic() - snapshot.ended_s})
            yield _gauge("hashledger_agent_sweep_duration_seconds", {(): snapshot.duration_s})
        yield _counter("hashledger_agent_sweeps_left_out_total", {(): snapshot.left_out})
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
        if snapshot.clock is not None:
            yield _gauge("hashledger_agent_clock_source", {(snapshot.clock.source,): 1})
            if (error_us := snapshot.clock.error_us) is not None:
                yield _gauge("hashledger_agent_clock_error_seconds", {(): error_us / 1e6})
        if snapshot.clock_offset_us is not None:
            yield _gauge("hashledger_agent_clock_offset_seconds", {(): snapshot.clock_offset_us / 1e6})
        yield _gauge("hashledger_agent_broker_connected", {(): float(snapshot.connected)})
        yield _gauge("hashledger_agent_refused_words", {(): snapshot.refused_words})
        yield _gauge("hashledger_agent_unexpected_pool_devices", {(): snapshot.unexpected_pools})
        yield from _fleet(snapshot.seen)
        yield from _meters(list(self.meters.values()))
        if self._per_device:
            yield _gauge("hashledger_agent_devices_not_shown", {(): max(0, len(snapshot.seen) - MAX_DEVICES)})
            yield from _devices(snapshot.seen[:MAX_DEVICES])


class _One(CollectorRegistry):
    """A registry of one metric."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


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
    pools = Counter(row.pool for row in rows if row.pool)
    shown = dict(pools.most_common(MAX_POOLS))
    if rest := pools.total() - sum(shown.values()):
        shown["other"] = rest
    yield _gauge("hashledger_agent_pool_devices", {(pool,): count for pool, count in shown.items()})


# A scraper asks at once; a connection that says nothing may not hold a thread for ever.
REQUEST_TIMEOUT_S = 10


class _Server(ThreadingMixIn, WSGIServer):
    """A slow scraper must not hold up a health check."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One that hangs up or says nothing is no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Quiet(WSGIRequestHandler):
    """Requests are not logged: one a few seconds says nothing."""

    timeout = REQUEST_TIMEOUT_S

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
        f"{name}told_power_watts",
        {(r.address, r.model, r.told_origin): r.told_power_w for r in rows if r.told_power_w is not None},
    )
    yield _counter(
        f"{name}shares_total",
        {
            (r.address, r.model, result): count
            for r in rows
            for result, count in zip(Shares._fields, r.shares, strict=True)
            if count is not None
        },
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


def _meters(rows: Sequence[MeterSeen]) -> Iterator[Metric]:
    name, now_s = "hashledger_agent_meter_", time.monotonic()
    for field_name in ("import", "export"):
        read: dict[tuple[str, ...], float] = {}
        for row in rows:
            if (value := getattr(row, f"{field_name}_wh")) is not None:
                read[row.meter, row.model] = value
        yield _counter(f"{name}{field_name}_watt_hours_total", read)
    yield _gauge(f"{name}power_watts", {(r.meter, r.model): r.power_w for r in rows if r.power_w is not None})
    yield _gauge(
        f"{name}reading_age_seconds", {(r.meter,): now_s - r.read_s for r in rows if r.read_s is not None}
    )
    yield _gauge(f"{name}problem", {(r.meter, r.problem.split(":")[0]): 1 for r in rows if r.problem})


def _gauge(name: str, samples: Mapping[tuple[str, ...], float]) -> Metric:
    return _filled(GaugeMetricFamily(name, METRICS[name][0], labels=METRICS[name][1]), samples)


def _counter(name: str, samples: Mapping[tuple[str, ...], float]) -> Metric:
    return _filled(CounterMetricFamily(name, METRICS[name][0], labels=METRICS[name][1]), samples)


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, samples: Mapping[tuple[str, ...], float]
) -> Metric:
    for values, number in samples.items():
        family.add_metric(list(values), number)
    return family
