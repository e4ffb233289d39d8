"""Run many lessons, several at once, with a progress bar; one that fails does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
        return run_lesson(*tasks[number], fresh=fresh)

    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(tasks), bar_format=layout) as bar:
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
