"""Every command that deploy/ starts or tells people to type exists, with its options."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from hashledger import main
from tests.deploy.files import DEPLOY, read_yaml

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PROGRAM = "/opt/hashledger/bin/hashledger"
ANALYZED = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
# 1.1 with systemd 252, of 10.0 for a service without any; room for what newer ones count besides.
EXPOSURE_TENTHS = 15


def check(words: list[str]) -> None:
    """`words` follow the program's name."""
    context = click.Context(main)
    group = main.get_command(context, words[0])
    assert isinstance(group, click.Group), words
    command = group.get_command(context, words[1])
    assert command is not None, words
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words[2:] if word.startswith("--")} <= options, words


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_exec_start(unit: Path) -> None:
    starts = re.findall(r"^ExecStart=(.+)$", unit.read_text("utf-8"), re.MULTILINE)
    assert len(starts) == 1
    program, *words = shlex.split(starts[0])
    assert program == PROGRAM
    check(words)


@pytest.mark.parametrize("role", ["agent", "collector"])
def test_container_command(role: str) -> None:
    check(read_yaml(DEPLOY / "compose" / "compose.yml")["services"][role]["command"])


def test_commands_in_the_readme() -> None:
    text = (DEPLOY / "README.md").read_text("utf-8")
    typed = re.findall(r"\bhashledger ((?:agent|collector) [a-z]+[^`\n|]*)", text.replace("\\\n", " "))
    assert typed
    for line in typed:
        check(shlex.split(line))


def test_unit_and_user_agree() -> None:
    users = (DEPLOY / "systemd" / "hashledger.sysusers.conf").read_text("utf-8")
    for unit in (unit for unit in UNITS if "Type=oneshot" not in unit.read_text("utf-8")):
        text = unit.read_text("utf-8")
        for line in (f"User={unit.stem}", f"StateDirectory={unit.stem}", "Restart=on-failure"):
            assert f"\n{line}\n" in text
        assert re.search(rf"^u {unit.stem} ", users, re.MULTILINE)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_service_is_bounded(unit: Path) -> None:
    """What the score of systemd-analyze does not count."""
    text = unit.read_text("utf-8")
    for key in ("MemoryMax", "TasksMax", "TimeoutStopSec"):
        assert re.search(rf"^{key}=\d+[MG]?$", text, re.MULTILINE), key


@ANALYZED
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_service_is_sandboxed(unit: Path) -> None:
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            f"--threshold={EXPOSURE_TENTHS}",
            "--no-pager",
            unit,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd before 250 knows no --offline")
    assert "Overall exposure level" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout


@ANALYZED
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_reads_the_unit(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # The program is not installed at its place where tests run, and systemd before 254 knows no backoff.
    allowed = ("is not executable: No such file", "'RestartSteps'", "'RestartMaxDelaySec'")
    wrong = [
        line
        for line in done.stderr.splitlines()
        if unit.name in line and not any(text in line for text in allowed)
    ]
    assert wrong == []
