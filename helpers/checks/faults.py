"""Say in one line where the learner's own code stopped, and why."""

from __future__ import annotations

import traceback

_NOT_THE_LEARNERS = ("helpers", "site-packages", "grading")  # parts of the names of files


def is_learners(frame: traceback.FrameSummary) -> bool:
    """Tell whether a step of a traceback is in the learner's own code."""
    return bool(frame.line) and not any(part in frame.filename for part in _NOT_THE_LEARNERS)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; an error of the learner's own may be unable to give one."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # a broken __str__
        lines = []
    return lines[0] if lines else ""


def in_one_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its message."""
    return f"{type(error).__name__}: {first_line(error) or 'no message'}"


def where(error: BaseException) -> str:
    """Return the last line of the learner's own code that was reached, and the error in one line."""
    lines = [
        f"In line {frame.lineno} of {frame.name}: {(frame.line or '').strip()} → "
        for frame in traceback.extract_tb(error.__traceback__)
        if is_learners(frame)
    ]
    return (lines[-1] if lines else "") + in_one_line(error)
