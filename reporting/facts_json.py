"""PeriodFacts as JSON, lossless: the canonical bytes and their hash, and a strict reader."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from reporting.errors import ReportingError
from reporting.facts import PeriodFacts


def encode_facts(facts: PeriodFacts) -> bytes:
    """Canonical JSON: sorted keys, no spaces, Decimal as text; equal facts give equal bytes."""
    content = msgspec.to_builtins(facts, order="deterministic")
    _leave_out_unknown(content, ("person",))
    _leave_out_unknown(content["energy"], LATER_ENERGY)
    return msgspec.json.encode(content)


# Fields that came after filings were sealed: where they are unknown the bytes are those of before.
LATER_ENERGY = (
    "meter", "metered_wh", "metered_low_wh", "metered_high_wh", "metered_peak_wh", "metered_peak_us",
)  # fmt: skip


def _leave_out_unknown(content: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if content[name] is None:
            del content[name]


def facts_hash(facts: PeriodFacts) -> str:
    """SHA-256 of the canonical bytes, the one printed on a filing."""
    return hashlib.sha256(encode_facts(facts)).hexdigest()


def decode_facts(content: bytes) -> PeriodFacts:
    """Facts from JSON; a wrong type, a missing or an unknown key is a ReportingError that names its path."""
    try:
        facts = msgspec.json.decode(content, type=PeriodFacts)
        unknown = _unknown_keys(msgspec.json.decode(content), msgspec.to_builtins(facts), "$")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReportingError(f"not the facts of a period: {error}") from error
    if unknown:
        raise ReportingError(f"not the facts of a period: unknown key {', '.join(unknown)}")
    return facts


def _unknown_keys(given: object, understood: object, path: str) -> list[str]:
    # msgspec passes over keys that a dataclass has not: a misspelt key would be taken for "not declared".
    if isinstance(given, dict) and isinstance(understood, dict):
        return [
            found
            for key, value in given.items()
            for found in (
                _unknown_keys(value, understood[key], f"{path}.{key}")
                if key in understood
                else [f"{path}.{key}"]
            )
        ]
    if isinstance(given, list) and isinstance(understood, list):
        pairs = enumerate(zip(given, understood, strict=True))
        return [found for n, (a, b) in pairs for found in _unknown_keys(a, b, f"{path}[{n}]")]
    return []
