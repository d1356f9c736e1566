"""Builds the agent from its configuration and runs it: scan, sweep, spool, publish, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from agent import clock, decisions, identity, keys, listen, overrun, register, scan, sweep
from agent.box_time import Box, LinuxBox
from agent.clock import Clock
from agent.config import Config
from agent.exporter import Exporter, Seen, Snapshot, seen
from agent.intake import Intake
from agent.meters.drivers import drivers as meter_drivers
from agent.meters.meter_sweep import MeterSweep
from agent.miners import reboot, registry
from agent.pools import PoolWatch
from agent.publish import Publisher
from agent.readings import DeviceError, Reading
from agent.schedule import Grid
from agent.spool import Author, Spool
from agent.states import StateWatch
from agent.sweep import Outcome, Poll, Target
from agent.transports import loop
from agent.transports.access import Access
from agent.transports.http import Web
from agent.wire import Event, Inventory, Record, Sweep

log = logging.getLogger("hashledger.agent")

ROSTER_FILE = "devices.json"
SPOOL_FILE = "spool.db"
# Confirmed batches past the kept window are deleted this often: a delete costs a write, its delay only disk.
PRUNE_EVERY_S = 3600
# Batches are stored by the wall clock; one that is further off would cut the kept window short.
TRUSTED_US = 86_400 * 1_000_000
# A broker on the way is connected within a second or two, and its retained register comes at once; what comes
# later is taken over between two sweeps.
REGISTER_WAIT_S = 5.0
# A fault in our own code that comes back at once must not fill the log.
METERS_AGAIN_S = 30.0
# On stop, a collector that is there confirms within a second or two; the rest is sent at the next start.
STOP_DRAIN_S = 3.0

Report = Callable[[str], None]


def author(config: Config) -> Author:
    """Who signs this agent's batches; KeyMissing if `init` was never run."""
    return Author(
        org=config.agent.org,
        site=config.agent.site,
        agent=config.agent.name,
        key=keys.load(config.agent.state_dir),
        synthetic=config.agent.synthetic,
        clock_source=clock.SIMULATED if config.agent.synthetic else clock.UNSYNCHRONISED,
    )


@contextlib.asynccontextmanager
async def drivers(config: Config) -> AsyncIterator[Poll]:
    """The drivers, ready to poll one device; a family not yet known is identified first."""
    network = config.transport()
    async with Web(network) as web:
        access = Access(web, network, config.credentials())

        async def poll(address: str, family: str | None, full: bool) -> Reading:
            known = family or await registry.identify(address, access)
            try:
                return await registry.read(address, known, access, full=full)
            except DeviceError as error:
                raise await reboot.look_closer(address, known, access, error) from error

        yield poll


def _silent(_host: str, _result: Reading | DeviceError | None) -> None:
    """A scan in the background shows no progress."""


async def discover(
    config: Config, hosts: Sequence[str], poll: Poll, progress: scan.Progress = _silent
) -> dict[str, Reading]:
    """The miners among `hosts`, by the configuration's ports and bounds."""
    net = config.network
    return await scan.scan(
        hosts,
        (net.cgminer_port, net.http_port),
        poll,
        concurrency=net.concurrency,
        connect_timeout_s=net.connect_timeout_s,
        deadline_s=net.longest_deadline_s,
        progress=progress,
        silent_per_s=net.scan_silent_per_s,
    )


class Agent:
    """The running agent: what it polls, what it knows, and where that goes."""

    def __init__(self, config: Config, report: Report, box: Box | None = None) -> None:
        self.config = config
        self.state_dir = config.agent.state_dir
        self.report = report
        self.roster = identity.load(self.state_dir / ROSTER_FILE)
        signer = author(config)
        self.spool = Spool(self.state_dir / SPOOL_FILE, signer, config.spool.max_bytes)
        self.intake = Intake(self.spool, config.spool.levels, config.agent.interval_s, self._save_roster)
        self.clock = Clock(box or LinuxBox(), self.state_dir / clock.CLOCK_FILE, self.spool.newest_us())
        self.publisher = Publisher(self.spool, signer, config.mqtt)
        self.forged_told = 0
        self.decisions = decisions.Watch(self.state_dir / decisions.DECISIONS_FILE)
        labels = (signer.org, signer.site, signer.agent)
        self.exporter = Exporter(labels, self.spool, config.exporter.per_device, config.agent.interval_s)
        self.power = config.power_rules()
        self.pools = PoolWatch(config.expected_pools(), self.roster.devices)
        self.states = StateWatch()
        self.left_out = 0  # sweeps, since the start
        self.meters = MeterSweep(config.meter, self.clock.now_us, self._append)
        self.exporter.meters = self.meters.seen
        # The configuration may name other networks than when a device was met: it is not touched any more.
        ours = scan.covers(config.network.scan, config.network.exclude)
        known = {address: self.roster.get(device) for address, device in self.roster.at.items()}
        self.targets = {a: Target(a, one.family) for a, one in known.items() if ours(a)}

    async def run(self, max_sweeps: int | None = None) -> None:
        """Run until SIGTERM or SIGINT, or for `max_sweeps` sweeps (a rehearsal); then stop cleanly."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        fresh = not self.roster.devices
        if not self.roster.restored:
            self.publisher.want_register()
        self.publisher.start()
        if self.config.exporter.port:
            self.exporter.serve(self.config.exporter.host, self.config.exporter.port)
        self._look_at_the_clock()
        now_us = self.clock.now_us()
        self._append([Event(now_us, "agent_started"), *self.power.event(now_us)])
        meters = asyncio.create_task(self._read_meters(stop))  # a first scan may take minutes
        try:
            async with drivers(self.config) as poll:
                if fresh and not self.roster.restored:
                    await _until(stop, self.restore(REGISTER_WAIT_S))
                if fresh or not self.targets:
                    await _until(stop, self.rescan(poll))
                await asyncio.gather(
                    meters,
                    self._sweep_on_time(stop, poll, max_sweeps),
                    self._rescan_on_time(stop, poll),
                    self._look_where_called(stop, poll),
                )
        finally:
            self.intake.close(self.clock.now_us())
            await asyncio.to_thread(self.publisher.stop, 0.0 if self.publisher.out_of_reach else STOP_DRAIN_S)
            self.spool.close()

    async def _sweep_on_time(self, stop: asyncio.Event, poll: Poll, max_sweeps: int | None) -> None:
        """A sweep each interval; one that does not end in time is told of, with the reason."""
        interval_s, pruned_s, done = self.config.agent.interval_s, 0.0, 0
        grid = Grid(interval_s, time.monotonic())
        while not stop.is_set():
            began_s = grid.start_s
            await _until(stop, self.sweep_once(poll, interval_s * self.config.network.spread))
            done += 1
            if max_sweeps is not None and done >= max_sweeps:
                stop.set()
            if time.monotonic() - pruned_s > PRUNE_EVERY_S:
                pruned_s = time.monotonic()
                if abs(self.clock.wall_offset_us) < TRUSTED_US:
                    self.spool.prune(self.config.spool.keep_days * 86400)
            ended_s = time.monotonic()
            if (missed := grid.ended(ended_s)) and not stop.is_set():
                log.warning("sweep took longer than its interval of %d s: %d left out", interval_s, missed)
                self.left_out += missed
                detail = overrun.explain(
                    self.exporter.snapshot.seen, took_s=ended_s - began_s, interval_s=interval_s,
                    concurrency=self.config.network.concurrency,
                )  # fmt: skip
                self._append(
                    [Event(self.clock.now_us(), "sweep_overrun", detail={**detail, "left_out": str(missed)})]
                )
            await _wait(stop, grid.start_s - time.monotonic())

    async def _read_meters(self, stop: asyncio.Event) -> None:
        """The meters at their own intervals; what goes wrong there begins anew and stops no miner's sweep."""
        own = self.config.agent
        who = f"{own.org}-{own.site}-{own.name}"
        while not stop.is_set() and self.config.meter:
            try:
                async with meter_drivers(self.config.meter, self.state_dir, who) as reads:
                    await _until(stop, self.meters.run(reads))
            except Exception as error:  # the supervisor: a fault of the meters ends no miner's sweep
                log.exception("the meters are read anew after a fault of ours")
                event = Event(self.clock.now_us(), "meters_restarted", detail={"error": repr(error)[:300]})
                self._append([event])
                await _wait(stop, METERS_AGAIN_S)

    async def _rescan_on_time(self, stop: asyncio.Event, poll: Poll) -> None:
        while not await _wait(stop, self.config.network.rescan_s):
            await _until(stop, self.rescan(poll))

    async def _look_where_called(self, stop: asyncio.Event, poll: Poll) -> None:
        """A miner whose "IP report" is pressed is looked at now; only inside the configured networks."""
        net = self.config.network
        ours = scan.covers(net.scan, net.exclude)

        async def look(heard: listen.Heard) -> None:
            address = (await heard.get()).address
            if ours(address) and address not in self.targets:
                await self.rescan(poll, [address])

        async with listen.listen(net.ip_report_ports) as heard:
            while not stop.is_set():
                await _until(stop, look(heard))

    async def restore(self, wait_s: float = 0.0) -> None:
        """A new box takes over the site's identities from the collector, as soon as its register comes."""
        entries = await asyncio.to_thread(self.publisher.take_register, wait_s)
        if entries is None:
            return
        # What the devices paid to before this box: a change in the meantime is told like any other.
        self.pools = PoolWatch(self.config.expected_pools(), [*self.roster.devices, *entries])
        ours = set(scan.addresses(self.config.network.scan, self.config.network.exclude))
        news = register.restore(self.roster, entries, ours, self.clock.now_us())
        news += [e for one in news if isinstance(one, Inventory) for e in self.pools.take(one)]
        self._append([*news])
        self.intake.save_roster()
        for address, device in self.roster.at.items():
            self.targets.setdefault(address, Target(address, self.roster.get(device).family))
        self.report(f"register: {len(entries)} devices known to the collector")

    def _look_at_the_clock(self) -> None:
        """Once a sweep, between two: what it changes holds for all that this session has dated."""
        change = self.clock.look()
        source = clock.SIMULATED if self.config.agent.synthetic else self.clock.stated.source
        self.spool.state_clock(source, self.clock.offset_us)
        self.intake.dated = self.clock.anchored
        if change is None:
            return
        log.warning(
            "%s: %s", change.event.kind, ", ".join(f"{k} {v}" for k, v in change.event.detail.items())
        )
        if change.shift_us:
            self.roster.redate(change.shift_us)
            for target in self.targets.values():
                target.redate(change.shift_us)
            self.intake.redate(change.shift_us)
        self._append([change.event])

    def _decide(self) -> None:
        """Take up a person's decisions; told first: a crash in between tells them twice, not never."""
        if news := self.decisions.take_up(self.roster, self.clock.now_us()):
            self._append([*news])
            self.intake.save_roster()

    async def sweep_once(self, poll: Poll, spread_s: float = 0.0) -> Sweep:
        """One sweep, its polls begun over `spread_s`: poll, know, spool, wake the publisher."""
        self._look_at_the_clock()
        if not self.roster.restored:
            await self.restore()
        began_s, started_us = time.monotonic(), self.clock.now_us()
        self._decide()
        outcomes = await sweep.sweep(
            list(self.targets.values()),
            poll,
            self.clock.now_us,
            concurrency=self.config.network.concurrency,
            deadline_s=self.config.network.longest_deadline_s,
            spread_s=spread_s,
        )
        polled_s, before = time.monotonic(), {row.address: row.read_s for row in self.exporter.snapshot.seen}
        rows: list[Seen] = []

        def known(outcome: Outcome, device: bytes) -> None:
            inventory = self.roster.known.devices.get(device)
            rows.append(seen(outcome, inventory, self.power, polled_s, before.get(outcome.address)))

        records, swept = sweep.records(
            started_us,
            self.config.agent.interval_s,
            outcomes,
            self.roster,
            self.power,
            self.pools,
            self.states,
            known,
        )
        for address in [row.address for row in rows if row.address not in self.roster.at]:
            del self.targets[address]  # its device has moved away: the next scan tells of another
        self._append([*records, *self._forged(started_us)], roster_changed=len(records) > 1)
        self._show(rows, began_s)
        loop.hand_back()
        read = len(swept.devices) // 16
        self.report(
            f"sweep: {read} read, {len(swept.failures)} failed, {time.monotonic() - began_s:.1f} s;"
            f" spool {self.spool.depth().waiting} waiting"
        )
        return swept

    def _forged(self, now_us: int) -> list[Record]:
        """An event where somebody has spoken in the collector's name since the last sweep."""
        new = self.publisher.refused_words - self.forged_told
        self.forged_told += new
        return [Event(now_us, "forged_word", detail={"count": str(new)})] if new else []

    def _show(self, rows: list[Seen], began_s: float) -> None:
        ended_s = time.monotonic()
        self.exporter.snapshot = Snapshot(
            ended_s, ended_s - began_s, rows, self.publisher.connected, self.pools.unexpected_count,
            self.publisher.refused_words, self.intake.pressure, self.left_out,
            self.clock.stated, self.clock.offset_us,
        )  # fmt: skip

    async def rescan(self, poll: Poll, only: Sequence[str] | None = None) -> None:
        """Look for miners at the addresses that are not polled yet; what is found is polled from now on."""
        net = self.config.network
        wanted = scan.addresses(net.scan, net.exclude) if only is None else only
        hosts = [host for host in wanted if host not in self.targets]
        failed: Counter[str] = Counter()

        def note(_host: str, result: Reading | DeviceError | None) -> None:
            if isinstance(result, DeviceError):
                failed[result.kind] += 1

        found = await discover(self.config, hosts, poll, note)
        for host, reading in found.items():
            self.targets[host] = Target(host, reading.family)
        if found or failed or not self.targets:
            unread = "".join(f", {count} {kind}" for kind, count in failed.most_common())
            self.report(f"scan: {len(found)} new among {len(hosts)} addresses{unread}")

    def _append(self, records: list[Record], *, roster_changed: bool = False) -> None:
        if self.intake.put(records, self.clock.now_us(), roster_changed=roster_changed):
            self.publisher.wake()

    def _save_roster(self) -> None:
        identity.save(self.roster, self.state_dir / ROSTER_FILE)


async def _until(stop: asyncio.Event, work: Awaitable[object]) -> None:
    """Do the work, but drop it where it stands once told to stop."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.create_task(stop.wait())
    await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return
    await task


async def _wait(stop: asyncio.Event, seconds: float) -> bool:
    """Wait; True at once when told to stop."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await stop.wait()
    except TimeoutError:
        return False
    return True
