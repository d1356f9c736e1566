"""The ledger's measurements: journal and fold beside stores of raw samples, then what people ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench import farm
from bench.farm import Refused
from bench.rows import Row

PEERS = ("duckdb", "sqlite", "influx")
DATABASE = "postgresql"
DAY_S, HALF_HOUR_S = 86_400, 1800


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured; a peer gets fewer sweeps, because it takes longer over each."""

    devices: int = 10_000
    interval_s: int = 60
    group: int = 20  # batches a commit
    sweeps: int = 240
    peer_sweeps: tuple[int, ...] = (120, 60, 20)  # in the order of PEERS
    days: int = 30
    year_devices: int = 64  # of one chunk; a device's year reads no other
    year_days: int = 365
    slow_s: int = 600  # what month and year are polled at: their size goes by half-hours


QUICK = Sizes(devices=20, group=2, sweeps=4, peer_sweeps=(4, 4, 4), days=1, year_devices=3, year_days=1)


def ingest(sizes: Sizes) -> Row:
    """Readings a second of one core: verified, journalled, folded, committed; peers only insert."""
    told = {"ours": _fed("ledger", sizes, sizes.sweeps)}
    remarks = [
        f"{sizes.devices} devices, {sizes.group} sweeps a commit, all from the same packets; ours verifies,"
        " journals and folds, the peers store raw rows of the same fields"
    ]
    for peer, sweeps in zip(PEERS, sizes.peer_sweeps, strict=True):
        try:
            told[peer] = _fed("stores", sizes, sweeps, store=peer)
        except Refused as error:
            remarks.append(f"{peer}: {error}")
    rates = {name: round(one["readings"] / one["wall_s"]) for name, one in told.items()}
    rss_mib = told["ours"]["rss_mib"]
    remarks.append(f"memory of ours: {min(rss_mib):.0f} to {max(rss_mib):.0f} MiB")
    peers = {peer: float(rates[peer]) if peer in rates else None for peer in PEERS}
    return Row("ingest", "readings/s of one core", rates["ours"], peers, True, remarks, told)


def month(sizes: Sizes) -> dict[str, Row]:
    """A month of all devices: kWh of each, bytes on disk, and the ledger anew."""
    told: dict[str, Any] = {}
    with farm.side("ledger", {"devices": sizes.devices, "interval_s": sizes.slow_s}) as one:
        told["ingest"] = one.do("take", sweeps=sizes.days * DAY_S // sizes.slow_s, group=sizes.group)
        for step in ("totals", "bytes", "rebuild"):
            told[step] = one.do(step)
    if not told["rebuild"]["equal"] or not told["totals"]["energy_wh"]:
        raise Refused("the ledger built anew is not the same, or holds no energy")
    what = f"{sizes.devices} devices, {sizes.days} days of half-hours, polled every {sizes.slow_s} s"
    with_database = {"devices": sizes.devices, "interval_s": sizes.slow_s, "store": DATABASE}
    remark, database = f"{DATABASE}: our own ledger in it", dict[str, Any]()
    try:
        with farm.side("ledger", with_database) as one:
            one.do("take", sweeps=sizes.days * DAY_S // sizes.slow_s, group=sizes.group)
            database = {step: one.do(step) for step in ("totals", "bytes")}
        if database["totals"]["energy_wh"] != told["totals"]["energy_wh"]:
            raise Refused(f"the ledger in {DATABASE} holds another energy")
    except Refused as error:
        remark = f"{DATABASE}: {error}"
    told[DATABASE] = database
    if database:
        remark += f"; {database['bytes']['unvacuumed_bytes'] / 1e6:.0f} MB before it was vacuumed"
    month_s = {DATABASE: round(database["totals"]["wall_s"], 3) if database else None}
    month_mb = {DATABASE: round(database["bytes"]["ledger_bytes"] / 1e6, 1) if database else None}
    rss_mib = told["ingest"]["rss_mib"]
    memory = f"memory {rss_mib[len(rss_mib) // 2]:.0f} MiB at half of it, {rss_mib[-1]:.0f} at the end"
    rate = round(told["rebuild"]["readings"] / told["rebuild"]["wall_s"])
    size_mb = round(told["bytes"]["ledger_bytes"] / 1e6, 1)
    return {
        "month_10000": Row(
            "month_10000",
            "s",
            round(told["totals"]["wall_s"], 3),
            month_s,
            False,
            [what, memory, remark],
            told,
        ),
        "rebuild": Row(
            "rebuild", "readings/s of one core", rate, {}, True, [what, "equal to the row"], told["rebuild"]
        ),
        "ledger_bytes": Row("ledger_bytes", "MB", size_mb, month_mb, False, [what, remark], told["bytes"]),
    }


def profile_year(sizes: Sizes) -> Row:
    """One device's half-hours of a year."""
    told, remark = {"ours": _year(sizes)}, f"{DATABASE}: our own ledger in it"
    try:
        told[DATABASE] = _year(sizes, store=DATABASE)
    except Refused as error:
        remark = f"{DATABASE}: {error}"
    if not told["ours"]["energy_wh"]:
        raise Refused("the profile holds no energy")
    what = f"{sizes.year_days} days of half-hours of one device, from a site of {sizes.year_devices}"
    spent_s = {name: round(one["wall_s"], 4) for name, one in told.items()}
    peers = {DATABASE: spent_s.get(DATABASE)}
    return Row("profile_year", "s", spent_s["ours"], peers, False, [what, remark], told)


def _year(sizes: Sizes, **more: Any) -> dict[str, Any]:
    with farm.side("ledger", {"devices": sizes.year_devices, "interval_s": sizes.slow_s, **more}) as one:
        one.do("take", sweeps=sizes.year_days * DAY_S // sizes.slow_s, group=200)
        return one.do("profile")


def _fed(module: str, sizes: Sizes, sweeps: int, **more: Any) -> dict[str, Any]:
    settings = {"devices": sizes.devices, "interval_s": sizes.interval_s, **more}
    with farm.side(module, settings) as one:
        return one.do("take", sweeps=sweeps, group=sizes.group)
