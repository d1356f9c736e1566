"""The agent's time: microseconds UTC, and how far it is to be trusted."""

from __future__ import annotations

import time

# What the envelope says of the clock; a disciplined source with a known offset comes with its own reading.
SYSTEM = "system"
SIMULATED = "simulated"


def now_us() -> int:
    """Microseconds since 1970 UTC, as this box tells it."""
    return time.time_ns() // 1000
