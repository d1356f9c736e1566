"""Dashboards and alerts rest on metrics and labels that agent and collector really have."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.exporter import METRICS as AGENT_METRICS
from collector.export.metrics import METRICS as COLLECTOR_METRICS
from tests.deploy.files import DASHBOARDS, DEPLOY, YAML_FILES, read_json, read_yaml

ALERTS = DEPLOY / "prometheus" / "alerts.yml"
PROMTOOL = shutil.which("promtool")
# What Prometheus itself adds to the agents' series (prometheus.yml), and to all.
TARGET_LABELS = {"org", "site", "agent", "job", "instance"}
SELECTOR = re.compile(r"(hashledger_\w+)(?:\{([^}]*)\})?")

Labels = dict[str, set[str]]


@pytest.fixture(scope="module")
def known() -> Labels:
    labels: Labels = {}
    for name, (_, names) in AGENT_METRICS.items():
        labels[name] = {*names, *TARGET_LABELS}
    for metric in COLLECTOR_METRICS:
        labels[metric.name] = labels.get(metric.name, set()) | {*metric.labels, "job", "instance"}
    return labels


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        yield from (panel, *panel.get("panels", ()))


def expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in panels(dashboard):
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (variable["definition"] for variable in dashboard["templating"]["list"])


def rules() -> Iterator[dict[str, Any]]:
    for group in read_yaml(ALERTS)["groups"]:
        yield from group["rules"]


def check(expression: str, known: Labels) -> None:
    for name, selector in SELECTOR.findall(expression):
        assert name in known, f"{name} is no metric of ours: {expression}"
        used = set(re.findall(r"(\w+)\s*[=!]~?", selector))
        assert used <= known[name], f"{name} has no label {used - known[name]}: {expression}"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_dashboard_uses_metrics_that_exist(path: Path, known: Labels) -> None:
    found = list(expressions(read_json(path)))
    assert any("hashledger_" in expression for expression in found)
    for expression in found:
        check(expression, known)


def test_alerts_use_metrics_that_exist(known: Labels) -> None:
    for rule in rules():
        check(rule["expr"], known)
        assert "hashledger_" in rule["expr"] or rule["expr"].startswith("up{job=")


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_dashboard_names_the_provisioned_datasource_only(path: Path) -> None:
    source = read_yaml(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml")
    uid = source["datasources"][0]["uid"]
    dashboard = read_json(path)
    assert dashboard["uid"] and "id" not in dashboard, "a stable uid; the id is the database's"
    assert set(re.findall(r'"uid": "([^"]*)"', path.read_text("utf-8"))) == {uid, dashboard["uid"]}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_panel_unit_is_the_metrics(path: Path) -> None:
    endings = {
        "_hashes_per_second": "Hs",
        "_watts": "watt",
        "_watt_hours_total": "watth",
        "_seconds": "s",
        "_bytes": "bytes",
        "_celsius": "celsius",
    }
    for panel in panels(read_json(path)):
        for target in panel.get("targets", ()):
            for name, _ in SELECTOR.findall(target["expr"]):
                wanted = next((unit for end, unit in endings.items() if name.endswith(end)), None)
                if wanted is not None:
                    assert panel["fieldConfig"]["defaults"]["unit"] == wanted, panel["title"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_panels_do_not_overlap(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in panels(read_json(path))]
    assert len(ids) == len(set(ids))
    for panel in panels(read_json(path)):
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_yaml_parses(path: Path) -> None:
    assert read_yaml(path)


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool here (Debian: prometheus)")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", str(Path(__file__).parent / "alerts_test.yml")),
    ],
    ids=lambda arguments: "-".join(arguments[:2]),
)
def test_promtool(arguments: tuple[str, ...]) -> None:
    assert PROMTOOL is not None
    command = [PROMTOOL, *arguments]
    done = subprocess.run(command, cwd=ALERTS.parent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
