"""What a poll needs besides the address: the network settings, the credentials, the shared web session."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from agent.transports import cgminer
from agent.transports.http import Asked, Web
from agent.transports.network import Credentials, Network
from agent.transports.tokens import Tokens

MAX_KNOWN = 10_000  # one site's devices; beyond it addresses are being handed round


@dataclass(frozen=True, slots=True)
class Access:
    """One per process, made by the app around an entered `Web`."""

    web: Web
    network: Network = field(default_factory=Network)
    credentials: Credentials = field(default_factory=Credentials)

    known: dict[str, Any] = field(default_factory=dict, repr=False)
    tokens: Tokens = field(default_factory=Tokens, repr=False)

    def remember(self, address: str, thing: Any) -> None:
        """Keep what was costly to learn of an address until its next full poll."""
        if len(self.known) >= MAX_KNOWN and address not in self.known:
            self.known.clear()
        self.known[address] = thing

    def ask(self, address: str, command: str, deadline_s: float, **extra: Any) -> Awaitable[cgminer.Json]:
        """One cgminer command, its status checked."""
        return cgminer.ask(address, command, self.network, deadline_s=deadline_s, **extra)

    def get(
        self, address: str, path: str, deadline_s: float, digest: tuple[str, str] | None = None
    ) -> Awaitable[cgminer.Json]:
        """One JSON page."""
        return self.web.get(address, path, digest=digest, deadline_s=deadline_s)

    async def page(self, address: str, path: str, deadline_s: float, asked: Asked) -> cgminer.Json:
        """One JSON page that takes more than its path to ask for."""
        return await self.web.ask(address, path, asked, deadline_s=deadline_s)

    async def text(self, address: str, path: str, deadline_s: float, asked: Asked) -> cgminer.Json:
        """One page that is no JSON, under `text`."""
        body, _ = await self.web.send(address, path, asked, deadline_s=deadline_s)
        return {"text": body.decode("utf-8", "replace")}
