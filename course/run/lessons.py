"""The lessons: find them, say how each is to be run, and read from an executed notebook what it showed."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

from course import ROOT, CourseError
from helpers.execution import Outcome, Run
from helpers.notebook.records import CLAIM_TYPE, SESSION_TYPE, read_records

NOTEBOOKS = ROOT / "notebooks"
PACKAGES = ("tensorflow", "keras", "tensorflow-hub", "numpy", "scikit-learn")


class UnknownLessonError(CourseError):
    """There is no lesson with that number."""


def find_lessons(numbers: Sequence[str] = ()) -> list[Path]:
    """Return the notebooks of the lessons with these numbers ("3" and "03" are the same), or of all.

    Raises:
        UnknownLessonError: there is no such lesson.
    """
    lessons = {path.stem[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}
    wanted = [number.zfill(2) for number in numbers] or list(lessons)
    unknown = [number for number in wanted if number not in lessons]
    if unknown:
        raise UnknownLessonError(f"There is no lesson {', '.join(unknown)}. Choose from: {', '.join(lessons)}.")
    return [lessons[number] for number in sorted(set(wanted))]


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}


def hardware() -> str:
    """Return what this machine is, in words: cores, memory, system."""
    import psutil

    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GB of memory, {platform.system()} on {platform.machine()}"


def run_of(notebook: Path, profile: str, output: Path, seed: int = 0) -> Run:
    """Return the run of a notebook with a profile and a seed, which writes the executed notebook to ``output``.

    "auto" is resolved here where that needs no TensorFlow, so that it and the profile's own name are the same run.
    """
    if profile == "auto":
        profile = os.environ.get("COURSE_PROFILE") or ("auto" if shutil.which("nvidia-smi") else "mini")
    return Run(notebook, {"PROFILE": profile, "SEED": seed}, output / notebook.name)


def result_of(run: Run, outcome: Outcome) -> dict:
    """Return what a lesson's run showed, as data.

    Returns:
        "lesson", "status" ("passed" or "failed"), "seconds", "cpu_seconds", "peak_memory_mb", "claims", "profile",
        "device", "seed", and "error" (None, or the last line of the error).
    """
    session = next(iter(read_records(run.executed, SESSION_TYPE)), {})
    return {
        "lesson": run.notebook.stem,
        "status": "failed" if outcome.error else "passed",
        "seconds": round(outcome.seconds, 1),
        "cpu_seconds": round(outcome.cpu_seconds, 1),
        "peak_memory_mb": round(outcome.peak_memory / 2**20),
        "claims": read_records(run.executed, CLAIM_TYPE),
        "profile": session.get("profile"),
        "device": session.get("device"),
        "seed": session.get("seed"),
        "error": outcome.error,
    }


def succeeded(result: dict) -> bool:
    """Tell whether a lesson ran to its end and all its claims held."""
    return result["status"] == "passed" and all(claim["held"] for claim in result["claims"])
