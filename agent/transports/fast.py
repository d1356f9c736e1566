"""Strict JSON first: nearly every reply is well formed, and then a strict reader takes a fifth of the time.

It must never read anything else than the forgiving reader would. Where the two could differ (repeated keys,
whose lists that one joins) or where the reply is not strict JSON, it reads nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def loads(received: bytes) -> dict[str, Any] | None:
    """The object in a reply, or None where the forgiving reader must look."""
    text = received.strip(b"\0 \r\n\t")
    try:
        reply = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # As many colons are there as were written, so none of the keys was repeated: those inside texts are the
    # same on both sides, unless one was written as an escape.
    if not isinstance(reply, dict) or b"\\u" in text or _encode(reply).count(b":") != text.count(b":"):
        return None
    return reply
