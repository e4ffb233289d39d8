"""Grading 10,000 submissions on a simulated cluster: what the one scheduler costs for each, beside the grading itself.

Two workers with 32 places each stand for 64 machines' places; a fake grader takes the submission, as it travels, and
waits. With no waiting, the time for each submission is what the scheduler and the course need to hand it out and to
take its result: the constant ``SCHEDULING`` of ``course.grading.capacity``. With a wait, the whole is compared with
what ``hours_for`` says.
"""

from __future__ import annotations

import functools
import time

from course.authoring.exercises import EXERCISES
from course.grading import grade as grading
from course.grading.capacity import SCHEDULING, hours_for
from course.grading.kept import Graded
from course.grading.submissions import Submission, read_notebook, steps_of

COUNT, WORKERS, PLACES = 10_000, 2, 32


def wait(submission: Submission, limits: object, unprotected: bool, threads: object, seconds: float) -> Graded:
    """Take a submission, and wait in the place of grading it."""
    time.sleep(seconds)
    return Graded(*submission[:3], tasks={}, cells=[], seconds=seconds, peak=0.0, whole=seconds, protection="")


def run(seconds: float, address: str) -> float:
    """Return the seconds that 10,000 submissions take if each is graded in so many seconds."""
    path = EXERCISES / "08_hyperparameters.ipynb"
    exercise, cells = read_notebook(path)
    steps = steps_of(cells, exercise)
    submissions = [Submission(f"student {number}", path.name, path.name, steps) for number in range(COUNT)]
    grading.grade_one = functools.partial(wait, seconds=seconds)
    begun = time.perf_counter()
    limits = grading.Limits(minutes=1, step_seconds=1, memory=1)
    for _, result in grading.run_all(submissions, 1, limits, address, unprotected=True):
        assert isinstance(result, Graded), result
    return time.perf_counter() - begun


def main() -> None:
    """Measure, and print three lines."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=WORKERS, threads_per_worker=PLACES, dashboard_address=":0") as cluster:
        at_once = run(0.0, cluster.scheduler_address)
        print(
            f"graded at once: {1e3 * at_once / COUNT:.2f} ms for each submission (SCHEDULING: {1e3 * SCHEDULING:g} ms)"
        )
        for seconds in (0.2, 1.0):
            taken, said = run(seconds, cluster.scheduler_address), 3600 * hours_for(COUNT, seconds, WORKERS * PLACES)
            print(f"{seconds:g} s each at {WORKERS * PLACES} places: {taken:.0f} s, capacity says {said:.0f} s")


if __name__ == "__main__":
    main()
