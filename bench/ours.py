"""Our side of a measurement: the agent's own scan and sweeps, spool and all, without a broker.

Told what to do by lines on standard input (see `bench.child`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from agent import app, config, keys, wire
from agent.sweep import Target
from agent.transports import loop
from agent.wire import Sweep
from bench import child

CONFIG = """
[agent]
org = "bench"
site = "bench"
state_dir = "state"
synthetic = true
[network]
scan = ["127.0.0.0/24"]
cgminer_port = {cgminer_port}
http_port = {http_port}
deadline_s = {deadline_s}
foreign_deadline_s = {deadline_s}
concurrency = {concurrency}
[mqtt]
host = "127.0.0.1"
[exporter]
port = 0
"""


async def serve(settings: dict[str, Any]) -> None:
    """Do what is asked, line by line, until the lines end."""
    with tempfile.TemporaryDirectory(prefix="hashledger-bench-") as folder:
        loaded = config.parse(CONFIG.format(**settings), Path(folder) / "agent.toml")
        keys.create(loaded.agent.state_dir)
        agent = app.Agent(loaded, report=lambda _line: None)
        agent.targets = {address: Target(address, family) for address, family in settings["targets"]}
        async with app.drivers(loaded) as poll:
            async for asked in child.requests():
                if asked["do"] == "scan":
                    with child.measured() as told:
                        told["found"] = len(await app.discover(loaded, asked["hosts"], poll))
                else:
                    with child.measured() as told:
                        told |= _counts(await agent.sweep_once(poll))
                child.tell(told)
        agent.spool.close()


def _counts(swept: Sweep) -> dict[str, int]:
    """What a sweep read."""
    rates = wire.values(swept, "hashrate_mhs")
    return {"readings": len(rates), "hashrates": sum(rate is not None for rate in rates)}


if __name__ == "__main__":
    loop.run(serve(child.settings()))
