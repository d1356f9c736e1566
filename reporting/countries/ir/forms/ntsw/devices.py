"""One row per mining device with the inventory's columns in Persian, and the findings on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date

from reporting import quantity, solar_hijri
from reporting.countries.ir import ids
from reporting.draft import Draft
from reporting.facts import DeclaredDevice, DeviceFacts
from reporting.period import local_time

_COLUMNS = {
    "brand": "برند",
    "model": "مدل",
    "serial": "شماره سریال",
    "mac": "نشانی MAC",
    "algorithm": "الگوریتم",
    "nameplate_hashrate": "توان پردازش اسمی (H/s)",
    "nameplate_w": "توان مصرفی اسمی (W)",
    "quantity": "تعداد",
    "product_id": "شناسه کالا",
    "tracking_code": "شناسه رهگیری",
    "condition": "وضعیت سلامت",
    "status": "وضعیت بهره‌برداری",
    "licensed": "دارای مجوز",
    "acquired_before_law": "تملک پیش از قانون",
    "acquisition_date": "تاریخ تملک",
    "origin_document_kind": "نوع سند منشأ",
    "origin_document_number": "شماره سند منشأ (کوتاژ)",
    "province": "استان",
    "city": "شهر",
    "address": "نشانی",
    "postal_code": "کد پستی",
    "warehouse_id": "شناسه انبار",
    "transfer_from": "انتقال‌دهنده",
    "transfer_to": "انتقال‌گیرنده",
    "transfer_date": "تاریخ انتقال",
    "new_holder_registered": "ثبت توسط دارنده جدید",
    "device": "شناسه دستگاه در نرم‌افزار",
    "site": "سایت",
    "first_seen": "نخستین مشاهده",
    "last_seen": "آخرین مشاهده",
    "kwh": "مصرف دوره (kWh)",
}
_CONDITIONS = {"functional": "سالم", "defective": "معیوب"}
_STATUSES = {"in_use": "در حال استفاده", "stored": "در انبار", "in_transit": "در حال حمل"}
_YES_NO = {True: "بله", False: "خیر"}


def add_devices(draft: Draft) -> None:
    """Adds the inventory table and the findings on every device of the register."""
    devices = sorted(draft.facts.devices, key=lambda device: device.device)
    draft.table("devices", "دستگاه‌ها", _COLUMNS, [_row(draft, device) for device in devices])
    draft.field(
        "دستگاه‌ها", "devices_count", "تعداد دستگاه‌ها", str(len(devices)), basis={"devices": len(devices)}
    )
    on = draft.period.last_day
    digits = draft.rule("ir.product_id_digits", on)
    draft.rule("ir.tracking_code", on)
    if not devices:
        draft.find("IR-LIST-001", "devices")
    serials = Counter(device.serial for device in devices if device.serial)
    codes = Counter(
        device.declared.tracking_code
        for device in devices
        if device.declared and device.declared.tracking_code
    )
    for device in devices:
        find = _finder(draft, device.device)
        _check_device(find, device, serials)
        if device.declared is None:
            find("IR-DEVICE-001", "declared")
            continue
        _check_codes(find, device.declared, digits.text if digits else "13", codes)
        _check_declared(find, device.declared)
        _check_transfer(find, device.declared)


_Find = Callable[..., None]


def _finder(draft: Draft, name: str) -> _Find:
    def find(code: str, key: str, **values: object) -> None:
        draft.find(code, f"devices[{name}].{key}", device=name, **values)

    return find


def _row(draft: Draft, device: DeviceFacts) -> tuple[str | None, ...]:
    site, zone = draft.facts.site, draft.period.zone
    declared = device.declared or DeclaredDevice(serial=device.serial or "")
    return (
        device.make,
        device.model,
        device.serial,
        device.mac,
        device.algorithm,
        None if device.nameplate_hs is None else f"{device.nameplate_hs:.0f}",
        None if device.nameplate_w is None else f"{device.nameplate_w:.0f}",
        "1",
        declared.product_id,
        declared.tracking_code,
        _named(_CONDITIONS, declared.condition),
        _named(_STATUSES, declared.status),
        None if declared.licensed is None else _YES_NO[declared.licensed],
        None if declared.acquired_before_law is None else _YES_NO[declared.acquired_before_law],
        _solar_text(declared.acquisition_date),
        declared.origin_document_kind,
        declared.origin_document_number,
        site.province,
        site.city,
        site.address,
        site.postal_code,
        site.warehouse_id,
        declared.transfer_from,
        declared.transfer_to,
        _solar_text(declared.transfer_date),
        None if declared.new_holder_registered is None else _YES_NO[declared.new_holder_registered],
        device.device,
        site.site,
        solar_hijri.text(local_time(device.first_seen_us, zone).date()),
        solar_hijri.text(local_time(device.last_seen_us, zone).date()),
        quantity.kwh_text(device.energy_wh),
    )


def _check_device(find: _Find, device: DeviceFacts, serials: Counter[str]) -> None:
    if not (device.make and device.model):
        find("IR-DEVICE-002", "model")
    if not device.serial:
        find("IR-DEVICE-003", "serial")
    elif serials[device.serial] > 1:
        find("IR-DEVICE-004", "serial", serial=device.serial)
    if not device.mac:
        find("IR-DEVICE-005", "mac")
    specification = {
        "algorithm": device.algorithm,
        "nameplate hashrate": device.nameplate_hs,
        "nameplate power": device.nameplate_w,
    }
    missing = [name for name, value in specification.items() if not value]
    if missing:
        find("IR-DEVICE-006", "nameplate_hs", missing=", ".join(missing))


def _check_codes(find: _Find, declared: DeclaredDevice, digits: str, codes: Counter[str]) -> None:
    product_id = declared.product_id
    if not product_id:
        find("IR-PRODUCT-001", "declared.product_id")
    elif not ids.product_id.is_valid(product_id):
        find("IR-PRODUCT-002", "declared.product_id", value=product_id, digits=digits)
    elif not ids.has_gtin_check_digit(product_id):
        find("IR-PRODUCT-003", "declared.product_id", value=product_id)
    if not declared.tracking_code:
        find("IR-TRACKING-001", "declared.tracking_code")
    elif codes[declared.tracking_code] > 1:
        find("IR-TRACKING-002", "declared.tracking_code", value=declared.tracking_code)


def _check_declared(find: _Find, declared: DeclaredDevice) -> None:
    for key, value, known in (
        ("condition", declared.condition, _CONDITIONS),
        ("status", declared.status, _STATUSES),
    ):
        if not value:
            find("IR-DECLARED-001", f"declared.{key}", label=key)
        elif value not in known:
            find("IR-DECLARED-002", f"declared.{key}", label=key, value=value, known=", ".join(known))
    if declared.licensed is None:
        find("IR-DECLARED-001", "declared.licensed", label="licensed or not")
    if declared.acquired_before_law is None:
        find("IR-DECLARED-001", "declared.acquired_before_law", label="acquired before the law or not")
    if not declared.acquisition_date:
        find("IR-DECLARED-001", "declared.acquisition_date", label="acquisition date")
    for key, text in (
        ("acquisition_date", declared.acquisition_date),
        ("transfer_date", declared.transfer_date),
    ):
        if text and _date(text) is None:
            find("IR-DATE-001", f"declared.{key}", label=key.replace("_", " "), value=text)
    if not (declared.origin_document_kind and declared.origin_document_number):
        find("IR-ORIGIN-001", "declared.origin_document_number")


def _check_transfer(find: _Find, declared: DeclaredDevice) -> None:
    transfer = {
        "giver": declared.transfer_from,
        "taker": declared.transfer_to,
        "date": declared.transfer_date,
    }
    if not any(transfer.values()):
        return
    missing = [name for name, value in transfer.items() if not value]
    if missing:
        find("IR-TRANSFER-001", "declared.transfer_from", missing=", ".join(missing))
    if not declared.new_holder_registered:
        find("IR-TRANSFER-002", "declared.new_holder_registered")


def _named(names: dict[str, str], value: str | None) -> str | None:
    # A word that is not known is shown as it was declared, beside its finding.
    return None if value is None else names.get(value, value)


def _date(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
        solar_hijri.from_gregorian(day)
    except ValueError:
        return None
    return day


def _solar_text(text: str | None) -> str | None:
    day = _date(text) if text else None
    return solar_hijri.text(day) if day is not None else text
