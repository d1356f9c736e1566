"""A recorded device as a folder that can be shared: `device.toml` and one file an answer, redacted.

The format is that of the captures that tests replay: `[[exchange]]` rows say which request got which file,
`[cgminer]` the habits of the TCP API, `[identity]` in what a second unit would differ. The folder appears
whole or not at all. `expected.toml`, the truth in the bytes, is for a person to add.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.miners import registry
from agent.raw import CGMINER, HTTP, WHATSMINER_V3, Answer
from agent.readings import AuthError, DeviceError, Unsupported
from agent.redact import Redacted, redact
from agent.transports import cgminer, lenient

FORMAT = 1
# Refusals of these tell who refuses; those of all others are one line in [cgminer].
_TELLING = registry.COMMANDS
_HEADERS = ":headers"  # the name under which addresses in headers are redacted along with the files
# What the drivers call the pages by which they recognise their own.
_SEEN_AS = {
    "/api/system/info": "info",
    "/api/v1/info": "vnish_info",
    "/api/v1/version": "bos_version",
    "/api/v1/system": "proto_system",
    "/mcb/status": "goldshell_status",
    "/api/overview": "fluminer_overview",
    "/cgi-bin/luci/stats.cgi": "elphapex_stats",
    "/cgi-bin/minerStatus_all.cgi": "jasminer_status",
    "/cgi-bin/get_system_info.cgi": "system_info",
    "/summary": "epic_summary",
    "get.device.info": "v3_info",
}
_MODEL_KEYS = ("PROD", "minertype", "Type", "miner_type", "Model", "model", "ASICModel", "MODEL", "type")
_FIRMWARE_KEYS = (
    "fwversion", "fw_ver", "system_filesystem_version", "fw_version", "LVERSION", "CompileTime", "LUXminer",
    "BOSer", "BOSminer+", "Miner", "version",
)  # fmt: skip

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Capture:
    """One device, redacted: where it belongs below the captures, its files, and what was done to them."""

    folder: Path
    files: Mapping[str, bytes]
    done: tuple[str, ...]


class NothingHeard(DeviceError):
    """The device answered none of the questions."""


def capture(address: str, answers: Sequence[Answer], salt: bytes, now: datetime | None = None) -> Capture:
    """The capture of a device's answers; NothingHeard if there were none."""
    kept = _named(answers)
    if not kept:
        reason = next((str(answer.error) for answer in answers if answer.error), "no answer")
        raise NothingHeard(f"nothing was recorded: {reason}")
    host = re.compile(rf"(?<![\d.]){re.escape(address)}(?![\d.])")
    locations = json.dumps([host.sub("{host}", answer.location) for answer in kept.values()])
    bodies = {name: _bare(answer) for name, answer in kept.items()}
    redacted = redact({**bodies, _HEADERS: locations.encode()}, salt)
    places = [str(place) for place in json.loads(redacted.files[_HEADERS])]
    files = {name: data for name, data in redacted.files.items() if name != _HEADERS}
    seen = _seen(kept, files)
    document = _document(kept, answers, seen, redacted, now or datetime.now(UTC))
    for row, place in zip(document["exchange"], places, strict=True):
        if place:
            row["location"] = place
    folder = Path(document["family"]) / document["id"].split("/", 1)[1]
    return Capture(folder, {"device.toml": toml(document).encode(), **files}, redacted.done)


def write(found: Capture, out: Path) -> Path:
    """The capture's folder below `out`, whole or not at all; FileExistsError if there is one already."""
    folder = out / found.folder
    part = folder.with_name(f".{folder.name}.part")
    if folder.exists():
        raise FileExistsError(f"{folder}: exists already and is not overwritten")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for name, data in found.files.items():
            (part / name).write_bytes(data)
        part.rename(folder)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return folder


# ---- which answers are kept, and under what name


def _named(answers: Sequence[Answer]) -> dict[str, Answer]:
    """File name -> answer, of those that tell something."""
    kept: dict[str, Answer] = {}
    pages: set[bytes] = set()
    for answer in answers:
        if answer.error is not None or not (answer.body or answer.location):
            continue
        if answer.request.protocol == HTTP:
            # One page for every path is how a web application says "not here".
            if answer.status not in (200, 301, 302, 307, 308) or (answer.body and answer.body in pages):
                continue
            pages.add(answer.body)
        elif answer.body.startswith(b"HTTP/") or (
            answer.request.name not in _TELLING and _refusal(answer) is not None
        ):
            continue
        kept[_file_name(answer, kept)] = answer
    return kept


def _refusal(answer: Answer) -> str | None:
    """How a device says that it does not know a command or does not allow it; None if it answered."""
    try:
        reply = cgminer.parse(answer.body)
        if answer.request.protocol == WHATSMINER_V3:
            return None if reply.get("code", 0) == 0 else "invalid"
        cgminer.checked(reply)
    except AuthError:
        return "access-denied"
    except Unsupported:
        return "invalid"
    except DeviceError:
        return None  # neither JSON nor a refusal: worth keeping
    return None


def _file_name(answer: Answer, taken: Mapping[str, Answer]) -> str:
    request = answer.request
    parts = [request.name.strip("/") or "root", request.parameter or ""]
    slug = ".".join(re.sub(r"[^A-Za-z0-9.\-]+", "_", part.removesuffix(".cgi")) for part in parts if part)
    if request.protocol != HTTP:
        return f"{'rpc' if request.protocol == CGMINER else 'v3'}.{slug}.json"
    slug = re.sub(r"^(cgi-bin|api_v1|api)_", "", slug)
    is_json = answer.body.lstrip()[:1] in (b"{", b"[")
    name = f"http.{slug}.json" if is_json else f"web.{slug}.html"
    return name if name not in taken else name.replace(".", f".{len(taken)}.", 1)


def _bare(answer: Answer) -> bytes:
    """The answer's text without what ends it on the wire."""
    return answer.body.rstrip(b"\0\r\n") if answer.request.protocol == CGMINER else answer.body


# ---- device.toml


def _seen(kept: Mapping[str, Answer], files: Mapping[str, bytes]) -> dict[str, Document]:
    """The JSON answers under the names by which the drivers recognise their own."""
    seen: dict[str, Document] = {}
    for file, answer in kept.items():
        try:
            document = lenient.loads(files[file].decode("utf-8", "replace"))
        except ValueError:
            continue
        if isinstance(document, dict):
            seen.setdefault(_SEEN_AS.get(answer.request.name, answer.request.name), document)
    return seen


def _document(
    kept: Mapping[str, Answer],
    answers: Sequence[Answer],
    seen: Mapping[str, Document],
    redacted: Redacted,
    now: datetime,
) -> Document:
    family = next((f.name for f in registry.BY_NAME.values() if f.recognise(seen)), "unknown")
    model, firmware = _first(seen, _MODEL_KEYS), _first(seen, _FIRMWARE_KEYS)
    document: Document = {
        "format": FORMAT,
        "id": f"{family}/{_slug(model)}__{_slug(firmware)}",
        "make": "unknown",
        "model": model,
        "firmware": firmware,
        "family": family,
        "algorithm": "unknown",
        "kind": "capture",
        "state": "unknown",
        "source": {"tool": "hashledger agent capture", "recorded": f"{now:%Y-%m-%d}"},
        "scrub": {"done": list(redacted.done), "edits": []},
        "identity": {
            "macs": list(redacted.macs),
            "serials": list(redacted.serials),
            "hostnames": list(redacted.hostnames),
        },
    }
    spoken = {answer.request.protocol for answer in kept.values()}
    if CGMINER in spoken:
        document["cgminer"] = _habits(answers)
    if WHATSMINER_V3 in spoken:
        document["whatsminer3"] = {"unknown_code": -2}
    if HTTP in spoken:
        document["http"] = {"default_auth": "none"}
        digest = next((answer for answer in kept.values() if answer.auth == "digest"), None)
        if digest is not None:  # the factory's login, whatever this unit's is
            document["http"]["digest"] = {"realm": digest.realm, "user": "root", "password": "root"}
    document["exchange"] = [_row(file, answer) for file, answer in kept.items()]
    return document


def _habits(answers: Sequence[Answer]) -> Document:
    """How this device's TCP API ends a reply and refuses a command."""
    replies = [a for a in answers if a.request.protocol == CGMINER and a.body and a.error is None]
    last = replies[0].body[-1:] if replies else b""
    refusals = [refusal for answer in replies if (refusal := _refusal(answer)) is not None]
    return {
        "terminator": {b"\0": "nul", b"\n": "newline"}.get(last, "none"),
        "joined": "invalid",  # not asked
        "unknown": refusals[0] if refusals else "invalid",
        "keys": ["command"],
    }


def _row(file: str, answer: Answer) -> Document:
    request = answer.request
    row: Document = {"protocol": request.protocol, "port": request.port}
    if request.protocol == HTTP:
        row |= {"method": "GET", "path": request.name, "auth": answer.auth, "status": answer.status}
        if answer.content_type:
            row["content_type"] = answer.content_type
    else:
        names = ("command", "parameter") if request.protocol == CGMINER else ("cmd", "param")
        row |= {
            name: value for name, value in zip(names, (request.name, request.parameter), strict=True) if value
        }
    return row | {"file": file, "kind": "capture"}


def _first(seen: Mapping[str, Document], keys: Sequence[str]) -> str:
    """The first text under the first of the keys that any answer has."""
    pairs = [pair for document in seen.values() for pair in _texts(document)]
    return next((text for key in keys for name, text in pairs if name == key), "unknown")


def _texts(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _texts(part, str(name))
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part, key)
    elif isinstance(value, str) and value.strip():
        yield key, value.strip()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:60] or "unknown"


def toml(document: Mapping[str, Any], table: str = "") -> str:
    """A document of strings, numbers, lists of strings, tables and lists of tables as TOML."""
    plain = {k: v for k, v in document.items() if not isinstance(v, dict) and not _is_rows(v)}
    lines = [f"{key} = {_toml_value(value)}" for key, value in plain.items()]
    for key, value in document.items():
        name = f"{table}{key}"
        if isinstance(value, dict):
            lines += ["", f"[{name}]", toml(value, f"{name}.").rstrip("\n")]
        elif _is_rows(value):
            for row in value:
                lines += ["", f"[[{name}]]", toml(row, f"{name}.").rstrip("\n")]
    return "\n".join(lines) + "\n"


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _toml_value(value: object) -> str:
    if isinstance(value, str):
        clean = value.encode("utf-8", "replace").decode().replace("\x7f", "?")
        return json.dumps(clean, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    return json.dumps(value)
