"""`hashledger agent top`: the running agent's own figures, live, in a terminal.

Reads the agent's Prometheus endpoint and nothing else: no device is asked, no file of the agent is opened. A
scrape costs the agent a little time, so it is given a rest of ten times as long as the last one took. Here is
what touches terminal and network; `top_model.py` and `top_view.py` are pure.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import signal
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.live import Live

from agent.top_model import Fleet, parse
from agent.top_view import View, frame, keys, page_size, press

POLL_S = 2.0
REST = 10  # times the last scrape
SCRAPE_TIMEOUT_S = 5.0
MAX_METRICS_BYTES = 64 * 1024 * 1024  # ten thousand devices with eight series each are 5 MB
KEY_WAIT_S = 0.2
KEY_BYTES = 64

Scrape = Callable[[], str]


class ScrapeError(Exception):
    """The endpoint gave no metrics; the text says where and why."""


def scrape(host: str, port: int) -> str:
    """The page of metrics of the agent at `host`, as it listens (0.0.0.0 is this machine)."""
    where = "127.0.0.1" if host in ("0.0.0.0", "") else host  # noqa: S104
    connection = http.client.HTTPConnection(where, port, timeout=SCRAPE_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        body = response.read(MAX_METRICS_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or error
        raise ScrapeError(f"no metrics at {where}:{port}: {why}; does the agent run?") from error
    finally:
        connection.close()
    if response.status != 200 or len(body) > MAX_METRICS_BYTES:
        raise ScrapeError(f"http://{where}:{port}/metrics: HTTP {response.status}, {len(body)} bytes")
    return body.decode("utf-8", "replace")


def once(fetch: Scrape, console: Console) -> None:
    """One picture of every device, for a pipe; ScrapeError if the agent is not there."""
    console.print(frame(parse(fetch()), View(), width=console.width), crop=False)


def live(fetch: Scrape, console: Console, keyboard: int, poll_s: float = POLL_S) -> None:
    """The picture until `q`, Ctrl-C or a signal; the terminal is as it was, whatever ends it."""
    feed = _Feed(fetch, poll_s)
    view, drawn = View(), None
    with (
        feed.running(),
        _ended_by_signals(),
        cbreak(keyboard),
        contextlib.suppress(KeyboardInterrupt),
        Live(console=console, screen=True, auto_refresh=False) as screen,
    ):
        while True:
            fleet, problem = feed.latest
            width, height = console.size
            wanted = (fleet, problem, view, width, height)
            if wanted != drawn:
                screen.update(frame(fleet, view, width=width, height=height, problem=problem), refresh=True)
                drawn = wanted
            if not select.select([keyboard], [], [], KEY_WAIT_S)[0]:
                continue
            data = os.read(keyboard, KEY_BYTES)
            if not data:  # the terminal is gone
                return
            for key in keys(data):
                pressed = press(view, key, page_size(height))
                if pressed is None:
                    return
                most = max(0, len(fleet.devices) - page_size(height))
                view = pressed if pressed.offset <= most else replace(pressed, offset=most)


class _Feed:
    """Scrapes in a thread of its own, so that a slow agent never holds up a key."""

    def __init__(self, fetch: Scrape, poll_s: float) -> None:
        self.latest: tuple[Fleet, str | None] = (Fleet(), None)
        self._fetch = fetch
        self._poll_s = poll_s
        self._stop = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Scrape inside the block; what is under way at its end is left to its own time-out."""
        thread = threading.Thread(target=self._run, name="scrape", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()

    def _run(self) -> None:
        rest_s = 0.0
        while not self._stop.wait(rest_s):
            began_s = time.monotonic()
            try:
                self.latest = parse(self._fetch()), None
            except (ScrapeError, ValueError) as error:
                self.latest = self.latest[0], str(error)
            rest_s = max(self._poll_s, REST * (time.monotonic() - began_s))


@contextlib.contextmanager
def cbreak(keyboard: int) -> Iterator[None]:
    """Keys one by one and unseen; afterwards the terminal is as it was."""
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard, termios.TCSANOW)
        mode = termios.tcgetattr(keyboard)
        mode[6][termios.VSUSP] = b"\0"  # Ctrl-Z would leave the shell with our screen
        termios.tcsetattr(keyboard, termios.TCSANOW, mode)
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSAFLUSH, before)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the program as an exception, so that every block is left in order."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
