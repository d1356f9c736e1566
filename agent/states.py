"""What each device does, or why it cannot be read: a change is an event with the old and the new."""

from __future__ import annotations

from collections.abc import Sequence

from agent.readings import FailureKind, State
from agent.wire import Event


class StateWatch:
    """Each device's last state, or the kind of its last failure; the first sight is no change."""

    def __init__(self) -> None:
        self._last: dict[bytes, str] = {}

    def take(self, device: bytes, at_us: int, now: State | FailureKind, detail: str = "") -> Sequence[Event]:
        """The event of a change, if there is one; a reading that tells no state changes nothing."""
        before = self._last.get(device)
        if before is now or now is State.UNKNOWN:
            return ()
        self._last[device] = now
        if before is None:
            return ()
        told = {"old": str(before), "new": str(now)} | ({"detail": detail} if detail else {})
        return (Event(at_us, "state_changed", device, told),)
