"""The maintainer's and instructor's tools. Students need ``run`` and ``doctor`` only."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = Path(__file__).with_name("templates")


class CourseError(Exception):
    """A command cannot do what was asked; the message says why, and what to do."""
