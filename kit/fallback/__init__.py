"""Which layers a lower precision must leave as they are to hold its budget: ``search``."""

from kit.fallback.naming import in_modules
from kit.fallback.searching import search
from kit.fallback.values import Found, Hints, Limits, Outcome, Step, Unit

__all__ = ["Found", "Hints", "Limits", "Outcome", "Step", "Unit", "in_modules", "search"]
