"""Counts of pulses on disk: one file, written whole, before what it counts is confirmed to the broker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from agent import private
from agent.readings import ProtocolError

PULSES_FILE = "pulses.json"


class Pulses:
    """How many pulses each meter has given since it was first counted."""

    def __init__(self, path: Path | None = None) -> None:
        """The counts at `path`; ProtocolError if its file is none: a count must not begin anew unseen."""
        self._path = path
        try:
            document = json.loads(path.read_text(encoding="utf-8")) if path and path.exists() else {}
        except (OSError, ValueError) as error:
            raise ProtocolError(f"{path}: {error}; move it away to count from 0 again") from error
        if not isinstance(document, dict) or not all(type(n) is int and n >= 0 for n in document.values()):
            raise ProtocolError(f"{path}: no table of counts; move it away to count from 0 again")
        self._counts: dict[str, int] = document

    def of(self, meter: str) -> int:
        return self._counts.get(meter, 0)

    def add(self, more: Mapping[str, int]) -> None:
        """Count further, on disk when this returns; OSError, and nothing counted, if it cannot be written."""
        counts = self._counts | {meter: self.of(meter) + number for meter, number in more.items()}
        if self._path is None:
            raise OSError("no file to keep the counts in")
        private.write(self._path, json.dumps(counts, sort_keys=True).encode())
        self._counts = counts
