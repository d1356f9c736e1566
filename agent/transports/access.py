"""What a poll needs besides the address: the network settings, the credentials, the shared web session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agent.transports import cgminer
from agent.transports.http import Web
from agent.transports.network import Credentials, Network


@dataclass(frozen=True, slots=True)
class Access:
    """One per process, made by the app around an entered `Web`."""

    web: Web
    network: Network = field(default_factory=Network)
    credentials: Credentials = field(default_factory=Credentials)

    async def ask(self, address: str, command: str, deadline_s: float, **extra: Any) -> cgminer.Json:
        """One cgminer command, its status checked."""
        return await cgminer.ask(address, command, self.network, deadline_s=deadline_s, **extra)

    async def get(
        self, address: str, path: str, deadline_s: float, digest: tuple[str, str] | None = None
    ) -> cgminer.Json:
        """One JSON page."""
        return await self.web.get(address, path, digest=digest, deadline_s=deadline_s)
