"""`python -m collector`: the same commands without the front door."""

from collector.cli import collector

collector()
