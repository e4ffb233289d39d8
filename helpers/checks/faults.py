"""Say in one line where the learner's own code stopped, and why."""

from __future__ import annotations

import re
import sysconfig
import traceback

_LIBRARIES = (
    "helpers",
    "grading",
    "site-packages",
    "dist-packages",
    "__autograph_generated_file",
    "<frozen",
)  # parts of the names of files
_PYTHON = sysconfig.get_path("stdlib")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_AROUND = re.compile(  # what Keras puts before the reason, once for each layer
    r"\s*(?:Exception encountered when calling .*\n|(?s:Could not automatically infer.*?Error encountered:))"
)


def is_of_library(frame: traceback.FrameSummary) -> bool:
    """Tell whether a step of a traceback is in Python, in a package or in the course."""
    return frame.filename.startswith(_PYTHON) or any(part in frame.filename for part in _LIBRARIES)


def is_learners(frame: traceback.FrameSummary) -> bool:
    """Tell whether a step of a traceback is in the learner's own code, of which a line can be shown."""
    return bool(frame.line) and not is_of_library(frame)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; an error of the learner's own may be unable to give one."""
    try:
        cause = getattr(getattr(error, "ag_error_metadata", None), "cause_message", None)  # in a function for tf.data
        text = _COLOURS.sub("", cause.partition(": ")[2] if cause else str(error))
    except Exception:  # a broken __str__
        return ""
    while around := _AROUND.match(text):
        text = text[around.end() :]
    lines = text.strip().splitlines()
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
