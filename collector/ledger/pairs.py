"""What was used between each two readings of a meter that follow each other: best, least and most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from collector.ledger.meter_entries import MeterEntry, event_id
from collector.ledger.plausible import rate_mw
from collector.ledger.quantities import Ints, Mask
from collector.ledger.registers import UNREAD, Deduced, Running
from collector.ledger.sequence import Reads


@dataclass(slots=True)
class Pairs:
    """One cell for each pair of readings; deductions change them, and what people said is heard first."""

    reads: Reads
    export_wh: Ints  # by reading; as last read where it was not
    used: Ints  # import
    low: Ints
    high: Ints
    exported: Ints
    edge: Mask  # by reading: a piece ends here
    cause: dict[int, str] = field(default_factory=dict)  # by pair: why it is a gap though it was read
    findings: list[Deduced] = field(default_factory=list)
    answers: Mapping[str, MeterEntry] = field(default_factory=dict)

    @classmethod
    def of(cls, reads: Reads, answers: Mapping[str, MeterEntry]) -> Pairs:
        """The plain differences; a fall counts nothing until somebody says what it is."""
        used = np.maximum(np.diff(reads.import_wh), 0)
        export_wh = _carried(reads.export_wh)
        exported = np.maximum(np.diff(export_wh), 0)
        edge = np.ones(reads.at_us.size, np.bool_)
        return cls(reads, export_wh, used, used.copy(), used.copy(), exported, edge, answers=answers)

    def answer(self, kind: str, first: int) -> MeterEntry | None:
        """What a person said of an event that begins with this reading."""
        return self.answers.get(event_id(kind, int(self.reads.at_us[first])))

    def denied(self, kind: str, first: int) -> bool:
        """True if a person said that it is not so, and no more."""
        answer = self.answer(kind, first)
        return answer is not None and answer.kind == "correct" and answer.import_wh is None

    def tell(self, kind: str, first: int, last: int, **detail: object) -> None:
        """Note an event from one reading to another; what a person said of it holds for its energy."""
        answer = self.answer(kind, first)
        at_us = self.reads.at_us
        text = {name: str(value) for name, value in detail.items()}
        if answer is not None:
            text |= {"answered_by": answer.by, "answer": answer.id}
        confirmed = None if answer is None else not self.denied(kind, first)
        self.findings.append(Deduced(kind, int(at_us[first]), int(at_us[last]), text, confirmed))
        if answer is not None and answer.import_wh is not None:
            self.put(first, last, answer.import_wh, answer.import_wh, answer.import_wh)
            for n in range(first, last):
                self.cause.pop(n, None)

    def put(self, first: int, last: int, used: int, low: int, high: int) -> None:
        """What was used from one reading to another, as one piece."""
        for column, wh in ((self.used, used), (self.low, low), (self.high, high)):
            column[first:last] = 0
            column[first] = wh
        self.edge[first + 1 : last] = False

    def gap(self, first: int, last: int, kind: str) -> None:
        """This time counts as a gap, for this reason."""
        self.cause.update(dict.fromkeys(range(first, last), kind))

    def untangle(self, most_mw: Ints) -> None:
        """Take a stretch of doubtful instants as one piece if one of its pairs says more than can be."""
        doubtful, at_us = self.reads.doubtful, self.reads.at_us
        if not doubtful.any():
            return
        touched = doubtful[1:] | doubtful[:-1]
        impossible = touched & (rate_mw(self.used, np.diff(at_us)) > most_mw)
        bounds = np.flatnonzero(np.diff(np.concatenate([[False], touched, [False]])))
        for first, end in bounds.reshape(-1, 2).tolist():
            if impossible[first:end].any():
                self.edge[first + 1 : end] = False

    def imported(self) -> Running:
        """The running total of the import."""
        starts = np.flatnonzero(self.edge[:-1])
        if starts.size == 0:
            return Running(self.reads.at_us, self.used, self.low, self.high)
        sums = (np.add.reduceat(column, starts) for column in (self.used, self.low, self.high))
        return Running(self.reads.at_us[self.edge], *sums)


def _carried(register: Ints) -> Ints:
    """The register with the value before it wherever it was not read, and the first one before that."""
    read = np.flatnonzero(register != UNREAD)
    if read.size == 0:
        return np.zeros_like(register)
    nth = np.searchsorted(read, np.arange(register.size), side="right") - 1
    return register[read[np.maximum(nth, 0)]]
