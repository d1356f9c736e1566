"""`/metrics`: an overview of the ledger and the counters of ingest, in Prometheus's words."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from collector.export import metrics as m
from collector.half_hourly import SiteState
from collector.ingest import Counters
from collector.ledger.reconcile import MILLION
from collector.meter_watch import MeterWatch
from collector.overview import Overview

_US = 1e-6
Sample = tuple[m.Metric, tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Process:
    """What the running collector knows beside the ledger."""

    counters: Counters
    connected: bool
    statuses: Mapping[tuple[str, str], bytes]
    journal_bytes: int
    disk_free_bytes: int


def samples(view: Overview, process: Process, per_device: bool) -> Iterator[Sample]:
    """Every sample of one scrape."""
    for result in ("accepted", "duplicate", "ahead", "set_aside", "dropped"):
        yield m.BATCHES, (result,), getattr(process.counters, result)
    yield m.CONNECTED, (), process.connected
    yield m.JOURNAL, (), process.journal_bytes
    yield m.DISK_FREE, (), process.disk_free_bytes
    for key, status in sorted(process.statuses.items()):
        yield m.AGENT_ALIVE, key, status == b"alive"
    refused: dict[str, int] = {}
    for _, _, reason, _, count, _ in view.set_aside:
        refused[reason] = refused.get(reason, 0) + count
    for reason, count in refused.items():
        yield m.SET_ASIDE, (reason,), count
    for agent in view.agents:
        labels = (agent.site, agent.agent)
        yield m.AGENT_SEQ, labels, agent.last_seq
        yield m.AGENT_AGE, labels, (view.taken_us - agent.last_received_us) * _US
        yield m.AGENT_LAG, labels, agent.lag_us * _US
        if agent.clock_offset_us is not None:
            yield m.AGENT_CLOCK, labels, agent.clock_offset_us * _US
    for name, site in view.sites.items():
        for state, count in sorted(site.devices.items()):
            yield m.DEVICES, (name, state), count
        yield m.POWER, (name,), site.power_w
        yield m.HASHRATE, (name,), site.hashrate_hs
        for origin, energy_wh in sorted(site.energy_wh.items()):
            yield m.ENERGY, (name, origin), energy_wh
        yield m.GAP_BOUND, (name,), site.gap_bound_wh
        for coin, amount in sorted(site.coins.items()):
            yield m.COIN, (name, coin), amount
        if site.newest_us is not None:
            yield m.READING_AGE, (name,), (view.taken_us - site.newest_us) * _US
        if per_device:
            for device, power_w in site.device_power_w.items():
                yield m.DEVICE_POWER, (name, device), power_w


def outlook_samples(sites: Iterable[SiteState]) -> Iterator[Sample]:
    """What changes by the half-hour: meters against miners, the limit of a person, bans ahead."""
    for site in sites:
        for of in site.nodes:
            labels = (site.site, of.node or "")
            day = of.cells[-1]
            yield m.RECONCILED, (*labels, day.state.name.lower()), 1
            yield m.OVERHEAD_DRIFT, labels, day.drift
            if day.factor_ppm is not None:
                yield m.OVERHEAD, labels, day.factor_ppm / MILLION
            if day.usual_ppm is not None:
                yield m.OVERHEAD_USUAL, labels, day.usual_ppm / MILLION
        if site.month is not None:
            quota = site.month.quota
            yield m.LIMIT, (site.site,), quota.limit_wh
            for metric, bounds in ((m.LIMIT_USED, quota.used), (m.LIMIT_FORECAST, quota.forecast)):
                for bound in () if bounds is None else ("low", "likely", "high"):
                    yield metric, (site.site, bound), getattr(bounds, bound)
        if site.ban_days is not None:
            yield m.BAN, (site.site,), site.ban_days


def meter_samples(watch: MeterWatch, now_us: int) -> Iterator[Sample]:
    """Every sample of the meters."""
    for site, meters in watch.now().items():
        for meter in meters:
            labels = (site, meter.meter)
            if meter.power_mw is not None:
                yield m.METER_POWER, labels, meter.power_mw / 1e3
            if meter.import_wh is not None:
                yield m.METER_REGISTER, labels, meter.import_wh
            if meter.last_us is not None:
                yield m.METER_AGE, labels, (now_us - meter.last_us) * _US
    for site, kinds in watch.events(now_us).items():
        for kind, count in sorted(kinds.items()):
            yield m.METER_EVENTS, (site, kind), count


class _Exporter(Collector):
    def __init__(self, scrape: Callable[[], Iterable[Sample]]) -> None:
        self._scrape = scrape

    def describe(self) -> Iterable[Metric]:
        return []  # else registering would scrape

    def collect(self) -> Iterator[Metric]:
        families = {metric: _family(metric) for metric in m.METRICS}
        for metric, labels, value in self._scrape():
            families[metric].add_metric(labels, value)
        yield from families.values()


def _family(metric: m.Metric) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    return kind(metric.name, metric.help, labels=metric.labels)


# A scraper asks at once; a connection that says nothing may not hold a thread for ever.
REQUEST_TIMEOUT_S = 10


class _Server(ThreadingWSGIServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """One that hangs up or says nothing is no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Quiet(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:
        """A request every few seconds says nothing."""


def serve(host: str, port: int, scrape: Callable[[], Iterable[Sample]]) -> Callable[[], None]:
    """Serve `/metrics` in a thread of its own; returns what stops it. OSError if the address is taken."""
    registry = CollectorRegistry()
    registry.register(_Exporter(scrape))
    server = make_server(host, port, make_wsgi_app(registry), _Server, _Quiet)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
