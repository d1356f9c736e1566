"""The broker's program, for all tests that need the real one."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

# Debian puts the broker where a plain user's PATH does not look.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


@pytest.fixture(scope="session")
def mosquitto() -> str:
    """The broker's program; installed where CI runs as root, else the tests that need it are skipped."""
    if shutil.which("mosquitto", path=PATH) is None and os.environ.get("CI") == "true" and os.geteuid() == 0:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", "mosquitto"]):
            subprocess.run(
                ["apt-get", "-qq", *command], env=quiet, stdin=subprocess.DEVNULL, check=True, timeout=80
            )
    program = shutil.which("mosquitto", path=PATH)
    if program is None:
        pytest.skip("no mosquitto here (Debian: mosquitto)")
    return program
