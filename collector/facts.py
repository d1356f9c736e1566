"""PeriodFacts out of the ledger: read-only, one snapshot, beside a collector that runs."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, Table, func, select

from collector import device_key, outlook
from collector.config import Config, ConfigError, SiteConfig
from collector.ledger import meters, rules
from collector.ledger.energy import bound_wh
from collector.ledger.meter_entries import event_id
from collector.ledger.profile import DeviceNow, SiteLedger
from collector.ledger.quantities import COVERED, ENERGY, HALF_HOUR_US
from collector.ledger.registers import Deduced
from collector.metered import history_of
from collector.store import Store, schema
from reporting.facts import (
    AddressKind,
    BatchRange,
    DeclaredDevice,
    DeviceFacts,
    FilerKind,
    PeriodFacts,
    PersonMonth,
    Receipt,
    SiteEnergy,
)
from reporting.period import Period, PeriodKind, local_text

_S = 1_000_000
# Of one kind and meter: enough to act on; a broken meter would fill pages.
_METER_NOTES = 5


def period_facts(store: Store, config: Config, site: str, period_text: str, now_us: int) -> PeriodFacts:
    """The facts of a site and period as the ledger has them now; ConfigError without a declared filer."""
    declared = config.sites.get(site)
    if declared is None:
        raise ConfigError(
            [f"{config.path}: no section [site.{site}]; known: {', '.join(config.sites) or 'none'}"]
        )
    if declared.filer is None:
        raise ConfigError([f"{config.path}: site.{site}.filer: is missing; a filing needs to know who files"])
    period = Period.parse(period_text, declared.site.zone)
    if period.start_us % HALF_HOUR_US or period.end_us % HALF_HOUR_US:
        raise ConfigError(
            [f"{config.path}: site.{site}.zone: {period_text} does not begin on a half-hour there"]
        )
    with store.read() as connection:
        view = _View(connection, config.org, site, period)
        evidence, batches_synthetic = view.evidence()
        covered_until_us = view.covered_until_us(config)
        devices, device_notes, devices_synthetic = _devices(
            view, declared.declared, _horizon_us(view, config, now_us)
        )
        receipts, receipts_synthetic = view.receipts()
        energy = _site_energy(devices, view.peak())
        energy, unmetered, meter_synthetic = _with_meter(view, config, energy)
        meter_notes = [*unmetered, *_meter_notes(connection, config, site, period)]
    person = _person(store, config, site, period, energy, now_us)
    return PeriodFacts(
        site=declared.site,
        filer=declared.filer,
        period=period_text,
        start_us=period.start_us,
        end_us=period.end_us,
        taken_us=now_us,
        synthetic=batches_synthetic or receipts_synthetic or devices_synthetic or meter_synthetic,
        software=software(),
        tzdata=tzdata(declared.site.zone),
        energy=energy,
        devices=devices,
        receipts=receipts,
        evidence=evidence,
        investment=declared.investment,
        person=person,
        covered_until_us=covered_until_us,
        notes=[
            *_period_notes(declared, devices, covered_until_us, period, now_us),
            *device_notes,
            *meter_notes,
        ],
    )


def period_energy(store: Store, config: Config, site: str, period: Period, now_us: int) -> SiteEnergy:
    """The site's energy of a period, as its facts have it; needs no declared filer."""
    with store.read() as connection:
        view = _View(connection, config.org, site, period)
        devices, *_ = _devices(view, (), _horizon_us(view, config, now_us))
        return _site_energy(devices, view.peak())


def _horizon_us(view: _View, config: Config, now_us: int) -> int:
    # A period that is over is to be accounted for to its end; one that runs, as far as the ledger reaches.
    if now_us >= view.period.end_us:
        return view.period.end_us
    return view.covered_until_us(config) or view.period.start_us


class _View:
    """The ledger's rows of one site and period."""

    def __init__(self, connection: Connection, org: str, site: str, period: Period) -> None:
        self.connection = connection
        self.org, self.site, self.period = org, site, period
        self.ledger = SiteLedger(connection, org, site)

    def _of_site(self, table: Table, query: Select[Any]) -> Any:
        return self.connection.execute(query.where(table.c.org == self.org, table.c.site == self.site))

    def _of_period(self, table: Table, instant: str, query: Select[Any]) -> Any:
        column = table.c[instant]
        return self._of_site(table, query.where(column >= self.period.start_us, column < self.period.end_us))

    def register(self) -> Iterator[Any]:
        yield from self._of_site(schema.device, select(schema.device).order_by(schema.device.c.device))

    def peak(self) -> tuple[int, int] | None:
        """(Wh, start) of the site's largest half-hour, the first of equals."""
        profile = self.ledger.site_profile(self.period.start_us, self.period.end_us)
        energy_wh, covered_us = profile.columns[ENERGY].sum(axis=0), profile.columns[COVERED].sum(axis=0)
        if not covered_us.any():
            return None
        largest = int(np.where(covered_us > 0, energy_wh, -1).argmax())
        return int(energy_wh[largest]), self.period.start_us + largest * HALF_HOUR_US

    def receipts(self) -> tuple[list[Receipt], bool]:
        c = schema.coin_entry.c
        query = select(schema.coin_entry).order_by(c.received_us, c.source, c.external_id)
        rows = list(self._of_period(schema.coin_entry, "received_us", query))
        return [_receipt(row) for row in rows], any(row.synthetic for row in rows)

    def evidence(self) -> tuple[list[BatchRange], bool]:
        """Per agent the batches from the last one before the period to the first one after it."""
        c = schema.batch.c
        ranges: list[BatchRange] = []
        synthetic = False
        for (agent,) in self._of_site(
            schema.stream, select(schema.stream.c.agent).order_by(schema.stream.c.agent)
        ):
            before, after, last = self._of_site(
                schema.batch,
                select(
                    func.max(c.seq).filter(c.created_us < self.period.start_us),
                    func.min(c.seq).filter(c.created_us >= self.period.end_us),
                    func.max(c.seq),
                ).where(c.agent == agent),
            ).one()
            first_seq, last_seq = before or 1, after or last
            if before == last or last_seq < first_seq:
                continue  # the agent said nothing of this period
            query = select(c.hash).where(c.agent == agent, c.seq == last_seq)
            last_hash = self._of_site(schema.batch, query).scalar_one()
            ranges.append(
                BatchRange(agent=agent, first_seq=first_seq, last_seq=last_seq, last_hash=last_hash.hex())
            )
            query = select(c.seq).where(c.agent == agent, c.seq.between(first_seq, last_seq), c.synthetic)
            synthetic = synthetic or self._of_site(schema.batch, query.limit(1)).first() is not None
        return ranges, synthetic

    def covered_until_us(self, config: Config) -> int | None:
        """How far the ledger reaches into the period: as far as the agent furthest behind."""
        c = schema.stream.c
        enrolled = [agent for site, agent in config.agents if site == self.site]
        query = select(func.min(c.last_created_us)).where(c.agent.in_(enrolled))
        reached_us = self._of_site(schema.stream, query).scalar_one()
        if reached_us is None or reached_us <= self.period.start_us:
            return None
        return int(min(reached_us, self.period.end_us))


def _devices(
    view: _View, declared: tuple[DeclaredDevice, ...], horizon_us: int
) -> tuple[list[DeviceFacts], list[str], bool]:
    """The devices of the period, what there is to say of them, and whether any of them is simulated."""
    totals = view.ledger.totals(view.period.start_us, view.period.end_us)
    by_key = {device_key.serial(device.serial): device for device in declared}
    by_key |= {mac: device for device in declared if (mac := device_key.mac(device.serial))}
    found: list[DeviceFacts] = []
    notes: list[str] = []
    synthetic = False
    for row in view.register():
        now = view.ledger.now(row.place)
        open_us = _open_us(now, view.period, horizon_us)
        if not totals.has(row.place) and not open_us:
            continue
        energy = totals.energy(row.place)
        synthetic = synthetic or now.synthetic
        high_wh, gap_us = energy.high_wh, sum(energy.gap_us.values())
        if open_us:
            high_wh += bound_wh(now.rated_mw(rules.at(horizon_us)), open_us)
            gap_us += open_us
            since = local_text(now.last_us or 0, view.period.zone)
            notes.append(
                f"device {row.serial or row.device}: no reading since {since} ({now.cause or 'no reading'})"
            )
        found.append(
            DeviceFacts(
                device=row.device, serial=row.serial, mac=row.mac, make=row.make, model=row.model,
                firmware=row.firmware, algorithm=row.algorithm,
                nameplate_hs=row.nameplate_hs, nameplate_w=row.nameplate_w,
                first_seen_us=row.first_seen_us, last_seen_us=now.last_seen_us,
                energy_wh=energy.energy_wh, energy_low_wh=energy.low_wh, energy_high_wh=high_wh,
                energy_by_origin_wh=dict(sorted(energy.by_origin_wh.items())),
                covered_s=sum(energy.covered_us.values()) // _S, gap_s=gap_us // _S,
                declared=_declared(row, by_key),
            )
        )  # fmt: skip
    return found, notes, synthetic


def _open_us(now: DeviceNow, period: Period, horizon_us: int) -> int:
    """How much of the period a device that has not come back is missing, up to the horizon."""
    if now.last_us is None or now.ended_us is not None:
        return 0
    # In a period that still runs, the next reading may yet bridge a short time: no gap so far.
    if horizon_us < period.end_us and horizon_us - now.last_us <= rules.at(horizon_us).max_gap_limit_us:
        return 0
    return max(0, horizon_us - max(now.last_us, period.start_us))


def _site_energy(devices: list[DeviceFacts], peak: tuple[int, int] | None) -> SiteEnergy:
    by_origin: dict[str, int] = {}
    for device in devices:
        for origin, energy_wh in device.energy_by_origin_wh.items():
            by_origin[origin] = by_origin.get(origin, 0) + energy_wh
    return SiteEnergy(
        energy_wh=sum(device.energy_wh for device in devices),
        energy_low_wh=sum(device.energy_low_wh for device in devices),
        energy_high_wh=sum(device.energy_high_wh for device in devices),
        energy_by_origin_wh=dict(sorted(by_origin.items())),
        gap_s=sum(device.gap_s for device in devices),
        peak_wh=None if peak is None else peak[0],
        peak_us=None if peak is None else peak[1],
    )


def _with_meter(view: _View, config: Config, energy: SiteEnergy) -> tuple[SiteEnergy, list[str], bool]:
    """The energy with the main meter's figures, if it was read on both sides of the period; and notes."""
    meter = config.sites[view.site].tree.meter
    if meter is None:
        return energy, [], False
    period = view.period
    history = history_of(view.connection, config, view.site, meter)
    read_us = history.imported.at_us
    if not read_us.size or read_us[0] > period.start_us or read_us[-1] < period.end_us:
        note = f"meter {meter} was not read on both sides of the period: the sum of the miners is reported"
        return energy, [note], False
    whole = history.profile(np.array([period.start_us, period.end_us]))
    parts = history.profile(np.arange(period.start_us, period.end_us + 1, HALF_HOUR_US))
    read_wh = np.where(parts.gap_us == 0, parts.import_wh, -1)
    largest = int(read_wh.argmax())
    known = read_wh[largest] >= 0
    found = replace(
        energy,
        meter=meter,
        metered_wh=int(whole.import_wh[0]),
        metered_low_wh=min(int(whole.low_wh[0]), int(whole.import_wh[0])),
        metered_high_wh=max(int(whole.high_wh[0]), int(whole.import_wh[0])),
        metered_peak_wh=int(read_wh[largest]) if known else None,
        metered_peak_us=period.start_us + largest * HALF_HOUR_US if known else None,
    )
    return found, [], whole.synthetic


def _person(
    store: Store, config: Config, site: str, period: Period, energy: SiteEnergy, now_us: int
) -> PersonMonth | None:
    """The month of a natural person over all sites that are known; None for any other filer or period."""
    filer = config.sites[site].filer
    if filer is None or filer.kind is not FilerKind.NATURAL_PERSON or period.kind is not PeriodKind.MONTH:
        return None
    if period.solar_hijri or config.sites[site].site.country != "ru":
        return None
    sites = outlook.person_sites(config, filer)
    zones = {name: config.sites[name].site.zone for name in sites}
    used = [
        energy if name == site
        else period_energy(store, config, name, Period.parse(period.text, zone), now_us)
        for name, zone in zones.items()
    ]  # fmt: skip
    found = PersonMonth(
        sites=sites,
        energy_wh=sum(one.energy_wh for one in used),
        energy_low_wh=sum(one.energy_low_wh for one in used),
        energy_high_wh=sum(one.energy_high_wh for one in used),
    )
    with store.read() as connection:
        running = outlook.person_month(connection, config, site, now_us)
    if running is None or running.month != period.text or running.quota.forecast is None:
        return found
    forecast, crossing = running.quota.forecast, running.quota.crossing
    return replace(
        found, forecast_wh=forecast.likely, forecast_low_wh=forecast.low, forecast_high_wh=forecast.high,
        exceeded_earliest_us=crossing.earliest_us, exceeded_us=crossing.likely_us,
    )  # fmt: skip


def _period_notes(
    declared: SiteConfig,
    devices: list[DeviceFacts],
    covered_until_us: int | None,
    period: Period,
    now_us: int,
) -> Iterator[str]:
    if now_us < period.end_us:
        yield f"the period is not over: it ends {local_text(period.end_us, period.zone)}"
    elif covered_until_us is None:
        yield "the ledger does not reach into the period"
    elif covered_until_us < period.end_us:
        yield f"an agent has not been heard after {local_text(covered_until_us, period.zone)}"
    matched = {device.declared.serial for device in devices if device.declared is not None}
    for device in declared.declared:
        if device.serial not in matched:
            yield f"declared device {device.serial} was not seen in the period"


def _meter_notes(connection: Connection, config: Config, site: str, period: Period) -> Iterator[str]:
    """What befell the meters in the period, as it was deduced or answered."""
    for meter in meters.meters(connection, config.org, site):
        by_kind: dict[str, list[Deduced]] = {}
        for deduced in history_of(connection, config, site, meter.meter).findings:
            if deduced.until_us >= period.start_us and deduced.from_us < period.end_us:
                by_kind.setdefault(deduced.kind, []).append(deduced)
        for kind, found in by_kind.items():
            for deduced in found[:_METER_NOTES]:
                made = deduced.detail.get("made_of_it", "")
                yield f"meter {meter.meter}: {event_id(kind, deduced.from_us)}: {made}; {_answer(deduced)}"
            if len(found) > _METER_NOTES:
                yield f"meter {meter.meter}: {kind}: {len(found) - _METER_NOTES} more in the period"


def _answer(deduced: Deduced) -> str:
    if deduced.confirmed is None:
        return "nobody has confirmed it"
    by = deduced.detail.get("answered_by") or deduced.detail.get("by", "a person")
    return f"{'confirmed' if deduced.confirmed else 'denied'} by {by}"


def _receipt(row: Any) -> Receipt:
    return Receipt(
        received_us=row.received_us, coin=row.coin, network=row.network, amount=row.amount,
        address=row.address, address_kind=AddressKind(row.address_kind),
        source=row.source, external_id=row.external_id, pool=row.pool, txid=row.txid,
    )  # fmt: skip


def _declared(row: Any, by_key: dict[str, DeclaredDevice]) -> DeclaredDevice | None:
    # By serial; a device that tells none may be declared by its MAC.
    key = device_key.serial(row.serial) if row.serial else device_key.mac(row.mac or "")
    return by_key.get(key) if key else None


def software() -> str:
    """Name and version of this program."""
    try:
        return f"hashledger {metadata.version('hashledger')}"
    except metadata.PackageNotFoundError:
        return "hashledger (uninstalled source)"


def tzdata(zone: str) -> str:
    """Which time zone data `zone` is read from: the system's comes before the package's."""
    for folder in map(Path, zoneinfo.TZPATH):
        if (folder / zone).is_file():
            source = folder / "tzdata.zi"
            first = source.read_text("utf-8").partition("\n")[0] if source.is_file() else "# version unknown"
            return f"system {first.removeprefix('# version ')}"
    return f"tzdata {metadata.version('tzdata')}"
