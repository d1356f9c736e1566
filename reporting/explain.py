"""Explanations in plain text: of a finding's code, a form, a rule, and a field of a filing."""

from __future__ import annotations

from collections.abc import Iterator

from reporting import api
from reporting.errors import ReportingError
from reporting.filing import SIMULATED, Filing
from reporting.findings import CODES
from reporting.form import Form
from reporting.rules import Rule, RuleBook, load
from reporting.rules.model import RuleUse, use


def explain(name: str) -> str:
    """What a code, form or rule means, with rules, references and status; ReportingError for another name."""
    if name in CODES:
        code = CODES[name]
        return f"{name} ({code.level.value})\n{code.text}"
    by_id = {form.id: form for form in api.forms()}
    if name in by_id:
        return "\n".join(_form_lines(by_id[name]))
    book: RuleBook = {}
    for form in by_id.values():
        book |= load(form.country)
    if name in book:
        return "\n".join(_rule_lines(book[name]))
    raise ReportingError(
        f"{name!r} is no finding (RU-RECEIPT-007), form ({', '.join(by_id)}) or rule (ru.deadline_day)"
    )


def explain_field(filing: Filing, key: str) -> str:
    """A field down to its facts, rules and batches; ReportingError for another key."""
    field = filing.field(key)
    value = "not known or not declared" if field.value is None else field.value
    lines = [SIMULATED] if filing.simulated else []
    lines += [
        f"{field.key}: {field.label}",
        f"value: {value}{f' {field.unit}' if field.unit else ''}",
        "facts:",
    ]
    lines += [f"  {path} = {fact}" for path, fact in field.basis.items()] or ["  none"]
    used = [rule for rule in filing.rules if rule.id in field.rules]
    if field.rules:
        lines.append("rules:")
        lines += [f"  {line}" for rule in used for line in _use_lines(rule)] or ["  none had a value"]
    lines.append(f"facts hash: {filing.facts_hash}")
    lines.append("batches:")
    lines += [
        f"  {one.agent}: {one.first_seq} to {one.last_seq}, last hash {one.last_hash}"
        for one in filing.evidence
    ] or ["  none"]
    return "\n".join(lines)


def _form_lines(form: Form) -> Iterator[str]:
    kinds = " or ".join(form.period_kinds)
    yield f"{form.id}: {form.title}"
    yield f"country {form.country}, period: {kinds}"
    yield form.meaning
    yield f"in law: {form.in_law}"
    for rule in load(form.country).values():
        yield ""
        yield from _rule_lines(rule)


def _rule_lines(rule: Rule) -> Iterator[str]:
    yield f"{rule.id}: {rule.title}"
    for value in rule.values:
        for line in _use_lines(use(rule, value))[1:]:
            yield f"  {line}"


def _use_lines(used: RuleUse) -> list[str]:
    case = f"{used.key}: " if used.key else ""
    span = f"from {used.start}" + (f" until {used.until}" if used.until else "")
    lines = [
        f"{used.id}: {used.title}",
        f"{case}{used.value} ({used.unit}), {span}, {used.status.value}, checked {used.last_checked}",
        f"  {used.reference}",
    ]
    return [*lines, f"  {used.note}"] if used.note else lines
