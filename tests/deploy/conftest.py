"""The broker's program, for all tests that need the real one."""

from __future__ import annotations

import os
import shutil

import pytest

# Debian puts the broker where a plain user's PATH does not look.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


@pytest.fixture(scope="session")
def mosquitto() -> str:
    """The broker's program; `.ci/run` installs it; elsewhere tests are skipped without it."""
    program = shutil.which("mosquitto", path=PATH)
    if program is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)("no mosquitto here (Debian: mosquitto)")
    return program
