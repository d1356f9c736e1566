"""The event loop the agent runs on: uvloop, or asyncio's own where it is not installed."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import resource
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

MAX_FILES = 65_536  # some systems allow a billion, and some libraries then close each of them

# Two hundred polls under way hold some ten thousand objects, none of them garbage. Python's own 700 had them
# looked through dozens of times a sweep: a sixth of its processor time.
GARBAGE_OBJECTS = 10_000

# glibc keeps what was freed below its top: of ten thousand devices' replies 5 MiB, for good. Other libraries
# have no such call.
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

T = TypeVar("T")

_factory: Callable[[], asyncio.AbstractEventLoop] | None
try:
    import uvloop
except ImportError:  # no wheel for the platform: the same agent, at twice the processor time a poll
    _factory = None
else:
    _factory = uvloop.new_event_loop


def run(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, on the faster loop if there is one, with as many sockets as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < min(hard, MAX_FILES):  # services start with 1,024, which a large site's connections would reach
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, MAX_FILES), hard))
    gc.freeze()  # what was imported stays: it need not be looked through again and again
    gc.set_threshold(GARBAGE_OBJECTS)
    with asyncio.Runner(loop_factory=_factory) as runner:
        return runner.run(main)


def hand_back() -> None:
    """Give memory that is free again to the system; a millisecond, between two sweeps."""
    if _trim is not None:
        _trim(0)
