"""The commented configuration that `hashledger collector init` writes."""

SAMPLE = """\
# hashledger collector. Paths are relative to this file. `hashledger collector check` names every mistake.

[collector]
org = "my-org"                  # a-z, 0-9 and '-'; the same in every agent's configuration
state_dir = "collector-state"   # journal (the truth), ledger, statements, keys: back this up
# ledger = "postgresql+psycopg://hashledger@127.0.0.1/hashledger"   # else a SQLite file in the state folder
# ledger_password_file = "postgresql.password"                      # mode 0600; or ~/.pgpass
metrics = "127.0.0.1:9465"      # Prometheus
# metrics_per_device = true     # one power series a device: not for thousands of devices
# archive = "/mnt/archive"      # or s3://BUCKET/PREFIX: where `archive` copies sealed journal segments
# keep_journal_days = 400       # `archive --remove` takes older ones from here; else all stay

[mqtt]
host = "127.0.0.1"
port = 1883
embedded = true                 # our own broker, loopback only: one machine, trials. Else mosquitto:
# embedded = false
# host = "broker.example"        # as agents reach it, too
# port = 8883
# ca_file = "collector-state/ca/ca.crt"                 # made by `hashledger collector broker-config DIR`
# client_cert_file = "collector-state/ca/collector.pem"

# Agents enrol with a bundle (`hashledger collector enroll SITE AGENT`) and stand in the state folder's roll.
# By hand, without certificates and on loopback only: the public key that `hashledger agent init` prints.
# [[agent]]
# site = "north"
# name = "box-1"
# public_key = "base64 of 32 bytes, 44 characters"

# Where the devices are. Filings are cut in this zone and need the rest as the country asks.
[site.north]
name = "North hall"
country = "ru"                  # ISO 3166 alpha-2, lower case
zone = "Asia/Irkutsk"           # IANA
# region = "RU-IRK"
# province = ""
# city = ""
# address = ""
# postal_code = ""
# warehouse_id = ""
# devices = "devices.csv"       # declared devices: serial,product_id,tracking_code,condition,status,...
# meter = "main"                # the site's main meter: filings state its kWh, `collector energy` compares it
# overhead = "energy"           # a meter's kWh above the miners' are allotted by energy, nameplate, or none
# tariff = "tariff.toml"        # zones by dated calendars of your own, for `collector energy --by zone`:
#     name = "Supplier, two zones"
#     currency = "RUB"
#     [[zone]]                  # the first that fits a half-hour counts
#     name = "night"
#     times = ["23:00-07:00"]   # civil time, on half-hours; also: from, until, months, days, and holidays
#     price = 0.00              # per kWh; from your contract
#     [[zone]]
#     name = "day"

# Feeders, halls, racks, and what hangs on them: by serial, MAC or id, or by network.
# [site.north.node.feeder-1]
# meter = "f1"
# [site.north.node.rack-a]
# parent = "feeder-1"
# devices = ["SN-1", "00:11:22:33:44:55"]
# networks = ["10.1.1.0/24"]

# Whose miners they are, from a civil day until another; the nearer counts: a device before its rack.
# [client.acme]
# name = "Acme LLC"
# [[client.acme.holds]]
# site = "north"
# nodes = ["rack-a"]
# devices = []
# from = 2026-10-01
# until = 2027-01-01            # the first day no longer

# Who files. What is not known is left out: a filing says then what it lacks.
[site.north.filer]
kind = "organisation"           # organisation, sole_trader, natural_person
name = "My Mining LLC"
# inn = ""
# kpp = ""
# ogrn = ""
# miner_register_number = ""

# The operator of the mining infrastructure, where there is one.
# [site.north.operator]
# name = ""
# inn = ""
# register_number = ""

# Kazakhstan: declared figures, money in KZT.
# [site.north.investment]
# contracted_mw = 5.0
# planned_equipment_kzt = 0
# potential_infrastructure_kzt = 0
# maintenance_jobs = 0
"""
