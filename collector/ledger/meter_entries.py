"""What people say of a meter: entries that are only ever added; a later one may supersede an earlier."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

import msgspec

Kind = Literal["read", "replaced", "confirm", "correct"]


class MeterEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry: who said what, when and why.

    read      the registers as a person read them at `at_us`
    replaced  at `at_us` the old meter ended at `end_*`, the new one began at `start_*`
    confirm   the event named `event` is as it was deduced
    correct   it is not (`import_wh` None), or its time's import was `import_wh`
    """

    site: str
    meter: str
    kind: Kind
    at_us: int
    entered_us: int
    by: str
    why: str
    supersedes: str | None = None
    event: str | None = None
    import_wh: int | None = None
    export_wh: int | None = None
    end_import_wh: int | None = None
    end_export_wh: int | None = None
    start_import_wh: int | None = None
    start_export_wh: int | None = None
    modulus_wh: int | None = None
    serial: str | None = None

    @property
    def id(self) -> str:
        """Twelve hex digits of what it says; the same words again, whenever, are the same entry."""
        said = msgspec.structs.replace(self, entered_us=0)
        return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:12]


def event_id(kind: str, from_us: int) -> str:
    """The name of a deduced event: its kind and the second in which it begins, UTC."""
    return f"{kind}@{datetime.fromtimestamp(from_us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def standing(entries: Iterable[MeterEntry]) -> list[MeterEntry]:
    """The entries that no other one supersedes, in order of the instant that they are about."""
    known = list(entries)
    gone = {entry.supersedes for entry in known}
    return sorted((e for e in known if e.id not in gone), key=lambda e: (e.at_us, e.entered_us, e.id))
