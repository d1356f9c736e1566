"""Exact quantities as text: nothing here passes through a float, and every rounding is stated."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal

# Wide enough that no product or quotient of a period's quantities is cut before its stated rounding.
_EXACT = Context(prec=60)

_WH_PER_KWH = 1000
_WH_PER_MWH = 1_000_000

# One watt: finer than any meter class at the scale of a site.
_MW_PLACES = Decimal("0.000001")

# Decimal places of the base unit, by coin; a coin that is not listed is shown in base units only.
COIN_PLACES = {"BTC": 8, "BCH": 8, "LTC": 8, "DOGE": 8}


def plain(value: Decimal) -> str:
    """A Decimal without exponent, all its digits kept."""
    return format(value, "f")


def coin_text(amount: int, coin: str) -> str | None:
    """Base units as an exact decimal amount of the coin; None when its places are not known."""
    places = COIN_PLACES.get(coin)
    return None if places is None else plain(_EXACT.scaleb(Decimal(amount), -places))


def kwh(energy_wh: int) -> Decimal:
    """Wh as kWh, exact, always three places."""
    return _EXACT.scaleb(Decimal(energy_wh), -3)


def kwh_text(energy_wh: int) -> str:
    """Wh as kWh text, exact, always three places."""
    return plain(kwh(energy_wh))


def mean_mw(energy_wh: int, hours: Decimal) -> Decimal:
    """Average power in MW: kWh / h / 1000, rounded half up to one watt."""
    mean = _EXACT.divide(Decimal(energy_wh), _EXACT.multiply(hours, Decimal(_WH_PER_MWH)))
    return mean.quantize(_MW_PLACES, rounding=ROUND_HALF_UP, context=_EXACT)


def charge(energy_wh: int, tariff_per_kwh: Decimal) -> Decimal:
    """kWh x tariff, exact and not rounded."""
    return _EXACT.divide(_EXACT.multiply(Decimal(energy_wh), tariff_per_kwh), Decimal(_WH_PER_KWH))


def hours_text(seconds: int) -> str:
    """Seconds as hours, rounded half up to two places."""
    return plain((Decimal(seconds) / 3600).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))


def percent(part: int, whole: int) -> Decimal | None:
    """100 x part / whole rounded half up to two places; None when there is no whole."""
    if whole == 0:
        return None
    return _EXACT.divide(Decimal(100 * part), Decimal(whole)).quantize(
        Decimal("0.01"), rounding=ROUND_HALF_UP
    )
