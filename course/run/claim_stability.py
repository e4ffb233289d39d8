"""Run lessons with many seeds, and count how often each claim holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from course.run.lessons import run_of
from course.run.runner import run_lessons

NEEDED = 0.95  # the part of the seeds with which a claim must hold


def count_claims(lessons: Sequence[Path], seeds: Sequence[int], profile: str, jobs: int, output: Path, fresh: bool):
    """Run each lesson with each seed.

    Returns:
        A pandas table with a row for each claim: "lesson", "claim", "held" (number of seeds), "runs",
        and "failing seeds". A run that stopped counts as held for none of its lesson's claims.
    """
    import pandas as pd

    runs = [run_of(lesson, profile, output / f"seed_{seed:02}", seed) for seed in seeds for lesson in lessons]
    results = run_lessons(runs, jobs, fresh)
    rows = []
    for lesson in lessons:
        by_seed = {run.parameters["SEED"]: r for run, r in zip(runs, results, strict=True) if run.notebook == lesson}
        sentences = dict.fromkeys(claim["claim"] for result in by_seed.values() for claim in result["claims"])
        sentences = sentences or {"(no run came as far as a claim)": None}
        for sentence in sentences:
            failing = [seed for seed, result in by_seed.items() if not holds(result, sentence)]
            rows.append(
                {
                    "lesson": lesson.stem,
                    "claim": sentence,
                    "held": len(by_seed) - len(failing),
                    "runs": len(by_seed),
                    "failing seeds": " ".join(map(str, failing)),
                }
            )
    return pd.DataFrame(rows, columns=["lesson", "claim", "held", "runs", "failing seeds"])


def holds(result: dict, sentence: str) -> bool:
    """Tell whether a run came to its end and bore out a sentence, each time that it was claimed."""
    claims = [claim["held"] for claim in result["claims"] if claim["claim"] == sentence]
    return result["status"] == "passed" and bool(claims) and all(claims)
