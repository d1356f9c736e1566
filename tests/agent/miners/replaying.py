"""Recorded devices behind real ports on loopback, served by a child process that ends with the block."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[4] / "shared"
CAPTURES = SHARED / "captures"
REPLAY = SHARED / "tools" / "replay.py"

needs_captures = pytest.mark.skipif(
    not (CAPTURES.is_dir() and REPLAY.is_file() and hasattr(os, "geteuid") and os.geteuid() == 0),
    reason="the captures stand beside the checkout, and ports below 1024 need root",
)


def fresh_base() -> str:
    """A range of loopback addresses that no other run is likely to have."""
    return f"127.{130 + secrets.randbelow(110)}.{secrets.randbelow(250)}.1"


@contextmanager
def replayed(*arguments: str) -> Iterator[list[dict[str, str]]]:
    """The devices being served, each with its addr, id and dir."""
    child = subprocess.Popen(
        [sys.executable, str(REPLAY), str(CAPTURES), "--base", fresh_base(), "--no-uvloop", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert child.stdout is not None
        ready = child.stdout.readline()
        assert ready.startswith("READY "), "the captures are not being served"
        yield json.loads(ready.removeprefix("READY "))["devices"]
    finally:
        child.terminate()
        child.wait(timeout=10)
        if child.stdout is not None:
            child.stdout.close()
