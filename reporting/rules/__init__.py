"""Law as dated values: `load` reads a country's folder, `at` picks the value of a date."""

from reporting.rules.loader import load
from reporting.rules.model import Rule, RuleBook, RuleError, RuleUse, RuleValue, at

__all__ = ["Rule", "RuleBook", "RuleError", "RuleUse", "RuleValue", "at", "load"]
