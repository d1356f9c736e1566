"""The loop: the faster one where it is installed, asyncio's own where not; the same agent on both."""

from __future__ import annotations

import asyncio
import importlib
import sys

import pytest

from agent.transports import loop


async def _kind() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_uvloop_where_it_is_installed() -> None:
    pytest.importorskip("uvloop")
    assert loop.run(_kind()).startswith("uvloop")


def test_asyncio_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    try:
        assert importlib.reload(loop).run(_kind()).startswith("asyncio")
    finally:
        monkeypatch.undo()
        importlib.reload(loop)
