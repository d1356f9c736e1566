"""The measurements: each gives one row, its sides by turns so that a noisy neighbour hits all of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from bench import farm
from bench.farm import Refused, Side

T = TypeVar("T")

PEERS = ("pyasic", "pyasic_rs")
REAL_PORTS = {"cgminer_port": 4028, "http_port": 80}  # the peers know no others
MIXED = ("antminer", "whatsminer", "axeos")
# The families whose sweep takes one connection; the slower of them is the row.
ONE_CONNECTION = ("whatsminer", "axeos")
LIVE_OF_22 = 461
SCAN_LIMIT_S = 90  # six times what is asked of us
SCAN_WIDTH = 200


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    devices: int = 1000
    rounds: int = 5
    larger: int = 5000
    rounds_larger: int = 2
    many: int = 10_000
    hung: int = 1000
    live: int = LIVE_OF_22
    hosts: int = 1022
    deadline_s: float = 10.0


QUICK = Sizes(
    devices=12, rounds=2, larger=24, rounds_larger=1, many=60, hung=40, live=12, hosts=30, deadline_s=1.0
)


@dataclass(slots=True)
class Row:
    """One line of the table; a peer that could not do it has None and a remark that says why."""

    name: str
    unit: str
    ours: float
    peers: dict[str, float | None]
    more_is_better: bool
    remarks: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def ratio(self, peer: str) -> float | None:
        """How many times better than the peer."""
        theirs = self.peers.get(peer)
        if not theirs or not self.ours:
            return None
        return self.ours / theirs if self.more_is_better else theirs / self.ours


def settings(sizes: Sizes, targets: list[farm.Target], **more: Any) -> dict[str, Any]:
    """What a side is told first."""
    return {"deadline_s": sizes.deadline_s, "concurrency": 200, "targets": targets, **REAL_PORTS, **more}


def readings(family: str, sizes: Sizes, best: dict[str, dict[str, dict[str, float]]]) -> Row:
    """One family's sweep on all sides; `best` keeps each side's processor time for `cpu_per_reading`."""
    remarks = [
        "fields: hashrate, power, uptime, fans, pools; ours also chip temperatures, into the durable spool"
    ]
    best[family] = found = _compared(family, sizes.devices, sizes.rounds, sizes, remarks)
    larger = _compared(family, sizes.larger, sizes.rounds_larger, sizes, remarks)
    for count, told in ((sizes.devices, found), (sizes.larger, larger)):
        sides = ", ".join(
            f"{name} {one['per_cpu_s']:.0f}/s {one['cpu_ms']:.3f} ms {one['rss_mib']:.0f} MiB"
            for name, one in told.items()
        )
        remarks.append(f"{count} devices: {sides}")
    return Row(
        f"readings_{family}",
        "readings/s of one core",
        round(found["ours"]["per_cpu_s"], 1),
        {peer: round(found[peer]["per_cpu_s"], 1) if peer in found else None for peer in PEERS},
        more_is_better=True,
        remarks=remarks,
        details={**found, f"at_{sizes.larger}": larger},
    )


def _compared(
    family: str, count: int, counted: int, sizes: Sizes, remarks: list[str]
) -> dict[str, dict[str, float]]:
    """Each side's best of so many rounds over so many devices; a side that misses one is left out."""
    targets = farm.targets(count, [family], farm.base())
    rounds: dict[str, list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        stack.enter_context(farm.replying(targets, **REAL_PORTS))
        sides = _sides(stack, settings(sizes, targets), remarks)
        for _ in range(counted + 1):  # the first finds out, and is not counted
            for name, one in list(sides.items()):
                told = _tried(name, partial(one.do, "sweep"), remarks)
                if told is None or told["readings"] < len(targets):
                    if told is not None:
                        remarks.append(f"{name}: {told['readings']} of {len(targets)} read")
                    if name == "ours":
                        raise Refused("; ".join(remarks))
                    del sides[name]
                    continue
                rounds.setdefault(name, []).append(told)
    return {name: _best(told[1:]) for name, told in rounds.items() if name in sides}


def cpu_per_reading(best: dict[str, dict[str, dict[str, float]]]) -> Row:
    """Processor time of the dearer of the one-connection families."""
    ours = max(best[family]["ours"]["cpu_ms"] for family in ONE_CONNECTION)
    peers: dict[str, float | None] = {}
    for peer in PEERS:
        told = [best[family][peer]["cpu_ms"] for family in ONE_CONNECTION if peer in best[family]]
        peers[peer] = max(told) if len(told) == len(ONE_CONNECTION) else None
    details = {
        family: {side: told["cpu_ms"] for side, told in found.items()} for family, found in best.items()
    }
    return Row("cpu_per_reading", "ms", ours, peers, more_is_better=False, details=details)


def scan_22(sizes: Sizes) -> Row:
    """A /22 with live devices among silent addresses, from nothing known to all identified."""
    start = farm.base()
    network = f"{start}.252.0/22"
    hosts = [f"{start}.{252 + number // 256}.{number % 256}" for number in range(1, sizes.hosts + 1)]
    devices = [
        (host, MIXED[place % 3] if _is_live(place, sizes) else "silent") for place, host in enumerate(hosts)
    ]
    live = sum(family != "silent" for _, family in devices)
    remarks, found = [f"{live} live of {len(hosts)}"], dict[str, dict[str, Any]]()
    with farm.replying(devices, **REAL_PORTS):
        asked = {"hosts": hosts, "subnet": network, "limit_s": SCAN_LIMIT_S}
        for name in ("ours", *PEERS):
            with farm.side(_module(name), settings(sizes, [], concurrency=SCAN_WIDTH)) as one:
                told = _tried(name, partial(one.do, "scan", **asked), remarks)
            if told is not None:
                found[name] = told
                remarks.append(f"{name}: {told['found']} found in {told['wall_s']:.1f} s")
    if "ours" not in found or found["ours"]["found"] < live:
        raise Refused("; ".join(remarks))
    peers = {p: round(found[p]["wall_s"], 2) if _all(found.get(p), live) else None for p in PEERS}
    return Row(
        "scan_22", "s", round(found["ours"]["wall_s"], 2), peers, False, remarks, {"live": live, **found}
    )


def sweep_hung(sizes: Sizes) -> Row:
    """How much longer a sweep takes with 5 % hung devices, at two sizes: one deadline at most."""
    remarks = [f"5 % hung; deadline of a device {sizes.deadline_s:g} s"]
    details, longest_s = dict[str, Any](), 0.0
    for count in (sizes.hung, sizes.many):
        told, longer_s = _with_hung(count, sizes)
        remarks.append(f"{count} devices, all polled at once and in full: {longer_s:.1f} s longer, none lost")
        details[f"at_{count}"] = told
        longest_s = max(longest_s, longer_s)
    remarks.append("pyasic, pyasic_rs: no deadline of their own")
    return Row("sweep_hung", "s longer", round(longest_s, 2), dict.fromkeys(PEERS), False, remarks, details)


def _with_hung(count: int, sizes: Sizes) -> tuple[dict[str, Any], float]:
    """The first sweep of so many devices, all well and with hung ones, and the seconds between."""
    well = farm.targets(count, MIXED, farm.base())
    hung = [(address, "hung" if place % 20 == 7 else family) for place, (address, family) in enumerate(well)]
    told: dict[str, dict[str, Any]] = {}
    for name, devices in (("well", well), ("hung", hung)):
        with farm.replying(devices, **REAL_PORTS), farm.side("ours", settings(sizes, well)) as one:
            told[name] = one.do("sweep")
        read, want = told[name]["readings"], sum(family != "hung" for _, family in devices)
        if read < want:
            raise Refused(f"{read} of {want} well devices were read ({name})")
    return told, max(0.0, told["hung"]["wall_s"] - told["well"]["wall_s"])


def memory_10000(sizes: Sizes) -> Row:
    """Resident memory after sweeps of 10,000 mixed devices, and what each more sweep adds."""
    targets = farm.targets(sizes.many, MIXED, farm.base())
    ports = {"cgminer_port": 14_028, "http_port": 18_080}
    with (
        farm.replying(targets, **ports),
        farm.side("ours", {**settings(sizes, targets), **ports}) as one,
    ):
        told = [one.do("sweep") for _ in range(2 + sizes.rounds)]
    if told[-1]["readings"] < len(targets):
        raise Refused(f"{told[-1]['readings']} of {len(targets)} read")
    fastest = min(told[1:], key=lambda one: float(one["wall_s"]))
    growth = (told[-1]["rss_mib"] - told[1]["rss_mib"]) / max(1, len(told) - 2)
    remarks = [
        f"a sweep of {len(targets)} takes {fastest['wall_s']:.2f} s ({fastest['cpu_s']:.2f} s CPU);"
        f" first, in full {told[0]['wall_s']:.1f} s; growth {growth:.2f} MiB a sweep",
        "pyasic, pyasic_rs: not measured here, they keep no readings; beside ours with the rates above",
    ]
    details = {"sweeps": told, "growth_mib": growth, "sweep_s": fastest["wall_s"]}
    rss_mib = round(max(one["rss_mib"] for one in told), 1)
    return Row("memory_10000", "MiB", rss_mib, dict.fromkeys(PEERS), False, remarks, details)


def _sides(stack: ExitStack, told: dict[str, Any], remarks: list[str]) -> dict[str, Side]:
    """All sides that can read these devices, started and ready."""
    sides = {"ours": stack.enter_context(farm.side("ours", told))}
    for peer in PEERS:
        one = stack.enter_context(farm.side(_module(peer), told))
        found = _tried(peer, partial(one.do, "identify"), remarks)
        if found is None or found["found"] < len(told["targets"]):
            if found is not None:
                remarks.append(f"{peer}: finds {found['found']} of {len(told['targets'])}")
            continue
        sides[peer] = one
    return sides


def _module(name: str) -> str:
    return name if name == "ours" else f"{name}_peer"


def _tried(name: str, step: Callable[[], T], remarks: list[str]) -> T | None:
    try:
        return step()
    except Refused as error:
        remarks.append(f"{name}: {error}")
        return None


def _best(told: list[dict[str, Any]]) -> dict[str, float]:
    """The round that a busy machine disturbed least, by processor time and by the wall."""
    cpu_s = min(one["cpu_s"] / one["readings"] for one in told)
    wall_s = min(one["wall_s"] / one["readings"] for one in told)
    return {
        "cpu_ms": round(cpu_s * 1e3, 4),
        "per_cpu_s": 1 / cpu_s,
        "per_wall_s": round(1 / wall_s, 1),
        "rss_mib": round(max(one["rss_mib"] for one in told), 1),
    }


def _is_live(place: int, sizes: Sizes) -> bool:
    """Spread evenly over the network."""
    return (place + 1) * sizes.live // sizes.hosts > place * sizes.live // sizes.hosts


def _all(told: dict[str, Any] | None, live: int) -> bool:
    return told is not None and told["found"] >= live
