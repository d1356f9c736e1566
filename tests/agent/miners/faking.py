"""A device of a few lines: what its web and its cgminer API answer, on free ports of loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from agent.transports.access import Access
from agent.transports.http import Web
from agent.transports.network import Credentials, Network

CLOSED_PORT = 1  # nothing listens there on loopback
INVALID = {"STATUS": [{"STATUS": "E", "Code": 14, "Msg": "Invalid command"}]}

Page = Callable[[web.Request, Any], Any]  # (request, its JSON) -> JSON to answer, a status, or a response


@dataclass
class Device:
    """Pages by path (JSON, a status, or a function of the request) and replies by command."""

    pages: Mapping[str, Any] = field(default_factory=dict)
    commands: Mapping[str, Any] | None = None  # None: 4028 is closed
    joins: bool = True
    asked: list[str] = field(default_factory=list)  # every request, in turn

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        page = self.pages.get(request.path, 404)
        if callable(page):
            text = await request.text()
            page = page(request, json.loads(text) if text.startswith("{") else text)
        if isinstance(page, web.StreamResponse):
            return page
        return web.Response(status=page) if isinstance(page, int) else web.json_response(page)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names = json.loads(await reader.read(4096))["command"].split("+")
        self.asked.append("+".join(names))
        replies = {name: (self.commands or {}).get(name, INVALID) for name in names}
        if len(names) == 1:
            reply = replies[names[0]]
        else:
            reply = {name: [part] for name, part in replies.items()} if self.joins else INVALID
        writer.write(json.dumps(reply).encode() + b"\0")
        writer.close()

    def serve(
        self,
        work: Callable[[Access], Awaitable[Any]],
        *,
        credentials: Mapping[str, tuple[str, str]] | None = None,
        web_at_4028: bool = False,
    ) -> Any:
        """Do the work while the device answers at 127.0.0.1."""

        async def run() -> Any:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self.answer)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            http_port = runner.addresses[0][1]
            server, port = None, http_port if web_at_4028 else CLOSED_PORT
            if self.commands is not None:
                server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
                port = server.sockets[0].getsockname()[1]
            network = Network(
                cgminer_port=port,
                http_port=CLOSED_PORT if web_at_4028 else http_port,
                whatsminer_v3_port=CLOSED_PORT,
                antminer_power_port=http_port,
                auradine_port=http_port,
            )
            try:
                async with Web(network) as pages:
                    return await work(Access(pages, network, Credentials(credentials or {})))
            finally:
                if server is not None:
                    server.close()
                await runner.cleanup()

        return asyncio.run(run())
