"""The metrics: name, type, labels, help. The contract with dashboards; a name is never changed, only added.

Labels never hold addresses, pool users, transaction ids or error texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table; a counter's samples end with `_total`."""

    name: str
    type: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    help: str


_AGENT = ("site", "agent")
_SITE = ("site",)
_METER = ("site", "meter")

BATCHES = Metric(
    "hashledger_batches_total", "counter", ("result",),
    "Batches received: accepted, duplicate, ahead (sent again later), set_aside, dropped (no room).",
)  # fmt: skip
CONNECTED = Metric("hashledger_broker_connected", "gauge", (), "1 while the collector's MQTT session is up.")
JOURNAL = Metric("hashledger_journal_bytes", "gauge", (), "Size of the journal.")
DISK_FREE = Metric("hashledger_disk_free_bytes", "gauge", (), "Room left where the journal is.")
SET_ASIDE = Metric(
    "hashledger_set_aside_packets",
    "gauge",
    ("reason",),
    "Packets refused, by reason, since the ledger was made.",
)
AGENT_SEQ = Metric("hashledger_agent_last_seq", "gauge", _AGENT, "Last committed batch of the agent.")
AGENT_AGE = Metric(
    "hashledger_agent_batch_age_seconds", "gauge", _AGENT, "Time since the agent's last batch was received."
)
AGENT_LAG = Metric(
    "hashledger_agent_lag_seconds", "gauge", _AGENT, "From making to receiving the agent's last batch."
)
AGENT_CLOCK = Metric(
    "hashledger_agent_clock_offset_seconds", "gauge", _AGENT, "Clock offset as the agent states it."
)
AGENT_ALIVE = Metric(
    "hashledger_agent_alive", "gauge", _AGENT, "1 while the broker holds the agent's connection to be up."
)
DEVICES = Metric(
    "hashledger_site_devices", "gauge", ("site", "state"),
    "Devices by state; silent: in the register, not ended, and not read of late.",
)  # fmt: skip
POWER = Metric("hashledger_site_power_watts", "gauge", _SITE, "Power of the devices read of late.")
HASHRATE = Metric(
    "hashledger_site_hashrate_hashes_per_second", "gauge", _SITE, "Hashrate of the devices read of late."
)
ENERGY = Metric(
    "hashledger_site_energy_watt_hours_total", "counter", ("site", "origin"), "Measured energy by origin."
)
GAP_BOUND = Metric(
    "hashledger_site_gap_bound_watt_hours_total",
    "counter",
    _SITE,
    "The most energy that closed gaps can hold.",
)
COIN = Metric(
    "hashledger_site_coin_base_units",
    "gauge",
    ("site", "coin"),
    "Coin received, in base units (satoshi), since the ledger began.",
)
READING_AGE = Metric("hashledger_site_reading_age_seconds", "gauge", _SITE, "Age of the newest reading.")
_NODE = ("site", "node")
OVERHEAD = Metric(
    "hashledger_node_overhead_ratio", "gauge", _NODE,
    "A meter's energy over that of the miners behind it, of the last whole civil day.",
)  # fmt: skip
OVERHEAD_USUAL = Metric(
    "hashledger_node_overhead_usual_ratio", "gauge", _NODE, "Median of that ratio over the days before."
)
OVERHEAD_DRIFT = Metric(
    "hashledger_node_overhead_drift",
    "gauge",
    _NODE,
    "1 if the ratio left the usual one by more than the rule.",
)
RECONCILED = Metric(
    "hashledger_node_reconciled", "gauge", ("site", "node", "state"),
    "1 for what a meter and its miners say of the last whole civil day: agree, meter_above (overhead), "
    "miners_above (something is wrong), unseen.",
)  # fmt: skip
LIMIT = Metric(
    "hashledger_person_limit_watt_hours", "gauge", _SITE,
    "What a natural person may use a month without the register; with the first of the person's sites.",
)  # fmt: skip
LIMIT_USED = Metric(
    "hashledger_person_used_watt_hours", "gauge", ("site", "bound"),
    "Used of it at all sites of the person: low, likely, high.",
)  # fmt: skip
LIMIT_FORECAST = Metric(
    "hashledger_person_forecast_watt_hours", "gauge", ("site", "bound"),
    "Forecast for the end of the month: low, likely, high.",
)  # fmt: skip
BAN = Metric(
    "hashledger_site_ban_days", "gauge", _SITE,
    "Days until mining is banned in the site's region, or in part of it; 0 is now, told from 60 days before.",
)  # fmt: skip
DEVICE_POWER = Metric(
    "hashledger_device_power_watts", "gauge", ("site", "device"),
    "Last power of each device read of late; only with metrics_per_device = true.",
)  # fmt: skip
METER_POWER = Metric("hashledger_meter_power_watts", "gauge", _METER, "Power as the meter last told it.")
METER_REGISTER = Metric(
    "hashledger_meter_import_watt_hours", "gauge", _METER, "The meter's import register as last read."
)
METER_AGE = Metric(
    "hashledger_meter_reading_age_seconds", "gauge", _METER, "Time since the meter's import was last read."
)
METER_EVENTS = Metric(
    "hashledger_meter_events", "gauge", ("site", "kind"),
    "Events deduced from registers in the last 31 days that nobody has answered; renewed every 10 minutes.",
)  # fmt: skip

METRICS = (
    BATCHES, CONNECTED, JOURNAL, DISK_FREE, SET_ASIDE, AGENT_SEQ, AGENT_AGE, AGENT_LAG, AGENT_CLOCK,
    AGENT_ALIVE, DEVICES, POWER, HASHRATE, ENERGY, GAP_BOUND, COIN, READING_AGE, DEVICE_POWER,
    OVERHEAD, OVERHEAD_USUAL, OVERHEAD_DRIFT, RECONCILED, LIMIT, LIMIT_USED, LIMIT_FORECAST, BAN,
    METER_POWER, METER_REGISTER, METER_AGE, METER_EVENTS,
)  # fmt: skip
