"""Draft: a filing while a form fills it; `finish` freezes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from reporting import quantity
from reporting.facts import PeriodFacts
from reporting.facts_json import facts_hash
from reporting.filing import Column, Field, Filing, Status, Table
from reporting.findings import Finding, Level, finding
from reporting.period import Period, local_text
from reporting.rules.model import RuleBook, RuleError, RuleUse, RuleValue, at, use


class Draft:
    """Gathers fields, tables, findings and the rules that were used, each in the order it came."""

    def __init__(self, facts: PeriodFacts, period: Period, book: RuleBook, language: str) -> None:
        self.facts = facts
        self.period = period
        self._book = book
        self._language = language
        self._fields: list[Field] = []
        self._tables: list[Table] = []
        self._findings: list[Finding] = []
        self._statements: list[str] = []
        self._rules: dict[tuple[str, str, str], RuleUse] = {}

    def rule(self, rule_id: str, on: date, key: str = "") -> RuleValue | None:
        """The rule's value of that day, noted as used; None with a finding when none is known."""
        value = self.rule_if_any(rule_id, on, key)
        if value is None:
            named = f"{rule_id} ({key})" if key else rule_id
            self.find("GEN-RULE-001", rule_id, rule=named, day=on.isoformat())
        return value

    def rule_if_any(self, rule_id: str, on: date, key: str = "") -> RuleValue | None:
        """As `rule`, for one that may rightly have no value on that day: no finding."""
        if rule_id not in self._book:
            raise RuleError(f"no rule {rule_id!r}")
        rule = self._book[rule_id]
        value = at(rule, on=on, key=key)
        if value is not None:
            self._rules.setdefault((rule_id, key, value.start.isoformat()), use(rule, value))
        return value

    def find(self, code: str, where: str, **values: object) -> None:
        """Adds a finding; `where` is a path in the facts, or the id of a rule."""
        self._findings.append(finding(code, where, self._language, **values))

    def state(self, text: str) -> None:
        """Adds a sentence that must stand on the filing itself."""
        self._statements.append(text)

    def field(
        self,
        section: str,
        key: str,
        label: str,
        value: str | None,
        *,
        unit: str | None = None,
        basis: Mapping[str, object] | None = None,
        rules: tuple[str, ...] = (),
    ) -> None:
        """Adds a labelled value; `basis` maps paths in the facts to the values it was made from."""
        known = {path: str(fact) for path, fact in (basis or {}).items() if fact is not None}
        shown = value if value is None or value.strip() else None
        self._fields.append(
            Field(key=key, section=section, label=label, value=shown, unit=unit, basis=known, rules=rules)
        )

    def table(
        self, key: str, title: str, columns: dict[str, str], rows: list[tuple[str | None, ...]]
    ) -> None:
        """Adds a table; `columns` maps keys to labels."""
        heads = tuple(Column(key=name, label=label) for name, label in columns.items())
        self._tables.append(Table(key=key, title=title, columns=heads, rows=tuple(rows)))

    def origin_table(self, title: str, origin_label: str, share_label: str) -> None:
        """Adds the site's energy by origin: kWh and percent of the total."""
        energy = self.facts.energy
        rows: list[tuple[str | None, ...]] = []
        for origin, energy_wh in sorted(energy.energy_by_origin_wh.items()):
            share = quantity.percent(energy_wh, energy.energy_wh)
            rows.append(
                (origin, quantity.kwh_text(energy_wh), None if share is None else quantity.plain(share))
            )
        self.table(
            "energy_by_origin", title, {"origin": origin_label, "kwh": "kWh", "percent": share_label}, rows
        )

    def finish(self, form: str, title: str) -> Filing:
        """The filing; it is ready when no finding is an error and nothing is simulated."""
        facts, period = self.facts, self.period
        blocked = facts.synthetic or any(one.level is Level.ERROR for one in self._findings)
        return Filing(
            form=form,
            title=title,
            language=self._language,
            status=Status.DRAFT if blocked else Status.READY,
            simulated=facts.synthetic,
            org=facts.site.org,
            site=facts.site.site,
            filer=facts.filer.name,
            period=period.text,
            zone=period.zone,
            start=local_text(period.start_us, period.zone),
            end=local_text(period.end_us, period.zone),
            taken=local_text(facts.taken_us, period.zone),
            taken_us=facts.taken_us,
            statements=tuple(self._statements),
            fields=tuple(self._fields),
            tables=tuple(self._tables),
            findings=tuple(self._findings),
            rules=tuple(self._rules.values()),
            evidence=tuple(facts.evidence),
            facts_hash=facts_hash(facts),
            software=facts.software,
            tzdata=facts.tzdata,
        )
