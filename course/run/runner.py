"""Run lessons with a progress bar, the longest first; one that fails does not stop the others."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from course import ROOT, CourseError
from course.run.lessons import result_of, succeeded
from course.run.store import STORE
from helpers.execution import Run, run_many
from helpers.execution.engine import SchedulerError

MEASURED = ROOT / "docs" / "results" / "mini.json"
LAYOUT = "{percentage:3.0f}%|{bar:20}| [{elapsed}, {remaining} left{postfix}]"
USUAL = 60.0  # seconds, of a lesson that was never measured


def run_lessons(
    runs: Sequence[Run],
    jobs: int,
    fresh: bool = False,
    scheduler: str | None = None,
    ended: Callable[[Run], None] | None = None,
) -> list[dict]:
    """Run lessons and show how far they are.

    Args:
        runs: what to run.
        jobs: runs at the same time.
        fresh: run also what the store has.
        scheduler: address of a Dask scheduler whose workers have the course installed and see the same folders; None
            for this machine alone.
        ended: called when a run has ended, while others go on.

    Returns:
        One result for each run, in the same order; see ``course.run.lessons.result_of``.

    Raises:
        CourseError: no scheduler answers, or it has no worker.
    """
    measured = usual_seconds()
    seconds = {run.executed: measured.get(run.notebook.stem, USUAL) for run in runs}
    longest_first = sorted(runs, key=lambda run: -seconds[run.executed])
    running: set[Path] = set()
    results: dict[Path, dict] = {}
    # The bar counts usual seconds, not lessons: its guess of what is left allows for the short ones at the end.
    with contextlib.closing(tqdm(total=sum(seconds.values()), bar_format=LAYOUT, smoothing=0, disable=None)) as bar:

        def say() -> None:
            names = ", ".join(sorted(executed.name[:2] for executed in running))
            bar.set_postfix_str(f"{len(results)} of {len(runs)} done" + (f", running: {names}" if names else ""))

        def begun(run: Run) -> None:
            running.add(run.executed)
            say()

        finished = run_many(longest_first, STORE, jobs=jobs, scheduler=scheduler, fresh=fresh, begun=begun)
        try:
            for run, outcome in finished:
                results[run.executed] = result_of(run, outcome)
                bar.write(describe(results[run.executed]), file=sys.stdout)
                sys.stdout.flush()  # into a file as well, who waits can see it now
                if ended is not None:
                    ended(run)
                if scheduler is None and run.executed not in running:  # the store had it: it took no time
                    bar.total -= seconds[run.executed]
                else:
                    bar.update(seconds[run.executed])
                running.discard(run.executed)
                say()
        except SchedulerError as error:
            raise CourseError(str(error)) from error
    return [results[run.executed] for run in runs]


def usual_seconds() -> dict[str, float]:
    """Return the CPU seconds that lessons took when they were measured, by name."""
    try:
        lessons = json.loads(MEASURED.read_text(encoding="utf-8"))["lessons"]
        return {lesson["lesson"]: lesson.get("cpu_seconds") or lesson["seconds"] for lesson in lessons}
    except (OSError, ValueError, KeyError):  # only the order and the time that is left depend on it
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
