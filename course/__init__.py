"""The maintainer's and instructor's tools. Students never need them."""


class CourseError(Exception):
    """A command cannot do what was asked; the message says why, and what to do."""
