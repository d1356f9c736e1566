"""The house stands as it is drawn: walls, sizes, words."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("agent", "collector", "reporting", "demo")
SOURCES = [ROOT / "hashledger.py", *(p for room in ROOMS for p in sorted((ROOT / room).rglob("*.py")))]

# Bounds of the plan: look twice above 400 lines, never above 600; a function fits on a screen and a half.
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70
WORDS_NOT_USED = re.compile(r"(?:^|_)(?:wattage|stats|utils?|helpers?|managers?|wallets?)(?:_|$)")


def test_the_walls_stand() -> None:
    """agent and reporting import nothing of ours; collector imports agent.wire and reporting alone."""
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_reporting_reads_no_clock() -> None:
    """A filing is a function of its facts: no file of reporting asks what time it is."""
    clock = re.compile(r"\b(?:now|today|utcnow)\(\)|\btime\.(?:time|monotonic)|datetime\.now\(")
    found = [
        p.name for p in (ROOT / "reporting").rglob("*.py") if clock.search(p.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_stays_small_and_speaks_the_words(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE_LINES
    assert not WORDS_NOT_USED.search(path.stem)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name}: {length} lines"
            # `stats` is a command of the miners' own protocol, and stays as they call it.
            assert not WORDS_NOT_USED.search(node.name.replace("stats", "")), node.name


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "begin with a docstring"


def test_every_test_folder_is_a_package() -> None:
    """Else `tests/agent` would shadow `agent`."""
    folders = {p.parent for p in (ROOT / "tests").rglob("test_*.py")}
    assert [f for f in folders if not (f / "__init__.py").exists()] == []


def test_no_lock_file_or_setting_names_a_registry() -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+", line) for line in pinned)
