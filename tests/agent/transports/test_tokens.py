"""Tokens: used until they expire or are refused, and never more of them than fit."""

from __future__ import annotations

import asyncio

import pytest

from agent.readings import AuthError
from agent.transports.tokens import MARGIN_S, MAX_TOKENS, Tokens


def test_a_token_holds_until_shortly_before_its_end() -> None:
    now_s = [1000.0]
    tokens = Tokens(lambda: now_s[0])
    tokens.keep("a", "f", "t", 3600)
    assert tokens.find("a", "f") == "t" and tokens.find("a", "g") is None and tokens.find("b", "f") is None
    now_s[0] += 3600 - MARGIN_S
    assert tokens.find("a", "f") is None and len(tokens) == 0


def test_the_oldest_makes_room() -> None:
    tokens = Tokens()
    for number in range(MAX_TOKENS + 5):
        tokens.keep(str(number), "f", "t", 3600)
    assert len(tokens) == MAX_TOKENS and tokens.find("4", "f") is None and tokens.find("5", "f") == "t"


def test_one_login_for_many_requests_and_one_more_after_a_refusal() -> None:
    tokens, logins = Tokens(), 0

    async def login() -> tuple[str, float]:
        nonlocal logins
        logins += 1
        return f"t{logins}", 3600.0

    async def ask(given: str) -> str:
        if given == "t1" and logins == 1 and len(asked) == 2:
            raise AuthError("expired")
        asked.append(given)
        return given

    async def refuse(token: str) -> str:
        raise AuthError(f"{token} is no good")

    async def run() -> None:
        for _ in range(4):
            await tokens.using("a", "f", login, ask)
        with pytest.raises(AuthError):
            await tokens.using("a", "f", login, refuse)

    asked: list[str] = []
    asyncio.run(run())
    assert asked == ["t1", "t1", "t2", "t2"] and logins == 3
    assert "t2" not in repr(tokens)
