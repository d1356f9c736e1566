"""The embedded broker: amqtt in a process of its own, on loopback only, for one machine and for trials.

It keeps nothing over a restart. That is enough: agents hold every batch until the collector has acknowledged
it, and the collector publishes its acks anew whenever it connects.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

from amqtt.broker import Broker
from amqtt.errors import BrokerError as StartError

HOST = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
# Starting Python and amqtt takes a second; a small board under load ten times that.
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 1


class BrokerError(Exception):
    """The embedded broker does not start; the text says why."""


def serve(port: int, say: Callable[[str], None], parent: int | None = None) -> None:
    """Serve MQTT on loopback until SIGTERM or SIGINT; with `parent`, die with that process."""
    if parent is not None:
        _die_with(parent)
    asyncio.run(_serve(port, say))


async def _serve(port: int, say: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # amqtt logs tracebacks of every client that goes away rudely; its own end is told below.
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Broker(config)
    try:
        await broker.start()
    except StartError as error:
        raise BrokerError(f"the embedded broker cannot listen on {HOST}:{port}: {error}") from error
    say(f"broker: {HOST}:{port}")
    await stop.wait()
    await broker.shutdown()


def _die_with(parent: int) -> None:
    # Only Linux can ask for a signal at the parent's death; elsewhere the parent's clean exit must do.
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(1)


def start_child(port: int) -> subprocess.Popen[bytes]:
    """The broker as a child process, listening; BrokerError if it does not come up."""
    command = [sys.executable, "-m", "collector", "broker", "--port", str(port), "--parent", str(os.getpid())]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert child.stdout is not None
    ready, _, _ = select.select([child.stdout], [], [], START_TIMEOUT_S)
    if not ready or not child.stdout.readline():
        stop_child(child)
        raise BrokerError(
            f"the embedded broker did not come up on {HOST}:{port}: "
            "is the port taken? Set another mqtt.port, or mqtt.embedded = false"
        )
    return child


def stop_child(child: subprocess.Popen[bytes]) -> None:
    """End the child: politely, then not."""
    child.terminate()
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
