"""The process in which one submission runs: ``course.grading.sandbox`` starts it, and reads one line for each step.

Student code and checks share this process, because checks call functions of the student with models and arrays. So:

- the results leave through a copy of standard output that student code is not told of, each line with a secret word;
- the tasks are those of the course, taken before any student code runs; what a notebook prints, writes into the file
  of progress, or defines under the name ``check`` counts for nothing;
- after each check, the functions and constants that the checks use must be those of before: who replaces
  ``numpy.allclose`` or an accuracy target does not pass.

What this cannot stop: code that searches the memory of its own process can find the secret word, or the expected
values in the frames of a check, and code that puts back what it replaced is not seen. Such code stands in the
notebook, which can be read.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from types import ModuleType

LONGEST = 2000  # characters of a message
GB = 2**30


def main() -> None:
    """Read the job, one line of JSON, from standard input; run its steps; say what each has shown."""
    channel, watched = os.fdopen(os.dup(1), "w", encoding="utf-8"), os.fdopen(os.dup(0), encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # student code has no input, and whatever it prints goes nowhere
        os.dup2(null, stream)
    job = json.loads(watched.readline())
    threading.Thread(target=end_with_the_parent, args=(watched,), daemon=True).start()
    set_limits(job["memory"])

    def say(**message: object) -> None:
        channel.write(f"{job['secret']} {json.dumps(message)}\n")
        channel.flush()

    with contextlib.suppress(OSError):  # Windows allows no links
        os.symlink(os.path.join(job["root"], "helpers"), "helpers")  # set-up cells look for it
    run_steps(job["exercise"], job["steps"], set(job["skip"]), say)
    os._exit(0)


def end_with_the_parent(watched) -> None:
    """Wait until the parent has gone, and end this process."""
    watched.read()
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
    if os.getpid() == 1:  # in a sandbox: elsewhere the processes of the whole user count
        limits["RLIMIT_NPROC"] = 1000
    for name, value in limits.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (value, value))


def run_steps(exercise: str, steps: list[dict], skip: set[int], say: Callable) -> None:
    """Run the cells of a submission and the checks of its exercise.

    Args:
        exercise: such as "03".
        steps: in order; see ``course.grading.submissions.Step``.
        skip: places of steps that are left out.
        say: called with the place of each step when it begins, and with its status and message when it ends.
    """
    import helpers.checks
    from helpers.checks.answers import judge, tasks_of

    tasks = dict(tasks_of(exercise))
    for name in ("check", "hint", "progress"):  # a student's own calls of them only cost time
        setattr(helpers.checks, name, lambda *_: None)
    run_cell, variables = make_shell()
    before, errors = used_by_checks(), {}
    given: dict[str, object] = {}
    for place, step in enumerate(steps):
        if place in skip:
            continue
        say(begins=place)
        if not step["check"]:
            status, message = "done", run_cell(step["source"])
            errors[step["name"]] = message
        else:
            status, message = run_check(step, {**variables, **given}, tasks, errors, judge)
            changed = [] if status != "solved" else differences(before, used_by_checks())
            if changed:
                status = "forged"
                message = f"While this code ran, it replaced what the checks use: {', '.join(changed[:5])}."
        if step["name"] == "begin":  # a student's own values must not choose the target
            given = {name: variables[name] for name in ("profile", "SEED") if name in variables}
        say(ends=place, status=status, message=message[:LONGEST])


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


def in_one_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"


def run_check(step: Mapping, variables: dict, tasks: Mapping, errors: Mapping, judge: Callable) -> tuple[str, str]:
    """Run the check of a step on what its call ``check("3.1", …)`` names; return a status and a message."""
    number = step["task"]
    answer: tuple[object, ...] = ()

    def keep(_: str, *given: object) -> None:
        nonlocal answer
        answer = given

    try:
        exec(step["source"], {**variables, "check": keep})
        status, message = judge(tasks[number], number, answer)
    except BaseException as error:  # student code may raise SystemExit, too
        status, message = "crashed", in_one_line(error)
    if status == "crashed" and "MemoryError" in message:
        status = "memory limit"
    stopped = errors.get(step["cell"])
    if status != "solved" and stopped:
        message = f"The cell of the task stopped with an error. {stopped}"
    return status, message


def used_by_checks() -> dict[str, object]:
    """Return what the checks use, by name: functions and classes of their modules, and the helpers' constants.

    A method that a class inherits stands under the class, too, and so does a builtin under each module of the helpers:
    whoever defines a name nearer than the true one is seen.
    """
    helpers = [module for name, module in sorted(sys.modules.items()) if name.split(".")[0] == "helpers"]
    used = {id(value): value for module in helpers for value in vars(module).values() if isinstance(value, ModuleType)}
    found: dict[str, object] = {}
    classes = set()
    for module in [*helpers, *used.values(), sys.modules["builtins"]]:
        names = {**vars(sys.modules["builtins"]), **vars(module)} if module in helpers else dict(vars(module))
        for name, value in names.items():
            if isinstance(value, type) and value not in classes:
                classes.add(value)
                found |= {f"{module.__name__}.{name}.{key}": code(item) for key, item in methods(value)}
            if callable(value):
                found[f"{module.__name__}.{name}"] = code(value)
            elif name.isupper() and module in helpers:
                found[f"{module.__name__}.{name}"] = repr(value)
    return found


def methods(kind: type) -> list[tuple[str, object]]:
    """Return what a class has or inherits: methods, and such as properties and class methods."""
    found = {name: item for each in reversed(kind.__mro__) for name, item in list(vars(each).items())}
    return [(name, item) for name, item in found.items() if callable(item) or hasattr(item, "__get__")]


def code(value: object) -> tuple:
    """Return what is different when a function is replaced, or its code or its default values are."""
    return value, *(getattr(value, name, None) for name in ("__code__", "__defaults__", "__kwdefaults__"))


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Return the names that are something else now, or gone."""
    return [name for name, value in before.items() if not same(value, now.get(name))]


def same(value: object, other: object) -> bool:
    """Compare two values of ``used_by_checks``: parts of a function by identity, texts by their letters."""
    if isinstance(value, tuple) and isinstance(other, tuple):
        return all(part is other_part for part, other_part in zip(value, other, strict=True))
    return value == other


if __name__ == "__main__":
    main()
