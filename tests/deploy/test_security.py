"""SECURITY.md claims nothing that is not there."""

from __future__ import annotations

import re

from tests.deploy.files import DEPLOY

ROOT = DEPLOY.parent
TEXT = (ROOT / "SECURITY.md").read_text("utf-8")


def test_every_test_that_is_named_exists_where_it_is_said_to_be() -> None:
    file, missing = ROOT / "tests" / "deploy" / "test_intrusions.py", []
    # In a row of the table a test without a file is in the last one that was named there.
    for line in TEXT.splitlines():
        here = file
        for path, name in re.findall(r"`(?:([a-z_/]+\.py)::)?(test_[a-z_0-9]+)`", line):
            if path:
                here = ROOT / path if "/" in path else file.with_name(path)
            if f"def {name}(" not in here.read_text("utf-8"):
                missing.append((here.name, name))
    assert missing == []


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:agent|tests|deploy)/[a-z_/A-Z]+\.(?:py|md))", TEXT))
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []
