"""`hashledger collector meter`: the meters of a site, what befell them, and what people say of that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table

from agent.wire import check_name
from collector import app, config, meter_files
from collector.config import Config, ConfigError
from collector.ledger import meters
from collector.ledger.meter_entries import MeterEntry, event_id, standing
from collector.ledger.registers import Deduced
from collector.metered import history_of
from collector.sources import register_readings
from collector.sources.register_readings import instant_us, watt_hours
from collector.sources.statements import StatementError
from collector.store import Store
from collector.told import config_option as _config
from collector.told import told as _told
from reporting.period import local_text

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
_BY_CHARACTERS, _WHY_CHARACTERS = 80, 400  # a name and a reason, not a document


@click.group()
def meter() -> None:
    """Meters: what they read, what befell them, and what people say of it."""


@dataclass
class _Desk:
    """An open ledger, and the mistakes found in what a person said."""

    settings: Config
    store: Store
    now_us: int
    problems: list[str] = field(default_factory=list)

    def take(self, option: str, read: Callable[..., T], value: object, *more: object) -> T | None:
        """A value as it was meant; a mistake is noted."""
        try:
            return None if value is None else read(value, *more)
        except ValueError as error:
            self.problems.append(f"{option} {value}: {error}")
            return None

    def zone(self, site: str) -> str:
        """The site's civil time."""
        declared = self.settings.sites.get(site)
        return declared.site.zone if declared is not None else "UTC"

    def know(self, site: str, name: str, new: bool = False) -> None:
        """Note it if there is no such site or meter."""
        if site not in self.settings.sites:
            self.problems.append(f"{site}: no section [site.{site}] in {self.settings.path}")
            return
        self.take("METER", check_name, name)
        with self.store.read() as connection:
            known = [now.meter for now in meters.meters(connection, self.settings.org, site)]
        if name not in known and not new:
            self.problems.append(
                f"{name}: no such meter at {site}; known: {', '.join(known) or 'none'}; "
                "'meter read --new' begins a meter that has no wire"
            )

    def said(self, by: str, why: str) -> dict[str, Any]:
        """Who says it, why and when, as an entry has it."""
        for option, text, most in (("--by", by, _BY_CHARACTERS), ("--why", why, _WHY_CHARACTERS)):
            if not text.strip() or not text.isprintable() or len(text) > most:
                self.problems.append(f"{option} {text!r}: a line of 1 to {most} characters")
        return {"by": by.strip(), "why": why.strip(), "entered_us": self.now_us}

    def settle(self) -> None:
        """All mistakes at once, if there are any."""
        if self.problems:
            raise ConfigError([*self.problems, "nothing was entered"])

    def enter(self, entries: Sequence[MeterEntry]) -> None:
        """Enter what was said, and say what the ledger makes of it."""
        self.settle()
        self._check_superseded(entries)
        new, known = meter_files.enter(
            self.store, self.settings.org, self.settings.meter_entries_dir, entries
        )
        for entry in entries[:1]:
            click.echo(f"entry {entry.id}" if len(entries) == 1 else f"{new} new, {known} known")
        if len(entries) == 1 and known:
            click.echo("known already: nothing changed")
        for site, name in sorted({(entry.site, entry.meter) for entry in entries}):
            about = [entry.at_us for entry in entries if entry.meter == name]
            for deduced in self.findings(site, name):
                if any(deduced.from_us <= at_us <= deduced.until_us for at_us in about):
                    click.echo(f"{name}: {self.line(site, deduced)}")

    def _check_superseded(self, entries: Sequence[MeterEntry]) -> None:
        with self.store.read() as connection:
            for entry in entries:
                if entry.supersedes is None:
                    continue
                said = meters.entries(connection, self.settings.org, entry.site, entry.meter)
                if entry.supersedes not in {e.id for e in standing(said)} and entry not in said:
                    ids = ", ".join(e.id for e in standing(said)) or "none"
                    self.problems.append(
                        f"--supersedes {entry.supersedes}: no entry that stands; these do: {ids}"
                    )
        self.settle()

    def findings(self, site: str, name: str) -> Sequence[Deduced]:
        """The meter's events."""
        with self.store.read() as connection:
            return history_of(connection, self.settings, site, name).findings

    def event(self, site: str, name: str, event: str) -> Deduced | None:
        """The event of this name; noted if there is none."""
        found = {event_id(d.kind, d.from_us): d for d in self.findings(site, name)}
        if event not in found:
            self.problems.append(f"{event}: no such event of {name}; there are: {', '.join(found) or 'none'}")
        return found.get(event)

    def line(self, site: str, deduced: Deduced) -> str:
        """An event in one line."""
        made = deduced.detail.get("made_of_it", "")
        return f"{event_id(deduced.kind, deduced.from_us)} until {self.when(site, deduced.until_us)}: {made}"

    def when(self, site: str, at_us: int) -> str:
        """An instant in the site's civil time."""
        return local_text(at_us - at_us % 1_000_000, self.zone(site))


@contextmanager
def _desk(path: Path) -> Iterator[_Desk]:
    with _told():
        settings = config.load(path)
        store = app.open_store(settings)
        try:
            yield _Desk(settings, store, app.now_us())
        finally:
            store.close()


def _who(command: F) -> F:
    """The options that every entry needs."""
    for option in (
        click.option("--supersedes", help="The entry that this one takes the place of."),
        click.option("--why", required=True, help="The reason, in a few words."),
        click.option("--by", required=True, help="Who says it."),
    ):
        command = option(command)
    return _config(command)


_AT = click.option(
    "--at", required=True, help="When: 2026-09-30T21:15 (civil time of the site) or with an offset."
)


@meter.command("read")
@click.argument("site")
@click.argument("name", metavar="METER")
@_AT
@click.option("--import-kwh", required=True, help="The register as it was shown.")
@click.option("--export-kwh")
@click.option("--new", is_flag=True, help="A meter that the ledger does not know yet (it has no wire).")
@_who
def read_command(
    path: Path, site: str, name: str, at: str, import_kwh: str, export_kwh: str | None, new: bool,
    by: str, why: str, supersedes: str | None,
) -> None:  # fmt: skip
    """Enter a register that was read by eye."""
    with _desk(path) as desk:
        desk.know(site, name, new)
        content = desk.said(by, why) | {
            "at_us": desk.take("--at", instant_us, at, desk.zone(site), desk.now_us),
            "import_wh": desk.take("--import-kwh", watt_hours, import_kwh),
            "export_wh": desk.take("--export-kwh", watt_hours, export_kwh),
        }
        desk.settle()
        desk.enter([MeterEntry(site=site, meter=name, kind="read", supersedes=supersedes, **content)])


@meter.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--site", required=True)
@click.option("--new", is_flag=True, help="Meters that the ledger does not know yet may be in it.")
@click.option("--why", required=True, help="The reason, in a few words.")
@click.option("--by", required=True, help="Who says it.")
@_config
def import_command(path: Path, file: Path, site: str, new: bool, by: str, why: str) -> None:
    """Enter readings from a file (CSV or XLSX: meter, read_at, import_kwh, export_kwh), all or none."""
    with _desk(path) as desk:
        said, readings = desk.said(by, why), []
        try:
            readings = register_readings.parse(file.read_bytes(), desk.zone(site), desk.now_us)
        except StatementError as error:
            desk.problems += [f"{file}: {text}" for text in str(error).splitlines()]
        for name in sorted({reading.meter for reading in readings}) or [""]:
            desk.know(site, name, new or not name)
        desk.enter(
            [
                MeterEntry(
                    site=site, meter=r.meter, kind="read", at_us=r.at_us,
                    import_wh=r.import_wh, export_wh=r.export_wh, **said,
                )
                for r in readings
            ]
        )  # fmt: skip


@meter.command("replace")
@click.argument("site")
@click.argument("name", metavar="METER")
@_AT
@click.option("--end-kwh", required=True, help="The old meter's import register at its end.")
@click.option("--start-kwh", required=True, help="The new meter's import register at its start.")
@click.option("--end-export-kwh")
@click.option("--start-export-kwh")
@click.option("--modulus-kwh", help="Where the new meter's register returns to 0.")
@click.option("--serial", help="The new meter's serial number.")
@_who
def replace_command(
    path: Path, site: str, name: str, at: str, end_kwh: str, start_kwh: str, end_export_kwh: str | None,
    start_export_kwh: str | None, modulus_kwh: str | None, serial: str | None,
    by: str, why: str, supersedes: str | None,
) -> None:  # fmt: skip
    """Enter that a meter was replaced: the old one's last register and the new one's first."""
    with _desk(path) as desk:
        desk.know(site, name)
        if serial is not None and not (serial.isprintable() and 0 < len(serial.strip()) <= _BY_CHARACTERS):
            desk.problems.append(f"--serial {serial!r}: a line of 1 to {_BY_CHARACTERS} characters")
        content = desk.said(by, why) | {
            "at_us": desk.take("--at", instant_us, at, desk.zone(site), desk.now_us),
            "end_import_wh": desk.take("--end-kwh", watt_hours, end_kwh),
            "start_import_wh": desk.take("--start-kwh", watt_hours, start_kwh),
            "end_export_wh": desk.take("--end-export-kwh", watt_hours, end_export_kwh),
            "start_export_wh": desk.take("--start-export-kwh", watt_hours, start_export_kwh),
            "modulus_wh": desk.take("--modulus-kwh", watt_hours, modulus_kwh),
            "serial": serial,
        }
        desk.settle()
        desk.enter([MeterEntry(site=site, meter=name, kind="replaced", supersedes=supersedes, **content)])


@meter.command("confirm")
@click.argument("site")
@click.argument("name", metavar="METER")
@click.argument("event")
@_who
def confirm_command(
    path: Path, site: str, name: str, event: str, by: str, why: str, supersedes: str | None
) -> None:
    """Say that an event is as it was deduced."""
    _answer(path, site, name, event, "confirm", None, by, why, supersedes)


@meter.command("correct")
@click.argument("site")
@click.argument("name", metavar="METER")
@click.argument("event")
@click.option("--not-so", is_flag=True, help="It did not happen: the registers are right as they are.")
@click.option("--import-kwh", help="What was really used from the event's beginning to its end.")
@_who
def correct_command(
    path: Path, site: str, name: str, event: str, not_so: bool, import_kwh: str | None,
    by: str, why: str, supersedes: str | None,
) -> None:  # fmt: skip
    """Say that an event is not as it was deduced."""
    with _told():
        if not_so == (import_kwh is not None):
            raise ConfigError(["one of --not-so and --import-kwh says what is right"])
    _answer(path, site, name, event, "correct", import_kwh, by, why, supersedes)


def _answer(
    path: Path, site: str, name: str, event: str, kind: Any, import_kwh: str | None,
    by: str, why: str, supersedes: str | None,
) -> None:  # fmt: skip
    with _desk(path) as desk:
        desk.know(site, name)
        content = desk.said(by, why) | {"import_wh": desk.take("--import-kwh", watt_hours, import_kwh)}
        desk.settle()
        deduced = desk.event(site, name, event)
        desk.settle()
        at_us = deduced.from_us if deduced is not None else 0
        desk.enter(
            [
                MeterEntry(
                    site=site,
                    meter=name,
                    kind=kind,
                    at_us=at_us,
                    event=event,
                    supersedes=supersedes,
                    **content,
                )
            ]
        )


@meter.command("events")
@click.argument("site", required=False)
@click.argument("name", metavar="[METER]", required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_config
def events_command(path: Path, site: str | None, name: str | None, as_json: bool) -> None:
    """What befell the meters, and who has answered."""
    with _desk(path) as desk:
        if site is not None and site not in desk.settings.sites:
            raise ConfigError([f"{site}: no section [site.{site}] in {desk.settings.path}"])
        rows = [
            (at, now.meter, deduced)
            for at in ([site] if site else sorted(desk.settings.sites))
            for now in _of_site(desk, at)
            if name in (None, now.meter)
            for deduced in desk.findings(at, now.meter)
        ]
        if as_json:
            content = [
                {"site": at, "meter": meter, "event": event_id(d.kind, d.from_us)} | asdict(d)
                for at, meter, d in rows
            ]
            click.echo(json.dumps(content, ensure_ascii=False))
            return
        table = Table("meter", "event", "made of it", "answer")
        table.columns[1].no_wrap = True  # it is what an answer names: never cut
        for at, meter_name, d in rows:
            answer = {None: "", True: "confirmed", False: "not so"}[d.confirmed]
            by = d.detail.get("answered_by") or d.detail.get("by")
            table.add_row(
                f"{at} {meter_name}", event_id(d.kind, d.from_us), d.detail.get("made_of_it", ""),
                f"{answer} by {by}" if answer and by else answer,
            )  # fmt: skip
        Console().print(table if rows else "no events")


@meter.command("list")
@click.option("--site")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_config
def list_command(path: Path, site: str | None, as_json: bool) -> None:
    """The meters, their registers as last read, and why one was not."""
    with _desk(path) as desk:
        rows = [
            (at, now)
            for at in ([site] if site else sorted(desk.settings.sites))
            for now in _of_site(desk, at)
        ]
        if as_json:
            content = [
                {
                    "site": at,
                    **asdict(now),
                    "told": None if now.told is None else msgspec.to_builtins(now.told),
                }
                for at, now in rows
            ]
            click.echo(json.dumps(content, ensure_ascii=False))
            return
        table = Table("site", "meter", "what", "serial", "read", "import kWh", "export kWh", "kW", "problem")
        for at, now in rows:
            what = "no wire" if now.told is None else " ".join(filter(None, (now.told.make, now.told.model)))
            table.add_row(
                at, now.meter, what or (now.told.source if now.told else ""),
                (now.told.serial if now.told else None) or "-",
                "never" if now.last_us is None else desk.when(at, now.last_us),
                *(_thousandth(n) for n in (now.import_wh, now.export_wh)),
                _thousandth(None if now.power_mw is None else now.power_mw // 1000), now.problem or "",
            )  # fmt: skip
        Console().print(table if rows else "no meters")


def _of_site(desk: _Desk, site: str) -> Sequence[meters.MeterNow]:
    with desk.store.read() as connection:
        return meters.meters(connection, desk.settings.org, site)


def _thousandth(number: int | None) -> str:
    if number is None:
        return "-"
    sign = "-" if number < 0 else ""
    return f"{sign}{abs(number) // 1000:,}.{abs(number) % 1000:03}"
