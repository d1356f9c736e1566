"""What people say of meters: entered once, kept as files, replayed; every mistake at once."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner, Result

from agent.wire import Meter, Registers
from collector import app, config
from collector.cli import collector
from collector.export import metrics, prometheus
from collector.facts import period_facts
from collector.journal import Journal
from collector.ledger import meters, tables
from collector.meter_watch import MeterWatch
from collector.sources.register_readings import TypedReading, parse
from collector.sources.statements import StatementError
from tests.collector.databases import configured
from tests.collector.meter_model import Load, Register
from tests.collector.support import ORG, SITE, T0, Agent, S
from tests.collector.test_facts import CONFIG

pytestmark = pytest.mark.usefixtures("both_stores")

HOUR_US = 3600 * S
WHO = ("--by", "operator", "--why", "monthly round")


def call(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(collector, ["meter", *words, "--config", str(folder / "collector.toml")])


def say(folder: Path, *words: str) -> str:
    result = call(folder, *words)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    """A site with a metered day whose register rolled over at 02:00, at 60 kW."""
    (tmp_path / "collector.toml").write_text(configured(tmp_path, CONFIG))
    (tmp_path / "devices.csv").write_text("serial\n")
    meter = Register(Load([(T0, 60_000_000)]), modulus_wh=10**9, start_wh=10**9 - 120_500)
    records = [Registers(T0 + n * 60 * S, 60, [meter.read(T0 + n * 60 * S)]) for n in range(24 * 60 + 1)]
    described = Meter(T0, "main", "modbus", "10.0.0.5:502/1", serial="111", modulus_wh=10**9, step_wh=1)
    journal = Journal(tmp_path / "state" / "journal")
    journal.append([(T0 + 24 * HOUR_US, Agent().batch(described, *records, created_us=T0))])
    journal.close()
    store = app.open_store(config.load(tmp_path / "collector.toml"))
    tables.catch_up(store, ORG, tmp_path / "state" / "journal")
    store.close()
    return tmp_path


def energy_wh(folder: Path, meter: str, hours: int = 24) -> int:
    store = app.open_store(config.load(folder / "collector.toml"))
    with store.read() as connection:
        profile = meters.meter_profile(connection, ORG, SITE, meter, T0, T0 + hours * HOUR_US)
    store.close()
    return int(profile.import_wh.sum())


def contents(folder: Path) -> object:
    store = app.open_store(config.load(folder / "collector.toml"))
    found = tables.contents(store)
    store.close()
    return found


def test_an_event_is_listed_and_answered_once(farm: Path) -> None:
    (event,) = json.loads(say(farm, "events", "--json"))
    assert event["event"] == "rollover@2026-10-01T02:00:00Z"
    assert event["confirmed"] is None
    assert "rollover@2026-10-01T02:00:00Z" in say(farm, "events")
    answer = ("confirm", SITE, "main", event["event"], *WHO)
    assert "1440" not in say(farm, *answer)
    before = contents(farm)
    assert "known already" in say(farm, *answer)
    assert contents(farm) == before
    (event,) = json.loads(say(farm, "events", SITE, "main", "--json"))
    assert event["confirmed"] is True
    assert event["detail"]["answered_by"] == "operator"


def test_an_answer_is_corrected_by_another_entry_and_survives_a_rebuild(farm: Path) -> None:
    assert energy_wh(farm, "main") == 1_440_000
    event = "rollover@2026-10-01T02:00:00Z"
    first = say(farm, "correct", SITE, "main", event, "--import-kwh", "3", *WHO).split()[1]
    assert energy_wh(farm, "main") == 1_440_000 - 1000 + 3000
    say(farm, "correct", SITE, "main", event, "--import-kwh", "2.5", "--supersedes", first, *WHO)
    assert energy_wh(farm, "main") == 1_440_000 - 1000 + 2500
    assert len(list((farm / "state" / "meter-entries").glob("*.json"))) == 2
    before = contents(farm)
    app.rebuild(config.load(farm / "collector.toml"))
    assert contents(farm) == before
    again = call(farm, "confirm", SITE, "main", event, "--supersedes", first, *WHO)
    assert again.exit_code == 2
    assert "no entry that stands" in again.output


def test_a_meter_without_a_wire_is_read_by_eye(farm: Path) -> None:
    unknown = call(farm, "read", SITE, "office", "--at", "2026-10-01T00:00Z", "--import-kwh", "5", *WHO)
    assert unknown.exit_code == 2
    assert "no such meter" in unknown.output
    say(farm, "read", SITE, "office", "--at", "2026-10-01T00:00Z", "--import-kwh", "5", "--new", *WHO)
    # Without an offset it is the site's civil time: Tehran is 3:30 ahead.
    say(farm, "read", SITE, "office", "--at", "2026-10-01T18:00", "--import-kwh", "17.125", *WHO)
    assert energy_wh(farm, "office") == 12_125
    listed = say(farm, "list", "--json")
    assert [row["meter"] for row in json.loads(listed)] == ["main", "office"]
    assert json.loads(listed)[1]["import_wh"] == 17_125


def test_a_replacement_is_entered_with_its_end_and_start(farm: Path) -> None:
    words = ("--at", "2026-10-01T23:00Z", "--end-kwh", "1", "--start-kwh", "0")
    said = say(farm, "replace", SITE, "main", *words, "--serial", "222", *WHO)
    assert "a gap of at most" in said  # what was entered does not fit the readings, and that is told


def test_every_mistake_is_told_at_once_and_nothing_is_entered(farm: Path) -> None:
    result = call(
        farm, "read", SITE, "Main!", "--at", "yesterday", "--import-kwh", "1.0005", "--export-kwh", "-1",
        "--by", "", "--why", "x\ny",
    )  # fmt: skip
    assert result.exit_code == 2
    for text in ("METER Main!", "--at yesterday", "finer than 1 Wh", "--export-kwh -1", "--by", "--why"):
        assert text in result.output
    result = call(farm, "correct", SITE, "main", "jump@2026-10-01T02:00:00Z", "--not-so", *WHO)
    assert result.exit_code == 2
    assert "there are: rollover@2026-10-01T02:00:00Z" in result.output
    assert call(farm, "correct", SITE, "main", "x", *WHO).exit_code == 2
    assert not (farm / "state" / "meter-entries").exists()


HEADER = "meter,read_at,import_kwh,export_kwh"


def test_a_file_of_readings_is_entered_whole_or_not_at_all(farm: Path) -> None:
    file = farm / "round.csv"
    file.write_text(f"{HEADER}\noffice,2026-10-01T00:00Z,5,\noffice,2026-10-01T10:00+03:00,7.5,0\n")
    words = ("import", str(file), "--site", SITE, "--new", *WHO)
    assert "2 new, 0 known" in say(farm, *words)
    assert "0 new, 2 known" in say(farm, *words)
    assert energy_wh(farm, "office", 7) == 2500
    file.write_text(f"{HEADER}\noffice,2026-10-01T00:00Z,6,\noffice,then,much,\n")
    result = call(farm, *words)
    assert result.exit_code == 2
    assert "row 3, read_at" in result.output
    assert "row 3, import_kwh" in result.output
    assert len(list((farm / "state" / "meter-entries").glob("*.json"))) == 2


def sheet(*rows: tuple[object, ...]) -> bytes:
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    for row in rows:
        page.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def test_a_workbook_is_read_to_the_watt_hour() -> None:
    content = sheet(
        ("meter", "read_at", "import_kwh"),
        ("office", datetime(2026, 10, 1, 8, 0), 123456.789),  # noqa: DTZ001 - as a person types it
        ("office", "2026-10-02T08:00+08:00", 123457),
        (None, None, None),
    )
    assert parse(content, "Asia/Irkutsk", T0 + 48 * HOUR_US) == [
        TypedReading(2, "office", T0, 123_456_789, None),
        TypedReading(3, "office", T0 + 24 * HOUR_US, 123_457_000, None),
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"meter,read_at\n", "missing import_kwh"),
        (f"{HEADER},x\n".encode(), "unknown x"),
        (b"PK\x03\x04junk", "not a workbook"),
        (b"\xff\xfe", "not UTF-8"),
        (f"{HEADER}\noffice,2026-10-25T02:30,1,\n".encode(), "twice"),
        (f"{HEADER}\noffice,2026-03-29T02:30,1,\n".encode(), "never"),
        (f"{HEADER}\noffice,2026-10-01,1,\n".encode(), "a day without a time"),
        (f"{HEADER}\noffice,2027-10-01T00:00Z,1,\n".encode(), "in the future"),
        (f"{HEADER}\noffice,2019-10-01T00:00Z,1,\n".encode(), "before 2020"),
        (f"{HEADER}\noffice,2026-10-01T00:00Z,1e3,\n".encode(), "no sign, exponent"),
        (f"{HEADER}\na,2026-10-01T00:00Z,1,\na,2026-10-01T03:00+03:00,1,\n".encode(), "row 2 has the same"),
    ],
)
def test_a_wrong_file_says_what_would_be_right(content: bytes, text: str) -> None:
    with pytest.raises(StatementError) as caught:
        parse(content, "Europe/Berlin", T0 + 60 * 24 * HOUR_US)
    assert text in str(caught.value)


def test_filings_and_metrics_tell_what_nobody_has_answered(farm: Path) -> None:
    settings = config.load(farm / "collector.toml")
    now_us = T0 + 25 * HOUR_US

    def told() -> tuple[list[str], dict[tuple[str, ...], float]]:
        store = app.open_store(settings)
        notes = period_facts(store, settings, SITE, "2026-10", T0 + 40 * 24 * HOUR_US).notes
        samples = prometheus.meter_samples(MeterWatch(store, ORG), now_us)
        found = {(metric.name, *labels): value for metric, labels, value in samples}
        store.close()
        return [note for note in notes if note.startswith("meter ")], found

    event = "rollover@2026-10-01T02:00:00Z"
    notes, found = told()
    assert notes == [f"meter main: {event}: 1000 Wh; nobody has confirmed it"]
    assert found[metrics.METER_EVENTS.name, SITE, "rollover"] == 1
    assert found[metrics.METER_AGE.name, SITE, "main"] == 3600
    assert found[metrics.METER_REGISTER.name, SITE, "main"] == 1_440_000 - 120_500
    say(farm, "confirm", SITE, "main", event, *WHO)
    notes, found = told()
    assert notes == [f"meter main: {event}: 1000 Wh; confirmed by operator"]
    assert not any(name == metrics.METER_EVENTS.name for name, *_ in found)
