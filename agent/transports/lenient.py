"""JSON as miners write it: strict first, then a reader that forgives what is known from the wild.

Forgiven: missing, leading, trailing and doubled commas, `nan` and `inf` (read as None), bad escapes, raw
control characters, NULs, anything after the value, a first `{` that became a comma, repeated keys.
Never forgiven: a reply that ends before its brackets do, for its last field may be half a number.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 32  # the deepest reply known has 6; each level is a Python frame
_BLANK = re.compile(r"[\s,\x00]*")
_BARE = re.compile(r'[^\s,:"\[\]{}]+')
_NUMBER = re.compile(r"[-+]?(?:\d{1,40}(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,4})?")
_PLAIN = re.compile(r'[^"\\]*')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}


def loads(text: str) -> Any:
    """The value in `text`; ValueError where it is no JSON, or not all of it."""
    try:
        return json.loads(text, strict=False, parse_constant=_unread, object_pairs_hook=_merge)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    except ValueError:
        return _Reader(text.replace("\x00", "")).document()


def _unread(_constant: str) -> None:
    return None


def _merge(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Lists under one repeated key are joined (Avalon repeats STATS); otherwise the last one counts."""
    merged: dict[str, Any] = {}
    for key, value in pairs:
        before = merged.get(key)
        merged[key] = before + value if isinstance(before, list) and isinstance(value, list) else value
    return merged


class _Reader:
    """One pass over the text; commas count as white space."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def document(self) -> Any:
        opening = self.peek()
        if opening == '"':  # the first brace is lost: the text goes on with a key
            return self.members(0)
        if opening not in ("{", "["):
            raise ValueError("no JSON object or array")
        return self.value(0)

    def peek(self) -> str:
        blank = _BLANK.match(self.text, self.at)
        self.at = blank.end() if blank else self.at
        return self.text[self.at : self.at + 1]

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError("nested too deep")
        opening = self.peek()
        if opening == "{":
            self.at += 1
            return self.members(depth)
        if opening == "[":
            self.at += 1
            return self.items(depth)
        if opening == '"':
            return self.string()
        bare = _BARE.match(self.text, self.at)
        if bare is None or bare.end() == len(self.text):
            raise ValueError(f"value expected at {self.at}")
        self.at = bare.end()
        return _bare(bare.group())

    def members(self, depth: int) -> dict[str, Any]:
        pairs: list[tuple[str, Any]] = []
        while (sign := self.peek()) != "}":
            if sign != '"':
                raise ValueError(f"key expected at {self.at}")
            key = self.string()
            if self.peek() != ":":
                raise ValueError(f"colon expected at {self.at}")
            self.at += 1
            value = None if self.next_is_end() else self.value(depth + 1)
            pairs.append((key, value))
        self.at += 1
        return _merge(pairs)

    def next_is_end(self) -> bool:
        """True where a key has no value at all: `"a": ,` or `"a": }`."""
        rest = self.at
        while rest < len(self.text) and self.text[rest].isspace():
            rest += 1
        return self.text[rest : rest + 1] in (",", "}")

    def items(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while self.peek() != "]":
            found.append(self.value(depth + 1))
        self.at += 1
        return found

    def string(self) -> str:
        self.at += 1
        parts: list[str] = []
        while True:
            plain = _PLAIN.match(self.text, self.at)
            parts.append(plain.group() if plain else "")
            self.at = plain.end() if plain else self.at
            sign = self.text[self.at : self.at + 1]
            if sign == '"':
                self.at += 1
                return _whole_characters("".join(parts))
            if not sign:
                raise ValueError("string without an end")
            parts.append(self.escape())

    def escape(self) -> str:
        letter = self.text[self.at + 1 : self.at + 2]
        digits = self.text[self.at + 2 : self.at + 6]
        if letter == "u" and re.fullmatch(r"[0-9a-fA-F]{4}", digits):
            self.at += 6
            return chr(int(digits, 16))
        self.at += 2
        return _ESCAPES.get(letter, letter)


def _whole_characters(text: str) -> str:
    """Escaped surrogate pairs joined to their character; a half of one becomes the replacement character."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _bare(word: str) -> Any:
    """A number, true, false or null; any other word (`nan`, `-inf`, `1.2.3`) was not read: None."""
    if _NUMBER.fullmatch(word):
        return float(word) if re.search(r"[.eE]", word) else int(word)
    return _WORDS.get(word.lower())
