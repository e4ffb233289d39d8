"""Run the checks of the exercises on what students handed in: a table of who solved what, and a page with messages."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from course import TEMPLATES, CourseError
from course.grading.kept import Graded, Kept
from course.grading.sandbox import STOP, Attempt, NotStartedError, protection, run_sandboxed, visible_folder_of
from course.grading.submissions import Step, Submission, Unread, find_submissions, students_of
from helpers.execution.engine import SchedulerError, connect, cores, take_cores
from helpers.files.cache import write_beside

if TYPE_CHECKING:
    import pandas as pd

STUDENTS = "students"  # the folder inside the output with a page for each of them
KEPT = "kept"  # the folder inside the output with what was graded
AT_A_TIME = 2000  # submissions that a scheduler gets at first: all of a large course would fill its memory
NOT_REACHED = "It was not graded: grading was stopped before it ended."
NOT_GRADED = "not graded"  # in the table: neither right nor wrong, and no zero
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", " ", "|", "%")  # what a spreadsheet may take for a formula
SHOWN = 10  # files that are no exercises, in an error message
LAYOUTS = "Collect them as FOLDER/alice/03_feature_extraction.ipynb, or FOLDER/alice_03_feature_extraction.ipynb."
MARKS = {"solved": "✔", "wrong": "✘", "untouched": "–"}  # other words stand in the table as they are


class GradingError(CourseError):
    """Grading cannot begin, or was stopped."""


class Limits(NamedTuple):
    """What one submission may take (minutes for all of it, seconds for a single cell or check, GB) and its profile."""

    minutes: float
    step_seconds: float
    memory: float
    profile: str = "mini"


def grade(
    folder: Path,
    output: Path,
    jobs: int,
    limits: Limits,
    scheduler: str | None = None,
    unprotected: bool = False,
    fresh: bool = False,
) -> tuple[pd.DataFrame, str]:
    """Grade all notebooks of a folder, and write ``grades.csv``, ``grades.html``, and a page for each student.

    Each grade is kept in ``output`` as soon as it is there. What was graded, and has not changed since, is not graded
    again.

    Args:
        folder: see ``course.grading.submissions`` for how it is laid out; it is only read.
        output: where the files are written.
        jobs: submissions at the same time, on this machine alone.
        limits: for each submission.
        scheduler: address of a Dask scheduler whose workers have the same course installed; None for this machine
            alone. The submissions travel with the tasks: no shared folder is needed.
        unprotected: run them also where the system cannot keep them apart.
        fresh: grade also what was graded before.

    Returns:
        The table of ``make_table``, and a line that says what kept the submissions apart.

    Raises:
        NotADirectoryError: there is no such folder.
        GradingError: there is no notebook of an exercise in it, submissions would see it, no scheduler answers,
            ``output`` cannot be written, or grading was interrupted; what was graded until then is written.
        SandboxError: this machine cannot keep submissions apart.
    """
    from tqdm import tqdm

    submissions, unread = find_submissions(folder)
    if not submissions:
        reasons = [f"\n  {each.file}: {each.reason}" for each in unread]
        more = f"\n  and {len(reasons) - SHOWN} other files" if len(reasons) > SHOWN else ""
        listed = "".join(reasons[:SHOWN]) + more
        raise GradingError(f"There is no notebook of an exercise in {folder}. {LAYOUTS}{listed}")
    if scheduler is None:
        protection(unprotected)
    if visible_folder_of(folder):
        raise GradingError(f"{folder} is inside a folder that each submission sees. Move it to another place.")
    if output.resolve().is_relative_to(folder.resolve()):
        raise GradingError(f"{output} lies in the folder of the submissions. Name another one: --output DIR.")
    output.mkdir(parents=True, exist_ok=True)
    if not os.access(output, os.W_OK):
        raise GradingError(f"{output} cannot be written. Name another folder: --output DIR.")
    kept = Kept(output / KEPT, limits.profile)
    graded = [before for each in submissions if not fresh and (before := kept.get(each))]
    known = {each.file for each in graded}
    waiting = [each for each in submissions if each.file not in known]
    if graded:
        print(f"{len(graded)} of {len(submissions)} were graded before, and have not changed (--fresh: once more).")
    form = "{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} [{elapsed}]"
    stopped: BaseException | None = None
    try:
        with terminated_as_interrupted(), tqdm(total=len(waiting), bar_format=form, disable=None) as bar:
            for submission, result in run_all(waiting, jobs, limits, scheduler, unprotected):
                if isinstance(result, Graded):
                    kept.put(submission, result)
                    graded.append(result)
                    bar.write(describe(result))
                else:
                    unread.append(result)
                    bar.write(f"✘ {result.file}: {result.reason}")
                bar.update()
    except BaseException as error:  # whatever it is, what was graded is written
        stopped = error
    reached = {each.file for each in graded} | {each.file for each in unread}
    missing = [
        Unread(each.student, each.file, NOT_REACHED, each.exercise) for each in submissions if each.file not in reached
    ]
    unread += missing
    graded, unread = sorted(graded, key=lambda each: (each.student, each.exercise)), sorted(unread)
    table = make_table(graded, unread, students_of(folder))
    kept_apart = "; ".join(sorted({each.protection for each in graded}))
    write_results(table, graded, unread, kept_apart, limits.profile, output)
    if stopped is not None and not isinstance(stopped, KeyboardInterrupt):
        raise stopped
    if missing:
        raise GradingError(f"Stopped: {len(missing)} of {len(submissions)} notebooks were not graded. See {output}.")
    return table, kept_apart


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C during the block; in the main thread only, as Python has it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def run_all(
    submissions: Sequence[Submission], jobs: int, limits: Limits, scheduler: str | None, unprotected: bool
) -> Iterator[tuple[Submission, Graded | Unread]]:
    """Grade submissions on a Dask cluster; yield each one with its result as soon as that is there.

    Raises:
        GradingError: no scheduler or no worker answers.
    """
    if not submissions:
        return
    from distributed import as_completed

    here = None if scheduler is None else cores()
    with contextlib.ExitStack() as stack:
        STOP.clear()
        try:
            client = stack.enter_context(connect(scheduler, min(jobs, len(submissions))))
        except SchedulerError as error:
            raise GradingError(str(error)) from error
        stack.callback(STOP.set)  # before the cluster is closed: at an interrupt, it would wait for what runs
        waiting = iter(submissions)
        futures = {}

        def submit(count: int) -> list:
            new = {
                client.submit(grade_one, submission, limits, unprotected, here, pure=False): submission
                for submission in islice(waiting, count)
            }
            futures.update(new)
            return list(new)

        running = as_completed(submit(AT_A_TIME))
        for future in running:
            submission = futures.pop(future)
            running.update(submit(1))
            if future.status == "finished":
                yield submission, future.result()
            else:  # the course did not start, the worker failed, or cannot keep submissions apart
                reason = f"It was not graded: {future.exception() or 'no answer from the scheduler'}"
                yield submission, Unread(submission.student, submission.file, reason, submission.exercise)


def grade_one(
    submission: Submission, limits: Limits, unprotected: bool, threads: Mapping[str, str] | None = None
) -> Graded:
    """Grade one submission.

    A step that takes too much time or memory, or ends the process, is left out in the next attempt: what else the
    student solved counts.

    Args:
        submission: what a student handed in.
        limits: of time and memory.
        unprotected: also where this machine cannot keep submissions apart.
        threads: how many to take, on the worker of a scheduler; see ``helpers.execution.engine.cores``.

    Raises:
        SandboxError: this machine cannot keep submissions apart, and ``unprotected`` is False.
        NotStartedError: the course itself did not start, or its set-up was stopped by a limit.
    """
    begun = time.monotonic()
    if threads is not None:
        take_cores(threads)
    kept_apart = protection(unprotected)
    steps, seconds = submission.steps, 0.0
    tasks: dict[str, tuple[str, str]] = {}
    cells: dict[str, str] = {}
    skip: set[int] = set()
    peak = 0
    while True:
        job = {"exercise": submission.exercise[:2], "profile": limits.profile, "steps": steps, "skip": sorted(skip)}
        attempt = run_sandboxed(job, limits.memory, limits.step_seconds, 60 * limits.minutes - seconds)
        if attempt.unfinished is not None and steps[attempt.unfinished]["own"] and attempt.reason != "forged":
            name = steps[attempt.unfinished]["name"]
            raise NotStartedError(
                f"The course's own cell {name!r} was stopped ({attempt.reason}): is the machine busy?"
            )
        if failed := failed_start(attempt, steps):
            raise NotStartedError(failed)
        skip |= take_in(attempt, steps, limits, tasks, cells)
        seconds += attempt.seconds
        peak = max(peak, attempt.peak)
        if attempt.unfinished is None or attempt.reason == "forged" or seconds >= 60 * limits.minutes:
            break
    status = attempt.reason or "crashed"
    if status == "forged":  # who can write into the channel, can also have written what came before
        tasks.clear()
    rest = status, f"It was not reached. {stopped(status, limits)}"
    return Graded(
        *submission[:3],
        tasks={step["task"]: tasks.get(step["task"], rest) for step in steps if step["check"]},
        cells=sorted(cells.items()),
        seconds=seconds,
        peak=peak / 2**30,
        whole=time.monotonic() - begun,
        protection=kept_apart,
    )


def failed_start(attempt: Attempt, steps: list[Step]) -> str:
    """Return what went wrong in the course's own cells before the first one of the student's; "" if nothing did."""
    of_course = len(list(takewhile(lambda step: step["own"], steps)))
    for said in attempt.said:
        step = steps[said["ends"]]
        if said["ends"] < of_course and said["message"] and not step["check"]:
            return f"The course's own cell {step['name']!r} failed: {said['message']}"
    return ""


def take_in(attempt: Attempt, steps: list[Step], limits: Limits, tasks: dict, cells: dict) -> set[int]:
    """Add what an attempt has shown to ``tasks`` and ``cells``; return the places that the next one leaves out."""
    done = set()
    for said in attempt.said:
        step = steps[said["ends"]]
        if step["check"]:
            tasks[step["task"]] = said["status"], said["message"]
            done.add(said["ends"])
        elif said["message"] and not step["task"]:  # else the message of the check says it
            cells[step["name"]] = said["message"]
    if attempt.unfinished is not None:
        step, message = steps[attempt.unfinished], stopped(attempt.reason, limits)
        done.add(attempt.unfinished)
        if step["task"]:
            tasks[step["task"]] = attempt.reason, message
            done |= {place for place, other in enumerate(steps) if other["check"] and other["task"] == step["task"]}
        else:
            cells[step["name"]] = message
    return done


def stopped(reason: str, limits: Limits) -> str:
    """Say why a step was stopped."""
    return {
        "time limit": f"It was stopped: {limits.step_seconds:g} s are allowed for a cell or a check, "
        f"{limits.minutes:g} minutes for a notebook. Does a loop never end?",
        "memory limit": f"It was stopped: it used more than {limits.memory:g} GB of memory.",
        "crashed": "It ended the process in which it ran.",
        "forged": "Its code wrote into the channel through which the results leave.",
    }[reason]


def describe(result: Graded) -> str:
    """Return a graded submission as a line."""
    solved = sum(status == "solved" for status, _ in result.tasks.values())
    others = [f"{number} {status}" for number, (status, _) in result.tasks.items() if status not in MARKS]
    figures = f"{result.seconds:.0f} s, {result.peak:.1f} GB"
    return ", ".join([f"{result.file}: {solved} of {len(result.tasks)} solved ({figures})", *others])


def make_table(graded: Sequence[Graded], unread: Sequence[Unread], others: Iterable[str] = ()) -> pd.DataFrame:
    """Return a row for each student, with the number of solved tasks, and a column for each task that was handed in.

    A cell is ✔ (solved), ✘ (wrong), – (untouched), "crashed", "time limit", "memory limit", "forged", or empty where
    no notebook was graded. A student with a notebook that was not graded has "not graded" in the place of the number
    (with one that was, in the place of the exercise's tasks): that is no zero.

    Args:
        graded, unread: what was and was not graded; each student of them has a row.
        others: more students.
    """
    import pandas as pd

    numbers = {number for result in graded for number in result.tasks}
    columns = sorted(numbers, key=lambda number: [int(part) for part in number.split(".")])
    with_marks = {result.student for result in graded}
    students = sorted(with_marks | {each.student for each in unread} | set(others))
    table = pd.DataFrame("", index=pd.Index(students, name="student"), columns=["solved", *columns])
    for result in graded:
        for number, (status, _) in result.tasks.items():
            table.loc[result.student, number] = MARKS.get(status, status)
    solved = (table[columns] == MARKS["solved"]).sum(axis=1)
    for each in unread:
        own = [name for name in columns if each.exercise and int(name.split(".")[0]) == int(each.exercise[:2])]
        if each.student in with_marks and (table.loc[each.student, own] == "").all():
            table.loc[each.student, own] = NOT_GRADED
    table["solved"] = [solved[student] if student in with_marks else NOT_GRADED for student in students]
    return table


def write_results(
    table: pd.DataFrame,
    graded: Sequence[Graded],
    unread: Sequence[Unread],
    kept_apart: str,
    profile: str,
    output: Path,
) -> None:
    """Write ``grades.csv``, ``grades.html``, and a page for each student; the same results give the same bytes."""
    import jinja2

    with write_beside(output / "grades.csv") as temporary:
        # Spreadsheets need the mark to read UTF-8.
        harmless(table).to_csv(temporary, encoding="utf-8-sig", errors="replace")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True)
    template = environment.get_template("grades.html.j2")

    def write_page(path: Path, rows: pd.DataFrame, graded: Sequence[Graded], unread: Sequence[Unread]) -> None:
        facts = {"protection": kept_apart, "profile": profile, "marks": MARKS}
        page = template.render(table=rows, graded=graded, unread=unread, **facts)
        with write_beside(path) as temporary:
            temporary.write_text(page, encoding="utf-8", errors="replace")

    write_page(output / "grades.html", table, graded, unread)
    (output / STUDENTS).mkdir(exist_ok=True)
    by_student: dict[str, tuple[list[Graded], list[Unread]]] = {student: ([], []) for student in table.index}
    for result in graded:
        by_student[result.student][0].append(result)
    for each in unread:
        by_student[each.student][1].append(each)
    for student, own in by_student.items():
        write_page(output / STUDENTS / page_of(student), table.loc[[student]], *own)


def page_of(student: str) -> str:
    """Return the name of a student's page; a very long one is cut, as file systems take 255 bytes at most."""
    name = os.fsencode(student)
    if len(name) > 150:
        student = f"{name[:150].decode(errors='ignore')}-{hashlib.sha256(name).hexdigest()[:8]}"
    return f"{student}.html"


def harmless(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which a spreadsheet finds no formula: names, columns and cells that could be one get a "'"."""

    def shown(value: object) -> object:
        text = str(value).translate({number: " " for number in range(32) if chr(number) not in "\t\r\n"})
        return f"'{text}" if text.startswith(FORMULA) else text if isinstance(value, str) else value

    return table.rename(index=shown, columns=shown).map(shown)
