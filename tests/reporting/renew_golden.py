"""Writes the golden filings anew after an intended change: `python -m tests.reporting.renew_golden`."""

from __future__ import annotations

from reporting import api
from reporting.writers import json_file
from tests.reporting.test_forms import GOLDEN, SAMPLES

if __name__ == "__main__":
    for form, facts in SAMPLES.items():
        (GOLDEN / f"{form}.json").write_bytes(json_file.render(api.prepare(form, facts)))
