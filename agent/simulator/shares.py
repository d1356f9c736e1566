"""A farm in several processes: more file descriptors than one may have, and more than one core.

The children die with their parent, however it ends: each watches a pipe that only the parent holds open.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from types import FrameType

# Serves a share of the farm until it is stopped; calls back once its ports are open.
ServeShare = Callable[[int, Callable[[], object]], None]


def run(serve_share: ServeShare, processes: int, ready: Callable[[], object]) -> bool:
    """Serve in this process, or in `processes` children; `ready` once all are. False where one failed."""
    if processes == 1:
        serve_share(0, ready)
        return True
    context = multiprocessing.get_context("fork")  # the farm is built once, and its pages are shared
    alive, held = os.pipe()
    children, told = [], []
    for number in range(processes):
        heard, says = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(serve_share, number, says, alive, held), daemon=True)
        child.start()
        says.close()
        children.append(child)
        told.append(heard)
    signal.signal(signal.SIGTERM, _stop)
    try:
        if not all(_is_ready(heard) for heard in told):
            return False
        ready()
        wait([child.sentinel for child in children])  # none ends by itself: the first to do so has failed
        return False
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.join()


def _is_ready(heard: Connection) -> bool:
    try:
        return bool(heard.recv())
    except EOFError:
        return False


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _child(serve_share: ServeShare, number: int, says: Connection, alive: int, held: int) -> None:
    os.close(held)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to hear

    def watch() -> None:
        os.read(alive, 1)  # ends when the parent does
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    serve_share(number, lambda: says.send(True))
