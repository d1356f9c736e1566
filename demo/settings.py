"""What the demo's operator and owners would have written: configurations and declarations, all made up."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.simulator.model import Device, FarmPlan

LIVE_SITE = "live"
AGENT = "agent-1"

# Filers that do not exist; their numbers pass the checksums and belong to nobody known.
_SITES = {
    "ru": """
[site.ru]
name = "Демонстрационная площадка, Красноярский край (SIMULATED)"
country = "ru"
zone = "Asia/Krasnoyarsk"
region = "RU-KYA"
city = "Красноярск"
address = "ул. Вымышленная, 1"
postal_code = "660000"

[site.ru.filer]
kind = "organisation"
name = "ООО «Демонстрационная ферма» (SIMULATED)"
inn = "9900000000"
kpp = "990101001"
ogrn = "1269900000006"
miner_register_number = "0000000000001"

[site.ru.operator]
name = "ООО «Демонстрационный дата-центр» (SIMULATED)"
""",
    "kz": """
[site.kz]
name = "Демонстрациялық алаң, Алматы облысы (SIMULATED)"
country = "kz"
zone = "Asia/Almaty"
city = "Алматы"
address = "ул. Вымышленная, 2"

[site.kz.filer]
kind = "organisation"
name = "ТОО «Демонстрационная ферма» (SIMULATED)"
bin_iin = "260140000005"
licence_number = "DEMO-0001"
address = "ул. Вымышленная, 2"

[site.kz.investment]
contracted_mw = "0.05"
planned_equipment_kzt = "120000000"
potential_infrastructure_kzt = "45000000"
maintenance_jobs = 4
""",
    "ir": """
[site.ir]
name = "سایت نمایشی (SIMULATED)"
country = "ir"
zone = "Asia/Tehran"
province = "تهران"
city = "تهران"
address = "خیابان ساختگی، پلاک ۳"
postal_code = "1000000001"
devices = "declared-ir.csv"

[site.ir.filer]
kind = "organisation"
name = "شرکت نمایشی (SIMULATED)"
national_id = "14000000003"
activity = "use"
""",
    LIVE_SITE: """
[site.live]
name = "The farm over real sockets, now (SIMULATED)"
country = "kz"
zone = "UTC"
""",
}

# One product identifier a model, as the importer would have been given; passing GTIN's check digit.
_PRODUCT_IDS = ("2700000000007", "2700000000014", "2700000000021", "2700000000038", "2700000000045")


@dataclass(frozen=True, slots=True)
class Ports:
    """The loopback ports of one demo."""

    broker: int
    metrics: int
    cgminer: int
    http: int


def collector_toml(public_keys: Mapping[str, str], ports: Ports) -> str:
    """The collector's configuration: embedded broker on loopback, an agent a site."""
    agents = "".join(
        f'\n[[agent]]\nsite = "{site}"\nname = "{AGENT}"\npublic_key = "{key}"\n'
        for site, key in public_keys.items()
    )
    sites = "".join(_SITES.values())
    return (
        f'[collector]\norg = "demo"\nstate_dir = "collector"\nmetrics = "127.0.0.1:{ports.metrics}"\n'
        f'\n[mqtt]\nhost = "127.0.0.1"\nport = {ports.broker}\nembedded = true\n{agents}{sites}'
    )


def agent_toml(site: str, networks: tuple[str, ...], ports: Ports) -> str:
    """One agent's configuration; everything it sends is marked SIMULATED."""
    scan = ", ".join(f'"{network}"' for network in networks)
    return f"""\
[agent]
org = "demo"
site = "{site}"
name = "{AGENT}"
state_dir = "agent-{site}"
synthetic = true

[network]
scan = [{scan}]
cgminer_port = {ports.cgminer}
http_port = {ports.http}

[mqtt]
host = "127.0.0.1"
port = {ports.broker}

[exporter]
port = 0
"""


def declared_csv(plan: FarmPlan, site: str) -> str:
    """What the owner declares of the site's devices: product identifiers, tracking codes, papers."""
    devices = [device for device in plan.devices if device.site == site]
    models = sorted({device.model.name for device in plan.devices})
    text = io.StringIO()
    rows = csv.DictWriter(text, list(_declared(devices[0], 0, models)), lineterminator="\n")
    rows.writeheader()
    for number, device in enumerate(devices):
        rows.writerow(_declared(device, number, models))
    return text.getvalue()


def _declared(device: Device, number: int, models: list[str]) -> dict[str, str]:
    return {
        "serial": device.key,
        "product_id": _PRODUCT_IDS[models.index(device.model.name) % len(_PRODUCT_IDS)],
        "tracking_code": f"SIM{number + 1:09}",
        "condition": "functional",
        "status": "in_use",
        "licensed": "true",
        "acquired_before_law": "false",
        "acquisition_date": "2026-03-21",
        "origin_document_kind": "kotaj",
        "origin_document_number": f"SIM-{number + 1:05}",
    }


def write(folder: Path, name: str, text: str) -> Path:
    """Write a file of the demo; its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
