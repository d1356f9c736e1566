"""Small facts of one period per country, complete enough that only what the law leaves open is found."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from reporting.facts import (
    AddressKind,
    BatchRange,
    DeclaredDevice,
    DeviceFacts,
    Filer,
    FilerKind,
    Investment,
    Operator,
    PeriodFacts,
    Receipt,
    Site,
    SiteEnergy,
)
from reporting.period import Period

HOUR_US = 3_600_000_000

# Public test vectors of BIP-173 and BIP-350.
SEGWIT = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
TAPROOT = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"


def ru_facts(**changes: Any) -> PeriodFacts:
    """An organisation in Moscow, September 2026: three receipts, 5,000 kWh by meter."""
    period = Period.parse("2026-09", "Europe/Moscow")
    filer = Filer(
        kind=FilerKind.ORGANISATION,
        name="ООО Пример",
        inn="7700000016",
        kpp="770001001",
        ogrn="1027700000008",
        miner_register_number="1234567890123",
    )
    operator = Operator(name="ООО Оператор", inn="7700000009", register_number="1")
    site = Site(
        org="demo",
        site="msk-1",
        name="Moscow",
        country="ru",
        zone=period.zone,
        region="RU-MOW",
        operator=operator,
    )
    facts = PeriodFacts(
        site=site,
        filer=filer,
        energy=energy(5_000_000),
        devices=[],
        receipts=[
            receipt("a", period.start_us, 100_000),
            receipt("b", period.start_us + HOUR_US, 1, txid="2" * 64, address=TAPROOT),
            receipt(
                "c",
                period.end_us - 1,
                123_456_789,
                kind=AddressKind.POOL_ACCOUNT,
                address="worker.1",
                txid=None,
            ),
        ],
        **common(period),
    )
    return replace(facts, **changes)


def kz_facts(**changes: Any) -> PeriodFacts:
    """An organisation in Almaty, third quarter of 2026: 2,208 h, 2,208,000 kWh by meter."""
    period = Period.parse("2026-Q3", "Asia/Almaty")
    filer = Filer(
        kind=FilerKind.ORGANISATION,
        name="ТОО Пример",
        bin_iin="990140000007",
        licence_number="L-1",
        address="Алматы",
        phone="+7 700 000 00 00",
        email="office@example.org",
        bank_details="KZ00",
    )
    site = Site(
        org="demo",
        site="ala-1",
        name="Almaty",
        country="kz",
        zone=period.zone,
        city="Алматы",
        address="ул. 1",
    )
    investment = Investment(
        contracted_mw=Decimal("1.5"),
        planned_equipment_kzt=Decimal("100000000.50"),
        potential_infrastructure_kzt=Decimal("5000000"),
        maintenance_jobs=4,
        expansion_mw=Decimal("3"),
        planned_jobs=6,
        next_12_months_kzt=Decimal("7"),
        pool_ip_address="192.0.2.1",
        ownership_proof="lease 1",
        residency_proof="certificate 1",
        grid_conditions="conditions 1",
    )
    # 2,208,000,000 Wh / 2,208 h = 1,000,000 W: 1 MW; the largest half-hour 600,000 Wh / 0.5 h = 1.2 MW.
    site_energy = replace(energy(2_208_000_000), peak_wh=600_000, peak_us=period.start_us)
    facts = PeriodFacts(
        site=site,
        filer=filer,
        energy=site_energy,
        devices=[device("d1"), device("d2")],
        receipts=[],
        investment=investment,
        **common(period),
    )
    return replace(facts, **changes)


def ir_facts(**changes: Any) -> PeriodFacts:
    """A legal person in Tehran, Mehr 1405: two declared devices."""
    period = Period.parse("1405-07", "Asia/Tehran")
    filer = Filer(kind=FilerKind.ORGANISATION, name="شرکت نمونه", national_id="10000000005", activity="use")
    site = Site(
        org="demo",
        site="thr-1",
        name="Tehran",
        country="ir",
        zone=period.zone,
        province="تهران",
        city="تهران",
        address="خیابان ۱",
        postal_code="1234567890",
        warehouse_id="1",
    )
    facts = PeriodFacts(
        site=site,
        filer=filer,
        energy=energy(2_000_000),
        devices=[device("d1", declared=declared("d1")), device("d2", declared=declared("d2"))],
        receipts=[],
        **common(period),
    )
    return replace(facts, **changes)


def common(period: Period) -> dict[str, Any]:
    """What every sample shares: the period, taken two hours after its end, and one batch range."""
    return {
        "period": period.text,
        "start_us": period.start_us,
        "end_us": period.end_us,
        "taken_us": period.end_us + 2 * HOUR_US,
        "covered_until_us": period.end_us,
        "synthetic": False,
        "software": "hashledger 0.1.0",
        "tzdata": "2026f",
        "evidence": [BatchRange(agent="agent-1", first_seq=10, last_seq=99, last_hash="ab" * 32)],
    }


def energy(energy_wh: int) -> SiteEnergy:
    """Metered energy without gaps."""
    return SiteEnergy(
        energy_wh=energy_wh,
        energy_low_wh=energy_wh,
        energy_high_wh=energy_wh,
        energy_by_origin_wh={"meter": energy_wh},
        gap_s=0,
        peak_wh=None,
        peak_us=None,
    )


def receipt(
    external_id: str,
    received_us: int,
    amount: int,
    *,
    coin: str = "BTC",
    kind: AddressKind = AddressKind.ONCHAIN,
    address: str = SEGWIT,
    txid: str | None = "1" * 64,
    pool: str | None = "pool-1",
    network: str | None = "bitcoin",
    source: str = "pool statement",
) -> Receipt:
    """A receipt of a pool's payout."""
    return Receipt(
        received_us=received_us,
        coin=coin,
        network=network,
        amount=amount,
        address=address,
        address_kind=kind,
        source=source,
        external_id=external_id,
        pool=pool,
        txid=txid,
    )


def device(name: str, declared: DeclaredDevice | None = None) -> DeviceFacts:
    """A device of 200 TH/s and 3,500 W that used 1,000 kWh."""
    first_us = Period.parse("2026-09", "UTC").start_us
    return DeviceFacts(
        device=name,
        serial=f"SN-{name}",
        mac="02:00:00:00:00:01",
        make="Bitmain",
        model="Antminer S21",
        firmware="stock",
        algorithm="SHA-256",
        nameplate_hs=200e12,
        nameplate_w=3500.0,
        first_seen_us=first_us,
        last_seen_us=first_us + 24 * HOUR_US,
        energy_wh=1_000_000,
        energy_low_wh=1_000_000,
        energy_high_wh=1_000_000,
        energy_by_origin_wh={"meter": 1_000_000},
        covered_s=3600,
        gap_s=0,
        declared=declared,
    )


def declared(name: str) -> DeclaredDevice:
    """Everything that is declared of a device that was never transferred; 4006381333931 passes mod 10."""
    return DeclaredDevice(
        serial=f"SN-{name}",
        product_id="4006381333931",
        tracking_code=f"TRACK-{name}",
        condition="functional",
        status="in_use",
        licensed=True,
        acquired_before_law=False,
        acquisition_date="2026-03-21",
        origin_document_kind="customs",
        origin_document_number="K-1",
    )
