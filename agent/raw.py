"""What a device says, byte for byte, to a closed list of questions that change nothing.

The list is the guard: a request is built from it alone, HTTP is GET alone, and nothing here can say more.
Left out though they only read: `get_token`, `logon` and `session` (a device has few sessions), logs (long,
and full of names), and what is behind a bearer token (the login is a POST).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from agent.readings import DeviceError, DeviceTimeout, ProtocolError, Unreachable
from agent.transports import cgminer
from agent.transports.network import Credentials, Network

CGMINER, WHATSMINER_V3, HTTP = "cgminer-tcp", "whatsminer-v3-tcp", "http"

# (command, parameter) of the cgminer API and its dialects. Every one asks; none has a form that sets.
COMMANDS: tuple[tuple[str, str | None], ...] = (
    *((command, None) for command in (
        "version", "summary", "stats", "pools", "devs", "edevs", "devdetails", "config", "coin",
        "get_version", "get_miner_info", "get_psu", "get_error_code", "status",  # Whatsminer
        "litestats", "estats",  # Avalon
        "power", "tempctrl", "temps", "fans", "groups", "profiles", "events", "limits",  # LuxOS
        "tunerstatus",  # Braiins
    )),
    *(("voltageget", board) for board in "012"),
    *(("healthchipget", board) for board in "012"),
)  # fmt: skip
V3_COMMANDS: tuple[tuple[str, str | None], ...] = (
    ("get.device.info", None),
    ("get.miner.status", "summary"),
    ("get.miner.status", "pools"),
    ("get.miner.status", "edevs"),
    ("get.miner.setting", None),
    ("get.system.setting", None),
    ("get.fan.setting", None),
)
PAGES: tuple[str, ...] = (
    "/",
    *(f"/cgi-bin/{page}.cgi" for page in (
        "get_system_info", "get_network_info", "get_miner_conf", "get_miner_status", "summary", "stats",
        "pools",
    )),  # Antminer
    "/api/system/info", "/api/system/asic",  # AxeOS
    *(f"/api/v1/{page}" for page in (
        "info", "model", "status", "summary", "perf-summary", "settings", "autotune/presets",  # VNish
        "version", "miner/details", "miner/stats", "miner/hw/hashboards", "pools", "cooling/state",  # Braiins
        "system", "mining", "network", "hardware",  # Proto
    )),
    "/mcb/status", "/mcb/setting", "/mcb/cgminer?cgminercmd=devs",  # Goldshell
    *(f"/cgi-bin/luci/{page}.cgi" for page in (
        "stats", "pools", "get_system_info", "get_miner_conf",
    )),  # Elphapex
    "/cgi-bin/minerStatus_all.cgi",  # Jasminer
    "/api/overview", "/api/summary",  # Fluminer
    "/cgi-bin/luci/bos/info",
)  # fmt: skip
POWER_PAGE = "/miner_power"  # newer stock Antminer, at a port of its own
# ePIC serves the web where others have the cgminer API.
EPIC_PAGES = (
    "/summary",
    "/capabilities",
    "/network",
    "/temps",
    "/temps/chip",
    "/clocks",
    "/voltages",
    "/hashrate",
)

MAX_TOTAL_BYTES = 4 * 1024 * 1024
TOTAL_S = 90.0  # forty questions at two seconds of a slow controller
MAX_STRIKES = 2  # questions in silence, then the port is left
# After what looks like the whole reply, this long for the NUL or the close behind it.
TAIL_S = 0.3


@dataclass(frozen=True, slots=True)
class Request:
    """One question of the list: a command, or the path of a page."""

    protocol: str
    port: int
    name: str
    parameter: str | None = None

    @property
    def text(self) -> str:
        """As it goes over the wire, less the framing."""
        if self.protocol == HTTP:
            return f"GET {self.name}"
        key, extra = ("command", "parameter") if self.protocol == CGMINER else ("cmd", "param")
        return json.dumps({key: self.name} | ({extra: self.parameter} if self.parameter else {}))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `error` says why there is nothing, or not all of it."""

    request: Request
    body: bytes = b""
    error: DeviceError | None = None
    status: int | None = None
    content_type: str = ""
    location: str = ""
    auth: str = "none"
    realm: str = ""


def questions(network: Network) -> tuple[Request, ...]:
    """The closed list, at this network's ports; ePIC's pages are asked only where 4028 speaks HTTP."""
    v3 = network.whatsminer_v3_port
    return (
        *(Request(CGMINER, network.cgminer_port, command, parameter) for command, parameter in COMMANDS),
        *(Request(HTTP, network.cgminer_port, page) for page in EPIC_PAGES),
        *(Request(WHATSMINER_V3, v3, command, param) for command, param in V3_COMMANDS),
        *(Request(HTTP, network.http_port, page) for page in PAGES),
        Request(HTTP, network.antminer_power_port, POWER_PAGE),
    )


async def record(
    address: str,
    network: Network,
    credentials: Credentials,
    heard: Callable[[Answer], None] = lambda _answer: None,
) -> list[Answer]:
    """Every answer of one device, one question at a time, within bounds; a port that is shut is left."""
    loop = asyncio.get_running_loop()
    ends_s, answers, received = loop.time() + TOTAL_S, list[Answer](), 0
    strikes: Counter[tuple[str, int]] = Counter()
    speaks_http = False
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(trust_env=False, cookie_jar=jar) as session:
        for request in questions(network):
            way = request.protocol, request.port
            epic = request.protocol == HTTP and request.port == network.cgminer_port != network.http_port
            if strikes[way] >= MAX_STRIKES or (epic and not speaks_http):
                continue
            if loop.time() >= ends_s or received >= MAX_TOTAL_BYTES:
                break
            answer = await _ask(address, request, network, credentials, session)
            received += len(answer.body)
            if request.protocol == CGMINER and answer.body.startswith(b"HTTP/"):
                speaks_http = True
                strikes[way] = MAX_STRIKES
            if isinstance(answer.error, Unreachable):
                strikes[way] = MAX_STRIKES
            elif isinstance(answer.error, DeviceTimeout) and not answer.body:
                strikes[way] += 1
            answers.append(answer)
            heard(answer)
    return answers


def printable(body: bytes) -> str:
    """A reply as a terminal may show it: whatever is not printable is escaped, new lines stay."""
    text = body.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


async def _ask(
    address: str,
    request: Request,
    network: Network,
    credentials: Credentials,
    session: aiohttp.ClientSession,
) -> Answer:
    try:
        if request.protocol == HTTP:
            return await _get(address, request, network, credentials, session)
        return await _exchange(address, request, network)
    except DeviceError as error:
        return Answer(request, error=error)


async def _exchange(address: str, request: Request, network: Network) -> Answer:
    """One question on a connection of its own; what came before a time-out is kept."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + network.deadline_s
    try:
        async with asyncio.timeout(min(network.connect_timeout_s, network.deadline_s)):
            reader, writer = await asyncio.open_connection(address, request.port)
    except TimeoutError as error:
        raise Unreachable(f"{request.port}/tcp: no answer to the connection") from error
    except OSError as error:
        raise Unreachable(f"{request.port}/tcp: {error.strerror or error}") from error
    received = bytearray()
    error_seen: DeviceError | None = None
    framed = request.protocol == WHATSMINER_V3
    question = request.text.encode()
    try:
        writer.write(len(question).to_bytes(4, "little") + question if framed else question)
        while len(received) <= network.max_reply_bytes:
            whole = _whole(bytes(received), framed)
            if whole and (framed or received.endswith(b"\0")):
                break
            try:
                async with asyncio.timeout_at(min(ends_s, loop.time() + TAIL_S) if whole else ends_s):
                    chunk = await reader.read(65536)
            except TimeoutError:
                error_seen = None if whole else DeviceTimeout(f"no end within {network.deadline_s:g} s")
                break
            if not chunk:
                break
            received += chunk
        else:
            error_seen = ProtocolError(f"reply over {network.max_reply_bytes} bytes")
    except OSError as error:
        error_seen = ProtocolError(f"{request.port}/tcp: {error.strerror or error}")
    finally:
        writer.transport.abort()
    body = bytes(received[: network.max_reply_bytes])
    return Answer(request, body[4:] if framed else body, error_seen)


def _whole(received: bytes, framed: bool) -> bool:
    if framed:
        return len(received) >= 4 and len(received) - 4 >= int.from_bytes(received[:4], "little")
    if not received.endswith((b"}", b"}\n", b"\0", b"|")):
        return False
    if received.endswith(b"\0"):
        return True
    try:
        cgminer.parse(received)
    except DeviceError:
        return False
    return True


async def _get(
    address: str,
    request: Request,
    network: Network,
    credentials: Credentials,
    session: aiohttp.ClientSession,
) -> Answer:
    """One page; asked again with the Antminer's login where it wants a digest."""
    answer = await _page(address, request, network, session, None)
    login = credentials.of("antminer")
    if answer.status == 401 and answer.auth == "digest" and login is not None:
        again = await _page(address, request, network, session, aiohttp.DigestAuthMiddleware(*login))
        if again.status != 401:
            return Answer(
                request, again.body, again.error, again.status, again.content_type, again.location,
                "digest", answer.realm,
            )  # fmt: skip
    return answer


async def _page(
    address: str,
    request: Request,
    network: Network,
    session: aiohttp.ClientSession,
    digest: aiohttp.DigestAuthMiddleware | None,
) -> Answer:
    port, limit_s = request.port, network.deadline_s
    timeout = aiohttp.ClientTimeout(total=limit_s, sock_connect=min(network.connect_timeout_s, limit_s))
    body = bytearray()
    try:
        async with session.get(
            f"http://{address}:{port}{request.name}",
            timeout=timeout,
            allow_redirects=False,
            headers={"Accept-Encoding": "identity"},
            middlewares=(digest,) if digest else (),
        ) as response:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > network.max_reply_bytes:
                    raise ProtocolError(f"reply over {network.max_reply_bytes} bytes")
            challenge = response.headers.get("WWW-Authenticate", "")
            realm = re.search(r'realm="([^"]*)"', challenge)
            return Answer(
                request,
                bytes(body),
                status=response.status,
                content_type=response.headers.get("Content-Type", "").split(";")[0].strip().lower(),
                location=response.headers.get("Location", ""),
                auth="digest" if challenge.lower().startswith("digest") else "none",
                realm=realm.group(1) if realm else "",
            )
    except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
        raise Unreachable(f"{port}/tcp: {error}") from error
    except TimeoutError as error:
        raise DeviceTimeout(f"{port}/tcp: no whole answer within {limit_s:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ProtocolError(f"{port}/tcp: {type(error).__name__}") from error
