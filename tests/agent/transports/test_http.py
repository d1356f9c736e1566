"""JSON pages: digest, bounds, and how each failure is told."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from agent.readings import (
    AuthError,
    DeviceError,
    DeviceTimeout,
    Locked,
    ProtocolError,
    Rebooting,
    Unreachable,
    Unsupported,
)
from agent.transports.http import Asked, Web
from agent.transports.network import Credentials, Network

REALM, NONCE = "antMiner Configuration", "5f0c8b6e"


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


async def guarded(request: web.Request) -> web.Response:
    """Digest as lighttpd on an Antminer asks for it."""
    sent = dict(re.findall(r'(\w+)="?([^",]*)"?', request.headers.get("Authorization", "")))
    secret, target = md5(f"root:{REALM}:root"), md5(f"GET:{request.path}")
    proof = ":".join([secret, NONCE, sent.get("nc", ""), sent.get("cnonce", ""), "auth", target])
    if sent.get("response") != md5(proof):
        challenge = f'Digest realm="{REALM}", nonce="{NONCE}", qop="auth"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})
    return web.Response(text='{"macaddr":"02:00:00:00:00:01"}', content_type="text/html")


async def silent(request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


def always(response: web.Response) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return response

    return answer


def get(path: str, digest: tuple[str, str] | None = None, **settings: float) -> object:
    async def run() -> object:
        app = web.Application()
        app.router.add_get("/digest", guarded)
        app.router.add_get("/silent", silent)
        pages = {
            "/html": web.Response(text="<html></html>", content_type="text/html"),
            "/big": web.Response(text='{"a":"' + "x" * 300_000 + '"}'),
            "/away": web.Response(status=302, headers={"Location": "http://192.0.2.1/"}),
            "/broken": web.Response(status=500),
            "/closed": web.Response(status=403),
            "/starting": web.Response(status=502),
            "/loose": web.Response(text='{"a":1,}', content_type="text/plain"),
        }
        for page, response in pages.items():
            app.router.add_get(page, always(response))
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        network = Network(http_port=port, deadline_s=float(settings.get("deadline_s", 2.0)))
        try:
            async with Web(network) as pages_of:
                return await pages_of.get("127.0.0.1", path, digest=digest)
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def test_digest_as_the_antminer_wants_it() -> None:
    assert get("/digest", digest=Credentials().of("antminer")) == {"macaddr": "02:00:00:00:00:01"}


def test_json_whatever_the_content_type_and_the_commas() -> None:
    assert get("/loose") == {"a": 1}


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/digest", Locked),
        ("/closed", Locked),
        ("/starting", Rebooting),
        ("/nowhere", Unsupported),
        ("/html", ProtocolError),
        ("/big", ProtocolError),
        ("/away", ProtocolError),
        ("/broken", ProtocolError),
    ],
)
def test_failures(path: str, error: type[DeviceError]) -> None:
    with pytest.raises(error) as told:
        get(path)
    assert told.type is error


def test_wrong_password() -> None:
    with pytest.raises(AuthError) as told:
        get("/digest", digest=("root", "wrong"))
    assert told.type is AuthError  # and not Locked: it has seen a password


def test_silence() -> None:
    with pytest.raises(DeviceTimeout):
        get("/silent", deadline_s=0.2)


def test_nobody_listens() -> None:
    async def run() -> None:
        async with Web(Network(http_port=1)) as pages:
            await pages.get("127.0.0.1", "/")

    with pytest.raises(Unreachable):
        asyncio.run(run())


def test_credentials_do_not_show_in_logs() -> None:
    kept = Credentials({"antminer": ("root", "secret")})
    assert "secret" not in repr(kept) and kept.of("antminer") == ("root", "secret")
    assert Credentials().of("axeos") is None


def ask(path: str, asked: Asked) -> Any:
    """What `ask` gives of a device that says back what it was sent."""

    async def echo(request: web.Request) -> web.Response:
        sent = {"method": request.method, "body": await request.text(), "token": request.headers.get("Token")}
        return web.json_response(sent)

    async def run() -> Any:
        app = web.Application()
        app.router.add_route("*", "/echo", echo)
        app.router.add_get("/list", always(web.Response(text=' [{"a": 1},]', content_type="text/plain")))
        app.router.add_get("/cut", always(web.Response(text='[{"a": 1}')))
        away = web.Response(status=302, headers={"Location": "/", "Set-Cookie": "sid=1; Path=/; HttpOnly"})
        app.router.add_post("/login", always(away))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        try:
            async with Web(Network(http_port=1)) as pages_of:  # the port of the request counts
                at = Asked(port, asked.digest, asked.headers, asked.json, asked.form)
                if path == "/login":
                    return (await pages_of.send("127.0.0.1", path, at))[1]
                return await pages_of.ask("127.0.0.1", path, at)
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def test_json_is_posted_and_headers_are_sent() -> None:
    assert ask("/echo", Asked(json={"pw": "x"}, headers={"Token": "t"})) == {
        "method": "POST",
        "body": '{"pw": "x"}',
        "token": "t",
    }
    assert ask("/echo", Asked())["method"] == "GET"
    assert "secret" not in repr(Asked(headers={"Authorization": "secret"}))


def test_a_list_at_the_top_stands_under_items() -> None:
    assert ask("/list", Asked()) == {"items": [{"a": 1}]}
    with pytest.raises(ProtocolError):
        ask("/cut", Asked())


def test_a_form_may_be_answered_with_a_redirect_that_is_not_followed() -> None:
    assert ask("/login", Asked(form={"user": "root"})) == {"sid": "1"}
    with pytest.raises(ProtocolError):
        ask("/login", Asked(json={"user": "root"}))
