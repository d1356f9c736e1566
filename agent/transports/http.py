"""HTTP with JSON replies: bounded, with a deadline, digest where asked, no proxy, no redirect followed."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import aiohttp

from agent.readings import AuthError, DeviceTimeout, ProtocolError, Unreachable, Unsupported
from agent.transports import cgminer
from agent.transports.network import Network


class Web:
    """The process's one HTTP session; enter it once, share it among all polls."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Two connections a device: the controllers are small, and a page may be loading beside the poll.
        connector = aiohttp.TCPConnector(
            limit=self.network.max_web_connections,
            limit_per_host=2,
            keepalive_timeout=self.network.keep_alive_s,
            use_dns_cache=False,
        )
        self._session = aiohttp.ClientSession(
            connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        if self._session is None:
            raise RuntimeError("Web is used before it was entered")
        limit_s = self.network.deadline_s if deadline_s is None else min(deadline_s, self.network.deadline_s)
        port = self.network.http_port
        url = f"http://{address}:{port}{path}"
        # A challenge belongs to one device, so the answer to it is not shared among them.
        middlewares = (aiohttp.DigestAuthMiddleware(*digest),) if digest else ()
        timeout = aiohttp.ClientTimeout(
            total=limit_s, sock_connect=min(self.network.connect_timeout_s, limit_s)
        )
        try:
            async with self._session.get(
                url, timeout=timeout, allow_redirects=False, middlewares=middlewares
            ) as response:
                _check_status(response.status, path)
                return cgminer.parse(await self._body(response))
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise Unreachable(f"{port}/tcp: {error}") from error
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


def _check_status(status: int, path: str) -> None:
    if status in (401, 403):
        raise AuthError(f"{path}: HTTP {status}")
    if status in (404, 405):
        raise Unsupported(f"{path}: HTTP {status}")
    if status != 200:
        raise ProtocolError(f"{path}: HTTP {status}")
