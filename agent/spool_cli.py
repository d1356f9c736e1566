"""`hashledger agent spool`: what waits for the collector, how fast it comes and goes, and when it is full."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from agent import config
from agent.app import SPOOL_FILE
from agent.depth import Depth, read_depth
from agent.spool import room_bytes

_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60


@click.command()
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=config.DEFAULT_PATH,
    show_default=True,
    help="The agent's configuration.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON; what is not known is null.")
def spool(path: Path, as_json: bool) -> None:
    """What waits for the collector: depth, age, rates, room. Reads only, beside a running agent too."""
    try:
        loaded = config.load(path)
    except config.ConfigError as error:
        raise click.UsageError(str(error)) from error
    file = loaded.agent.state_dir / SPOOL_FILE
    depth = read_depth(file, room_bytes(loaded.spool.max_bytes))
    if depth is None:
        raise click.UsageError(f"{file}: no spool here; it is made by 'hashledger agent run'")
    stride = loaded.spool.levels.stride(loaded.spool.levels.climb(0, depth.fill), loaded.agent.interval_s)
    if as_json:
        click.echo(json.dumps(document(depth, stride), indent=2))
    else:
        for name, text in lines(depth, stride):
            click.echo(f"{name:<16} {text}")


def document(depth: Depth, stride: int) -> dict[str, object]:
    """The depth as JSON tells it; ages and times in seconds, rates a second."""
    return {
        "waiting": depth.waiting,
        "waiting_bytes": depth.waiting_bytes,
        "oldest_waiting_age_s": _age_s(depth),
        "last_seq": depth.last_seq,
        "acked_seq": depth.acked_seq,
        "kept": depth.kept,
        "size_bytes": depth.size_bytes,
        "limit_bytes": depth.limit_bytes,
        "fill_percent": round(100 * depth.fill, 2),
        "one_sweep_in": stride,
        "in_per_s": depth.in_per_s,
        "in_bytes_per_s": depth.in_bytes_per_s,
        "out_per_s": depth.out_per_s,
        "out_bytes_per_s": depth.out_bytes_per_s,
        "full_in_s": depth.full_in_s(),
        "full_without_collector_in_s": depth.full_in_s(linked=False),
    }


def lines(depth: Depth, stride: int) -> list[tuple[str, str]]:
    """The depth for a person."""
    age_s = _age_s(depth)
    oldest = "" if age_s is None else f", the oldest for {duration(age_s)}"
    thinned = f"; one sweep in {stride} is stored" if stride > 1 else ""
    return [
        ("waiting", f"{depth.waiting} batches, {size(depth.waiting_bytes)}{oldest}"),
        ("last confirmed", f"batch {depth.acked_seq} of {depth.last_seq}"),
        ("in", f"{60 * depth.in_per_s:.2f} batches a minute, {size(60 * depth.in_bytes_per_s)}"),
        ("out", f"{60 * depth.out_per_s:.2f} batches a minute, {size(60 * depth.out_bytes_per_s)}"),
        ("room", f"{100 * depth.fill:.1f} % of {size(depth.limit_bytes)} taken by what waits{thinned}"),
        ("full", _full(depth.full_in_s()) + _without(depth.full_in_s(linked=False))),
        ("on disk", f"{size(depth.size_bytes)}, {depth.kept} batches with those that are confirmed"),
    ]


def _full(in_s: float | None) -> str:
    return "not at these rates" if in_s is None else f"in {duration(in_s)} at these rates"


def _without(in_s: float | None) -> str:
    return "" if in_s is None else f"; in {duration(in_s)} if the collector were away"


def _age_s(depth: Depth) -> float | None:
    if depth.oldest_waiting_us is None:
        return None
    return max(0.0, round(time.time() - depth.oldest_waiting_us / 1e6, 1))


def duration(seconds: float) -> str:
    """A length of time in the largest unit that suits it."""
    for unit_s, name in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {name}"
    return f"{seconds:.0f} s"


def size(count_bytes: float) -> str:
    """Bytes in the largest binary unit that suits them."""
    for unit in ("B", "KiB", "MiB"):
        if count_bytes < 1024:
            return f"{count_bytes:.0f} {unit}" if unit == "B" else f"{count_bytes:.1f} {unit}"
        count_bytes /= 1024
    return f"{count_bytes:.2f} GiB"
