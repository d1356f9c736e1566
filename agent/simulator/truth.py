"""The ground truth of a month, from the closed-form integrals, and the pool's statement of what it paid."""

from __future__ import annotations

import csv
import hashlib
import io
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from agent.simulator.life import energy_j, life, mined_us, powered_us
from agent.simulator.model import FarmPlan, Site
from agent.simulator.power import DAY_S

SAT_PER_BTC = 100_000_000
# What a pool paid for one TH/s over one day, to an order of magnitude of 2026.
SAT_PER_TH_DAY = 48
# A day's work is paid early the next morning; so all payouts of a month are received within it.
PAID_AT = timedelta(hours=4, minutes=10)
STATEMENT_COLUMNS = (
    "external_id", "received_at", "coin", "amount", "address", "address_kind", "pool", "network", "txid",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Payout:
    """One payment of a pool to a site's address-identifier."""

    external_id: str
    received_at: datetime
    amount_sat: int
    txid: str


def truth(plan: FarmPlan) -> dict[str, Any]:
    """Energy and powered time of every device, coin of every address-identifier, over each site's month."""
    devices = {}
    for device in plan.devices:
        site, pieces = plan.site(device.site), life(plan, device)
        devices[device.key] = {
            "energy_wh": round(energy_j(device, pieces, site.start_us, site.end_us) / 3600),
            "on_s": powered_us(pieces, site.start_us, site.end_us) // 1_000_000,
        }
    coin = {
        site.payout_identifier: {"BTC": sum(payout.amount_sat for payout in payouts(plan, site))}
        for site in plan.sites
    }
    return {"period": plan.month, "devices": devices, "coin": coin}


def payouts(plan: FarmPlan, site: Site) -> tuple[Payout, ...]:
    """The site's daily payouts in order, one for the work of each day before."""
    rng = random.Random(f"payouts:{plan.seed}:{plan.month}:{site.name}")
    lives = [(device, life(plan, device)) for device in plan.devices if device.site == site.name]
    first = datetime.fromtimestamp(site.start_us // 1_000_000, tz=ZoneInfo(site.zone))
    paid = []
    for number in range(round((site.end_us - site.start_us) / (DAY_S * 1e6))):
        day = first + timedelta(days=number)
        end_us = int(day.timestamp()) * 1_000_000
        hashes = sum(
            device.model.nameplate_hs * mined_us(pieces, end_us - DAY_S * 1_000_000, end_us) / 1e6
            for device, pieces in lives
        )
        amount_sat = round(hashes / (1e12 * DAY_S) * SAT_PER_TH_DAY * rng.uniform(0.97, 1.03))
        external_id = f"{site.pool}-{day:%Y%m%d}"
        txid = hashlib.sha256(f"{plan.seed}:{external_id}".encode()).hexdigest()
        paid.append(
            Payout(external_id, day + PAID_AT, amount_sat, txid if site.payout_kind == "onchain" else "")
        )
    return tuple(paid)


def statement_csv(plan: FarmPlan, site: str) -> str:
    """The pool's payout statement of a site for the month, as CSV text with a header."""
    owner = plan.site(site)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(STATEMENT_COLUMNS)
    for payout in payouts(plan, owner):
        whole, part = divmod(payout.amount_sat, SAT_PER_BTC)
        rows.writerow(
            (
                payout.external_id,
                payout.received_at.isoformat(),
                "BTC",
                f"{whole}.{part:08}",
                owner.payout_identifier,
                owner.payout_kind,
                owner.pool,
                "bitcoin" if payout.txid else "",
                payout.txid,
            )
        )
    return text.getvalue()
