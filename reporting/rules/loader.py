"""Rule files: one TOML file per parameter, read exactly; all mistakes of a folder are reported at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StringConstraints, ValidationError

from reporting.rules.model import Rule, RuleBook, RuleError, RuleStatus, RuleValue

_Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
_Number = Annotated[Decimal, Field(strict=True)]
_Scalar = StrictBool | StrictInt | _Number | _Text

# The project's own choices, which no country's law decides.
_GENERAL = "gen"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _ValueFile(_Strict):
    key: str = ""
    start: date = Field(alias="from")
    until: date | None = None
    value: _Scalar | list[_Scalar] | dict[str, _Scalar]
    status: RuleStatus
    reference: _Text
    published: date | None = None
    last_checked: date
    note: str | None = None


class _RuleFile(_Strict):
    title: _Text
    unit: _Text
    values: list[_ValueFile] = Field(min_length=1)


@cache
def load(country: str) -> RuleBook:
    """The rules of a country and the general ones; RuleError lists every mistake with file and key."""
    book: RuleBook = {}
    package = files("reporting")
    for name, folder in (
        (_GENERAL, package / "rules" / "general"),
        (country, package / "countries" / country / "rules"),
    ):
        book.update(load_folder(folder, name))
    return book


def load_folder(folder: Traversable, prefix: str) -> RuleBook:
    """The rules of one folder; the id of a rule is `prefix.file_stem`."""
    book: RuleBook = {}
    mistakes: list[str] = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".toml"):
            continue
        try:
            rule = _read(file, f"{prefix}.{file.name.removesuffix('.toml')}")
        except tomllib.TOMLDecodeError as error:
            mistakes.append(f"{file.name}: {error}")
        except ValidationError as error:
            mistakes += [f"{file.name}: {_path(one['loc'])}: {one['msg']}" for one in error.errors()]
        else:
            mistakes += [f"{file.name}: {mistake}" for mistake in _mistakes_of(rule)]
            book[rule.id] = rule
    if mistakes:
        raise RuleError("rule files are wrong:\n" + "\n".join(mistakes))
    return book


def _read(file: Traversable, rule_id: str) -> Rule:
    content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    read = _RuleFile.model_validate(content)
    values = [
        RuleValue(
            key=one.key,
            start=one.start,
            until=one.until,
            value=tuple(one.value) if isinstance(one.value, list) else one.value,
            status=one.status,
            reference=one.reference,
            published=one.published,
            last_checked=one.last_checked,
            note=one.note,
        )
        for one in read.values
    ]
    ordered = tuple(sorted(values, key=lambda value: (value.key, value.start)))
    return Rule(id=rule_id, title=read.title, unit=read.unit, values=ordered)


def _mistakes_of(rule: Rule) -> Iterator[str]:
    for value in rule.values:
        if value.until is not None and value.until <= value.start:
            yield f"values from {value.start}: until must be after from"
    for one, following in pairwise(rule.values):
        if one.key == following.key and (one.until is None or one.until > following.start):
            yield f"values from {following.start}: overlaps the value from {one.start}"


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location))
