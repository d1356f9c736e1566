"""Several commands of the cgminer API over one connection, where the firmware takes them joined."""

from __future__ import annotations

from collections.abc import Sequence

from agent.miners.poll import Ask, Budget, Replies, collect
from agent.readings import DeviceError, DeviceTimeout, ProtocolError, Unsupported
from agent.transports.access import Access
from agent.transports.cgminer import Json, checked


async def ask(
    address: str,
    names: Sequence[str],
    access: Access,
    budget: Budget,
    replies: Replies,
    *,
    need: Sequence[str],
) -> None:
    """Ask `summary+pools`, or one by one where the device does not join; it is not asked so again.

    Part by part what the device refuses is kept as a reason; DeviceError where nothing of `need` came.
    """
    memory = f"joins {address}"
    if access.known.get(memory, True):
        if (left_s := budget.left_s()) <= 0:
            raise DeviceTimeout("no time left")
        try:
            reply = await access.ask(address, "+".join(names), left_s)
        except (Unsupported, ProtocolError):  # some close the line on what they do not know
            reply = {}
        if any(name in reply for name in names):
            split(reply, names, replies, need)
            return
        access.remember(memory, False)

    def command(name: str) -> Ask:
        return lambda limit_s: access.ask(address, name, limit_s)

    await collect([(name, command(name)) for name in names], need, budget, replies)


def split(reply: Json, names: Sequence[str], replies: Replies, need: Sequence[str]) -> None:
    """The parts of a joined reply: each is a whole reply with its own status, mostly in a list of one."""
    first: DeviceError | None = None
    for name in names:
        part = reply.get(name)
        part = part[0] if isinstance(part, list) and part else part
        try:
            if not isinstance(part, dict):
                raise ProtocolError("not in the joined reply")
            replies.got[name] = checked(part)
        except DeviceError as error:
            replies.failed[name] = str(error)
            first = first or error
    if first is not None and not replies.got.keys() & set(need):
        raise first
