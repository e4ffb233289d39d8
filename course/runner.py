"""Run many lessons, several at once, with a progress bar; one that fails does not stop the others."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from course.lessons import run_lesson, succeeded


class Task(NamedTuple):
    """One run of one lesson: its notebook, its parameters, and the folder for what it writes."""

    lesson: Path
    parameters: dict
    output: Path


def run_all(tasks: Sequence[Task], jobs: int, fresh: bool) -> list[dict]:
    """Run lessons and show how far they are.

    Args:
        tasks: what to run.
        jobs: runs at the same time. Each has a kernel, so a process, of its own.
        fresh: run lessons again even if nothing has changed since their last run.

    Returns:
        One result for each task, in the same order; see ``run_lesson``.
    """
    layout = "{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
    started: dict[int, float] = {}

    def run(number: int) -> dict:
        started[number] = time.perf_counter()
        try:
            return run_lesson(*tasks[number], fresh=fresh)
        except Exception as error:  # a full disk, say: it must not stop the other lessons
            return failed(tasks[number].lesson, error)

    pool = ThreadPoolExecutor(jobs)
    with contextlib.closing(tqdm(total=len(tasks), bar_format=layout)) as bar, stop_early(pool):
        futures = [pool.submit(run, number) for number in range(len(tasks))]
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
            for future in done:
                bar.write(describe(future.result()))
                bar.update()
            now = time.perf_counter()
            running = [
                f"lesson {tasks[number].lesson.stem[:2]}: {now - started[number]:.0f} s"
                for number, future in enumerate(futures)
                if number in started and not future.done()
            ]
            bar.set_postfix_str(", ".join(running))
    return [future.result() for future in futures]


@contextlib.contextmanager
def stop_early(pool: ThreadPoolExecutor) -> Iterator[None]:
    """At an interrupt, do not begin what still waits; at the end, close the pool."""
    try:
        yield
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def failed(lesson: Path, error: Exception) -> dict:
    """Return the result of a lesson that could not even be run."""
    nothing = {"seconds": 0.0, "peak_memory_mb": 0, "claims": [], "profile": None, "device": None, "seed": None}
    return {"lesson": lesson.stem, "status": "failed", "error": f"{type(error).__name__}: {error}", **nothing}


def describe(result: dict) -> str:
    """Return the result of one lesson as a line or a few."""
    held = sum(claim["held"] for claim in result["claims"])
    mark = "✔" if succeeded(result) else "✘"
    lines = [
        f"{mark} {result['lesson']}: {result['status']} in {result['seconds']:.0f} s, "
        f"{held} of {len(result['claims'])} claims held"
    ]
    lines += [f"    ✘ {claim['claim']} {claim['evidence']}" for claim in result["claims"] if not claim["held"]]
    if result["error"]:
        lines.append(f"    {result['error']}")
    return "\n".join(lines)
