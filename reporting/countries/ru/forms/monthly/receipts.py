"""Receipts of the month: one row each, exact totals by coin and by address-identifier, findings."""

from __future__ import annotations

from collections import Counter

from reporting import bitcoin_address, quantity
from reporting.draft import Draft
from reporting.facts import AddressKind, Receipt
from reporting.period import local_text

_KINDS = {
    AddressKind.ONCHAIN: "адрес в сети",
    AddressKind.POOL_ACCOUNT: "учётная запись пула",
    AddressKind.DEPOSITARY: "счёт у депозитария",
}
_COLUMNS = {
    "received": "Момент получения",
    "coin": "Цифровая валюта",
    "network": "Сеть",
    "amount": "Количество",
    "amount_base_units": "Количество в наименьших единицах",
    "address": "Адрес-идентификатор",
    "address_kind": "Вид адреса-идентификатора",
    "way": "Способ (пул / соло)",
    "pool": "Пул",
    "txid": "Идентификатор транзакции",
    "source": "Источник записи",
    "external_id": "Номер записи в источнике",
}

# Names under which a receipt may give bitcoin's main network; addresses of others are not checked.
_MAIN_NETWORKS = {None, "bitcoin", "mainnet", "main"}


def add_receipts(draft: Draft, section: str) -> None:
    """Adds the tables and totals of the receipts inside the period, and the findings on all of them."""
    receipts = sorted(draft.facts.receipts, key=lambda one: (one.received_us, one.source, one.external_id))
    inside = [receipt for receipt in receipts if draft.period.contains(receipt.received_us)]
    zone = draft.period.zone
    draft.table("receipts", "Поступления", _COLUMNS, [_row(receipt, zone) for receipt in inside])
    draft.rule_if_any("ru.address_identifier", draft.period.last_day)
    _add_totals(draft, section, inside)
    if not inside:
        draft.rule("ru.nil_filing_required", draft.period.last_day)
        draft.find("RU-RECEIPT-001", "receipts")
    for receipt in receipts:
        _check(draft, receipt)
    _check_repeated(draft, receipts)
    for coin in sorted({receipt.coin for receipt in inside} - quantity.COIN_PLACES.keys()):
        draft.find("GEN-COIN-001", "receipts", coin=coin)


def _add_totals(draft: Draft, section: str, receipts: list[Receipt]) -> None:
    by_coin: Counter[str] = Counter()
    by_address: Counter[tuple[str, str, str]] = Counter()
    for receipt in receipts:
        by_coin[receipt.coin] += receipt.amount
        by_address[receipt.coin, receipt.address, _KINDS[receipt.address_kind]] += receipt.amount
    draft.field(section, "receipts_count", "Число поступлений", str(len(receipts)))
    for coin, amount in sorted(by_coin.items()):
        basis: dict[str, object] = {f"sum of receipts[].amount where coin = {coin} (base units)": amount}
        text = quantity.coin_text(amount, coin)
        draft.field(section, f"total_{coin}", f"Всего {coin}", text, unit=coin, basis=basis)
        draft.field(
            section,
            f"total_{coin}_base_units",
            f"Всего {coin} в наименьших единицах",
            str(amount),
            basis=basis,
        )
    draft.table(
        "totals_by_address",
        "Итоги по адресам-идентификаторам",
        {
            "coin": _COLUMNS["coin"],
            "address": _COLUMNS["address"],
            "address_kind": _COLUMNS["address_kind"],
            "amount": _COLUMNS["amount"],
            "amount_base_units": _COLUMNS["amount_base_units"],
        },
        [
            (*key, quantity.coin_text(amount, key[0]), str(amount))
            for key, amount in sorted(by_address.items())
        ],
    )


def _row(receipt: Receipt, zone: str) -> tuple[str | None, ...]:
    return (
        local_text(receipt.received_us, zone),
        receipt.coin,
        receipt.network,
        quantity.coin_text(receipt.amount, receipt.coin),
        str(receipt.amount),
        receipt.address,
        _KINDS[receipt.address_kind],
        "пул" if _in_pool(receipt) else None,
        receipt.pool,
        receipt.txid,
        receipt.source,
        receipt.external_id,
    )


def _in_pool(receipt: Receipt) -> bool:
    # A receipt without a pool's name may still be a pool's payout: only "in a pool" can be known here.
    return receipt.pool is not None or receipt.address_kind is AddressKind.POOL_ACCOUNT


def _check(draft: Draft, receipt: Receipt) -> None:
    where, name = f"receipts[{receipt.external_id}]", receipt.external_id
    if not draft.period.contains(receipt.received_us):
        received = local_text(receipt.received_us, draft.period.zone)
        draft.find("RU-RECEIPT-002", f"{where}.received_us", id=name, received=received)
    if not receipt.address.strip():
        draft.find("RU-RECEIPT-006", f"{where}.address", id=name)
    elif _is_bitcoin_address(receipt) and not bitcoin_address.is_valid(receipt.address):
        draft.find("RU-RECEIPT-005", f"{where}.address", id=name)
    if receipt.amount <= 0:
        draft.find("RU-RECEIPT-007", f"{where}.amount", id=name, amount=receipt.amount)
    if not _in_pool(receipt):
        draft.find("RU-RECEIPT-008", f"{where}.pool", id=name)
    if receipt.address_kind is AddressKind.ONCHAIN and not receipt.txid:
        draft.find("RU-RECEIPT-009", f"{where}.txid", id=name)
    if not receipt.network:
        draft.find("RU-RECEIPT-010", f"{where}.network", id=name)


def _is_bitcoin_address(receipt: Receipt) -> bool:
    network = receipt.network and receipt.network.lower()
    return receipt.address_kind is AddressKind.ONCHAIN and receipt.coin == "BTC" and network in _MAIN_NETWORKS


def _check_repeated(draft: Draft, receipts: list[Receipt]) -> None:
    entries: set[tuple[str, str]] = set()
    payments: set[tuple[str, str, str, int]] = set()
    for receipt in receipts:
        entry = (receipt.source, receipt.external_id)
        payment = (receipt.coin, receipt.txid or "", receipt.address, receipt.amount)
        where = f"receipts[{receipt.external_id}]"
        if entry in entries:
            draft.find("RU-RECEIPT-003", where, id=receipt.external_id, source=receipt.source)
        elif receipt.txid and payment in payments:
            draft.find("RU-RECEIPT-004", where, id=receipt.external_id)
        entries.add(entry)
        payments.add(payment)
