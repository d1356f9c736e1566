"""HTTP with JSON replies: bounded, with a deadline, digest where asked, no proxy, no redirect followed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

from agent.readings import (
    AuthError,
    DeviceTimeout,
    Locked,
    ProtocolError,
    Rebooting,
    Refused,
    Unreachable,
    Unsupported,
)
from agent.transports import cgminer, lenient
from agent.transports.http_get import Kept, NotPlain
from agent.transports.network import Network

MAX_NOT_PLAIN = 10_000  # one site's devices
# The pages of one poll follow each other at once. From sweep to sweep `Kept` keeps the connections; the full
# client's are some 10 KiB each, which ten thousand devices read in full would pile up.
SAME_POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request beyond its path: what is sent, to which port, and how the device knows us."""

    port: int | None = None  # None: the web's own
    digest: tuple[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any | None = None  # makes it a POST
    form: Mapping[str, str] | None = None  # makes it a POST; a redirect is the usual answer to it

    @property
    def knows_us(self) -> bool:
        """True where it says who asks: a password, or what a login gave."""
        login = self.form or (isinstance(self.json, dict) and {"password", "pw"} & self.json.keys())
        return bool(self.digest or login or {"Authorization", "Cookie"} & self.headers.keys())


class Web:
    """The process's one HTTP session; enter it once, share it among all polls."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._session: aiohttp.ClientSession | None = None
        self._kept = Kept(network)
        self._not_plain: set[str] = set()  # devices whose pages only the full client reads

    async def __aenter__(self) -> Self:
        # Two connections a device: the controllers are small, and a page may be loading beside the poll.
        connector = aiohttp.TCPConnector(
            limit=self.network.max_web_connections,
            limit_per_host=2,
            keepalive_timeout=min(self.network.keep_alive_s, SAME_POLL_S),
            use_dns_cache=False,
        )
        self._session = aiohttp.ClientSession(
            connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.close()
        if self._session is not None:
            await self._session.close()

    async def get(
        self,
        address: str,
        path: str,
        *,
        digest: tuple[str, str] | None = None,
        deadline_s: float | None = None,
    ) -> cgminer.Json:
        """The JSON object at `path`, whatever its content type; DeviceError for everything else."""
        limit_s = self._limit_s(deadline_s)
        if digest is None and address not in self._not_plain:
            ends_s = time.monotonic() + limit_s
            try:
                status, body = await self._kept.get(address, self.network.http_port, path, limit_s)
            except NotPlain:
                if len(self._not_plain) >= MAX_NOT_PLAIN:
                    self._not_plain.clear()
                self._not_plain.add(address)
                limit_s = max(ends_s - time.monotonic(), 0.01)
            else:
                _check_status(status, path, knows_us=False)
                return cgminer.parse(body)
        body, _ = await self.send(address, path, Asked(digest=digest), deadline_s=limit_s)
        return cgminer.parse(body)

    def _limit_s(self, deadline_s: float | None) -> float:
        return self.network.deadline_s if deadline_s is None else min(deadline_s, self.network.deadline_s)

    async def ask(
        self, address: str, path: str, asked: Asked, *, deadline_s: float | None = None
    ) -> cgminer.Json:
        """The JSON object in the answer to one request; a list at the top stands under `items`."""
        body, _ = await self.send(address, path, asked, deadline_s=deadline_s)
        if not body.lstrip().startswith(b"["):
            return cgminer.parse(body)
        try:
            return {"items": lenient.loads(body.decode("utf-8", "replace"))}
        except ValueError as error:
            raise ProtocolError(f"{len(body)} bytes that are no whole JSON: {error}") from error

    async def send(
        self, address: str, path: str, asked: Asked, *, deadline_s: float | None = None
    ) -> tuple[bytes, Mapping[str, str]]:
        """The body and the cookies of the answer to one request."""
        if self._session is None:
            raise RuntimeError("Web is used before it was entered")
        limit_s = self._limit_s(deadline_s)
        port = asked.port or self.network.http_port
        # A challenge belongs to one device, so the answer to it is not shared among them.
        middlewares = (aiohttp.DigestAuthMiddleware(*asked.digest),) if asked.digest else ()
        timeout = aiohttp.ClientTimeout(
            total=limit_s, sock_connect=min(self.network.connect_timeout_s, limit_s)
        )
        try:
            async with self._session.request(
                "GET" if asked.json is None and asked.form is None else "POST",
                f"http://{address}:{port}{path}",
                json=asked.json,
                data=asked.form,
                headers=asked.headers,
                timeout=timeout,
                allow_redirects=False,
                middlewares=middlewares,
            ) as response:
                if asked.form is None or response.status not in (302, 303):
                    _check_status(response.status, path, knows_us=asked.knows_us)
                cookies = {name: cookie.value for name, cookie in response.cookies.items()}
                return await self._body(response), cookies
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            refused = isinstance(getattr(error, "os_error", None), ConnectionRefusedError)
            raise (Refused if refused else Unreachable)(f"{port}/tcp: {error}") from error
        except TimeoutError as error:
            raise DeviceTimeout(f"{port}/tcp: no whole answer within {limit_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = error if isinstance(error, OSError) else type(error).__name__
            raise ProtocolError(f"{port}/tcp: {cause}") from error

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        received = bytearray()
        async for chunk in response.content.iter_any():
            received += chunk
            if len(received) > self.network.max_reply_bytes:
                raise ProtocolError(f"reply over {self.network.max_reply_bytes} bytes")
        return bytes(received)


def _check_status(status: int, path: str, *, knows_us: bool) -> None:
    if status in (401, 403):
        raise (AuthError if knows_us else Locked)(f"{path}: HTTP {status}")
    if status in (502, 503):
        raise Rebooting(f"{path}: HTTP {status}: the web server answers for a program that is not up")
    if status in (404, 405):
        raise Unsupported(f"{path}: HTTP {status}")
    if status != 200:
        raise ProtocolError(f"{path}: HTTP {status}")
