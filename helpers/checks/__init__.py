"""Exercises that answer back: ``check("3.2", answer)``, ``hint("3.2")``, ``progress()``; and ``quiz("03")``."""

from helpers.checks.answers import check, hint, progress
from helpers.checks.quiz import quiz

__all__ = ["check", "hint", "progress", "quiz"]
