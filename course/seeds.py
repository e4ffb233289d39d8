"""Run lessons with many seeds, and count how often each claim holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from course.runner import Task, run_all

NEEDED = 0.95  # the part of the seeds with which a claim must hold


def count_claims(lessons: Sequence[Path], seeds: Sequence[int], profile: str, jobs: int, output: Path, fresh: bool):
    """Run each lesson with each seed.

    Returns:
        A pandas table with a row for each claim: "lesson", "claim", "held" (number of seeds), "runs",
        and "failing seeds". A run that stopped counts as held for none of its lesson's claims.
    """
    import pandas as pd

    tasks = [
        Task(lesson, {"PROFILE": profile, "SEED": seed}, output / f"seed_{seed:02}")
        for seed in seeds
        for lesson in lessons
    ]
    results = run_all(tasks, jobs, fresh)
    rows = []
    for lesson in lessons:
        runs = {task.parameters["SEED"]: r for task, r in zip(tasks, results, strict=True) if task.lesson == lesson}
        sentences = dict.fromkeys(claim["claim"] for result in runs.values() for claim in result["claims"])
        sentences = sentences or {"(no run came as far as a claim)": None}
        for sentence in sentences:
            failing = [seed for seed, result in runs.items() if not holds(result, sentence)]
            rows.append(
                {
                    "lesson": lesson.stem,
                    "claim": sentence,
                    "held": len(runs) - len(failing),
                    "runs": len(runs),
                    "failing seeds": " ".join(map(str, failing)),
                }
            )
    return pd.DataFrame(rows, columns=["lesson", "claim", "held", "runs", "failing seeds"])


def holds(result: dict, sentence: str) -> bool:
    """Tell whether a run came to its end and bore out a sentence, each time that it was claimed."""
    claims = [claim["held"] for claim in result["claims"] if claim["claim"] == sentence]
    return result["status"] == "passed" and bool(claims) and all(claims)
