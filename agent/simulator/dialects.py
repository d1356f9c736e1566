"""Request bytes to reply bytes, per protocol: pure, without sockets."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import Any

from agent.simulator import antminer, axeos, whatsminer
from agent.simulator.farm import Snapshot
from agent.simulator.model import Device
from agent.simulator.replies import Reply, header

REALM = "antMiner Configuration"
USER, PASSWORD = "root", "root"  # Bitmain's factory default, no secret
_DIGEST_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')
_REASONS = {200: "OK", 307: "Temporary Redirect", 401: "Unauthorized", 404: "Not Found"}


def cgminer(device: Device, now: Snapshot, request: bytes) -> bytes:
    """The reply on port 4028, NUL at its end, in the dialect of the device's family."""
    dialect = _antminer if device.model.family == "antminer" else _whatsminer
    reply = dialect(device, now, _request(request))
    return json.dumps(reply, separators=(",", ":")).encode() + b"\0"


def _request(raw: bytes) -> dict[str, Any]:
    """The request as a JSON object; a bare word is a command, as cgminer takes it."""
    text = raw.decode("utf-8", "replace").strip(" \r\n\t\0")
    if not text.startswith("{"):
        return {"command": text}
    try:
        asked = json.loads(text)
    except ValueError:
        return {}
    return asked if isinstance(asked, dict) else {}


def _antminer(device: Device, now: Snapshot, asked: dict[str, Any]) -> Reply:
    command = asked.get("command")
    if command == "stats" and asked.get("new_api") is True:
        return antminer.new_stats(device, now)
    render = antminer.COMMANDS.get(command) if isinstance(command, str) else None
    if render is None:  # joined commands end here too, as on the S19 series
        return {"STATUS": header(now, 14, "Invalid command", antminer.PROGRAM, "E"), "id": 1}
    return render(device, now)


def _whatsminer(device: Device, now: Snapshot, asked: dict[str, Any]) -> Reply:
    command = asked.get("cmd", asked.get("command"))
    names = command.split("+") if isinstance(command, str) else []
    if not names or any(name not in whatsminer.COMMANDS for name in names):
        return whatsminer.message(now, "invalid cmd", "E", 14)
    if len(names) == 1:
        return whatsminer.COMMANDS[names[0]](device, now)
    return {**{name: [whatsminer.COMMANDS[name](device, now)] for name in names}, "id": 1}


def http(device: Device, now: Snapshot, address: str, nonce: str, request: bytes) -> bytes:
    """The reply on port 80 to a request head (everything up to the empty line)."""
    line, *rest = request.decode("latin-1").split("\r\n")
    method, path = [*line.split(" "), "", ""][:2]
    headers = {name.strip().lower(): value.strip() for name, _, value in (row.partition(":") for row in rest)}
    if device.model.family == "antminer":
        return _antminer_cgi(device, address, nonce, method, path, headers.get("authorization", ""))
    if device.model.family == "whatsminer":
        return _response(307, b"", location=f"https://{address}/")
    if path == "/api/system/info":
        return _json(axeos.system_info(device, now))
    return _response(200, axeos.PAGE) if path == "/" else _response(404, b"")


def _antminer_cgi(
    device: Device, address: str, nonce: str, method: str, path: str, credentials: str
) -> bytes:
    if not _digest_holds(credentials, method, path, nonce):
        challenge = f'Digest realm="{REALM}", nonce="{nonce}", qop="auth"'
        return _response(401, b"<html><body>401 - Unauthorized</body></html>", www_authenticate=challenge)
    if path == "/cgi-bin/get_system_info.cgi":
        return _json(antminer.system_info(device, address))
    return _response(404, b"")


def _digest_holds(credentials: str, method: str, path: str, nonce: str) -> bool:
    """Whether an Authorization header answers our challenge (RFC 2617, qop auth)."""
    if not credentials.startswith("Digest "):
        return False
    given = {key: quoted or bare for key, quoted, bare in _DIGEST_FIELD.findall(credentials)}
    if given.get("nonce") != nonce or given.get("uri") != path or given.get("username") != USER:
        return False
    secret, action = _md5(f"{USER}:{REALM}:{PASSWORD}"), _md5(f"{method}:{path}")
    parts = (secret, nonce, given.get("nc", ""), given.get("cnonce", ""), given.get("qop", ""), action)
    return hmac.compare_digest(_md5(":".join(parts)), given.get("response", ""))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _json(reply: Reply) -> bytes:
    return _response(200, json.dumps(reply, separators=(",", ":")).encode(), content_type="application/json")


def _response(status: int, body: bytes, **headers: str) -> bytes:
    named = (
        {"content_type": "text/html"} | headers | {"content_length": str(len(body)), "connection": "close"}
    )
    head = "".join(f"{name.replace('_', '-').title()}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} {_REASONS[status]}\r\n{head}\r\n".encode("latin-1") + body
