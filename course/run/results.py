"""Keep what the lessons cost in a small committed file, from which the instructors' page has its table."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path

from course import ROOT, CourseError
from course.run.report import unfinished
from helpers.files.cache import write_beside

RESULTS = ROOT / "docs" / "results"
INSTRUCTORS = ROOT / "docs" / "instructors.md"
COSTS = ("lesson", "seconds", "cpu_seconds", "peak_memory_mb")
TABLE_BEGINS = "<!-- The next table is written by: python -m course results -->"
TABLE_ENDS = "<!-- End of the table -->"


def keep_results(report: Path, folder: Path = RESULTS) -> Path:
    """Write what the lessons of a run on this machine cost to ``folder``; return the file, named after the profile.

    The costs of lessons that this run left out stay.

    Args:
        report: the folder of the run, with its ``summary.json``.

    Raises:
        CourseError: there is no finished run, or its summary is damaged.
    """
    import psutil

    path = report / "summary.json"
    if not path.exists():
        raise CourseError(f"There is no {path}. Run the lessons first: python -m course run --output {report}")
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        stopped = unfinished(summary)
    except (ValueError, KeyError, TypeError) as error:
        raise CourseError(f"{path} is no summary of a run. Run the lessons again: python -m course run") from error
    if stopped:
        raise CourseError(f"These lessons did not come to their end: {', '.join(stopped)}. Run them again.")
    memory = psutil.virtual_memory().total / 2**30
    hardware = f"{summary['device']}, {memory:.0f} GB of memory, {platform.system()} on {platform.machine()}"
    result = folder / f"{summary['profile']}.json"
    folder.mkdir(parents=True, exist_ok=True)
    kept = json.loads(result.read_text(encoding="utf-8"))["lessons"] if result.exists() else []
    costs = {lesson["lesson"]: {name: lesson.get(name) for name in COSTS} for lesson in [*kept, *summary["lessons"]]}
    facts = {"profile": summary["profile"], "hardware": hardware, "lessons": [costs[name] for name in sorted(costs)]}
    with write_beside(result) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return result


def read_results(folder: Path = RESULTS) -> list[dict]:
    """Return the kept results: mini first, the others by name."""
    paths = [path for path in folder.glob("*.json") if not path.name.startswith("seeds-")]
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return sorted(runs, key=lambda run: (run["profile"] != "mini", run["profile"]))


def cost_table(runs: Sequence[dict]) -> str:
    """Return a Markdown table with the seconds and the memory of each lesson in each kept run."""
    costs = [{lesson["lesson"]: lesson for lesson in run["lessons"]} for run in runs]
    rows = [["lesson", *(run["profile"] for run in runs)], ["---", *("---:" for run in runs)]]
    for name in sorted({name for lessons in costs for name in lessons}):
        rows.append([name.replace("_", " "), *(cost(lessons.get(name)) for lessons in costs)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    hardware = "\n".join(f"- {run['profile']}: {run['hardware']}" for run in runs)
    return f"{table}\n\n{hardware}\n"


def cost(lesson: dict | None) -> str:
    """Return what a lesson takes, or a dash if it was not measured."""
    if lesson is None:
        return "–"
    cpu = lesson.get("cpu_seconds")
    seconds = f"{lesson['seconds']:.0f} s" + ("" if cpu is None else f" ({cpu:.0f} CPU s)")
    return f"{seconds}, {lesson['peak_memory_mb'] / 1024:.1f} GB"


def write_cost_table(page: Path = INSTRUCTORS, folder: Path = RESULTS) -> bool:
    """Put the table of costs into a page, between its two comments; tell whether that changed the page.

    Raises:
        CourseError: the page lacks one of the comments.
    """
    text = page.read_text(encoding="utf-8")
    before, begins, rest = text.partition(TABLE_BEGINS)
    _, ends, after = rest.partition(TABLE_ENDS)
    if not ends:
        raise CourseError(f"{page} needs two lines, {TABLE_BEGINS} and {TABLE_ENDS}: the table goes between them.")
    new = f"{before}{begins}\n\n{cost_table(read_results(folder))}\n{ends}{after}"
    with write_beside(page) as temporary:
        temporary.write_text(new, encoding="utf-8")
    return new != text
