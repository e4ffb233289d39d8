"""What grading one submission gave, and the folder that keeps it, so that what is graded is not graded again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

from course import ROOT
from course.grading.submissions import Submission
from course.run.lessons import versions
from helpers.files.cache import write_beside

GRADING = ("helpers", "course/grading")  # folders of the course on which a grade depends
BY_THE_MACHINE = {"time limit", "memory limit"}  # a less busy machine, or a higher limit, may end otherwise


class Graded(NamedTuple):
    """A graded submission.

    Attributes:
        student, file, exercise: as in ``Submission``.
        tasks: number -> status and message, in the exercise's order. The status is "solved", "wrong", "untouched",
            "crashed", "time limit", "memory limit" or "forged".
        cells: names of other cells that stopped, with their errors.
        seconds, peak: how long its code ran, and how many GB of memory it used.
        whole: the seconds from the beginning to the end, with the start of Python and TensorFlow.
        protection: what kept it apart from the others.
    """

    student: str
    file: str
    exercise: str
    tasks: dict[str, tuple[str, str]]
    cells: list[tuple[str, str]]
    seconds: float
    peak: float
    whole: float
    protection: str


class Kept:
    """Graded submissions in a folder, each under a key that names all its grade depends on.

    That is: the cells of the submission, the helpers with their checks, the grader, the versions of the libraries, the
    profile and the bundle. Not the limits: what was stopped by one is not kept, and what was not is what it is.
    """

    def __init__(self, folder: Path, profile: str) -> None:
        self.folder, self.profile = folder, profile

    def get(self, submission: Submission) -> Graded | None:
        """Return the grade of a submission, or None if it is not here (or damaged)."""
        graded = _read(self._path(submission))
        return graded and graded._replace(
            student=submission.student, file=submission.file, exercise=submission.exercise
        )

    def put(self, submission: Submission, graded: Graded) -> None:
        """Keep a grade, unless a limit of time or memory had a part in it."""
        if BY_THE_MACHINE & {status for status, _ in graded.tasks.values()}:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with write_beside(self._path(submission)) as temporary:
            temporary.write_text(json.dumps(graded._asdict()), encoding="utf-8")

    def _path(self, submission: Submission) -> Path:
        text = json.dumps([submission.exercise, submission.steps, self.profile, surroundings()], sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:32]}.json"


def figures_in(folder: Path) -> list[tuple[float, float]]:
    """Return how many seconds each grade that is kept in a folder took as a whole, and how many GB of memory."""
    entries = [_read(path) for path in sorted(folder.glob("*.json"))]
    return [(entry.whole, entry.peak) for entry in entries if entry]


def _read(path: Path) -> Graded | None:
    """Read a kept grade; None if it is not there, or damaged."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        tasks = {number: (str(status), str(message)) for number, (status, message) in entry.pop("tasks").items()}
        cells = [(str(name), str(message)) for name, message in entry.pop("cells")]
        seconds, peak, whole = (float(entry.pop(name)) for name in ("seconds", "peak", "whole"))
        return Graded(**entry, tasks=tasks, cells=cells, seconds=seconds, peak=peak, whole=whole)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@cache
def surroundings() -> str:
    """Return a digest of what a grade depends on beside the submission."""
    digest = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    digest.update(f"{os.environ.get('COURSE_BUNDLE', '')}\0".encode())
    with contextlib.suppress(OSError):  # no bundle, which is another state than each of a bundle
        digest.update((Path(os.environ.get("COURSE_BUNDLE") or "") / "MANIFEST.json").read_bytes())
    for path in sorted(path for folder in GRADING for path in (ROOT / folder).rglob("*") if path.is_file()):
        if "__pycache__" not in path.parts:
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
