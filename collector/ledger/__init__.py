"""The ledger: derived from the journal and the statements, never edited."""
