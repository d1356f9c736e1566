"""`top`: from the page of metrics to the picture, and a terminal that is as it was, whatever ends it."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agent import top
from agent.top_model import Device, Fleet, parse, rows
from agent.top_view import SORTS, View, frame, keys, press

METRICS = """\
# TYPE hashledger_agent_up gauge
hashledger_agent_up{org="farm",site="north",agent="agent-1"} 1.0
hashledger_agent_sweep_age_seconds 12.5
hashledger_agent_sweep_duration_seconds 2.1
hashledger_agent_spool_waiting_batches 3.0
hashledger_agent_spool_oldest_waiting_age_seconds 180.0
hashledger_agent_spool_bytes 4096.0
hashledger_agent_broker_connected 0.0
hashledger_agent_devices{result="reading"} 3.0
hashledger_agent_devices{result="timeout"} 1.0
hashledger_agent_hashrate_hashes_per_second 3.3e14
hashledger_agent_pool_devices{pool="b.example:3333"} 1.0
hashledger_agent_pool_devices{pool="a.example:443"} 2.0
hashledger_agent_unexpected_pool_devices 1.0
hashledger_agent_power_watts{origin="psu_measured"} 6500.0
hashledger_agent_power_watts{origin="dc_output"} 15.0
hashledger_agent_device_hashrate_hashes_per_second{address="10.0.0.2",model="S19"} 1.1e14
hashledger_agent_device_hashrate_hashes_per_second{address="10.0.0.10",model="S19"} 1.0e14
hashledger_agent_device_hashrate_hashes_per_second{address="10.0.0.9",model="S19"} 2.0e13
hashledger_agent_device_power_watts{address="10.0.0.2",model="S19",origin="psu_measured"} 3250.0
hashledger_agent_device_power_watts{address="10.0.0.10",model="S19",origin="psu_measured"} 3250.0
hashledger_agent_device_chip_temperature_celsius{address="10.0.0.2",model="S19"} 71.0
hashledger_agent_device_state{address="10.0.0.2",model="S19",result="reading",state="mining"} 1.0
hashledger_agent_device_state{address="10.0.0.10",model="S19",result="reading",state="overheat"} 1.0
hashledger_agent_device_state{address="10.0.0.11",model="M50",result="timeout",state=""} 1.0
hashledger_agent_device_reading_age_seconds{address="10.0.0.11",model="M50"} 3600.0
"""
FLEET = parse(METRICS)


def picture(
    fleet: Fleet = FLEET, view: View | None = None, width: int = 80, height: int | None = 24
) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, legacy_windows=False, color_system=None)
    console.print(frame(fleet, view or View(), width=width, height=height), crop=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_page_of_metrics_becomes_a_fleet() -> None:
    assert FLEET.name == "farm/north/agent-1"
    assert FLEET.results == {"reading": 3, "timeout": 1}
    assert FLEET.power_w == {"psu_measured": 6500.0, "dc_output": 15.0}
    assert (FLEET.spool_waiting, FLEET.spool_age_s, FLEET.connected) == (3, 180.0, False)
    device = next(d for d in FLEET.devices if d.address == "10.0.0.2")
    assert device.j_per_th == pytest.approx(3250 / 110) and device.chip_temp_c == 71.0
    dead = next(d for d in FLEET.devices if d.address == "10.0.0.11")
    assert (dead.hashrate_hs, dead.power_w, dead.state, dead.age_s) == (None, None, "timeout", 3600.0)


def test_an_agent_that_tells_less_is_shown_all_the_same() -> None:
    fleet = parse('hashledger_agent_up{org="o",site="s",agent="a"} 1\n')
    assert fleet.hashrate_hs is None and fleet.connected is None and fleet.devices == ()
    assert "o/s/a" in picture(fleet)[0]


def test_the_worst_come_first_failed_hot_then_weak() -> None:
    assert [d.address for d in rows(FLEET.devices, "worst")] == [
        "10.0.0.11", "10.0.0.10", "10.0.0.9", "10.0.0.2",
    ]  # fmt: skip


def test_addresses_are_in_the_order_of_their_numbers() -> None:
    assert [d.address for d in rows(FLEET.devices, "address")][:2] == ["10.0.0.2", "10.0.0.9"]


devices = st.lists(
    st.builds(
        Device, st.integers(1, 254).map(lambda n: f"10.0.0.{n}"), st.sampled_from(["S19", "M50", ""]),
        st.none() | st.floats(0, 1e15), st.none() | st.floats(0, 9e3), st.just(""),
        st.none() | st.floats(0, 99),
        st.sampled_from(["", "mining", "fault"]), st.sampled_from(["", "reading", "timeout"]),
        st.none() | st.floats(0, 1e6),
    ),
    max_size=30,
)  # fmt: skip


@given(devices, st.sampled_from(sorted(SORTS.values())), st.booleans())
def test_every_order_keeps_every_device_and_puts_the_unknown_last(
    fleet: list[Device], sort: str, reverse: bool
) -> None:
    ordered = rows(fleet, sort, reverse)
    assert sorted(map(repr, ordered)) == sorted(map(repr, fleet))
    values = {"hashrate": "hashrate_hs", "power": "power_w", "chip": "chip_temp_c", "age": "age_s"}
    if sort in values:
        got = [getattr(d, values[sort]) for d in ordered]
        known = [v for v in got if v is not None]
        assert got[: len(known)] == sorted(known, reverse=not reverse)


@given(devices, st.integers(0, 40), st.integers(40, 200), st.integers(8, 60))
def test_the_picture_fits_the_terminal(fleet: list[Device], offset: int, width: int, height: int) -> None:
    lines = picture(Fleet(devices=tuple(fleet)), View(offset=offset), width, height)
    assert len(lines) == height
    assert max(map(len, lines)) <= width


def test_everything_is_to_be_seen_in_80_by_24() -> None:
    lines = picture()
    text = "\n".join(lines)
    for part in ("farm/north/agent-1", "sweep 12 s ago", "0.330 PH/s", "psu_measured 6,500 W", "1 timeout",
                 "pools UNLISTED at 1 devices  a.example:443 2  b.example:3333 1",
                 "3 waiting, oldest 180 s", "broker DOWN", "q quit"):  # fmt: skip
        assert part in text
    assert lines[5].split() == ["address", "model", "TH/s", "W", "J/TH", "chip", "C", "state", "age", "s"]
    row = next(line for line in lines if line.startswith("10.0.0.2 "))
    assert row.split() == ["10.0.0.2", "S19", "110.00", "3,250", "29.5", "71", "mining", "-"]


def test_a_wider_terminal_shows_the_whole_name_of_a_model() -> None:
    fleet = Fleet(devices=(Device("10.0.0.1", model="Antminer S19k Pro Hydro"),))
    assert "Antminer S19k ~" in picture(fleet)[6]
    assert "Antminer S19k Pro Hydro" in picture(fleet, width=100)[6]


def test_a_device_cannot_write_on_the_terminal() -> None:
    lines = picture(Fleet(devices=(Device("10.0.0.1", model="S19\x1b[2J[bold]"),)))
    assert not any("\x1b[2J" in line for line in lines) and any("S19?[2J[bold]" in line for line in lines)


def test_keys_sort_reverse_filter_move_and_quit() -> None:
    view = View()
    for key in keys(b"h\x1b[B\x1b[B"):
        view = press(view, key) or view
    assert (view.sort, view.offset) == ("hashrate", 2)
    for key in keys(b"r/m5x\x7f0\r"):
        view = press(view, key) or view
    assert (view.reverse, view.filter, view.typing, view.offset) == (True, "m50", False, 0)
    assert [d.address for d in rows(FLEET.devices, view.sort, view.reverse, view.filter)] == ["10.0.0.11"]
    assert press(view, "escape") == View("hashrate", True)
    assert press(View(typing=True), "q") == View(typing=True, filter="q")
    assert press(View(), "q") is None


@given(st.binary(max_size=40))
def test_no_byte_of_a_terminal_breaks_the_keys(data: bytes) -> None:
    view = View()
    for key in keys(data):
        view = press(view, key) or view
        assert view.offset >= 0 and len(view.filter) <= 40


# ---- against an endpoint, in a terminal


@contextlib.contextmanager
def endpoint(text: str = METRICS) -> Iterator[int]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_arguments: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_once_prints_every_device_into_a_pipe() -> None:
    console = Console(file=io.StringIO(), width=80)
    with endpoint() as port:
        top.once(lambda: top.scrape("0.0.0.0", port), console)  # noqa: S104
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.count("10.0.0.") == 4 and "q quit" not in text and "\x1b" not in text


def test_an_agent_that_does_not_run_is_said_so() -> None:
    with pytest.raises(top.ScrapeError, match="does the agent run"):
        top.scrape("127.0.0.1", 1)


# A shell that started the tests in the background has SIGINT ignored, and a child inherits that.
CHILD = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from rich.console import Console
from agent import top
top.live(lambda: top.scrape("127.0.0.1", int(sys.argv[1])), Console(), sys.stdin.fileno(), 0.1)
"""


class Terminal:
    """`top` as a child on a pseudo-terminal of 80 by 24."""

    def __init__(self, port: int) -> None:
        self.ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (24, 80))
        self.before = termios.tcgetattr(self.theirs)
        environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
        self.child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(port)], stdin=self.theirs, stdout=self.theirs,
            stderr=self.theirs, env=environment, start_new_session=True,
        )  # fmt: skip
        self.seen = ""

    def until(self, *texts: str) -> None:
        """Read on until the screen has had all of `texts` since the last call."""
        self.seen = ""
        ends_s = time.monotonic() + 20
        while not all(text in self.seen for text in texts):
            assert time.monotonic() < ends_s, f"{texts!r} not shown; last: {self.seen[-2000:]!r}"
            if select.select([self.ours], [], [], 0.2)[0]:
                self.seen += os.read(self.ours, 65536).decode("utf-8", "replace")

    def press(self, key: str) -> None:
        os.write(self.ours, key.encode())

    def ended(self) -> int:
        code = self.child.wait(timeout=20)
        while select.select([self.ours], [], [], 0.1)[0]:
            self.seen += os.read(self.ours, 65536).decode("utf-8", "replace")
        return code

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
        os.close(self.ours)
        os.close(self.theirs)


@contextlib.contextmanager
def terminal(port: int) -> Iterator[Terminal]:
    screen = Terminal(port)
    try:
        yield screen
    finally:
        screen.close()


def test_keys_act_at_once_on_a_real_terminal() -> None:
    with endpoint() as port, terminal(port) as screen:
        screen.until("of 4 by worst")
        screen.press("h")
        screen.until("by hashrate")
        screen.press("r")
        screen.until("reversed")
        screen.press("/m50\r")
        screen.until("1-1 of 1")
        screen.press("\x1b")
        screen.until("of 4")
        screen.press("q")
        assert screen.ended() == 0


@pytest.mark.parametrize("way", ["q", "\x03", signal.SIGTERM, signal.SIGHUP], ids=str)
def test_the_terminal_is_as_it_was_whatever_ends_it(way: str | signal.Signals) -> None:
    with endpoint() as port, terminal(port) as screen:
        screen.until("of 4 by worst")
        assert termios.tcgetattr(screen.theirs)[3] != screen.before[3]
        if isinstance(way, str):
            if way == "\x03":  # the child has no controlling terminal of its own here
                screen.child.send_signal(signal.SIGINT)
            else:
                screen.press(way)
        else:
            screen.child.send_signal(way)
        code = screen.ended()
        assert code == (0 if isinstance(way, str) else 128 + way)
        assert termios.tcgetattr(screen.theirs) == screen.before
        assert "\x1b[?1049l" in screen.seen and "\x1b[?25h" in screen.seen


def test_an_agent_that_goes_away_is_told_and_the_last_figures_stay() -> None:
    with contextlib.ExitStack() as agent, contextlib.ExitStack() as stack:
        port = agent.enter_context(endpoint())
        screen = stack.enter_context(terminal(port))
        screen.until("of 4 by worst")
        agent.close()
        screen.until("no metrics at", "10.0.0.11")
        screen.press("q")
        assert screen.ended() == 0
