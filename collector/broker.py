"""The embedded broker: amqtt in a process of its own, on loopback only, for one machine and for trials.

It keeps nothing over a restart. That is enough: agents hold every batch until the collector has acknowledged
it, and the collector publishes its acks anew whenever it connects.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time

from amqtt.broker import Broker

HOST = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
# Starting Python and amqtt takes a second; a small board under load ten times that.
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 1


class BrokerError(Exception):
    """The embedded broker does not start; the text says why."""


def serve(port: int, parent: int | None = None) -> None:
    """Serve MQTT on loopback until SIGTERM or SIGINT; with `parent`, die with that process."""
    if parent is not None:
        _die_with(parent)
    asyncio.run(_serve(port))


async def _serve(port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Broker(config)
    await broker.start()
    await stop.wait()
    await broker.shutdown()


def _die_with(parent: int) -> None:
    # Only Linux can ask for a signal at the parent's death; elsewhere the parent's clean exit must do.
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(1)


def start_child(port: int) -> subprocess.Popen[bytes]:
    """The broker as a child process, listening; BrokerError if the port is taken or it does not come up."""
    if _listening(port):
        raise BrokerError(f"port {port} of {HOST} is taken: set another mqtt.port, or embedded = false")
    command = [sys.executable, "-m", "collector", "broker", "--port", str(port), "--parent", str(os.getpid())]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _listening(port):
        if child.poll() is not None or time.monotonic() > deadline:
            stop_child(child)
            raise BrokerError(f"the embedded broker did not come up on port {port}")
        time.sleep(0.05)
    return child


def stop_child(child: subprocess.Popen[bytes]) -> None:
    """End the child: politely, then not."""
    child.terminate()
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _listening(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False
