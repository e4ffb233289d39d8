"""``check``, ``hint`` and ``progress``: what the exercises call."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections import Counter
from functools import cache
from typing import NamedTuple

from helpers.checks.progress import mark_done, progress_file, read_done
from helpers.checks.task import Task, Wrong

EXERCISES = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11")
_hints_given: Counter[str] = Counter()


class UnknownTaskError(ValueError):
    """There is no task with that number."""


class Verdict(NamedTuple):
    """What a check found: the status is "solved", "wrong", "untouched" or "crashed"."""

    status: str
    message: str


@cache
def tasks_of(exercise: str) -> dict[str, Task]:
    """Return the tasks of one exercise, such as "03", by number, such as "3.2"."""
    return importlib.import_module(f"helpers.checks.exercise_{exercise}").TASKS


def find_task(number: str) -> Task:
    """Return a task.

    Raises:
        UnknownTaskError: there is none with this number.
    """
    exercise = str(number).split(".")[0].zfill(2)
    tasks = tasks_of(exercise) if exercise in EXERCISES else {}
    if number not in tasks:
        known = ", ".join(tasks) or ", ".join(f"{int(exercise)}.1" for exercise in EXERCISES)
        raise UnknownTaskError(f'There is no task {number!r}. Write its number as text, such as "3.1"; known: {known}.')
    return tasks[number]


def check(number: str, *answer: object) -> None:
    """Say whether an answer is right: ✔ and what it shows, or ✘ and what is wrong in it.

    ✘ goes to the error stream: notebooks show it in another colour, and nbgrader gives no points for it.

    Args:
        number: of the task, such as "3.2".
        answer: what the task asks for, usually one function.

    Raises:
        UnknownTaskError: there is no such task.
    """
    status, message = judge(find_task(number), number, answer)
    if status == "solved":
        mark_done(number)
        print(f"✔ {number} {message}")
    else:
        print(f'✘ {number} {message} (Stuck? hint("{number}"))', file=sys.stderr)


def judge(task: Task, number: str, answer: tuple) -> Verdict:
    """Run the check of a task on an answer."""
    try:
        return Verdict("solved", task.check(*answer))
    except Wrong as wrong:
        return Verdict("wrong", str(wrong))
    except Exception as error:  # whatever the learner's code raises
        return _explain(error, number, task)


def _explain(error: Exception, number: str, task: Task) -> Verdict:
    """Say what stopped the code of a task: it is not done yet, it needs another task, or it has an error."""
    if isinstance(error, NotImplementedError) and str(error).startswith(f"Exercise {number}:"):
        message = f"Not done yet: {task.title}. Put your code in the place of the line that raises NotImplementedError."
        return Verdict("untouched", message)
    if isinstance(error, NotImplementedError) and str(error).startswith("Exercise "):
        return Verdict("wrong", f"Your code uses another task, which is not done yet. {error}")
    return Verdict("crashed", f"Your code for “{task.title}” stopped with an error. {_where(error)}")


def _where(error: Exception) -> str:
    """Return the last line of the learner's own code that was reached, and the error's last line."""
    lines = [
        f"In line {frame.lineno} of {frame.name}: {frame.line.strip()} → "
        for frame in traceback.extract_tb(error.__traceback__)
        if "helpers" not in frame.filename and "site-packages" not in frame.filename and frame.line
    ]
    last = str(error).strip().splitlines()
    return (lines[-1] if lines else "") + f"{type(error).__name__}: {last[0] if last else 'no message'}"


def hint(number: str) -> None:
    """Print the next hint for a task: a nudge, the call to read about, nearly the code. Then it begins again.

    Raises:
        UnknownTaskError: there is no such task.
    """
    hints = find_task(number).hints
    step = _hints_given[number] % len(hints)
    _hints_given[number] += 1
    print(f"Hint {step + 1} of {len(hints)} for {number}: {hints[step]}")


def progress() -> None:
    """Print which tasks of all exercises are done."""
    done = read_done()
    total = 0
    for exercise in EXERCISES:
        numbers = list(tasks_of(exercise))
        total += len(numbers)
        marks = "  ".join(f"{'✔' if number in done else '·'} {number}" for number in numbers)
        print(f"Exercise {exercise}   {marks}")
    finished = sum(number in done for exercise in EXERCISES for number in tasks_of(exercise))
    print(f"{finished} of {total} tasks done (kept in {progress_file()})")
