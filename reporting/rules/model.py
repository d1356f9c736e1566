"""Rule: one parameter of law with its dated values, each with reference and status."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from reporting.errors import ReportingError

_SCALAR_TYPES = (str, int, Decimal, bool)
Scalar = str | int | Decimal | bool
Value = Scalar | tuple[Scalar, ...] | dict[str, Scalar]


class RuleError(ReportingError):
    """A rule file is wrong, a rule does not exist, or its value is not of the expected type."""


class RuleStatus(StrEnum):
    VERIFIED = "verified"  # the act's own text or the authority's own page was read
    SECONDARY = "secondary"  # a law firm, news agency or trade page was read
    UNVERIFIED = "unverified"  # recollection or inference
    DESIGN = "design"  # this project's own choice where no source was found
    NOT_FOUND = "not_found"  # looked for and not found


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleValue:
    """A value that holds on `[start, until)`; `key` tells values of one rule apart (a region, a case)."""

    key: str
    start: date
    until: date | None
    value: Value
    status: RuleStatus
    reference: str
    published: date | None
    last_checked: date
    note: str | None

    @property
    def text(self) -> str:
        """The scalar value as text; RuleError when the value is a list or a table."""
        if isinstance(self.value, _SCALAR_TYPES):
            return str(self.value)
        raise RuleError(f"a rule value is not a single one: {self.value!r}")

    @property
    def amount(self) -> Decimal:
        """The value as a number."""
        if isinstance(self.value, int | Decimal) and not isinstance(self.value, bool):
            return Decimal(self.value)
        raise RuleError(f"a rule value is not a number: {self.value!r}")

    def part(self, name: str) -> Scalar:
        """One entry of a table value."""
        if isinstance(self.value, dict) and name in self.value:
            return self.value[name]
        raise RuleError(f"a rule value has no entry {name!r}: {self.value!r}")

    def whole_number(self, name: str) -> int:
        """One entry of a table value, as an integer."""
        found = self.part(name)
        if isinstance(found, int):
            return found
        raise RuleError(f"entry {name!r} of a rule value is not a whole number: {found!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One parameter: its id, what it means, and its values in order of key and start."""

    id: str
    title: str
    unit: str
    values: tuple[RuleValue, ...]


RuleBook = dict[str, Rule]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleUse:
    """A rule value as a filing cites it, all in text."""

    id: str
    key: str
    title: str
    value: str
    unit: str
    start: str
    until: str | None
    published: str | None
    last_checked: str
    status: RuleStatus
    reference: str
    note: str | None


def at(rule: Rule, *, on: date, known_on: date | None = None, key: str = "") -> RuleValue | None:
    """The value that holds on a day, as the law stood published on `known_on`; None when there is none."""
    for value in rule.values:
        known = known_on is None or value.published is None or value.published <= known_on
        if value.key == key and known and value.start <= on and (value.until is None or on < value.until):
            return value
    return None


def use(rule: Rule, value: RuleValue) -> RuleUse:
    """How a filing cites this value of this rule."""
    return RuleUse(
        id=rule.id,
        key=value.key,
        title=rule.title,
        value=_shown(value.value),
        unit=rule.unit,
        start=value.start.isoformat(),
        until=value.until.isoformat() if value.until else None,
        published=value.published.isoformat() if value.published else None,
        last_checked=value.last_checked.isoformat(),
        status=value.status,
        reference=value.reference,
        note=value.note,
    )


def _shown(value: Value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} = {_shown(entry)}" for name, entry in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
