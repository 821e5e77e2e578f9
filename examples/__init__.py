"""Worked examples that the kit is tried on."""
