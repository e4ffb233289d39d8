"""The process in which the checks run that need plain answers only; no student's code ever runs in it.

``course.grading.sandbox`` starts one beside each submission. A check calls the student's functions, which run in the
process of the submission (``course.grading.worker``); arguments and answers cross as plain data. So the expected
values, the labels and the targets are where the student's code is not, and the verdict is given where it is not.
"""

from __future__ import annotations

import json
import os
from typing import Any

from course.grading.talk import LONGEST, Talk
from helpers.checks.faults import in_one_line

# Tasks whose answers are numbers, texts, arrays, tables, or functions of such. All others need models or layers.
APART = frozenset(
    f"{exercise}.{task}"
    for exercise, tasks in {
        1: "1245",
        2: "245",
        3: "56",
        4: "15",
        6: "3",
        8: "123456",
        9: "135",
        10: "235",
        11: "2",
        13: "12345",
        14: "145",
    }.items()
    for task in tasks
)


class Names(dict):
    """The names of a check's call: the course's own, and for each other one a function of the submission."""

    def __init__(self, talk: Talk, own: dict) -> None:
        super().__init__(own)
        self.talk = talk

    def __missing__(self, name: str) -> Any:
        return self.talk.far(name)


def main() -> None:
    """Read the job, one line of JSON, from standard input; then judge one task for each line that follows."""
    from course.grading.worker import set_limits

    lines, channel = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)

    def receive() -> dict:
        line = lines.readline()
        if not line:  # the parent has gone
            os._exit(1)
        return json.loads(line)

    job = receive()
    set_limits(job["memory"])

    def say(message: dict, word: str = "secret") -> None:
        channel.write(f"{job[word]} {json.dumps(message)}\n")
        channel.flush()

    prepare(job["exercise"])
    say({"ready": True})
    while True:
        step = receive()
        if "task" in step:  # else the rest of a talk that has ended
            status, message = judge_apart(
                step["task"], step["source"], lambda each: say(each, "talk"), lambda: receive()["talk"]
            )
            say({"verdict": status, "message": message[:LONGEST]})


def prepare(exercise: str) -> None:
    """Load the tasks of an exercise, and judge as for marks from now on."""
    import helpers.checks.images
    from helpers.checks.answers import tasks_of

    helpers.checks.images.GRADING = True
    tasks_of(exercise)


def judge_apart(number: str, source: str, send, receive) -> tuple[str, str]:
    """Run the check of a task on functions of the submission; return a status and a message.

    Args:
        number: of the task, such as "8.1".
        source: the check's cell, the course's own: ``check("8.1", learning_rates)``.
        send, receive: to and from the submission; see ``Talk``.
    """
    from helpers.checks.answers import find_task, judge
    from helpers.profiles import find_profile

    answer: tuple = ()

    def keep(_: str, *given: object) -> None:
        nonlocal answer
        answer = given

    talk = Talk(send, receive, named=lambda name: None)
    task = find_task(number)
    try:
        exec(source, {}, Names(talk, {"check": keep, "profile": find_profile("auto"), "SEED": 0}))
        status, message = judge(task, number, answer)
    except BaseException as error:
        return "crashed", in_one_line(error)
    if talk.not_plain:
        return "crashed", talk.not_plain
    if status == "crashed" and talk.failed:
        message = f"Your code for “{task.title}” stopped with an error. {talk.failed}"
        status = "memory limit" if "MemoryError" in talk.failed else status
    return status, message


if __name__ == "__main__":
    main()
