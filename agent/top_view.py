"""What `top` shows: the operator's choice, what a key does to it, and the picture. Pure functions.

Eighty columns and twenty-four lines are enough for all of it; a larger terminal shows more devices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.console import Group, RenderableType
from rich.text import Text

from agent.top_model import Device, Fleet, rows


@dataclass(frozen=True, slots=True)
class View:
    """The operator's choice: order, filter, place."""

    sort: str = "worst"
    reverse: bool = False
    filter: str = ""
    typing: bool = False
    offset: int = 0


# Key -> column; `worst` first of all.
SORTS: Mapping[str, str] = {
    "w": "worst",
    "a": "address",
    "m": "model",
    "h": "hashrate",
    "p": "power",
    "e": "efficiency",
    "t": "chip",
    "s": "state",
    "g": "age",
}


def press(view: View, key: str, page: int = 10) -> View | None:
    """The view after a key; None to quit."""
    if view.typing:
        if key in ("enter", "escape"):
            return replace(view, typing=False, filter="" if key == "escape" else view.filter)
        if key == "backspace":
            return replace(view, filter=view.filter[:-1], offset=0)
        if len(key) == 1 and key.isprintable() and len(view.filter) < 40:
            return replace(view, filter=view.filter + key, offset=0)
        return view
    if key in SORTS:
        return replace(view, sort=SORTS[key], reverse=False, offset=0)
    steps = {"down": 1, "j": 1, "up": -1, "k": -1, "pagedown": page, " ": page, "pageup": -page}
    if key in steps:
        return replace(view, offset=max(0, view.offset + steps[key]))
    match key:
        case "q":
            return None
        case "r":
            return replace(view, reverse=not view.reverse, offset=0)
        case "/":
            return replace(view, typing=True, filter="", offset=0)
        case "escape":
            return replace(view, filter="", offset=0)
        case "home":
            return replace(view, offset=0)
    return view


_SEQUENCES = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"\x1b[B": "down", b"\x1bOB": "down", b"\x1b[5~": "pageup",
    b"\x1b[6~": "pagedown", b"\x1b[H": "home", b"\x1b[1~": "home", b"\x1b": "escape", b"\r": "enter",
    b"\n": "enter", b"\x7f": "backspace", b"\x08": "backspace",
}  # fmt: skip


def keys(data: bytes) -> Iterator[str]:
    """The keys in what a terminal sent; a sequence that nobody knows is no key."""
    while data:
        known = next((s for s in sorted(_SEQUENCES, key=len, reverse=True) if data.startswith(s)), None)
        if data.startswith(b"\x1b") and len(data) > 1 and known == b"\x1b":
            # An unknown sequence ends with its first letter or tilde after the bracket.
            end = next((n for n, b in enumerate(data[2:], 3) if chr(b).isalpha() or b == 0x7E), len(data))
            data = data[end:]
        elif known is not None:
            yield _SEQUENCES[known]
            data = data[len(known) :]
        else:
            text = data.split(b"\x1b", 1)[0]
            data = data[len(text) :]
            for char in text.decode("utf-8", "ignore"):
                yield _SEQUENCES.get(char.encode(), char)


# ---- the picture

Column = tuple[str, int, bool]

# Title, width, and whether numbers stand to the right; with a space between they make 79 columns.
_MODEL_WIDTH, _MODEL_MOST = 15, 30  # what a wider terminal has to spare goes to the models' names
_COLUMNS = (
    ("address", 15, False),
    ("model", _MODEL_WIDTH, False),
    ("TH/s", 8, True),
    ("W", 6, True),
    ("J/TH", 6, True),
    ("chip C", 6, True),
    ("state", 11, False),
    ("age s", 5, True),
)
_SORTED_BY = {
    "address": "address", "model": "model", "hashrate": "TH/s", "power": "W", "efficiency": "J/TH",
    "chip": "chip C", "state": "state", "age": "age s",
}  # fmt: skip
WEAK_SHARE = 0.8  # of its model's median: below, a row is marked
HEAD_LINES = 6
FOOT_LINES = 1
_HELP = "sort: w worst, a m h p e t s g column  r reverse  / filter  j k move  q quit"


def page_size(height: int) -> int:
    """How many devices a terminal of this height shows."""
    return max(1, height - HEAD_LINES - FOOT_LINES)


def frame(
    fleet: Fleet, view: View, *, width: int = 80, height: int | None = None, problem: str | None = None
) -> RenderableType:
    """The whole picture; without a height, every device and no help."""
    shown = rows(fleet.devices, view.sort, view.reverse, view.filter)
    page = len(shown) if height is None else page_size(height)
    offset = min(view.offset, max(0, len(shown) - page))
    columns = _columns(width)
    lines = [*_head(fleet), _choice(view, shown, offset, page, problem), _titles(view, columns)]
    lines += [_row(device, columns) for device in shown[offset : offset + page]]
    if height is not None:
        lines += [Text()] * (height - FOOT_LINES - len(lines))
        lines.append(Text(_HELP, style="dim"))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return Group(*lines)


def _head(fleet: Fleet) -> Iterator[Text]:
    sweep = f"sweep {_number(fleet.sweep_age_s)} s ago, took {_number(fleet.sweep_duration_s, 1)} s"
    yield Text(f"hashledger top  {fleet.name or 'no agent yet'}  {sweep}", style="bold")
    total = "-" if fleet.hashrate_hs is None else f"{fleet.hashrate_hs / 1e15:,.3f}"
    power = "  ".join(f"{origin} {_power(watts)}" for origin, watts in fleet.power_w.items())
    yield Text(f"{total} PH/s  power: {power or '-'}")
    line = Text("pools ")
    if fleet.unexpected:
        line.append(f"UNLISTED at {fleet.unexpected} devices  ", style="red")
    most = sorted(fleet.pools.items(), key=lambda pool: (-pool[1], pool[0]))
    line.append("  ".join(f"{_clean(pool)} {count}" for pool, count in most) or "-")
    yield line
    line = Text("devices ")
    for result, count in fleet.results.items():
        line.append(f"{count} {result}  ", style="red" if result != "reading" and count else "")
    line.append(f"spool {_number(fleet.spool_waiting)} waiting, oldest {_number(fleet.spool_age_s)} s  ")
    broker = {True: "broker up", False: "broker DOWN", None: "broker -"}[fleet.connected]
    line.append(broker, style="red" if fleet.connected is False else "")
    yield line


def _choice(view: View, shown: Sequence[Device], offset: int, page: int, problem: str | None) -> Text:
    if problem:
        return Text(problem, style="bold red")
    order = f"by {view.sort}{', reversed' if view.reverse else ''}"
    wanted = f"  filter: {view.filter}{'_' if view.typing else ''}" if view.filter or view.typing else ""
    last = min(offset + page, len(shown))
    return Text(f"{offset + 1 if shown else 0}-{last} of {len(shown)} {order}{wanted}", style="dim")


def _columns(width: int) -> tuple[Column, ...]:
    spare = max(0, width - 80)
    model = min(_MODEL_MOST, _MODEL_WIDTH + spare)
    return tuple((title, model if title == "model" else wide, right) for title, wide, right in _COLUMNS)


def _titles(view: View, columns: tuple[Column, ...]) -> Text:
    line = Text(style="reverse")
    for title, width, right in columns:
        marked = title if _SORTED_BY.get(view.sort) != title else f"{title}{'^' if view.reverse else 'v'}"
        line.append(("" if not line else " ") + _cell(marked, width, right))
    return line


def _row(device: Device, columns: tuple[Column, ...]) -> Text:
    failed = device.result not in ("", "reading")
    weak = device.share is not None and device.share < WEAK_SHARE
    style = "red" if failed or device.state in ("fault", "overheat") else "yellow" if weak else ""
    cells = (
        device.address,
        device.model or "-",
        "-" if device.hashrate_hs is None else f"{device.hashrate_hs / 1e12:,.2f}",
        _number(device.power_w),
        _number(device.j_per_th, 1),
        _number(device.chip_temp_c),
        device.state or "-",
        _number(device.age_s),
    )
    placed = zip(cells, columns, strict=True)
    return Text(" ".join(_cell(text, width, right) for text, (_, width, right) in placed), style=style)


def _cell(text: str, width: int, right: bool) -> str:
    clean = _clean(text)
    if len(clean) > width:
        clean = f"{clean[: width - 1]}~"
    return clean.rjust(width) if right else clean.ljust(width)


def _clean(text: str) -> str:
    """A device's own words: none of them may move the cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _power(watts: float) -> str:
    return f"{watts:,.0f} W" if watts < 10_000 else f"{watts / 1000:,.1f} kW"


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
