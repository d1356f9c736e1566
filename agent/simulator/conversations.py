"""One connection to one device: takes requests off the wire in its port's framing, and delivers the replies.

A fault of the rehearsal is looked up at each request, so that it can come and go while a connection stands.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast

from agent.simulator.dialects import LENGTH_BYTES, Commands, Sections
from agent.simulator.families import Door, Speech
from agent.simulator.faults import Fault
from agent.simulator.pages import BAD_REQUEST, Pages, Request
from agent.simulator.spoil import JUNK_BYTES, JUNK_CHUNK_BYTES, SPOILS, WRONG_PAGE, junk_chunk
from agent.simulator.stage import Scene, Stage

# No request that a driver makes is longer.
MAX_REQUEST_BYTES = 64 * 1024
DRIP_S = 1.0
_CLOSES = b"\r\nConnection: close\r\n"
MAX_HEAD_BYTES = 512  # of a reply


class Conversation(asyncio.Protocol, ABC):
    """What all framings share; `peers` holds the open conversations of the port."""

    __slots__ = (
        "address",
        "buffer",
        "door",
        "heard_s",
        "is_silent",
        "junk_left",
        "peers",
        "stage",
        "transport",
    )

    def __init__(self, stage: Stage, address: str, door: Door, peers: set[Conversation]) -> None:
        self.stage, self.address, self.door, self.peers = stage, address, door, peers
        self.buffer = b""
        self.is_silent = False
        self.junk_left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not isinstance: another event loop's transport need not be a subclass.
        self.transport = cast(asyncio.Transport, transport)
        self.heard_s = asyncio.get_running_loop().time()
        self.peers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.junk_left = 0
        self.peers.discard(self)

    def data_received(self, data: bytes) -> None:
        if self.is_silent:
            return
        self.heard_s = asyncio.get_running_loop().time()
        self.buffer += data
        if len(self.buffer) > MAX_REQUEST_BYTES:
            self.transport.abort()
            return
        while not self.is_silent and (raw := self.take()) is not None:
            self.converse(raw)

    def converse(self, raw: bytes) -> None:
        """Answer one request, or do to it what the rehearsal says."""
        scene, fault = self.stage.scene(self.address), self.stage.faults.get(self.address)
        if scene is None:
            self.transport.abort()
        elif scene.is_silent or fault is Fault.SILENCE:
            self.is_silent = True
        elif fault is None:
            reply = self.stage.reply(self.address, self.door, raw, lambda: self.framed(scene, raw, None))
            self.transport.write(reply)
            self.end(reply)
        elif fault is Fault.HTML:
            self.transport.write(WRONG_PAGE)
            self.transport.close()
        elif fault is Fault.JUNK:
            self.transport.write(self.announced(JUNK_BYTES))
            self.is_silent, self.junk_left = True, JUNK_BYTES
            self.resume_writing()
        else:
            self.deliver(self.framed(scene, raw, fault), fault)

    def deliver(self, reply: bytes, fault: Fault) -> None:
        """The reply, the way the fault lets it through."""
        if fault is Fault.DRIP:
            self.is_silent = True  # deaf until it has said everything
            self.drip(reply, 0)
        elif fault in (Fault.HALF, Fault.RESET):
            self.transport.write(reply[: len(reply) // 2])
            reset(self.transport) if fault is Fault.RESET else self.transport.close()
        else:
            self.transport.write(reply)
            self.end(reply)

    def drip(self, reply: bytes, at: int) -> None:
        """Byte after byte until the reply or the client's patience ends."""
        if self.transport.is_closing():
            return
        if at == len(reply):
            self.transport.close()
            return
        self.transport.write(reply[at : at + 1])
        asyncio.get_running_loop().call_later(DRIP_S, self.drip, reply, at + 1)

    def pause_writing(self) -> None:
        self.junk_left = -self.junk_left  # negative: the client has not taken what was sent

    def resume_writing(self) -> None:
        """Send junk for as long as the client takes it."""
        self.junk_left = abs(self.junk_left)
        while self.junk_left > 0 and not self.transport.is_closing():
            self.junk_left -= JUNK_CHUNK_BYTES
            last = self.junk_left == 0
            self.transport.write(junk_chunk())
            if last:
                self.transport.close()

    @abstractmethod
    def take(self) -> bytes | None:
        """The next whole request out of the buffer, or None."""

    @abstractmethod
    def framed(self, scene: Scene, raw: bytes, fault: Fault | None) -> bytes:
        """The reply to a request as it goes over the wire."""

    @abstractmethod
    def announced(self, length: int) -> bytes:
        """What goes before a body of that length."""

    @abstractmethod
    def end(self, reply: bytes) -> None:
        """Close where this framing closes after a reply."""


class CommandTalk(Conversation):
    """cgminer: what comes in one go is the command; one reply, then the close."""

    __slots__ = ("speech",)
    speech: Commands

    def take(self) -> bytes | None:
        raw, self.buffer = self.buffer, b""
        return raw or None

    def framed(self, scene: Scene, raw: bytes, fault: Fault | None) -> bytes:
        say = self.speech.denied if fault is Fault.DENIED else self.speech.answer
        return _spoilt(say(scene.device, scene.now, raw), fault) + self.speech.end

    def announced(self, length: int) -> bytes:
        return b""

    def end(self, reply: bytes) -> None:
        self.transport.close()


class SectionTalk(Conversation):
    """WhatsMiner's API 3: the length before each request and reply; the client closes."""

    __slots__ = ("speech",)
    speech: Sections

    def take(self) -> bytes | None:
        length = int.from_bytes(self.buffer[:LENGTH_BYTES], "little")
        if length > MAX_REQUEST_BYTES:
            self.transport.abort()
            return None
        whole = LENGTH_BYTES + length
        if len(self.buffer) < max(whole, LENGTH_BYTES):
            return None
        raw, self.buffer = self.buffer[LENGTH_BYTES:whole], self.buffer[whole:]
        return raw

    def framed(self, scene: Scene, raw: bytes, fault: Fault | None) -> bytes:
        say = self.speech.denied if fault is Fault.DENIED else self.speech.answer
        body = _spoilt(say(scene.device, scene.now, raw), fault)
        return self.announced(len(body)) + body

    def announced(self, length: int) -> bytes:
        return length.to_bytes(LENGTH_BYTES, "little")

    def end(self, reply: bytes) -> None:
        pass


class WebTalk(Conversation):
    """HTTP/1.1 with kept connections; a body has a length."""

    __slots__ = ("secret", "speech")
    speech: Pages
    secret: str

    def take(self) -> bytes | None:
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            if self.buffer[:1] in (b"{", b"\x16"):  # cgminer's JSON, or TLS
                self.transport.write(BAD_REQUEST.framed(keeps_alive=False))
                self.transport.close()
                self.is_silent = True
            return None
        whole = head + 4 + _body_length(self.buffer[:head])
        if len(self.buffer) < whole:
            return None
        raw, self.buffer = self.buffer[:whole], self.buffer[whole:]
        return raw

    def framed(self, scene: Scene, raw: bytes, fault: Fault | None) -> bytes:
        request = _request(raw, self.address, self.secret)
        say = self.speech.denied if fault is Fault.DENIED else self.speech.answer
        response = say(scene.device, scene.now, request)
        body = _spoilt(response.body, fault)
        return response.head(len(body), request.keeps_alive) + body

    def announced(self, length: int) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length

    def end(self, reply: bytes) -> None:
        if reply.find(_CLOSES, 0, MAX_HEAD_BYTES) > 0:
            self.transport.close()


def converser(
    stage: Stage, address: str, door: Door, speech: Speech, secret: str, peers: set[Conversation]
) -> Callable[[], Conversation]:
    """What makes a conversation for each connection to a port."""

    def make() -> Conversation:
        if isinstance(speech, Pages):
            web = WebTalk(stage, address, door, peers)
            web.speech, web.secret = speech, secret
            return web
        if isinstance(speech, Sections):
            sections = SectionTalk(stage, address, door, peers)
            sections.speech = speech
            return sections
        commands = CommandTalk(stage, address, door, peers)
        commands.speech = speech
        return commands

    return make


def _spoilt(body: bytes, fault: Fault | None) -> bytes:
    spoil = SPOILS.get(fault) if fault is not None else None
    return spoil(body) if spoil else body


def _body_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    value = rest.partition(b"\r\n")[0].strip()
    return int(value) if found and value.isdigit() else 0


def _request(raw: bytes, address: str, secret: str) -> Request:
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *rest = head.decode("latin-1").split("\r\n")
    method, target, version = [*line.split(" "), "", "", ""][:3]
    headers = {name.strip().lower(): value.strip() for name, _, value in (row.partition(":") for row in rest)}
    asked = headers.get("connection", "close" if version == "HTTP/1.0" else "keep-alive").lower()
    return Request(method, target, headers, body, address, secret, asked == "keep-alive")


def reset(transport: asyncio.Transport) -> None:
    """End a connection with a reset instead of a close."""
    peer = transport.get_extra_info("socket")
    if peer is not None:
        # A socket of our own for the same connection: not every event loop hands out one that takes options.
        with socket.socket(fileno=os.dup(peer.fileno())) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
