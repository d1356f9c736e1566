"""The `report` command: what it prints, writes and exits with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from reporting.cli import report
from reporting.facts import PeriodFacts
from reporting.facts_json import encode_facts
from tests.reporting.sample import kz_facts, ru_facts


def run(*arguments: object, load_facts: Any = None) -> Result:
    return CliRunner().invoke(
        report, [str(one) for one in arguments], obj={"load_facts": load_facts} if load_facts else None
    )


@pytest.fixture
def facts_file(tmp_path: Path) -> Path:
    file = tmp_path / "facts.json"
    file.write_bytes(encode_facts(ru_facts()))
    return file


def test_list_shows_every_form() -> None:
    result = run("list")
    assert result.exit_code == 0
    for form in ("ru-monthly", "kz-quarterly", "ir-ntsw"):
        assert form in result.output


def test_prepare_writes_three_files_from_a_facts_file(facts_file: Path, tmp_path: Path) -> None:
    result = run("prepare", "ru-monthly", "--facts", facts_file, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "ready" in result.output
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_prepare_takes_the_facts_from_the_ledger(tmp_path: Path) -> None:
    asked: list[object] = []

    def load_facts(config: Path, site: str, period: str) -> PeriodFacts:
        asked.extend((config, site, period))
        return kz_facts(synthetic=True)

    result = run(
        *("prepare", "kz-quarterly", "--period", "2026-Q3", "--site", "ala-1", "--mw", "peak"),
        *("--config", "my.toml", "--out", tmp_path),
        load_facts=load_facts,
    )
    assert result.exit_code == 0, result.output
    assert asked == [Path("my.toml"), "ala-1", "2026-Q3"]
    assert "SIMULATED" in result.output
    assert "draft" in result.output


def test_check_exits_by_the_findings(facts_file: Path) -> None:
    good = run("check", "ru-monthly", "--facts", facts_file)
    assert (good.exit_code, "RU-VALUE-001" in good.output) == (0, True)
    facts_file.write_bytes(encode_facts(ru_facts(synthetic=True)))
    bad = run("check", "ru-monthly", "--facts", facts_file)
    assert (bad.exit_code, "GEN-SIMULATED-001" in bad.output) == (1, True)


def test_mistakes_exit_2_and_say_what_would_be_right(facts_file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    blocked = tmp_path / "file"
    blocked.touch()
    facts = ("--facts", facts_file)
    for arguments, message in (
        (("prepare", "us-yearly", *facts, "--out", tmp_path), "there is ru-monthly"),
        (("prepare", "kz-quarterly", *facts, "--out", tmp_path), "covers a quarter"),
        (("prepare", "ru-monthly", *facts, "--out", blocked / "x"), "nothing was written"),
        (("check", "ru-monthly"), "--facts FILE"),
        (("check", "ru-monthly", "--facts", tmp_path / "none.json"), "does not exist"),
        (("check", "ru-monthly", "--facts", broken), "broken.json: not the facts of a period"),
        (("check", "ru-monthly", *facts, "--period", "2026-08"), "holds 2026-09, not --period 2026-08"),
        (("check", "ru-monthly", *facts, "--site", "x"), "holds msk-1, not --site x"),
        (("check", "ru-monthly", *facts, "--price-kzt-kwh", "dear"), "write it as 21.50"),
        (("explain", "nothing"), "RU-RECEIPT-007"),
        (("explain", tmp_path / "none.json"), "No such file"),
        (("explain", broken), "not a filing"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert message in result.output.replace("\n", " "), (arguments, result.output)


def test_the_ledger_needs_period_and_site() -> None:
    result = run("check", "ru-monthly", load_facts=lambda *_: ru_facts())
    assert (result.exit_code, "--period and --site" in result.output) == (2, True)


def test_explain_a_code_a_form_and_a_rule() -> None:
    assert "open_question" in run("explain", "RU-VALUE-001").output
    form = run("explain", "kz-quarterly").output
    assert "verified" in form
    assert "kz.fee_tariff" in form
    assert "2026-09-01" in run("explain", "ru.legal_basis").output


def test_explain_follows_a_number_down_to_facts_and_batches(facts_file: Path, tmp_path: Path) -> None:
    run("prepare", "ru-monthly", "--facts", facts_file, "--out", tmp_path)
    filing = tmp_path / "ru-monthly_msk-1_2026-09.json"
    result = run("explain", filing, "energy_kwh")
    assert result.exit_code == 0
    for part in ("5000.000 kWh", "energy.energy_wh = 5000000", "agent-1: 10 to 99"):
        assert part in result.output
    assert "ru.deadline_day" in run("explain", filing, "deadline").output
    assert run("explain", filing).exit_code == 0
    assert run("explain", filing, "no_such").exit_code == 2
