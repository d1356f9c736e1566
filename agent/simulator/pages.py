"""How a device's web server answers: pure, from a request to a response; who may see what is a guard."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from agent.simulator.farm import Snapshot
from agent.simulator.model import Device
from agent.simulator.replies import Reply

_REASONS = {
    200: "OK",
    307: "Temporary Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
}
_DIGEST_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Request:
    """One request to one device; `secret` is what nonces and tokens of this farm are made of."""

    method: str
    target: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    address: str
    secret: str
    keeps_alive: bool = False  # the client wants the connection for its next request

    @property
    def path(self) -> str:
        """Without query and closing slash."""
        return self.target.partition("?")[0].rstrip("/") or "/"


@dataclass(frozen=True, slots=True)
class Response:
    """Status and body; `framed` is what goes over the wire."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self, length: int, keeps_alive: bool) -> bytes:
        """Everything before the body."""
        named = {
            "Content-Type": self.content_type,
            **self.headers,
            "Content-Length": str(length),
            "Connection": "keep-alive" if keeps_alive else "close",
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        return f"HTTP/1.1 {self.status} {_REASONS[self.status]}\r\n{lines}\r\n".encode("latin-1")

    def framed(self, keeps_alive: bool) -> bytes:
        """Head and body."""
        return self.head(len(self.body), keeps_alive) + self.body


Page = Callable[[Device, Snapshot], Reply | list[Reply]]
# A guard answers in the page's place, or lets pass with None.
Guard = Callable[[Device, Request], Response | None]
UNAUTHORIZED = Response(401, b"<html><body>401 - Unauthorized</body></html>", "text/html")
BAD_REQUEST = Response(400, b"", "text/html")


@dataclass(frozen=True, slots=True)
class Pages:
    """A family's web server: JSON pages by path, and the page at /."""

    table: Mapping[str, Page] = field(default_factory=dict)
    index: bytes = b""
    guard: Guard = lambda _device, _request: None

    def answer(self, device: Device, now: Snapshot, request: Request) -> Response:
        """The response to a request."""
        if (refusal := self.guard(device, request)) is not None:
            return refusal
        render = self.table.get(request.path)
        if request.path == "/" and self.index:
            return Response(200, self.index, "text/html")
        if render is None:
            return Response(404, b"", "text/html")
        if request.method != "GET":
            return Response(405, b"", "text/html")
        return Response(200, _encode(render(device, now)))

    def denied(self, device: Device, _now: Snapshot, request: Request) -> Response:
        """The refusal of whatever credentials came, with the challenge of this family."""
        told = self.guard(device, replace(request, headers={}, body=b""))
        return told if told is not None and told.status == 401 else UNAUTHORIZED


def page(title: str) -> bytes:
    """The little HTML that a browser gets at / of a web application."""
    return (
        f"<!doctype html><html><head><title>{title}</title></head>"
        f"<body><div id=app>{title}</div></body></html>"
    ).encode()


def redirect(_device: Device, request: Request) -> Response:
    """A guard that sends everybody to TLS, which is not simulated."""
    return Response(307, b"", "text/html", {"Location": f"https://{request.address}/"})


def digest(realm: str, user: str, password: str) -> Guard:
    """A guard that wants RFC 2617's digest with qop auth."""
    account = _md5(f"{user}:{realm}:{password}")

    def guard(_device: Device, request: Request) -> Response | None:
        given = _credentials(request.headers.get("authorization", ""))
        action = _md5(f"{request.method}:{request.target}")
        parts = (account, request.secret, *(given.get(key, "") for key in ("nc", "cnonce", "qop")), action)
        asked = (given.get("nonce"), given.get("uri"), given.get("username"))
        holds = hmac.compare_digest(_md5(":".join(parts)), given.get("response", ""))
        if asked == (request.secret, request.target, user) and holds:
            return None
        challenge = f'Digest realm="{realm}", nonce="{request.secret}", qop="auth"'
        return replace(UNAUTHORIZED, headers={"WWW-Authenticate": challenge})

    return guard


def token(login: str, accepts: Callable[[Mapping[str, Any]], bool], guards: Callable[[str], bool]) -> Guard:
    """A guard whose `login` page hands out a token; what it `guards` wants that, with Bearer or without."""

    def guard(device: Device, request: Request) -> Response | None:
        own = hmac.new(request.secret.encode(), device.mac.encode(), "sha256").hexdigest()[:32]
        if request.path == login:
            if request.method != "POST":
                return Response(405, b"", "text/html")
            if not accepts(_object(request.body)):
                return Response(401, b'{"error":"invalid credentials"}')
            return Response(200, _encode({"token": own, "timeout_s": 3600}))
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if guards(request.path) and not hmac.compare_digest(given.encode(), own.encode()):
            return Response(401, b'{"error":"unauthorized"}')
        return None

    return guard


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except ValueError:
        return {}


def _credentials(given: str) -> dict[str, str]:
    if not given.startswith("Digest "):
        return {}
    return {key: quoted or bare for key, quoted, bare in _DIGEST_FIELD.findall(given)}


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
