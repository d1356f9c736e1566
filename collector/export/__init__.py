"""The ledger for machines: metrics."""
