"""After a run: spool, journal and ledger against what the harness was told, and against the truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from agent import wire
from collector import journal
from collector.ledger import tables
from collector.ledger.profile import SiteLedger
from collector.ledger.quantities import DAY_US, HALF_HOUR_US
from collector.store import Store, sqlite_url
from tests.chaos.live import Live
from tests.chaos.site import Site


@dataclass(slots=True)
class Told:
    """What the agent has told to be in its spool: of each batch its last sweep and its readings."""

    batches: dict[int, tuple[int, int]] = field(default_factory=dict)
    begun: int = -1
    stored_seq: int = 0
    stored_sweep: int = -1
    waiting: int = -1
    problems: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        """A line of the agent's."""
        word, *numbers = line.split()
        if word == "begun":
            self.begun = int(numbers[0])
        elif word == "stored":
            seq, sweep, readings = map(int, numbers)
            self.batches[seq] = (sweep, readings)
            self.stored_seq, self.stored_sweep = seq, max(sweep, self.stored_sweep)
        elif word == "stands" and not self.stored_seq <= int(numbers[0]) <= self.stored_seq + 1:
            self.problems.append(f"the spool stands at {numbers[0]} after {self.stored_seq} was stored")
        elif word == "waiting":
            self.waiting = int(numbers[0])


@dataclass(slots=True)
class Result:
    """What was found; `problems` is empty where everything is as it must be."""

    batches: int = 0
    live_batches: int = 0
    sweeps: int = 0
    readings_stored: int = 0
    readings_in_journal: int = 0
    readings_in_ledger: int = 0
    lost: int = 0
    doubled: int = 0
    energy_wh: int = 0
    truth_wh: float = 0.0
    rebuild_equal: bool = False
    verified: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check(told: Told, site: Site, live: Live | None, org: str, collector: Path, again: Path) -> Result:
    """Compare everything; `again` is where the ledger is built anew."""
    result = Result(problems=list(told.problems))
    everything = [wire.open_packet(entry.packet) for entry in journal.read(collector / "journal")]
    packets = [packet for packet in everything if packet.envelope.site == site.name]
    _journal(told, site, packets, result)
    store = Store.open(sqlite_url(collector / "ledger.sqlite3"))
    second = Store.open(sqlite_url(again))
    tables.catch_up(second, org, collector / "journal")
    content = tables.contents(store)
    result.rebuild_equal = content == tables.contents(second)
    if not result.rebuild_equal:
        result.problems.append("the ledger built anew is another one")
    if [row.seq for row in content["batch"] if row.site == site.name] != list(range(1, result.batches + 1)):
        result.problems.append("the ledger's batches are not those of the journal")
    _energy(site, org, packets, store, content, result)
    result.live_batches = len(everything) - len(packets)
    if live is not None:
        result.problems += live.problems(org, [p for p in everything if p.envelope.site == live.site], store)
    store.close()
    second.close()
    return result


def _journal(told: Told, site: Site, packets: list[wire.Packet], result: Result) -> None:
    result.batches = len(packets)
    seqs = [packet.envelope.seq for packet in packets]
    if seqs != list(range(1, len(seqs) + 1)):
        result.problems.append("the journal's batches are not in sequence")
    readings = {
        packet.envelope.seq: sum(len(r.devices) // 16 for r in packet.records if isinstance(r, wire.Sweep))
        for packet in packets
    }
    result.readings_stored = sum(count for _, count in told.batches.values())
    result.readings_in_journal = sum(readings.values())
    for seq, (_, count) in told.batches.items():
        if readings.get(seq) != count:
            result.lost += count
            result.problems.append(f"batch {seq} of {count} readings has {readings.get(seq)} in the journal")
    starts = [r.started_us for packet in packets for r in packet.records if isinstance(r, wire.Sweep)]
    result.sweeps = len(starts)
    result.doubled = sum(count - 1 for count in Counter(starts).values())
    expected = [site.at_us(number) for number in range(told.stored_sweep + 1)]
    if starts != expected:
        odd = sorted(set(expected) ^ set(starts))
        result.problems.append(
            f"{len(starts)} sweeps in the journal, {len(expected)} were made; {len(odd)} are in one of them"
            f" alone, the first of {odd[0] if odd else 'none'}"
        )


def _energy(
    site: Site, org: str, packets: list[wire.Packet], store: Store, content: dict[str, list], result: Result
) -> None:
    last = result.sweeps - 1
    devices = {
        str(UUID(bytes=record.device)): site.devices[record.address]
        for packet in packets
        for record in packet.records
        if isinstance(record, wire.Inventory)
    }
    start_us = site.start_us // DAY_US * DAY_US
    end_us = -(-site.at_us(last + 1) // HALF_HOUR_US) * HALF_HOUR_US
    in_journal: Counter[str] = Counter()
    for packet in packets:
        for record in packet.records:
            if isinstance(record, wire.Sweep):
                ids = record.devices
                in_journal.update(str(UUID(bytes=ids[n : n + 16])) for n in range(0, len(ids), 16))
    with store.read() as connection:
        ledger = SiteLedger(connection, org, site.name)
        totals = ledger.totals(start_us, end_us)
        rows = [row for row in content["device"] if row.site == site.name]
        if {row.device for row in rows} != devices.keys():
            result.problems.append("the ledger's devices are not the site's")
        for row in rows:
            device = devices[row.device]
            first_read, last_read = (site.at_us(n) for n in site.read(device.address, 0, last))
            found = totals.energy(row.place)
            result.readings_in_ledger += found.samples
            if found.samples != in_journal[row.device]:
                result.problems.append(f"{row.device}: {found.samples} samples of {in_journal[row.device]}")
            truth_wh = site.energy_wh(device, first_read, last_read)
            result.energy_wh += found.energy_wh
            result.truth_wh += float(truth_wh)
            # Each half-hour hands on less than 1 Wh to the next.
            if not -1 < found.energy_wh - truth_wh < 1 or found.gap_us or found.below_wh or found.above_wh:
                result.problems.append(
                    f"{row.device}: {found.energy_wh} Wh, in truth {float(truth_wh):.2f}; gaps {found.gap_us}"
                )
            columns = ledger.profile(row.place, start_us, end_us)
            for n, at_us in enumerate(range(start_us, end_us, HALF_HOUR_US)):
                low_us, high_us = max(at_us, first_read), min(at_us + HALF_HOUR_US, last_read)
                truth_wh = site.energy_wh(device, low_us, high_us) if low_us < high_us else 0
                if not -1 < (half_wh := columns.energy(n).energy_wh) - truth_wh < 1:
                    result.problems.append(f"{row.device} at {at_us}: {half_wh} Wh of {float(truth_wh):.2f}")
