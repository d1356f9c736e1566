"""A collector that is told to stop, stops: at whatever moment the signal comes, and however often."""

from __future__ import annotations

import subprocess
import sys

# The main thread holds the event's lock, as it does for a moment in each `wait` and `set`.
UNLUCKY = """
import os, signal, time
from collector.cli import stop_on_signals
stop = stop_on_signals()
with stop._cond:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
print(stop.wait(20))
"""


def test_a_signal_that_comes_at_the_worst_moment_stops_it_and_does_not_hang_it() -> None:
    told = subprocess.run([sys.executable, "-c", UNLUCKY], capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stdout) == (0, "True\n"), told.stderr
