"""PeriodFacts: everything a filing may rest on, as values; reporting reads nothing else.

Energy in integer Wh, coin in integer base units (satoshi), instants in microseconds UTC, money Decimal.
None means: not known or not declared. A form turns None into a finding, never into 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


class FilerKind(StrEnum):
    ORGANISATION = "organisation"
    SOLE_TRADER = "sole_trader"
    NATURAL_PERSON = "natural_person"


class AddressKind(StrEnum):
    """Kinds of address-identifier."""

    ONCHAIN = "onchain"
    POOL_ACCOUNT = "pool_account"
    DEPOSITARY = "depositary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filer:
    """Who files, as declared; identifiers of the country that applies, the others None."""

    kind: FilerKind
    name: str
    address: str | None = None
    phone: str | None = None
    email: str | None = None
    inn: str | None = None  # Russia
    kpp: str | None = None
    ogrn: str | None = None  # OGRN of an organisation, OGRNIP of a sole trader
    miner_register_number: str | None = None
    bin_iin: str | None = None  # Kazakhstan
    licence_number: str | None = None
    bank_details: str | None = None
    national_id: str | None = None  # Iran: 10 digits of a person, 11 of a legal person
    activity: str | None = None  # Iran: buy, sell, use, store, import, produce


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """The mining-infrastructure operator (hosting data centre) of the site, where there is one."""

    name: str
    inn: str | None = None
    register_number: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Investment:
    """Kazakh declared figures and documents: money in KZT, contracted capacity in MW."""

    contracted_mw: Decimal | None = None
    planned_equipment_kzt: Decimal | None = None
    potential_infrastructure_kzt: Decimal | None = None
    maintenance_jobs: int | None = None
    expansion_mw: Decimal | None = None
    planned_jobs: int | None = None
    next_12_months_kzt: Decimal | None = None
    pool_ip_address: str | None = None
    ownership_proof: str | None = None  # customs declaration, or proof of ownership or lease
    residency_proof: str | None = None
    grid_conditions: str | None = None  # technical conditions of the connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where; `zone` is the IANA zone in which periods are cut; `country` ISO 3166 alpha-2, lower case."""

    org: str
    site: str
    name: str
    country: str
    zone: str
    region: str | None = None  # e.g. RU-KYA
    province: str | None = None
    city: str | None = None
    address: str | None = None
    postal_code: str | None = None
    warehouse_id: str | None = None
    operator: Operator | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredDevice:
    """What the owner declares of a device, matched to the register by serial (or MAC where none is told)."""

    serial: str
    product_id: str | None = None
    tracking_code: str | None = None
    condition: str | None = None  # functional, defective
    status: str | None = None  # in_use, stored, in_transit
    licensed: bool | None = None
    acquired_before_law: bool | None = None
    acquisition_date: str | None = None  # ISO date, Gregorian
    origin_document_kind: str | None = None
    origin_document_number: str | None = None
    transfer_from: str | None = None
    transfer_to: str | None = None
    transfer_date: str | None = None
    new_holder_registered: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """One device of the register in the period: identity, nameplate, energy with bounds and origins."""

    device: str
    serial: str | None
    mac: str | None
    make: str | None
    model: str | None
    firmware: str | None
    algorithm: str | None
    nameplate_hs: float | None
    nameplate_w: float | None
    first_seen_us: int
    last_seen_us: int
    energy_wh: int
    energy_low_wh: int
    energy_high_wh: int
    energy_by_origin_wh: dict[str, int]
    covered_s: int
    gap_s: int
    declared: DeclaredDevice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Digital currency received: `amount` in integer base units of `coin`, at `received_us`."""

    received_us: int
    coin: str
    network: str | None
    amount: int
    address: str
    address_kind: AddressKind
    source: str  # where the entry came from: pool statement, chain, ...
    external_id: str
    pool: str | None = None
    txid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteEnergy:
    """The site's energy of the period; `peak_wh` is the largest half-hour, at `peak_us`."""

    energy_wh: int
    energy_low_wh: int
    energy_high_wh: int
    energy_by_origin_wh: dict[str, int]
    gap_s: int
    peak_wh: int | None
    peak_us: int | None
    # The site's main meter, if it has one that was read from the period's start to its end.
    meter: str | None = None
    metered_wh: int | None = None
    metered_low_wh: int | None = None
    metered_high_wh: int | None = None
    metered_peak_wh: int | None = None
    metered_peak_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonMonth:
    """The month of the natural person who files, over all sites of theirs that are known.

    The forecast of a month that runs, and the half-hours in which the limit is passed, are None where there
    is none.
    """

    sites: list[str]
    energy_wh: int
    energy_low_wh: int
    energy_high_wh: int
    forecast_wh: int | None = None
    forecast_low_wh: int | None = None
    forecast_high_wh: int | None = None
    exceeded_earliest_us: int | None = None
    exceeded_us: int | None = None  # likely


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRange:
    """Evidence: the agent's batches that the facts rest on: first and last sequence, the last one's hash."""

    agent: str
    first_seq: int
    last_seq: int
    last_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodFacts:
    """All facts of one site and period [start_us, end_us); `taken_us` is when they were taken."""

    site: Site
    filer: Filer
    period: str
    start_us: int
    end_us: int
    taken_us: int
    synthetic: bool  # anything from a simulator makes the whole SIMULATED
    software: str  # name and version
    tzdata: str
    energy: SiteEnergy
    devices: list[DeviceFacts]
    receipts: list[Receipt]
    evidence: list[BatchRange]
    investment: Investment | None = None
    person: PersonMonth | None = None
    covered_until_us: int | None = None  # how far the ledger reaches into the period
    notes: list[str] = field(default_factory=list)
