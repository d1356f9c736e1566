"""Replies as broken firmware sends them; pure, on the bytes of a JSON body."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from functools import cache

from agent.simulator.faults import Fault

JUNK_BYTES = 10 * 1024 * 1024
JUNK_CHUNK_BYTES = 64 * 1024

_BETWEEN_OBJECTS = re.compile(rb"\},\{")
_BETWEEN_MEMBERS = re.compile(rb',(?=")')
_NUMBER = re.compile(rb'(":)-?\d+(?:\.\d+)?')
_TEXT = re.compile(rb'(":"[^"]{2})')
_MEMBER = re.compile(rb'("[^"]+":(?:-?\d+(?:\.\d+)?|"[^"]*"),)')

_LOGIN = b"<html><head><title>Router login</title></head><body><form></form></body></html>"
WRONG_PAGE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
    % (len(_LOGIN), _LOGIN)
)


def _missing_comma(body: bytes) -> bytes:
    broken, found = _BETWEEN_OBJECTS.subn(b"}{", body, count=1)
    return broken if found else _BETWEEN_MEMBERS.sub(b"", body, count=1)


def _trailing_comma(body: bytes) -> bytes:
    at = max(body.rfind(b"}"), 0)
    return body[:at] + b"," + body[at:]


def _nan(body: bytes) -> bytes:
    """The first decimal fractions; whole numbers where there are none."""
    words = iter((b"nan", b"-inf", b"inf"))
    pattern = re.compile(rb'(":)-?\d+\.\d+')
    pattern = pattern if pattern.search(body) else _NUMBER
    return pattern.sub(lambda found: found[1] + next(words), body, count=3)


def _control(body: bytes) -> bytes:
    return _TEXT.sub(b"\\1\n\x01\t", body, count=2)


def _duplicate_key(body: bytes) -> bytes:
    return _MEMBER.sub(b"\\1\\1", body, count=2)


def _non_utf8(body: bytes) -> bytes:
    return _TEXT.sub(b"\\1\xff\xfe\xc3\x28", body, count=2)


SPOILS: Mapping[Fault, Callable[[bytes], bytes]] = {
    Fault.MISSING_COMMA: _missing_comma,
    Fault.TRAILING_COMMA: _trailing_comma,
    Fault.NAN: _nan,
    Fault.CONTROL: _control,
    Fault.DUPLICATE_KEY: _duplicate_key,
    Fault.NON_UTF8: _non_utf8,
}


@cache
def junk_chunk() -> bytes:
    """The bytes that junk is made of, always the same: no brace, quote or NUL that would end a reply."""
    printable = bytes(range(0x80, 0x100)) + b"#$%&'()*+-./0123456789"
    return bytes(random.Random("junk").choices(printable, k=JUNK_CHUNK_BYTES))
