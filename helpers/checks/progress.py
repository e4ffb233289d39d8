"""Which tasks are done: one small file in the reader's home folder. It may be deleted at any time."""

from __future__ import annotations

import json
import os
from pathlib import Path

from helpers.files.cache import write_beside
from helpers.files.home import without_tilde


def progress_file() -> Path:
    """Return its path; the variable ``COURSE_PROGRESS`` names another one."""
    return without_tilde(os.environ.get("COURSE_PROGRESS") or "~/.finetuning-course-progress.json")


def read_done() -> set[str]:
    """Return the numbers of the tasks that are done; a file that cannot be read counts as empty."""
    try:
        done = json.loads(progress_file().read_text(encoding="utf-8"))["done"]
        return {number for number in done if isinstance(number, str)}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def mark_done(number: str) -> None:
    """Note that a task is done. A folder that cannot be written is no reason to stop: it is said, and that is all."""
    done = read_done()
    if number in done:
        return
    path = progress_file()
    try:
        with write_beside(path) as temporary:
            temporary.write_text(json.dumps({"done": sorted(done | {number})}) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"(Your progress cannot be kept in {path}: {error.strerror or error}.)")
