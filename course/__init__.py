"""The maintainer's and instructor's tools. Students need ``run`` and ``doctor`` only."""


class CourseError(Exception):
    """A command cannot do what was asked; the message says why, and what to do."""
