"""Run lessons with a progress bar, the longest first; one that fails does not stop the others."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from course import ROOT, CourseError
from course.run.lessons import result_of, succeeded
from course.run.store import STORE
from helpers.execution import Run, run_many
from helpers.execution.engine import SchedulerError

MEASURED = ROOT / "docs" / "results" / "mini.json"
LAYOUT = "{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


def run_lessons(runs: Sequence[Run], jobs: int, fresh: bool = False, scheduler: str | None = None) -> list[dict]:
    """Run lessons and show how far they are.

    Args:
        runs: what to run.
        jobs: runs at the same time.
        fresh: run also what the store has.
        scheduler: address of a Dask scheduler whose workers have the course installed and see the same folders; None
            for this machine alone.

    Returns:
        One result for each run, in the same order; see ``course.run.lessons.result_of``.

    Raises:
        CourseError: no scheduler answers, or it has no worker.
    """
    seconds = usual_seconds()
    longest_first = sorted(runs, key=lambda run: -seconds.get(run.notebook.stem, 60.0))
    started: dict[str, float] = {}
    results: dict[Path, dict] = {}
    with contextlib.closing(tqdm(total=len(runs), bar_format=LAYOUT, disable=None)) as bar:

        def begun(run: Run) -> None:
            started[run.notebook.stem] = time.perf_counter()
            bar.set_postfix_str("running: " + ", ".join(sorted(name[:2] for name in started)))

        finished = run_many(longest_first, STORE, jobs=jobs, scheduler=scheduler, fresh=fresh, begun=begun)
        try:
            for run, outcome in finished:
                results[run.executed] = result_of(run, outcome)
                started.pop(run.notebook.stem, None)
                bar.write(describe(results[run.executed]), file=sys.stdout)
                bar.update()
        except SchedulerError as error:
            raise CourseError(str(error)) from error
    return [results[run.executed] for run in runs]


def usual_seconds() -> dict[str, float]:
    """Return the CPU seconds that lessons took when they were measured, by name."""
    try:
        lessons = json.loads(MEASURED.read_text(encoding="utf-8"))["lessons"]
        return {lesson["lesson"]: lesson.get("cpu_seconds") or lesson["seconds"] for lesson in lessons}
    except (OSError, ValueError, KeyError):  # only the order depends on it
        return {}


def describe(result: dict) -> str:
    """Return the result of one lesson as a line or a few."""
    held = sum(claim["held"] for claim in result["claims"])
    mark = "✔" if succeeded(result) else "✘"
    lines = [
        f"{mark} {result['lesson']}: {result['status']} in {result['seconds']:.0f} s "
        f"({result['cpu_seconds']:.0f} CPU seconds), {held} of {len(result['claims'])} claims held"
    ]
    lines += [f"    ✘ {claim['claim']} {claim['evidence']}" for claim in result["claims"] if not claim["held"]]
    if result["error"]:
        lines.append(f"    {result['error']}")
    return "\n".join(lines)
