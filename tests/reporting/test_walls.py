"""The walls of the package: what it may import, and how large its files and functions may be."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "reporting"
FILES = sorted(PACKAGE.rglob("*.py"))
ALLOWED = {"reporting", "click", "msgspec", "pydantic", "rich", "stdnum", "xlsxwriter"}
# The clock, the network and processes: the facts alone say what "now" is.
FORBIDDEN = {"asyncio", "http", "socket", "sqlite3", "ssl", "subprocess", "time", "urllib"}
# The longest are the table of codes and the forms' field lists.
LINES, FUNCTION_LINES = 600, 70


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_sizes_and_clock(file: Path) -> None:
    source = file.read_text()
    assert source.count("\n") <= LINES
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES, node.name
        elif isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "today", "utcnow"}, node.lineno
        for top in (name.partition(".")[0] for name in names):
            assert top in ALLOWED or (top in sys.stdlib_module_names and top not in FORBIDDEN), top


def test_files_are_touched_by_the_writers_folder_and_the_command_alone() -> None:
    touching = {
        str(file.relative_to(PACKAGE))
        for file in FILES
        if any(word in file.read_text() for word in (".write_bytes(", ".read_bytes(", "open(", "os.fdopen("))
    }
    assert touching == {"cli.py", "writers/folder.py"}
