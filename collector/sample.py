"""The commented configuration that `hashledger collector init` writes."""

SAMPLE = """\
# hashledger collector. Paths are relative to this file. `hashledger collector check` names every mistake.

[collector]
org = "my-org"                  # a-z, 0-9 and '-'; the same in every agent's configuration
state_dir = "collector-state"   # journal (the truth), ledger, statements, keys: back this up
metrics = "127.0.0.1:9465"      # Prometheus
# metrics_per_device = true     # one power series a device: not for thousands of devices
# archive_dir = "/mnt/archive"   # where `hashledger collector archive` copies sealed journal segments
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
