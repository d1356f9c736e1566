"""The cgminer API's text form, which some programs answer whatever was asked for.

`STATUS=S,Code=70,Msg=..|STATS=0,ID=AVA100,MM ID0=Ver[..] DNA[..]|`: sections end with a bar and their fields
with a comma, a backslash takes the next character as it is, and a comma in Avalon's brackets is of the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

START = "STATUS="
# A section is named by its first field: `SUMMARY` alone, or with a number the kind of a row among others.
_LISTS = {"POOL": "POOLS", "ASC": "DEVS", "PGA": "DEVS", "GPU": "DEVS"}
MAX_FIELDS = 20_000  # the longest reply known has some 5,000


def loads(text: str) -> dict[str, Any]:
    """The sections as a JSON reply has them, every value as text but the code; ValueError if cut off."""
    if not text.startswith(START) or not text.rstrip().endswith("|"):
        raise ValueError("no whole reply in text form")
    reply: dict[str, Any] = {}
    for count, fields in enumerate(_sections(text)):
        if count > MAX_FIELDS or not fields:
            continue
        name, found, _ = fields[0].partition("=")
        rows = [field.partition("=") for field in (fields if found else fields[1:])]
        row: dict[str, Any] = {key.strip(): value for key, equals, value in rows if equals}
        if name == "STATUS" and row.get("Code", "").isdecimal():
            row["Code"] = int(row["Code"][:9])
        reply.setdefault(_LISTS.get(name, name), []).append(row)
    return reply


def _sections(text: str) -> Iterator[list[str]]:
    """The fields of every section that ends with its bar."""
    fields: list[str] = []
    piece: list[str] = []
    escaped = False
    depth = 0
    for sign in text:
        if escaped or sign not in "\\,|[]":
            piece.append(sign)
            escaped = False
        elif sign == "\\":
            escaped = True
        elif sign == "|" or (sign == "," and depth == 0):
            if len(fields) < MAX_FIELDS:
                fields.append("".join(piece).strip())
            piece = []
            if sign == "|":
                depth = 0
                yield [field for field in fields if field]
                fields = []
        else:
            depth = max(0, depth + (1 if sign == "[" else -1 if sign == "]" else 0))
            piece.append(sign)
