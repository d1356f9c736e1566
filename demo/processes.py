"""The demo's processes: started in order, watched, and all of them ended whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

# A process that was told to stop flushes and says goodbye within this; then it is killed.
STOP_S = 5.0
PR_SET_PDEATHSIG = 1
# Below those that the kernel gives to outgoing connections (32,768 and up): none of them gets in between.
PORTS = range(20_000, 32_768)


class ProcessFailed(Exception):
    """A process of the demo ended badly or did not come up; the text has its last words."""


class Processes:
    """A context that starts `hashledger` commands and leaves none behind."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._running: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Processes:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)

    def start(self, name: str, *arguments: str, aloud: bool = False) -> subprocess.Popen[str]:
        """Start `hashledger ARGUMENTS...`: output to the caller, messages to a log, or to the terminal."""
        with (self._log_dir / f"{name}.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "hashledger", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if aloud else log,
                text=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                # Ctrl-C reaches the demo alone, which then stops the rest in order.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._running[name] = process
        return process

    def wait_line(self, name: str, word: str, timeout_s: float) -> None:
        """Wait until the process prints a line with `word`; then read on so that it never blocks."""
        process = self._running[name]
        seen = threading.Event()

        def read() -> None:
            for line in process.stdout or ():
                if word in line:
                    seen.set()

        threading.Thread(target=read, daemon=True).start()
        until_s = time.monotonic() + timeout_s
        while not seen.wait(0.05):
            if process.poll() is not None or time.monotonic() > until_s:
                raise ProcessFailed(f"{name} did not come up:\n{self._last_words(name)}")

    def lines(self, name: str, *arguments: str, aloud: bool = False) -> Iterator[str]:
        """Run a command to its end, giving its output line by line; ProcessFailed if it ends badly."""
        process = self.start(name, *arguments, aloud=aloud)
        for line in process.stdout or ():
            yield line.rstrip("\n")
        if process.wait() != 0:
            raise ProcessFailed(f"{name} ended with {process.returncode}:\n{self._last_words(name)}")
        self._running.pop(name, None)

    def stop(self, name: str) -> None:
        """End a process: asked first, then killed; its children end with it."""
        process = self._running.pop(name, None)
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        if process.poll() is None:
            process.kill()
            process.wait()

    def _last_words(self, name: str) -> str:
        text = (self._log_dir / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-15:])


def together(*jobs: Callable[[], None]) -> None:
    """Run the jobs side by side; the first error of any is raised when all have ended."""
    errors: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except ProcessFailed as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def free_ports(count: int) -> list[int]:
    """Different ports on which nothing on this machine listens now."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.sample(PORTS, len(PORTS)):
            one = stack.enter_context(socket.socket())
            try:
                one.bind(("", port))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise ProcessFailed(f"no {count} free ports between {PORTS.start} and {PORTS.stop}")


def _die_with_parent() -> None:
    # Killed with SIGKILL the demo cannot clean up: the kernel does, where it is Linux.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
