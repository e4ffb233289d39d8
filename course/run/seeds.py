"""Run lessons with many seeds, count how often each claim holds, and keep the figures in a committed table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from course.run.lessons import hardware, run_of, versions
from course.run.runner import run_lessons
from helpers.execution.key import code_of
from helpers.files.cache import write_beside
from helpers.files.seeds_tables import seeds_table
from helpers.profiles import PROFILES

NEEDED = 0.95  # the part of the seeds with which a claim must hold
FIELDS_OF_HELPERS = {  # of a profile, read by load_data and build_backbone for every lesson
    "dataset",
    "train_size",
    "validation_size",
    "test_size",
    "backbone",
    "alphas",
    "image_size",
    "stand_ins",
}


def measure_seeds(
    lessons: Sequence[Path],
    seeds: Sequence[int],
    profile: str,
    jobs: int,
    output: Path,
    fresh: bool,
    scheduler: str | None = None,
) -> dict[str, dict]:
    """Run each lesson with each seed; ``scheduler`` is what ``run_lessons`` takes.

    Returns:
        For each lesson, by its name: what ``helpers.files.seeds_tables.seeds_table`` describes, and the seeds of which
        the run "stopped". A run that stopped counts as held for none of its lesson's claims, and has no evidence.
    """
    runs = [run_of(lesson, profile, output / f"seed_{seed:02}", seed) for seed in seeds for lesson in lessons]
    results = run_lessons(runs, jobs, fresh, scheduler)
    measured = {}
    for lesson in lessons:
        own = [result for run, result in zip(runs, results, strict=True) if run.notebook == lesson]
        sentences = dict.fromkeys(claim["claim"] for result in own for claim in result["claims"])
        claims = [_with_all_seeds(sentence, own) for sentence in sentences]
        if not claims:
            claims = [{"claim": "(no run came as far as a claim)", "held": [False] * len(own), "evidence": {}}]
        measured[lesson.stem] = {
            "key": lesson_key(lesson, profile),
            "versions": versions(),
            "seeds": list(seeds),
            "claims": claims,
            "stopped": [seed for seed, result in zip(seeds, own, strict=True) if result["status"] != "passed"],
        }
    return measured


def _with_all_seeds(sentence: str, results: Sequence[dict]) -> dict:
    """Return a claim with its evidence in each run; what a run lacks is None."""
    found = [next((claim for claim in result["claims"] if claim["claim"] == sentence), None) for result in results]
    names = dict.fromkeys(name for claim in found if claim for name in claim["evidence"])
    return {
        "claim": sentence,
        "held": [holds(result, sentence) for result in results],
        "evidence": {
            name: [_short(claim["evidence"].get(name)) if claim else None for claim in found] for name in names
        },
    }


def _short(value: object) -> object:
    """Round a number to four digits: the table is committed."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def holds(result: dict, sentence: str) -> bool:
    """Tell whether a run came to its end and bore out a sentence, each time that it was claimed."""
    claims = [claim["held"] for claim in result["claims"] if claim["claim"] == sentence]
    return result["status"] == "passed" and bool(claims) and all(claims)


def lesson_key(lesson: Path, profile: str) -> str:
    """Return a key that changes with the code of a lesson, and with what it uses of its profile: then a table is old.

    Comments, prose, the set-up cell and helpers are not part of it. That the helpers still give the figures of the
    table, the tests find out from a run.
    """
    code = code_of(lesson)
    used = {
        name: value
        for name, value in asdict(PROFILES[profile]).items()
        if name in FIELDS_OF_HELPERS or any(f"'{name}'" in cell for cell in code)
    }
    return hashlib.sha256(json.dumps([code, used], sort_keys=True).encode()).hexdigest()[:16]


def keep_measured(measured: dict[str, dict], profile: str, folder: Path) -> list[str]:
    """Put what was measured into the table of a profile; return the names of the lessons that were put there.

    An entry that was measured with more seeds, of the lesson as it is now, stays. A lesson of which a run "stopped" is
    not put there: what such a run lacks is no claim that failed.
    """
    table = seeds_table(profile, folder)
    kept = dict(table["lessons"])
    written = []
    for name, entry in measured.items():
        if entry["stopped"]:
            continue
        old = kept.get(name)
        if old is None or old["key"] != entry["key"] or len(old["seeds"]) <= len(entry["seeds"]):
            kept[name] = {field: value for field, value in entry.items() if field != "stopped"}
            written.append(name)
    text = json.dumps(
        {"profile": profile, "hardware": hardware(), "lessons": dict(sorted(kept.items()))},
        indent=1,
        ensure_ascii=False,
    )
    folder.mkdir(parents=True, exist_ok=True)
    with write_beside(folder / f"seeds-{profile}.json") as temporary:
        temporary.write_text(_narrow(text) + "\n", encoding="utf-8")
    return written


def _narrow(text: str) -> str:
    """Put each innermost list or object of a JSON text on one line, so that a table is not ten thousand lines long."""
    import re

    return re.sub(r"[\[{][^\[\]{}\"]*[\]}]|\{[^\[\]{}]*\}", lambda match: re.sub(r"\s+", " ", match[0]), text)


def count_table(measured: dict[str, dict]):
    """Return a pandas table with a row for each claim: "lesson", "claim", "held", "runs" and "failing seeds"."""
    import pandas as pd

    rows = [
        {
            "lesson": name,
            "claim": claim["claim"],
            "held": sum(claim["held"]),
            "runs": len(claim["held"]),
            "failing seeds": " ".join(
                str(seed) for seed, held in zip(entry["seeds"], claim["held"], strict=True) if not held
            ),
        }
        for name, entry in measured.items()
        for claim in entry["claims"]
    ]
    return pd.DataFrame(rows, columns=["lesson", "claim", "held", "runs", "failing seeds"])
