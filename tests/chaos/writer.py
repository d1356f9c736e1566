"""The agent that is killed: its clock, sweep, roster, intake, spool and publisher; only sockets are left out.

It tells on standard output, a line each, what the harness must know when it is gone:
    stands SEQ            at the start: the last batch in the spool
    begun SWEEP           a sweep begins; a batch that is stored from here on ends with it
    stored SEQ SWEEP N    `append` has returned: the batch is in the spool, with N readings of sweeps that end
                          with SWEEP (-1: it holds no sweep)
    reboot                the box is switched off at the next sweep
    waiting N             at the end: batches that the collector has not confirmed
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from agent import config, wire
from agent.app import Agent
from agent.readings import Reading
from agent.sweep import Target
from agent.wire import Event
from tests.chaos.site import Site, SiteBox

DRAIN_S = 120.0


class Writer:
    """The agent's sweeps, one after the other in simulated time, `pause_s` of real time apart."""

    def __init__(self, path: Path, seed: int, devices: int, pause_s: float) -> None:
        self._site, self._pause_s, self._stop = Site(seed, devices), pause_s, False
        self._box = SiteBox(self._site, seed)
        self._settings = config.load(path)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self._stop = True

    def run(self, stored_seq: int, stored_sweep: int, begun_sweep: int) -> None:
        """Go on after what the harness knows to be stored; what was under way then may be, too."""
        self._box.sweep = stored_sweep + 1
        agent = Agent(self._settings, report=lambda _line: None, box=self._box)
        _tell("stands", agent.spool.depth().last_seq)
        under_way = [wire.open_packet(packet) for _, packet in agent.spool.packets(stored_seq + 1, 2)]
        stored = any(isinstance(record, wire.Sweep) for packet in under_way for record in packet.records)
        sweep = (begun_sweep if stored else stored_sweep) + 1
        self._box.sweep = sweep
        agent.targets = {address: Target(address, None) for address in self._site.devices}
        self._listen(agent)
        agent.publisher.start()
        _tell("begun", sweep - 1)
        agent._look_at_the_clock()
        agent._append([Event(agent.clock.now_us(), "agent_started")])
        asyncio.run(self._sweeps(agent, sweep))
        agent.intake.close(agent.clock.now_us())
        agent.publisher.stop(DRAIN_S)
        _tell("waiting", agent.spool.depth().waiting)
        agent.spool.close()

    async def _sweeps(self, agent: Agent, first: int) -> None:
        async def poll(address: str, _family: str | None, _full: bool) -> Reading:
            return self._site.poll(address, self._box.sweep)

        sweep = first
        while not self._stop:
            if sweep > first and self._box.boots_at(sweep):
                _tell("reboot")
                os._exit(0)
            _tell("begun", sweep)
            self._box.sweep = sweep
            await agent.sweep_once(poll)
            await asyncio.sleep(self._pause_s)
            sweep += 1
        # What the box could not date is dated before the end: nothing has to be given up.
        while not agent.clock.anchored:
            _tell("begun", sweep)
            self._box.sweep = sweep
            await agent.sweep_once(poll)
            sweep += 1

    def _listen(self, agent: Agent) -> None:
        append = agent.spool.append

        def told(records: Sequence[wire.Record], created_us: int) -> int:
            seq = append(records, created_us)
            sweeps = [record for record in records if isinstance(record, wire.Sweep)]
            readings = sum(len(sweep.devices) // 16 for sweep in sweeps)
            _tell("stored", seq, self._box.sweep if sweeps else -1, readings)
            return seq

        agent.spool.append = told  # type: ignore[method-assign]


def _tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path)
    parser.add_argument("--pause-s", type=float)
    for name in ("seed", "devices", "stored-seq", "stored-sweep", "begun-sweep"):
        parser.add_argument(f"--{name}", type=int)
    given = parser.parse_args()
    writer = Writer(given.config, given.seed, given.devices, given.pause_s)
    writer.run(given.stored_seq, given.stored_sweep, given.begun_sweep)


if __name__ == "__main__":
    main()
