"""What people call a device: its serial number, its MAC however written, or its id; one form for each."""

from __future__ import annotations

import re


def serial(text: str) -> str:
    """A serial number as it is compared."""
    return text.strip().upper()


def mac(text: str) -> str:
    """The 12 hex digits of a MAC however it is written, or nothing."""
    digits = text.upper().replace(":", "").replace("-", "").strip()
    return digits if re.fullmatch("[0-9A-F]{12}", digits) else ""


def same(text: str) -> str:
    """The form in which two keys are equal if they name one device the same way."""
    return mac(text) or serial(text)


def names_of(device: str, serial_told: str | None, mac_told: str | None) -> set[str]:
    """All keys of a device of the register, in that form."""
    told = {serial(device)}
    if serial_told:
        told.add(serial(serial_told))
    if mac_told:
        told.add(mac(mac_told))
    return told - {""}
