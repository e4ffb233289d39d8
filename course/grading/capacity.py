"""How many machines a course needs for grading, from what the submissions so far have taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from course.grading.grade import KEPT, GradingError
from course.grading.kept import figures_in

if TYPE_CHECKING:
    import pandas as pd

# Seconds that the one scheduler needs for each submission, whatever the number of machines: measured by
# benchmarks/grading_cluster.py with 10,000 submissions, all processes on the same two busy cores.
SCHEDULING = 0.005
JUDGE = 0.6  # GB of the process that judges beside each submission, measured with exercises 03, 06 and 08


def places_of(cores: int, memory: float, peaks: Sequence[float]) -> int:
    """Return how many submissions a machine can grade at the same time: one for each core, if its memory allows it.

    Args:
        cores, memory: of one machine; memory in GB.
        peaks: GB that submissions used; 95 of 100 must find room at the same time, each with its judge.
    """
    return max(1, min(cores, math.floor(memory / (float(np.quantile(peaks, 0.95)) + JUDGE))))


def hours_for(submissions: int, seconds: float, places: int, scheduling: float = SCHEDULING) -> float:
    """Return how many hours grading takes.

    Args:
        submissions: how many there are.
        seconds: that one takes, on average.
        places: how many are graded at the same time, on all machines.
        scheduling: seconds of the scheduler for each; it does one after the other.
    """
    work = math.ceil(submissions / places) * seconds
    return max(work, submissions * scheduling) / 3600


def machines_for(submissions: int, hours: float, seconds: float, places: int, scheduling: float = SCHEDULING) -> float:
    """Return how many machines of so many ``places`` grade all within some hours; infinity if no number does."""
    rounds = math.floor(3600 * hours / seconds)
    if rounds == 0 or submissions * scheduling > 3600 * hours:
        return math.inf
    return math.ceil(submissions / rounds / places)


def capacity(
    grades: Path, submissions: Sequence[int], hours: float, cores: int, memory: float
) -> tuple[pd.DataFrame, str]:
    """Say what other numbers of submissions would need.

    Args:
        grades: the folder in which ``grade`` has written its results.
        submissions: the numbers that are asked for.
        hours: within which all shall be graded.
        cores, memory: of each machine; memory in GB.

    Returns:
        A table by number of submissions: hours on one machine, and machines; and a line that says what it rests on.

    Raises:
        GradingError: no grade is kept in the folder.
    """
    import pandas as pd

    figures = figures_in(grades / KEPT)
    if not figures:
        raise GradingError(
            f"There are no grades in {grades}. Grade some submissions first: python -m course grade DIR."
        )
    seconds, peaks = float(np.mean([each[0] for each in figures])), [each[1] for each in figures]
    places = places_of(cores, memory, peaks)
    rows = {
        number: {
            "hours on one machine": round(hours_for(number, seconds, places), 2),
            f"machines to end in {hours:g} h": machines_for(number, hours, seconds, places),
        }
        for number in submissions
    }
    line = (
        f"{len(figures)} submissions took {seconds:.0f} s each, and up to {max(peaks):.1f} GB of memory. "
        f"A machine with {cores} cores and {memory:g} GB grades {places} at the same time."
    )
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("submissions"), line
