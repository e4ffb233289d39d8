"""Exercises that answer back: ``check("3.2", answer)``, ``hint("3.2")``, ``progress()``."""

from helpers.checks.answers import check, hint, progress

__all__ = ["check", "hint", "progress"]
