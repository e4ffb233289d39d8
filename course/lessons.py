"""The lessons: find them, run one with papermill, and read from the executed notebook what it showed."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from helpers.cache import write_beside
from helpers.records import CLAIM_TYPE, SESSION_TYPE

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
SETTINGS = ("COURSE_PROFILE", "COURSE_BUNDLE", "KERAS_HOME", "CUDA_VISIBLE_DEVICES")
PACKAGES = ("tensorflow", "keras", "tensorflow-hub", "numpy", "scikit-learn")


class UnknownLessonError(ValueError):
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


def fingerprint(lesson: Path, parameters: dict) -> str:
    """Return a key that changes with anything that the result of a lesson depends on."""
    installed = sorted(f"{package.name} {package.version}" for package in importlib.metadata.distributions())
    settings = {name: os.environ.get(name) for name in SETTINGS} | {"gpu": shutil.which("nvidia-smi")}
    digest = hashlib.sha256(json.dumps([parameters, installed, settings], sort_keys=True).encode())
    files = [lesson, Path(__file__), *sorted((ROOT / "helpers").rglob("*"))]
    if settings["COURSE_BUNDLE"]:
        files.append(Path(settings["COURSE_BUNDLE"]) / "MANIFEST.json")
    for path in files:
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def run_lesson(lesson: Path, parameters: dict, output: Path, fresh: bool = False) -> dict:
    """Run a lesson, or return the result of an earlier run that came to its end, if nothing has changed since.

    Args:
        lesson: its notebook.
        parameters: values for its parameters cell.
        output: a folder; gets the executed notebook and a small file with the result.
        fresh: run it even if nothing has changed.

    Returns:
        "lesson", "status" ("passed" or "failed"), "seconds", "peak_memory_mb", "claims", "profile",
        "device", "error" (None, or the last line of the error) and "fingerprint".
    """
    executed, record = output / lesson.name, output / f"{lesson.stem}.json"
    key = fingerprint(lesson, parameters)
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
    session, claims = read_outputs(executed)
    result = {
        "lesson": lesson.stem,
        "status": "failed" if error else "passed",
        "seconds": round(seconds, 1),
        "peak_memory_mb": round(peaks.get(session.get("process"), 0) / 2**20),
        "claims": claims,
        "profile": session.get("profile"),
        "device": session.get("device"),
        "error": error,
        "fingerprint": key,
    }
    with write_beside(record) as temporary:
        temporary.write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
    return result


def succeeded(result: dict) -> bool:
    """Tell whether a lesson ran to its end and all its claims held."""
    return result["status"] == "passed" and all(claim["held"] for claim in result["claims"])


def execute(lesson: Path, parameters: dict, executed: Path) -> str | None:
    """Run a notebook with papermill; return None, or the error that stopped it."""
    import papermill

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            papermill.execute_notebook(
                lesson,
                executed,
                parameters,
                kernel_name="python3",
                cwd=lesson.parent,
                progress_bar=False,
                extra_arguments=["--log-level=ERROR"],  # of the kernel: no advice about its transport
            )
    except papermill.PapermillExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    except Exception as error:  # a dead kernel, a full disk: one lesson must not stop the others
        return f"{type(error).__name__}: {error}"
    return None


def read_outputs(executed: Path) -> tuple[dict, list[dict]]:
    """Return what an executed notebook says of its session (profile, device, process), and its claims."""
    session, claims = {}, []
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):  # it stopped before, or while, it was written
        for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                session |= data.get(SESSION_TYPE, {})
                if CLAIM_TYPE in data:
                    claims.append(data[CLAIM_TYPE])
    return session, claims


@contextlib.contextmanager
def peak_memory() -> Iterator[dict[int, int]]:
    """Watch this process' children; the dict holds the peak of each, its own children included, in bytes."""
    import psutil

    peaks, stop, this = {}, threading.Event(), psutil.Process()

    def resident(process: psutil.Process) -> int:
        with contextlib.suppress(psutil.Error):  # it may end at any moment
            return process.memory_info().rss
        return 0

    def watch() -> None:
        while not stop.wait(0.2):
            for child in this.children():
                with contextlib.suppress(psutil.Error):
                    total = sum(resident(process) for process in [child, *child.children(recursive=True)])
                    peaks[child.pid] = max(peaks.get(child.pid, 0), total)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()
