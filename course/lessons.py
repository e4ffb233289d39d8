"""The lessons: find them, run one with papermill, and read from the executed notebook what it showed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from course import CourseError
from helpers.cache import write_beside
from helpers.notebooks import execute, fingerprint, read_records
from helpers.records import CLAIM_TYPE, SESSION_TYPE

ROOT = Path(__file__).resolve().parent.parent
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


def run_lesson(lesson: Path, parameters: dict, output: Path, fresh: bool = False) -> dict:
    """Run a lesson, or return the result of an earlier run that came to its end, if nothing has changed since.

    Args:
        lesson: its notebook.
        parameters: values for its parameters cell.
        output: a folder; gets the executed notebook and a small file with the result.
        fresh: run it even if nothing has changed.

    Returns:
        "lesson", "status" ("passed" or "failed"), "seconds", "peak_memory_mb", "claims", "profile",
        "device", "seed", "error" (None, or the last line of the error), "parameters" and "fingerprint".
    """
    executed, record = output / lesson.name, output / f"{lesson.stem}.json"
    key = fingerprint(lesson, parameters, Path(__file__))
    if not fresh and record.exists() and executed.exists():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a damaged record is no record
            result = json.loads(record.read_text(encoding="utf-8"))
            if result["fingerprint"] == key and result["status"] == "passed":
                return result
    output.mkdir(parents=True, exist_ok=True)
    for stale in (record, executed):  # a stopped run must not leave one of them with an older other
        stale.unlink(missing_ok=True)
    start = time.perf_counter()
    with peak_memory() as peaks:
        error = execute(lesson, parameters, executed)
    seconds = time.perf_counter() - start
    session = next(iter(read_records(executed, SESSION_TYPE)), {})
    result = {
        "lesson": lesson.stem,
        "status": "failed" if error else "passed",
        "seconds": round(seconds, 1),
        "peak_memory_mb": round(peaks.get(session.get("process"), 0) / 2**20),
        "claims": read_records(executed, CLAIM_TYPE),
        "profile": session.get("profile"),
        "device": session.get("device"),
        "seed": session.get("seed"),
        "error": error,
        "parameters": parameters,
        "fingerprint": key,
    }
    with write_beside(record) as temporary:
        temporary.write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
    return result


def succeeded(result: dict) -> bool:
    """Tell whether a lesson ran to its end and all its claims held."""
    return result["status"] == "passed" and all(claim["held"] for claim in result["claims"])


@contextlib.contextmanager
def peak_memory() -> Iterator[dict[int, int]]:
    """Watch this process' children; the dict holds the peak of each, its own children included, in bytes."""
    import psutil

    peaks, stop, this = {}, threading.Event(), psutil.Process()

    def watch() -> None:
        while not stop.wait(0.2):
            for child in this.children():
                peaks[child.pid] = max(peaks.get(child.pid, 0), memory_of(child.pid))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()


def memory_of(pid: int) -> int:
    """Return the bytes in memory of a process and all its children together."""
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):  # each may end at any moment
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += each.memory_info().rss
    return total
