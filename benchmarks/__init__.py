"""Measurements. Each prints a ratio taken in one run: ``make bench``."""
