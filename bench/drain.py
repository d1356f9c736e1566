"""The row `drain`, and `python -m bench.drain`: how fast a backlog leaves the spool while sweeps go on.

From the agent's spool over a real mosquitto into the collector's journal and ledger, all of it on two cores.

The backlog is made of a site's sweeps a minute apart, with readings that compress as real ones do. The far
end is `hashledger collector run`, or (`--sink`) nothing but acknowledgements: what the agent alone could do.
Processor time is told for each process: on a shared machine the wall clock measures the neighbours. When all
is confirmed the journal must hold every batch, live ones too, once and in order.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from agent import wire
from agent.config import MqttSection
from agent.publish import Publisher
from agent.spool import Author, Spool
from bench.farm import CORES, ROOT, Refused
from bench.rows import Row
from collector import journal
from demo.processes import Processes, free_ports

HOST = "127.0.0.1"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
AUTHOR = Author("bench", "site-1", "agent-1", KEY, synthetic=True, clock_source="simulated")
MINUTE_US = 60_000_000
LIVE_EVERY_S = 1.0  # a live sweep in so many seconds: more than a site sends, so that it is seen to keep up
CORES_USED = set(CORES[:2])
LIMIT_S = 900.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PATTERNS = 30  # sweeps of noise that are made once and played in turn
COLLECTOR = """
[collector]
org = "bench"
state_dir = "state"
metrics = "127.0.0.1:{metrics}"
[mqtt]
port = {port}
[[agent]]
site = "site-1"
name = "agent-1"
public_key = "{key}"
[site.site-1]
name = "Bench"
country = "ru"
zone = "Etc/UTC"
"""


class Site:
    """A site's sweeps: power and hashrate swing by a per cent or two, uptime and shares count on."""

    def __init__(self, devices: int) -> None:
        rng = random.Random(7)
        self.ids = b"".join(rng.randbytes(16) for _ in range(devices))
        self.booted_s = [rng.randrange(5_000_000) for _ in range(devices)]
        self.power_w = [rng.uniform(2800, 3600) for _ in range(devices)]
        self.noise = [self._noise(rng) for _ in range(PATTERNS)]

    def _noise(self, rng: random.Random) -> dict[str, bytes]:
        watts = [w * rng.gauss(1, 0.006) for w in self.power_w]
        many = range(len(watts))
        return {
            "delay_ms": wire.column("delay_ms", sorted(rng.randrange(8000) for _ in many)),
            "hashrate_mhs": wire.column("hashrate_mhs", [w / 30 * 1e12 * rng.gauss(1, 0.015) for w in watts]),
            "power_mw": wire.column("power_mw", [round(w) for w in watts]),
            "origin": wire.column("origin", [wire.ORIGINS.index("psu_measured")] * len(watts)),
            "state": wire.column("state", [wire.STATES.index("mining")] * len(watts)),
            "chip_temp_dc": wire.column("chip_temp_dc", [round(rng.gauss(68, 3)) for _ in many]),
            "fan_rpm": wire.column("fan_rpm", [round(rng.gauss(180, 5)) * 30 for _ in many]),
        }

    def sweep(self, number: int, started_us: int) -> wire.Sweep:
        """The number-th sweep, a minute after the one before."""
        uptime_s = [60 * number + booted_s for booted_s in self.booted_s]
        columns = self.noise[number % PATTERNS] | {
            "uptime_s": wire.column("uptime_s", uptime_s),
            "accepted": wire.column("accepted", [s // 12 for s in uptime_s]),
            "rejected": wire.column("rejected", [s // 6000 for s in uptime_s]),
        }
        return wire.Sweep(started_us, 60, self.ids, {name: columns[name] for name in wire.COLUMNS})


@contextlib.contextmanager
def mosquitto(folder: Path, port: int) -> Iterator[int]:
    """A real broker on loopback, bounded as the shipped one is; its process id."""
    program = shutil.which("mosquitto")
    if program is None:
        raise click.UsageError("mosquitto is not installed (Debian: apt-get install mosquitto)")
    conf = folder / "mosquitto.conf"
    conf.write_text(
        f"listener {port} {HOST}\nallow_anonymous true\nmax_inflight_messages 50\n"
        "max_queued_messages 1000000\nmax_queued_bytes 268435456\nmax_packet_size 68222976\n"
    )
    with (folder / "mosquitto.log").open("wb") as log:
        child = subprocess.Popen([program, "-c", str(conf)], stdout=log, stderr=log)
        try:
            yield child.pid
        finally:
            child.terminate()
            child.wait(10)


class Sink:
    """A far end that takes what is next and says so, a group at a time as the collector does."""

    def __init__(self, port: int) -> None:
        self.seq, self.hash, self._said_s = 0, wire.GENESIS, 0.0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "sink")
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._client.connect_async(HOST, port)
        self._client.loop_start()

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe("hashledger/v1/+/+/+/batch", 1)
        self._say()

    def _say(self) -> None:
        topic = wire.topic(AUTHOR.org, AUTHOR.site, AUTHOR.agent, "ack")
        self._client.publish(topic, wire.encode_ack(self.seq, self.hash), qos=1, retain=True)
        self._said_s = time.monotonic()

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        packet = wire.open_packet(bytes(message.payload))
        if packet.envelope.seq == self.seq + 1:
            self.seq, self.hash = packet.envelope.seq, packet.hash
        if self.seq % 25 == 0 or time.monotonic() - self._said_s > 0.1:
            self._say()


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def peak_mib(pid: int) -> float:
    """The most memory that a process has held."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@dataclass(frozen=True, slots=True)
class Sizes:
    """The backlog: ten days of a thousand devices."""

    devices: int = 1000
    batches: int = 14_400


QUICK = Sizes(devices=20, batches=50)


def row(sizes: Sizes) -> Row:
    """Seconds until a backlog is confirmed; in a process of its own, two cores for all that it starts."""
    if shutil.which("mosquitto") is None:
        raise Refused("mosquitto is not installed (Debian: apt-get install mosquitto)")
    command = [sys.executable, "-m", "bench.drain", "--devices", str(sizes.devices)]
    done = subprocess.run(
        [*command, "--batches", str(sizes.batches)], cwd=ROOT, capture_output=True, text=True, check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, CORES_USED),
    )  # fmt: skip
    if done.returncode:
        raise Refused(f"the backlog was not drained: {(done.stdout + done.stderr)[-500:]}")
    told = json.loads(done.stdout)
    days = sizes.batches * MINUTE_US / 86_400e6
    remarks = [
        f"{days:.2g} days of {sizes.devices} devices, a sweep a minute, on {len(CORES_USED)} cores, over"
        f" mosquitto; {told['live']} live sweeps meanwhile, all in order",
        f"peak memory: collector {told['peak_mib']['collector']} MiB, agent {told['peak_mib']['agent']} MiB",
    ]
    return Row("drain", "s", told["drain_s"], {}, False, remarks, told)


@click.command()
@click.option("--devices", default=1000, show_default=True)
@click.option(
    "--batches", default=14_400, show_default=True, help="The backlog: ten days of a sweep a minute."
)
@click.option("--sink", is_flag=True, help="Acknowledge without journal and ledger: the agent's own speed.")
@click.option("--limit-s", default=LIMIT_S, show_default=True)
def main(devices: int, batches: int, sink: bool, limit_s: float) -> None:
    """Drain a backlog and tell, as one line of JSON, what it took."""
    port, metrics = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="hashledger-drain-") as text, contextlib.ExitStack() as stack:
        folder = Path(text)
        spool = Spool(folder / "agent" / "spool.db", AUTHOR)
        stack.callback(spool.close)
        site, now_us = Site(devices), time.time_ns() // 1000
        begun_us = now_us - batches * MINUTE_US
        told: dict[str, object] = {
            "devices": devices,
            "batches": batches,
            "far_end": "sink" if sink else "collector",
        }
        began_s, cpu0_s = time.monotonic(), time.process_time()
        for number in range(batches):
            at_us = begun_us + number * MINUTE_US
            spool.append([site.sweep(number, at_us)], at_us)
        depth = spool.depth()
        told |= {
            "bytes_per_batch": round(depth.waiting_bytes / batches),
            "fill_s": round(time.monotonic() - began_s, 1),
            "fill_cpu_ms_per_batch": round((time.process_time() - cpu0_s) / batches * 1000, 2),
        }
        pids = {"agent": os.getpid(), "broker": stack.enter_context(mosquitto(folder, port))}
        if sink:
            Sink(port)
        else:
            key = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
            (folder / "collector.toml").write_text(COLLECTOR.format(port=port, metrics=metrics, key=key))
            processes = stack.enter_context(Processes(folder / "log"))
            child = processes.start(
                "collector", "collector", "run", "--config", str(folder / "collector.toml")
            )
            pids["collector"] = child.pid
            time.sleep(3)  # it imports for a second or two
        told |= drain(spool, site, batches, pids, port, limit_s)
        if not sink:
            told["in_order"] = _in_order(folder / "state" / "journal", spool.depth().last_seq)
    click.echo(json.dumps(told))
    if told["waiting"] or not told.get("in_order", True):
        sys.exit(1)


def _in_order(folder: Path, last_seq: int) -> bool:
    seqs = [wire.open_packet(entry.packet).envelope.seq for entry in journal.read(folder)]
    return seqs == list(range(1, last_seq + 1))


def drain(
    spool: Spool, site: Site, batches: int, pids: dict[str, int], port: int, limit_s: float
) -> dict[str, object]:
    """Publish until all is confirmed, live sweeps too; what it took."""
    publisher = Publisher(spool, AUTHOR, MqttSection(host=HOST, port=port))
    began_s, before_s = time.monotonic(), {name: cpu_s(pid) for name, pid in pids.items()}
    publisher.start()
    live, next_s = 0, LIVE_EVERY_S
    while (passed_s := time.monotonic() - began_s) < limit_s and spool.depth().waiting:
        if passed_s >= next_s:
            now_us = time.time_ns() // 1000
            spool.append([site.sweep(batches + live, now_us)], now_us)
            publisher.wake()
            live, next_s = live + 1, next_s + LIVE_EVERY_S
        time.sleep(0.1)
    took_s = time.monotonic() - began_s
    told = {
        "drain_s": round(took_s, 1), "batches_per_s": round((batches + live) / took_s, 1), "live": live,
        "waiting": spool.depth().waiting,
        "cpu_s": {name: round(cpu_s(pid) - before_s[name], 1) for name, pid in pids.items()},
        "peak_mib": {name: round(peak_mib(pid)) for name, pid in pids.items()},
    }  # fmt: skip
    publisher.stop()
    return told


if __name__ == "__main__":
    main()
