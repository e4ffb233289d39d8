"""Keep the results of a run as a small committed file, from which the site makes its tables."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from course import CourseError
from course.lessons import ROOT
from helpers.cache import write_beside

RESULTS = ROOT / "docs" / "results"


def keep_results(report: Path, folder: Path = RESULTS) -> Path:
    """Write the results of a run, made on this machine, to ``folder``; return the file, named after the profile.

    Args:
        report: the folder of the run, with its ``summary.json``.

    Raises:
        CourseError: there is no finished run.
    """
    import psutil

    path = report / "summary.json"
    if not path.exists():
        raise CourseError(f"There is no {path}. Run the lessons first: python -m course run --output {report}")
    summary = json.loads(path.read_text(encoding="utf-8"))
    stopped = [lesson["lesson"] for lesson in summary["lessons"] if lesson["status"] != "passed"]
    if stopped:
        raise CourseError(f"These lessons did not come to their end: {', '.join(stopped)}. Run them again.")
    memory = psutil.virtual_memory().total / 2**30
    hardware = f"{summary['device']}, {memory:.0f} GB of memory, {platform.system()} on {platform.machine()}"
    result = folder / f"{summary['profile']}.json"
    folder.mkdir(parents=True, exist_ok=True)
    with write_beside(result) as temporary:
        temporary.write_text(
            json.dumps({"hardware": hardware, **summary}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return result
