"""Shelly and Tasmota plugs on HTTP: their status pages and logins, the values those of simulated lives."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal
from urllib.request import parse_http_list, parse_keqv_list

from aiohttp import web

from agent.simulator.meter_life import MeterLife, Shown

Kind = Literal[
    "shelly1-plug", "shelly1-em", "shelly2-plug", "shelly2-pm", "shelly2-em1", "shelly2-em", "tasmota"
]
Login = tuple[str, str]


def pages(kind: Kind, shown: Shown) -> dict[str, Any]:
    """The JSON of each page of a plug, by its path."""
    wh, back_wh, power_w = float(shown.import_wh), float(shown.export_wh), round(float(shown.power_w), 1)
    mac = f"AABBCC{int(shown.serial):06d}"
    if kind == "tasmota":
        energy = {
            "Total": round(wh / 1000, 3),
            "Power": round(power_w),
            "ExportActive": round(back_wh / 1000, 3),
        }
        return {
            "Status 8": {"StatusSNS": {"Time": "2026-10-01T00:00:00", "ENERGY": energy}},
            "Status 5": {"StatusNET": {"Hostname": "plug", "Mac": mac}},
        }
    if kind in ("shelly1-plug", "shelly1-em"):
        about = {
            "type": "SHPLG-S" if kind == "shelly1-plug" else "SHEM-3",
            "mac": mac,
            "auth": False,
            "fw": "1.14.0",
        }
        phase = {"power": round(power_w / 3, 2), "is_valid": True}
        third = {"total": round(wh / 3, 1), "total_returned": round(back_wh / 3, 1)}
        relay = {"meters": [{"power": power_w, "is_valid": True, "total": int(shown.import_wh * 60)}]}
        return {
            "/shelly": about,
            "/status": relay if kind == "shelly1-plug" else {"emeters": [phase | third] * 3},
        }
    counted, returned = round(wh, 3), round(back_wh, 3)
    statuses: dict[str, dict[str, Any]] = {
        "shelly2-plug": {"switch:0": {"id": 0, "apower": power_w, "aenergy": {"total": counted}}},
        "shelly2-pm": {
            "pm1:0": {
                "id": 0,
                "apower": power_w,
                "aenergy": {"total": counted},
                "ret_aenergy": {"total": returned},
            }
        },
        "shelly2-em1": {
            "em1:1": {"id": 1, "act_power": power_w},
            "em1data:1": {"id": 1, "total_act_energy": counted, "total_act_ret_energy": returned},
        },
        "shelly2-em": {
            "em:0": {"id": 0, "total_act_power": power_w},
            "emdata:0": {"id": 0, "total_act": counted, "total_act_ret": returned},
        },
    }
    about = {"id": f"{kind}-{mac.lower()}", "mac": mac, "model": "SNPL-00112EU", "ver": "1.4.4"}
    return {"/shelly": {**about, "gen": 2}, "/rpc/Shelly.GetStatus": {"sys": {"mac": mac}, **statuses[kind]}}


@asynccontextmanager
async def serve(
    life: MeterLife,
    kind: Kind,
    now_us: Callable[[], int],
    port: int,
    *,
    host: str = "127.0.0.1",
    login: Login | None = None,
) -> AsyncIterator[None]:
    """One plug on its port; with `login` it wants that user and password."""
    nonce, closing = secrets.token_hex(8), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        shown = life.shown(now_us())
        if shown is None:
            await closing.wait()
            raise web.HTTPServiceUnavailable
        found = pages(kind, shown)
        if kind == "tasmota":
            given = (request.query.get("user"), request.query.get("password"))
            if login and given != login:
                return web.json_response({"WARNING": "Need user=<username>&password=<password>"})
            return web.json_response(found.get(request.query.get("cmnd", ""), {"Command": "Unknown"}))
        if request.path not in found:
            raise web.HTTPNotFound
        if login and request.path != "/shelly":
            basic = kind.startswith("shelly1")
            if not (_basic(request, login) if basic else _digest(request, login, nonce)):
                wants = f'Digest qop="auth", realm="shelly", nonce="{nonce}", algorithm=SHA-256'
                raise web.HTTPUnauthorized(
                    headers={"WWW-Authenticate": 'Basic realm="shelly"' if basic else wants}
                )
        return web.json_response(found[request.path])

    app = web.Application()
    app.router.add_route("*", "/{page:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        closing.set()
        await runner.cleanup()


def _basic(request: web.Request, login: Login) -> bool:
    given = request.headers.get("Authorization", "").removeprefix("Basic ")
    return given == base64.b64encode(":".join(login).encode()).decode()


def _digest(request: web.Request, login: Login, nonce: str) -> bool:
    """RFC 7616 with SHA-256 and qop auth, as Gen2 devices have it."""
    kind, _, rest = request.headers.get("Authorization", "").partition(" ")
    if kind != "Digest":
        return False
    given = parse_keqv_list(parse_http_list(rest))
    first = _sha256(f"{login[0]}:shelly:{login[1]}")
    second = _sha256(f"{request.method}:{given.get('uri', '')}")
    parts = [first, nonce, given.get("nc", ""), given.get("cnonce", ""), given.get("qop", ""), second]
    return given.get("response") == _sha256(":".join(parts))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
