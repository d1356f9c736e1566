"""Where requests for certificates wait and are answered, and where a changed roll is noticed.

The network's thread puts them in, the worker's thread answers: with what is on the disk, never before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from agent import wire, wire_enrol
from collector import broker_config, enrol, private, roll
from collector.ca import Authority
from collector.config import Config
from collector.roll import Roll

# A box asks again after seconds; beyond this somebody floods, and the rest is let go.
WAITING = 100
# One file write each at most: a flood must not hold up the batches.
ANSWERED_AT_ONCE = 5
DAY_US = 86_400_000_000

AgentKey = tuple[str, str, str]  # org, site, agent


class Desk:
    """The enrolment of a running collector; without an authority it only follows the roll."""

    def __init__(self, settings: Config, authority: Authority | None, say: Callable[[str], None]) -> None:
        self._settings, self._say = settings, say
        self.authority = authority
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=WAITING)
        self._version = roll.version(settings.state_dir)
        self._keys = keys(settings, roll.load(settings.state_dir))
        self._looked_us = 0

    def put(self, topic: str, message: bytes) -> None:
        """A message of an enrolment or a renewal; from the network's thread."""
        if len(message) <= wire_enrol.MAX_MESSAGE_BYTES:
            self._waiting.append((topic, message))

    def answers(self, now_us: int) -> list[tuple[str, bytes]]:
        """(topic, answer) of requests that wait; each is named in the output."""
        found: list[tuple[str, bytes]] = []
        for _ in range(min(ANSWERED_AT_ONCE, len(self._waiting))):
            topic, message = self._waiting.popleft()
            decided = self._decide(topic, message, now_us)
            if decided is None:
                continue
            self._say(said(decided))
            found.append((_answer_topic(topic), wire_enrol.encode_answer(decided.answer)))
        return found

    def _decide(self, topic: str, message: bytes, now_us: int) -> enrol.Decided | None:
        authority = self.authority
        if authority is None:
            return None

        def how(before: Roll) -> tuple[Roll, enrol.Decided | None]:
            org, by_hand = self._settings.org, self._settings.agents
            return enrol.answer(topic, message, org, before, by_hand, authority, now_us)

        return roll.change(self._settings.state_dir, how)

    def changed(self) -> dict[AgentKey, bytes] | None:
        """The keys that count, if the roll has changed them since the last look."""
        version = roll.version(self._settings.state_dir)
        if version == self._version:
            return None
        self._version, before = version, self._keys
        self._keys = keys(self._settings, roll.load(self._settings.state_dir))
        return None if self._keys == before else self._keys

    def renewed(self, now_us: int) -> bool:
        """Looks once a day; True if the collector's own certificate was renewed."""
        if self.authority is None or now_us - self._looked_us < DAY_US:
            return False
        self._looked_us = now_us
        return broker_config.own_certificate(self._settings, self.authority, now_us)


def keys(settings: Config, now: Roll) -> dict[AgentKey, bytes]:
    """Whose batches count: the configuration's agents and the roll's, without the revoked ones."""
    known = settings.agents | now.keys
    return {(settings.org, *name): key for name, key in known.items() if name not in now.revoked}


def said(decided: enrol.Decided) -> str:
    """One line for people on what was decided."""
    who = "/".join(decided.member)
    if decided.refusal is None:
        return f"enrolment: {who} has its certificate"
    return f"enrolment refused: {who}: {decided.refusal.reason}: {decided.refusal.detail}"


def _answer_topic(topic: str) -> str:
    place, _, leaf = topic.rpartition("/")
    return f"{place}/{'answer' if leaf == 'request' else 'certificate'}"


def sign_file(
    settings: Config, authority: Authority, content: bytes, now_us: int
) -> tuple[bytes, enrol.Decided]:
    """The offline form: a request as a file, its signed answer; EnrolError if the file is no request."""
    try:
        topic, message = msgspec.msgpack.decode(content, type=tuple[str, bytes])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise enrol.EnrolError(
            f"not a request file of 'hashledger agent enroll --request': {error}"
        ) from error

    def how(before: Roll) -> tuple[Roll, enrol.Decided | None]:
        return enrol.answer(topic, message, settings.org, before, settings.agents, authority, now_us)

    decided = roll.change(settings.state_dir, how)
    if decided is None:
        raise enrol.EnrolError(f"{topic}: not a request for a certificate")
    body, key = wire_enrol.encode_answer(decided.answer), private.collector_key(settings.state_dir)
    return wire.sign_word(_answer_topic(topic), body, key), decided
