"""``check``, ``hint`` and ``progress``: what the exercises call."""

from __future__ import annotations

import _thread
import contextlib
import importlib
import inspect
import io
import re
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple, TextIO

from helpers.checks.faults import first_line, is_of_library, where
from helpers.checks.progress import mark_done, progress_file, read_done
from helpers.checks.quiz import quizzes, read_quiz, task_of
from helpers.checks.task import Task, Wrong

EXERCISES = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15", "16", "17", "18")
SIGN_OF_LIFE = 20.0  # seconds until a check says that it is still working; then it says so after twice as long, ...
LIMIT = 300.0  # seconds that a check may take
LIMIT_OF_TRAINING = 3600.0  # the same for the tasks that train to reach a target
_PRINTED = 8  # lines of what an answer prints that are shown
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

    - Whatever the answer raises, ``SystemExit`` too, becomes a ✘; only the reader's own interrupt goes through.
    - After 20 seconds, and again each time that this time has doubled, a line says that the check is still working.
      After 5 minutes (1 hour in the tasks that train to reach a target) it is stopped, and gets a ✘.
    - What the answer prints comes before the verdict, each line once, behind a "|", with "?" in the place of ✔ and ✘.
    - ✘ goes to the error stream: notebooks show it in another colour, and nbgrader gives no points for it. Both streams
      are flushed at each verdict, so that the verdicts of one cell come in the order of its checks.

    Args:
        number: of the task, such as "3.2".
        answer: what the task asks for: a function; in the tasks with a target then the profile and the seed.

    Raises:
        UnknownTaskError: there is no such task.
        KeyboardInterrupt: the reader has stopped the check.
    """
    task = find_task(number)
    printed = io.StringIO()
    stdout = sys.stdout
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            status, message = _judge_in_time(task, number, answer, stdout)
    finally:
        _show_printed(printed.getvalue())
    if status == "solved":
        mark_done(number)
        print(f"✔ {number} {message}", flush=True)
    else:
        print(f'✘ {number} {message} (Stuck? hint("{number}"))', file=sys.stderr, flush=True)


def _show_printed(text: str) -> None:
    """Print each line of what an answer has printed once, so that none looks like a verdict."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x08", "", text)  # colours and steps back, of progress bars
    lines = [line.rstrip() for line in text.translate({ord("✔"): "?", ord("✘"): "?"}).splitlines()]
    lines = list(dict.fromkeys(line for line in lines if line))
    for line in lines[:_PRINTED]:
        print(f"| {line}")
    if len(lines) > _PRINTED:
        print(f"| (and {len(lines) - _PRINTED} more lines that your code printed)")
    sys.stdout.flush()
    sys.stderr.flush()


@contextlib.contextmanager
def _interrupts_heard() -> Iterator[None]:
    """Let an interrupt raise KeyboardInterrupt, also where it is ignored: in a program started in the background."""
    before = signal.getsignal(signal.SIGINT)
    if callable(before):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN if before is None else before)


def _judge_in_time(task: Task, number: str, answer: tuple, stdout: TextIO) -> Verdict:
    """Run the check of a task, with signs of life on ``stdout`` and a limit.

    The limit works as the reader's own interrupt does, between two steps of Python, in the main thread.
    """
    limit = LIMIT_OF_TRAINING if len(answer) > 1 else LIMIT
    done, late = threading.Event(), threading.Event()
    may_stop = threading.current_thread() is threading.main_thread()

    def watch() -> None:
        begun, wait = time.monotonic(), SIGN_OF_LIFE
        while wait < limit:
            if done.wait(begun + wait - time.monotonic()):
                return
            print(
                f"… {number}: still working after {wait:.0f} seconds; the limit is {limit:.0f}.",
                file=stdout,
                flush=True,
            )
            wait *= 2
        while may_stop and not done.wait(1.0 if late.is_set() else begun + limit - time.monotonic()):
            late.set()
            _thread.interrupt_main()  # again and again: the answer may catch it

    watcher = threading.Thread(target=watch, daemon=True)
    try:
        with _interrupts_heard() if may_stop else contextlib.nullcontext():
            watcher.start()
            try:
                verdict = judge(task, number, answer)
            finally:
                done.set()
            watcher.join()  # an interrupt that it sent at the last moment arrives here
    except KeyboardInterrupt:
        done.set()
        if not late.is_set():
            raise
        with contextlib.suppress(KeyboardInterrupt):  # one that was under way
            watcher.join()
    if late.is_set():
        message = f"Your code for “{task.title}” was stopped after {limit:.0f} seconds. Is there a loop without an end?"
        return Verdict("crashed", message)
    return verdict


def judge(task: Task, number: str, answer: tuple) -> Verdict:
    """Run the check of a task on an answer. Whatever the answer raises is a verdict, but for ``KeyboardInterrupt``."""
    try:
        _expect_function(task, number, answer)
        return Verdict("solved", task.check(*answer))
    except Wrong as wrong:
        return Verdict("wrong", str(wrong))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the learner's code raises, sys.exit too
        return _explain(error, number, task)


def _expect_function(task: Task, number: str, answer: tuple) -> None:
    """Raise ``Wrong`` unless ``check`` was given what the task's check takes, a function first."""
    parameters = inspect.signature(task.check).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
    call = f'check("{number}", {", ".join(names)})'
    try:
        inspect.signature(task.check).bind(*answer)
    except TypeError:
        given = f"{len(answer)} thing{'' if len(answer) == 1 else 's'}" if answer else "nothing"
        raise Wrong(f"check was given {given} after the number. Give your function: {call}.") from None
    if not callable(answer[0]):
        given = "None" if answer[0] is None else f"a value of the type {type(answer[0]).__name__}"
        raise Wrong(f"check was given {given}, not a function. Give your function, without brackets: {call}.")


def _explain(error: BaseException, number: str, task: Task) -> Verdict:
    """Say what stopped the code of a task: it is not done yet, it needs another task, or it has an error."""
    if isinstance(error, NotImplementedError) and first_line(error).startswith(f"Exercise {number}:"):
        message = f"Not done yet: {task.title}. Put your code in the place of the line that raises NotImplementedError."
        return Verdict("untouched", message)
    if isinstance(error, NotImplementedError) and first_line(error).startswith("Exercise "):
        return Verdict("wrong", f"Your code uses another task, which is not done yet. {first_line(error)}")
    if isinstance(error, SystemExit):
        return Verdict("crashed", f"Your code for “{task.title}” ends Python: {where(error)}. Use return instead.")
    frames = traceback.extract_tb(error.__traceback__)
    of_check = bool(frames) and all(map(is_of_library, frames))
    if (
        of_check
        and isinstance(error, TypeError)
        and re.search(r"\(\) (takes|missing|got) .*argument", first_line(error))
    ):
        return Verdict(
            "crashed",
            f"Your function does not take the arguments of the task: {first_line(error)}. Write the line with def as "
            "it was in the exercise.",
        )
    if of_check:
        return Verdict(
            "crashed",
            f"The check cannot use what your code for “{task.title}” returns: {where(error)}. Compare its type, shape "
            "and length with what the task asks for.",
        )
    return Verdict("crashed", f"Your code for “{task.title}” stopped with an error. {where(error)}")


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
    """Print which tasks of all exercises, and which questions of all quizzes, are done."""
    rows = {f"Exercise {exercise}": {number: number for number in tasks_of(exercise)} for exercise in EXERCISES}
    for number, path in quizzes().items():
        places = range(1, len(read_quiz(path)) + 1)
        rows[f"Quiz {number}"] = {str(place): task_of(number, place) for place in places}
    done = read_done()
    for title, tasks in rows.items():
        print(f"{title:<14}" + "  ".join(f"{'✔' if name in done else '·'} {shown}" for shown, name in tasks.items()))
    names = [name for tasks in rows.values() for name in tasks.values()]
    print(f"{sum(name in done for name in names)} of {len(names)} tasks and questions done (kept in {progress_file()})")
