"""The process in which one submission runs: ``course.grading.sandbox`` starts it, and reads one line for each step.

Checks that need plain answers only run in another process, ``course.grading.judge``, which calls the student's
functions here; nothing that this process says about those tasks counts. Other checks call functions of the student
with models and layers, so they share this process with the student's code. For those:

- the results leave through a copy of standard output that student code is not told of, each line with a secret word;
- the tasks are those of the course, taken before any student code runs; what a notebook prints, writes into the file
  of progress, or defines under the name ``check`` counts for nothing;
- ``course.grading.guard`` sees what a forger does: it looks at what the checks use each time that the student's code
  comes to its end, and makes answers plain before a check sees them.

What this cannot stop, for these tasks: code that reaches memory through a library written in C. It stands in the
notebook, which can be read.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping

from course.grading.guard import Snapshot, Strict, Watch
from course.grading.judge import APART
from course.grading.talk import LONGEST, Talk
from helpers.checks.faults import in_one_line

globals()["__builtins__"] = dict(
    vars(builtins)
)  # what is defined below keeps these, whatever becomes of the module builtins
GB = 2**30
OPEN_FILES = 256
LONGEST_LINE = 2**25  # bytes that a submission can send at once
LARGE = "The answer is larger than 32 MB."
TOO_LONG = json.dumps({"error": ["ValueError", LARGE, LARGE]})
OWN = ("setup", "parameters", "begin")  # cells with the course's own text, before any of the student


def main() -> None:
    """Read the job, one line of JSON, from standard input; run its steps; say what each has shown."""
    channel, watched = os.dup(1), os.fdopen(os.dup(0), encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # student code has no input, and whatever it prints goes nowhere
        os.dup2(null, stream)
    job = json.loads(watched.readline())
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=hear_the_parent, args=(watched, heard), daemon=True).start()
    set_limits(job["memory"])
    with contextlib.suppress(OSError):  # Windows allows no links
        os.symlink(os.path.join(job["root"], "helpers"), "helpers")  # set-up cells look for it
    steps, skip, exercise = job["steps"], set(job["skip"]), job["exercise"]
    say, send = make_voices(channel, job.pop("secret"), job.pop("talk"))
    hide_the_course()
    run_steps(exercise, steps, skip, say, send, lambda: json.loads(heard.get()))
    os._exit(0)


def hide_the_course() -> None:
    """Take the modules of ``course`` out of Python's list: who imports them gets others, which do nothing here."""
    for name in [name for name in sys.modules if name.split(".")[0] == "course"]:
        del sys.modules[name]


def make_voices(channel: int, secret: str, talk: str) -> tuple[Callable, Callable]:
    """Return what says how far the steps are, and what sends a message of a talk.

    They have secret words of their own: what a message of a talk says, a student may choose. The first uses nothing
    that a student's code can replace.
    """
    from _json import encode_basestring_ascii as quoted

    write, whole = os.write, memoryview

    def put(text: str) -> None:
        data = whole(text.encode())
        while data:
            data = data[write(channel, data) :]

    def say(**message: int | str) -> None:
        parts = [
            f"{quoted(key)}: {quoted(value) if isinstance(value, str) else value}" for key, value in message.items()
        ]
        put(f"{secret} {{{', '.join(parts)}}}\n")

    def send(message: dict) -> None:
        text = json.dumps(message)
        put(f"{talk} {text if len(text) < LONGEST_LINE - 100 else TOO_LONG}\n")

    return say, send


def hear_the_parent(watched, heard: queue.SimpleQueue) -> None:
    """Put what the parent says into a queue; when it has gone, end this process."""
    for line in watched:
        heard.put(line)
    os._exit(1)


def set_limits(memory: float) -> None:
    """Limit what this process and its children may take, where the system knows how; they cannot raise it again.

    Args:
        memory: GB that the submission may use. The parent watches over it; the limit here is twice as high, against
            code that takes very much at once.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {"RLIMIT_DATA": int(2 * memory * GB), "RLIMIT_FSIZE": GB, "RLIMIT_CORE": 0}
    limits["RLIMIT_NOFILE"] = OPEN_FILES  # each could hold memory that is in no process
    if os.getpid() == 1:  # in a sandbox: elsewhere the processes of the whole user count
        limits["RLIMIT_NPROC"] = 1000
    for name, value in limits.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (value, value))


def run_steps(
    exercise: str, steps: list[dict], skip: set[int], say: Callable, send: Callable, receive: Callable
) -> None:
    """Run the cells of a submission and the checks of its exercise.

    Args:
        exercise: such as "03".
        steps: in order; see ``course.grading.submissions.Step``.
        skip: places of steps that are left out.
        say: called when all is loaded, with the place of each step when it begins, and with its status and message
            when it ends.
        send, receive: to and from the judge; see ``course.grading.talk``.
    """
    import helpers.checks
    import helpers.checks.images
    from helpers.checks.answers import judge, tasks_of

    tasks = dict(tasks_of(exercise))
    helpers.checks.images.GRADING = True
    for name in ("check", "hint", "progress"):  # a student's own calls of them only cost time
        setattr(helpers.checks, name, lambda *_: None)
    run_cell, variables = make_shell()
    guard, errors = Guard(), {}
    given: dict[str, object] = {}
    talk = Talk(send, receive, lambda name: variables[name] if name in variables else missing(name))
    say(ready=1)
    for place, step in enumerate(steps):
        if step["name"] not in OWN:
            guard.begin()
        if place in skip:
            continue
        say(begins=place)
        if not step["check"]:
            status, message = "done", run_cell(step["source"])
            errors[step["name"]] = message
        elif step["task"] in APART:
            say(judge=place, stopped=errors.get(step["cell"], "")[:LONGEST])
            while "done" not in (heard := receive()):
                talk.answer(heard)
            status, message = "judged", ""
        else:
            status, message = run_check(step, {**variables, **given}, tasks, errors, judge, guard)
        if step["name"] == "begin":  # a student's own values must not choose the target
            given = {name: variables[name] for name in ("profile", "SEED") if name in variables}
        say(ends=place, status=status, message=message[:LONGEST])


def missing(name: str) -> None:
    """Raise the error of a name that is not defined."""
    raise NameError(f"name {name!r} is not defined")


class Guard:
    """Says whether marks can be trusted; see ``course.grading.guard``."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.snapshot: Snapshot | None = None
        self.found: list[str] = []

    def begin(self) -> None:
        """Take what is there for true, once, before any of the student's code runs."""
        if self.snapshot is None:
            self.snapshot = Snapshot()
            self.watch.begin()

    def look(self) -> list[str]:
        """Return names of what was replaced, or asked for, until now."""
        if self.snapshot is not None and not self.found:
            self.found = [*self.watch.seen, *self.snapshot.changed(), *self.watch.threads()]
        return self.found


def make_shell() -> tuple[Callable[[str], str], dict]:
    """Return a function that runs a cell as Jupyter does, magics included, and the dict of the cell's variables.

    The function returns the cell's error in one line, or nothing.
    """
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        def enable_gui(self, gui=None):
            """Do nothing, for ``%matplotlib``: there is no window."""

    config = Config()
    config.HistoryManager.enabled = False
    shell = Shell.instance(config=config)

    def run_cell(source: str) -> str:
        result = shell.run_cell(source)
        error = result.error_before_exec or result.error_in_exec
        return "" if error is None else in_one_line(error)

    return run_cell, shell.user_ns


def run_check(
    step: Mapping, variables: dict, tasks: Mapping, errors: Mapping, judge: Callable, guard: Guard
) -> tuple[str, str]:
    """Run the check of a step on what its call ``check("3.1", …)`` names; return a status and a message."""
    number = step["task"]
    answer: tuple[object, ...] = ()

    def keep(_: str, *given: object) -> None:
        nonlocal answer
        answer = given

    try:
        guard.look()
        exec(step["source"], {**variables, "check": keep})
        strict = Strict(guard.look)
        status, message = judge(tasks[number], number, tuple(strict.plain(each) for each in answer))
        status, message = str(status), str(message)
    except BaseException as error:  # student code may raise SystemExit, too
        status, message = "crashed", in_one_line(error)
    forged = guard.look()
    if status == "solved" and forged:
        return "forged", f"This code replaced what the checks use, or looked into them: {', '.join(forged[:5])}."
    if status == "crashed" and "MemoryError" in message:
        status = "memory limit"
    stopped = errors.get(step["cell"])
    if status != "solved" and stopped:
        message = f"The cell of the task stopped with an error. {stopped}"
    return status, message


if __name__ == "__main__":
    main()
