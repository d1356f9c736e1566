"""The collector put together: broker, journal, ledger, link, metrics; runs until it is told to stop."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from collector import broker, ca, config, imports, journal, meter_files, private, room
from collector.config import Config, ConfigError
from collector.desk import Desk, keys
from collector.export import prometheus
from collector.facts import period_facts
from collector.half_hourly import HalfHourly
from collector.ingest import Inbox, Ingest
from collector.journal import Journal
from collector.ledger import tables
from collector.link import Link
from collector.meter_watch import MeterWatch
from collector.overview import overview
from collector.register import Register
from collector.roll import load as load_roll
from collector.store import Store, StoreError, draft, schema, upsert
from collector.store.upgrade import upgrade
from reporting.facts import PeriodFacts

# How often the worker looks whether it shall stop, and the supervisor whether everything lives.
TICK_S = 0.2


class CollectorError(Exception):
    """The collector had to stop; the text says why."""


def now_us() -> int:
    """The clock, in microseconds UTC."""
    return time.time_ns() // 1000


def open_store(config: Config) -> Store:
    """The ledger of a configuration."""
    _own_folder(config)
    return Store.open(config.ledger_url)


def _own_folder(settings: Config) -> None:
    # Payout addresses and what a farm earns are in it: nobody else's business on this machine.
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)


def load_facts(path: Path, site: str, period: str) -> PeriodFacts:
    """The facts of a site and period, from the configuration's ledger; reads only."""
    settings = config.load(path)
    if settings.ledger is None and not settings.ledger_path.is_file():
        raise ConfigError([f"{path}: collector.state_dir: no ledger in {settings.state_dir} yet"])
    store = Store.open(settings.ledger_url)
    try:
        return period_facts(store, settings, site, period, now_us())
    finally:
        store.close()


def run(settings: Config, stop: threading.Event, say: Callable[[str], None]) -> None:
    """Run until `stop` is set; what is committed by then is acknowledged. CollectorError if a part fails."""
    try:
        _run(settings, stop, say)
    except (OSError, DBAPIError) as error:
        if not room.is_full(error):
            raise
        raise CollectorError(room.words(settings.state_dir, error)) from error


def _run(settings: Config, stop: threading.Event, say: Callable[[str], None]) -> None:
    _own_folder(settings)
    with ExitStack() as stack:
        child = _start_broker(settings, stack)
        key = private.collector_key(settings.state_dir)
        book = Journal(settings.journal_dir, key=key)
        stack.callback(book.close)
        if book.cut is not None:
            say(f"journal: {book.cut}; nothing acknowledged was in it")
        upgrade(settings.ledger_url, say)
        store = open_store(settings)
        stack.callback(store.close)
        stack.enter_context(store.claimed())
        imports.replay(store, settings.org, settings.statements_dir)
        meter_files.replay(store, settings.org, settings.meter_entries_dir)
        fold = tables.catch_up(store, settings.org, settings.journal_dir, settings.archive)
        agents = keys(settings, load_roll(settings.state_dir))
        ingest = Ingest(store, book, fold, agents)
        inbox = Inbox()
        register = Register(store, settings.org, agents)
        desk = Desk(settings, open_authority(settings), say)
        desk.renewed(now_us())
        link = Link(
            settings.mqtt, settings.org, inbox, ingest.counters,
            lambda: ingest.acks() + register.messages(), key, say, desk,
        )  # fmt: skip
        failure: list[BaseException] = []
        watch = MeterWatch(store, settings.org)
        worker = threading.Thread(
            target=_work, args=(inbox, ingest, register, desk, link, stop, failure), name="ingest"
        )

        half_hourly = HalfHourly(store, settings)

        def scrape() -> Iterable[prometheus.Sample]:
            process = prometheus.Process(
                ingest.counters, link.connected.is_set(), dict(link.statuses),
                journal.size_bytes(settings.journal_dir), shutil.disk_usage(settings.journal_dir).free,
            )  # fmt: skip
            view = overview(store, settings.org, now_us())
            return [
                *prometheus.samples(view, process, settings.metrics_per_device),
                *prometheus.meter_samples(watch, now_us()),
                *prometheus.outlook_samples(half_hourly.sites(view.taken_us)),
            ]

        host, port = settings.metrics
        try:
            stack.callback(prometheus.serve(host, port, scrape))
        except OSError as error:
            raise ConfigError(
                [f"{settings.path}: collector.metrics: {host}:{port}: {error.strerror}"]
            ) from error
        worker.start()
        stack.callback(worker.join)
        stack.callback(stop.set)
        link.start()
        stack.callback(link.stop)
        kind = "embedded broker" if child is not None else "broker"
        where = f"{settings.mqtt.host}:{settings.mqtt.port}"
        say(f"collector: metrics http://{host}:{port}/metrics, {kind} {where}")
        while not stop.wait(TICK_S):
            if child is not None and child.poll() is not None:
                raise CollectorError(f"the embedded broker ended with status {child.returncode}")
    if failure and room.is_full(failure[0]):
        raise failure[0]
    if failure:
        raise CollectorError(f"ingest stopped: {type(failure[0]).__name__}: {failure[0]}") from failure[0]


def open_authority(settings: Config) -> ca.Authority | None:
    """The farm's certificate authority, if `broker-config` has made one."""
    if not (settings.ca_dir / ca.CERTIFICATE_FILE).exists():
        return None
    return ca.open_authority(settings.ca_dir, settings.org, ca.instant(now_us()))


def _start_broker(settings: Config, stack: ExitStack) -> subprocess.Popen[bytes] | None:
    if not settings.mqtt.embedded:
        return None
    child = broker.start_child(settings.mqtt.port)
    stack.callback(broker.stop_child, child)
    return child


def _work(
    inbox: Inbox,
    ingest: Ingest,
    register: Register,
    desk: Desk,
    link: Link,
    stop: threading.Event,
    failure: list[BaseException],
) -> None:
    try:
        while not stop.is_set():
            group = inbox.take(TICK_S)
            if group:
                link.publish(ingest.take(group))
            link.publish(register.changed())
            link.publish(desk.answers(now_us()), retain=False)
            if (agents := desk.changed()) is not None:
                link.publish(ingest.enrol(agents) + register.enrol(agents))
            if desk.renewed(now_us()):
                link.take_certificate()
    except Exception as error:  # noqa: BLE001 - the supervisor: whatever it is, the process ends and says so
        failure.append(error)
        stop.set()


def upgrade_ledger(settings: Config, say: Callable[[str], None]) -> bool:
    """Bring the ledger to this program's schema; False if it is."""
    book = Journal(settings.journal_dir)  # its lock: no collector may run meanwhile
    try:
        return upgrade(settings.ledger_url, say)
    finally:
        book.close()


def rebuild(settings: Config) -> dict[str, int]:
    """Fold journal and statements into a new ledger that takes the old one's place; returns rows by table."""
    _own_folder(settings)
    book = Journal(settings.journal_dir)  # its lock: no collector may append meanwhile
    try:
        with draft(settings.ledger_url) as store, store.claimed():
            tables.catch_up(store, settings.org, settings.journal_dir, settings.archive)
            imports.replay(store, settings.org, settings.statements_dir)
            meter_files.replay(store, settings.org, settings.meter_entries_dir)
            _carry_set_aside(settings, store)
            with store.read() as connection:
                return {
                    table.name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
                    for table in schema.DERIVED
                }
    finally:
        book.close()


def _carry_set_aside(settings: Config, new: Store) -> None:
    # Refused packets are in no journal; they are the one thing that a rebuild takes from the old ledger.
    try:
        store = open_store(settings)
    except StoreError:
        return  # of another schema: to be rid of it is what a rebuild is for
    with store.read() as connection:
        rows = [dict(row) for row in connection.execute(schema.set_aside.select()).mappings()]
    store.close()
    with new.write() as connection:
        upsert(connection, schema.set_aside, rows)
