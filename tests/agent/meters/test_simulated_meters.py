"""`agent simulate meters` serves every kind of meter, and the configuration that it prints reads them all."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from agent import config
from agent.meters import oid_map, register_map
from agent.meters.cli import read_once
from agent.meters.told import Told
from tests.agent.meters.test_meter_cli import HEAD


def test_what_is_served_is_read_with_the_configuration_that_is_printed(tmp_path: Path) -> None:
    first = 20_000 + os.getpid() % 9_000  # a row of ports below those that the system gives away
    command = [sys.executable, "-m", "hashledger", "agent", "simulate", "meters", "--first-port", str(first)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        rows = []
        for line in process.stdout:
            if line.startswith("# serving"):
                break
            rows.append(line)
        path = tmp_path / "agent.toml"
        path.write_text(HEAD + "".join(rows))
        path.chmod(0o600)
        loaded = config.load(path)
        results = asyncio.run(read_once(loaded.meter, tmp_path))
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    kinds = 2 * len(register_map.names()) + 7 + len(oid_map.names())
    assert len(results) == kinds
    for name, told in results.items():
        assert isinstance(told, Told), (name, told)
        assert told.import_wh is not None and told.unread == {}, name
        # A week at 100 to 150 kW.
        assert 168 * 100_000 <= told.import_wh <= 168 * 150_000, name
