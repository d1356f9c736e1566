"""How programs take commands over TCP: cgminer's API, and WhatsMiner's API 3; pure, from bytes to bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agent.simulator.farm import Snapshot
from agent.simulator.model import Device
from agent.simulator.replies import Render, Reply

INVALID_COMMAND, ACCESS_DENIED = 14, 45
V3_INVALID_PARAM, V3_INVALID_COMMAND, V3_DENIED = -1, -2, -4
LENGTH_BYTES = 4

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Commands:
    """A family's program on 4028: one command a connection, the reply ends with `end` and the close."""

    table: Mapping[str, Render]
    refuse: Callable[[Snapshot, int, str], Reply]
    keys: tuple[str, ...] = ("command",)
    joins: bool = True  # `summary+pools`
    new_api: Mapping[str, Render] = field(default_factory=dict)  # what a request with "new_api" gets instead
    unknown: tuple[int, str] = (INVALID_COMMAND, "Invalid command")
    end: bytes = b"\0"

    def answer(self, device: Device, now: Snapshot, raw: bytes) -> bytes:
        """The JSON of the reply."""
        asked = _request(raw)
        command = self._command(asked)
        if asked.get("new_api") is True and command in self.new_api:
            return _encode(self.new_api[command](device, now))
        names = command.split("+") if self.joins else [command]
        if any(name not in self.table for name in names):
            return _encode(self.refuse(now, *self.unknown))
        if len(names) == 1:
            return _encode(self.table[command](device, now))
        return _encode({**{name: [self.table[name](device, now)] for name in names}, "id": 1})

    def denied(self, _device: Device, now: Snapshot, raw: bytes) -> bytes:
        """The refusal of a command for want of rights."""
        command = self._command(_request(raw))
        return _encode(self.refuse(now, ACCESS_DENIED, f"Access denied to '{command}' command"))

    def _command(self, asked: Mapping[str, Any]) -> str:
        found = next((asked[key] for key in self.keys if key in asked), None)
        return found if isinstance(found, str) else ""


def _request(raw: bytes) -> dict[str, Any]:
    """The request as a JSON object; a bare word is a command, as cgminer takes it."""
    text = raw.strip(b" \r\n\t\0")
    if not text.startswith(b"{"):
        return {"command": text.decode("utf-8", "replace")}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except ValueError:  # broken, or no UTF-8
        return {}


@dataclass(frozen=True, slots=True)
class Sections:
    """WhatsMiner's API 3: a length, then JSON, in both directions; the connection stays open."""

    table: Mapping[tuple[str, str | None], Render]  # (command, param) -> what stands under "msg"

    def answer(self, device: Device, now: Snapshot, raw: bytes) -> bytes:
        """The JSON of the reply."""
        asked = _request(raw)
        command, param = asked.get("cmd"), asked.get("param")
        render = self.table.get((command, param)) if isinstance(command, str) else None
        if render is not None:
            return _v3(now, 0, render(device, now), command)
        if any(command == known for known, _ in self.table):
            return _v3(now, V3_INVALID_PARAM, "invalid param", command)
        if str(command).startswith("set."):
            return self.denied(device, now, raw)
        return _v3(now, V3_INVALID_COMMAND, "invalid command", command)

    def denied(self, _device: Device, now: Snapshot, raw: bytes) -> bytes:
        """The refusal of a command for want of rights."""
        return _v3(now, V3_DENIED, "permission denied", _request(raw).get("cmd"))


def _v3(now: Snapshot, code: int, body: Reply | str, command: object) -> bytes:
    return _encode(
        {"code": code, "when": now.observed_us // 1_000_000, "msg": body, "desc": str(command or "")}
    )
