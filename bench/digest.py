"""HTTP digest (RFC 2617, qop auth) from the device's side, as an Antminer's web pages ask for it."""

from __future__ import annotations

import hashlib
import re

_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


class Digest:
    """One realm with one user."""

    def __init__(self, realm: str, user: str, password: str, nonce: str) -> None:
        self.realm, self.nonce = realm, nonce
        self.secret = _md5(f"{user}:{realm}:{password}")

    def challenge(self) -> bytes:
        """The header that asks for credentials."""
        return f'WWW-Authenticate: Digest realm="{self.realm}", nonce="{self.nonce}", qop="auth"\r\n'.encode()

    def holds(self, request: bytes) -> bool:
        """Whether a request's credentials answer the challenge."""
        head = request.decode("latin-1")
        method, path, *_ = head.split(" ", 2)
        line = next(
            (row for row in head.split("\r\n") if row.lower().startswith("authorization: digest")), ""
        )
        given = {key: quoted or bare for key, quoted, bare in _FIELD.findall(line)}
        if given.get("nonce") != self.nonce:
            return False
        parts = (given.get(key, "") for key in ("nc", "cnonce", "qop"))
        return given.get("response") == _md5(
            ":".join([self.secret, self.nonce, *parts, _md5(f"{method}:{path}")])
        )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
