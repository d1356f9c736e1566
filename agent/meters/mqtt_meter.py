"""Meters that publish: registers and pulses from topics of any broker, one connection a broker.

Registers are subscribed at QoS 0: a broker that kept them for us would hand them over without their time. For
the same reason a retained message is no reading. Pulses are subscribed at QoS 1 in a lasting session, each
confirmed to the broker only when its count is on disk: what comes while the agent restarts is counted too, as
far as the broker keeps it. A crash between the two counts what was on the way twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from agent.meters.config import MqttMeter, host_port
from agent.meters.http_meter import exact
from agent.meters.pulses import Pulses
from agent.meters.register_map import UNITS
from agent.meters.told import Raw, Told, named, plain
from agent.readings import AuthError, DeviceTimeout, ProtocolError, Unreachable

log = logging.getLogger("hashledger.meters")

KEEPALIVE_S = 30
RECONNECT_MAX_S = 60
PORT, TLS_PORT = 1883, 8883
# A larger payload is no meter's: JSON of the wordiest is some 2 KiB.
MAX_PAYLOAD_BYTES = 64 * 1024
# Pulses are written in groups: a flash card stands a write a second for years, and brokers hand over no more
# than 20 messages that are not confirmed, so a full hand is written at once.
GROUP_S, GROUP = 1.0, 10
# One message that tells more pulses than a meter gives in a day is an error of its path.
MAX_PULSES = 10_000_000


@dataclass(slots=True)
class _Waiting:
    """Pulses that came and are not yet on disk, and the messages that brought them."""

    counts: dict[str, int] = field(default_factory=dict)
    messages: list[tuple[int, int]] = field(default_factory=list)


class Listener:
    """One broker, and the meters that publish there; `start`, read, `stop`."""

    def __init__(self, meters: Sequence[MqttMeter], pulses: Pulses, client_id: str) -> None:
        self._meters, self._pulses = meters, pulses
        self._by_topic: dict[str, list[MqttMeter]] = {}
        for meter in meters:
            self._by_topic.setdefault(meter.topic, []).append(meter)
        self._lock = threading.Lock()
        self._fresh: dict[str, tuple[bytes, float]] = {}  # payload and when it came; each is read once
        self._heard_s: dict[str, float] = {}
        self._wrong: dict[str, str] = {}  # the last message of pulses that was none
        self._waiting = _Waiting()
        self._full = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trouble = "not connected yet"
        self._refused = False
        self._unwritten = ""
        first = meters[0]
        self._host, self._port = host_port(first.address, TLS_PORT if first.ca_file else PORT)
        lasting = any(meter.kind == "pulse" for meter in meters)
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=not lasting, manual_ack=True
        )
        if first.login is not None:
            self._client.username_pw_set(first.login.user, first.login.password.read())
        if first.ca_file is not None:
            self._client.tls_set(str(first.ca_file))
        self._client.reconnect_delay_set(1, RECONNECT_MAX_S)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Connect in the background, for as long as it takes."""
        self._loop = asyncio.get_running_loop()
        self._client.connect_async(self._host, self._port, KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Count what came, and say goodbye."""
        self._write()
        self._client.disconnect()
        self._client.loop_stop()

    async def keep(self) -> None:
        """Write pulses as they come, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(GROUP_S):
                    await self._full.wait()
            except TimeoutError:
                pass
            self._full.clear()
            await asyncio.to_thread(self._write)

    async def read(self, meter: MqttMeter) -> Told:
        """The register that came since the last reading, or the pulses counted; DeviceError if none did."""
        where = f"{self._host}:{self._port}"
        if self._trouble:
            raise (AuthError if self._refused else Unreachable)(f"{where}: {self._trouble}")
        if meter.kind == "pulse":
            await asyncio.to_thread(self._write)
            return self._counted(meter)
        with self._lock:
            came = self._fresh.pop(meter.name, None)
            before_s = self._heard_s.get(meter.name)
        if came is None:
            since = "yet" if before_s is None else f"for {time.monotonic() - before_s:.0f} s"
            raise DeviceTimeout(f"{where}: no message on {meter.topic} {since}")
        return parse(meter, *came)

    def _counted(self, meter: MqttMeter) -> Told:
        if self._unwritten:
            raise ProtocolError(f"pulses cannot be counted: {self._unwritten}")
        told, number = Told(), self._pulses.of(meter.name)
        step = Fraction(meter.wh_per_pulse or 0)
        told.take("import_wh", Fraction(meter.start_kwh) * 1000 + number * step)
        told.step_wh = step
        if wrong := self._wrong.pop(meter.name, None):
            told.refuse("pulses", wrong)
        told.raw.append(Raw("import_wh", meter.topic, f"{number} pulses", f"{float(number * step):,.3f} Wh"))
        return told

    # ---- paho's thread

    def _on_connect(
        self, client: mqtt.Client, _user: object, _flags: object, code: ReasonCode, _properties: object
    ) -> None:
        self._refused = code.is_failure
        self._trouble = f"the broker refuses us: {code}" if code.is_failure else ""
        if not code.is_failure:
            qos = {t: int(any(m.kind == "pulse" for m in ours)) for t, ours in self._by_topic.items()}
            client.subscribe(list(qos.items()))

    def _on_disconnect(
        self, _client: mqtt.Client, _user: object, _flags: object, code: ReasonCode, _properties: object
    ) -> None:
        if not self._refused:
            self._trouble = f"the connection to the broker is lost: {code}"

    def _on_message(self, client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        now_s, counted = time.monotonic(), False
        with self._lock:
            for meter in self._by_topic.get(message.topic, ()):
                if message.retain or len(message.payload) > MAX_PAYLOAD_BYTES:
                    continue
                self._heard_s[meter.name] = now_s
                if meter.kind == "register":
                    self._fresh[meter.name] = (bytes(message.payload), now_s)
                    continue
                number = self._pulses_in(meter, bytes(message.payload))
                self._waiting.counts[meter.name] = self._waiting.counts.get(meter.name, 0) + number
                counted = True
            if counted:
                self._waiting.messages.append((message.mid, message.qos))
                if len(self._waiting.messages) >= GROUP and self._loop is not None:
                    self._loop.call_soon_threadsafe(self._full.set)
        if not counted:
            client.ack(message.mid, message.qos)

    def _pulses_in(self, meter: MqttMeter, payload: bytes) -> int:
        if meter.path is None:
            return 1
        number = _number(payload, meter.path)
        if number is None or number.denominator != 1 or not 0 <= number <= MAX_PULSES:
            self._wrong[meter.name] = f"{meter.path} tells no number of pulses ({_shown(payload)})"
            return 0
        return int(number)

    def _write(self) -> None:
        """What waits goes to disk, then the broker may forget it; what cannot be written waits on."""
        with self._lock:
            waiting = self._waiting
            if not waiting.messages:
                return
            try:
                self._pulses.add(waiting.counts)
            except OSError as error:
                if not self._unwritten:
                    log.error("pulses cannot be counted: %s", error)
                self._unwritten = str(error)
                return
            self._unwritten, self._waiting = "", _Waiting()
        for mid, qos in waiting.messages:
            self._client.ack(mid, qos)


def parse(meter: MqttMeter, payload: bytes, came_s: float) -> Told:
    """The registers in a message; one that is none has its reason."""
    told, factor = Told(told_s=came_s), UNITS[meter.unit]
    for name, path, unit in (
        ("import_wh", meter.path, factor),
        ("export_wh", meter.export_path, factor),
        ("power_w", meter.power_path, Fraction(1)),
    ):
        if path is None and name != "import_wh":
            continue
        number = _number(payload, path)
        if number is None:
            told.refuse(name, f"{path or 'the payload'} is no number ({_shown(payload)})")
        else:
            told.take(name, number * unit)
        value = getattr(told, name)
        means = told.unread.get(name) or f"{float(value):,.3f} {'W' if name == 'power_w' else 'Wh'}"
        told.raw.append(Raw(name, path or meter.topic, _shown(payload), means))
    if meter.serial_path is not None:
        told.serial = named(_at(_json(payload), meter.serial_path))
    return told


def _number(payload: bytes, path: str | None) -> Fraction | None:
    if path is None:
        return exact(payload.decode("utf-8", "replace").strip())
    return exact(_at(_json(payload), path))


def _json(payload: bytes) -> object:
    try:
        return json.loads(payload, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None


def _at(document: object, path: str) -> object:
    for key in path.split("."):
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    return document


def _shown(payload: bytes) -> str:
    return plain(payload[:60].decode("utf-8", "replace"))
