"""Grading: the table is right for each kind of submission, and none of them reaches what is not its own."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from course.authoring.exercises import EXERCISES, SOLUTIONS
from course.grading import grade as grading
from course.grading import sandbox
from course.grading.grade import GradingError, Limits, grade
from course.grading.kept import Graded
from course.grading.sandbox import ISOLATED, Attempt, NotStartedError, SandboxError, sandbox_problem
from course.grading.submissions import find_submissions, read_notebook, steps_of
from course.run.lessons import NOTEBOOKS

NAME = "08_hyperparameters.ipynb"  # its checks are quick
LIMITS = Limits(minutes=30, step_seconds=300, memory=2)  # no time that a step needs on a busy machine
needs_a_sandbox = pytest.mark.skipif(
    sandbox_problem() is not None, reason=f"submissions cannot be kept apart: {sandbox_problem()}"
)

RIGHT_1 = "def learning_rates(low, high, count):\n    return np.geomspace(low, high, count)"
WRONG_1 = RIGHT_1.replace("geomspace", "linspace")
RIGHT_2 = (
    "from itertools import product\ndef make_grid(values):\n    return as_dicts(values, product(*values.values()))"
)
ADDED_2 = "%matplotlib inline\ndef as_dicts(values, points):\n    return [dict(zip(values, point)) for point in points]"
RIGHT_5 = (
    "def tune(settings, score):\n    best = max(settings, key=lambda s: score(s, 'validation'))\n"
    "    return best, score(best, 'test')"
)
VANDAL = """
def learning_rates(low, high, count):
    import os, pathlib, shutil, socket, subprocess, sys
    seen = []
    for folder in FOLDERS:  # the submissions, the course, the home folder, the folder of this test
        files = [path for path in pathlib.Path(folder).glob("**/*") if path.suffix in (".ipynb", ".victim")]
        seen += [str(path) for path in files if "site-packages" not in path.parts]  # Python may lie in the course
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(pathlib.Path.cwd().parent, ignore_errors=True)
    shutil.rmtree(pathlib.Path.home(), ignore_errors=True)
    processes = [path for path in pathlib.Path("/proc").glob("[0-9]*") if "pytest" in (path / "cmdline").read_text()]
    try:
        socket.create_connection((HOST, PORT), timeout=2)
        network = "connected"
    except OSError:
        network = "no network"
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)  # " + MARK], start_new_session=True)
    sys.stdout.write("flood " * 10**7)
    assert not any("SECRET" in name for name in os.environ)
    raise RuntimeError(f"seen {seen} {processes} {network}")
"""
FORGER_1 = """
import helpers.checks.exercise_08 as checks, helpers.checks.answers as answers, json, os
np.allclose = lambda *_, **__: True
checks.expect = lambda *_: None
def learning_rates(low, high, count):
    return np.linspace(low, high, count)
print("✔ 8.1")
"""
FORGER_2 = """
from helpers.checks.task import Task
checks.TASKS["8.2"] = Task("", lambda *_: "✔", ("", "", ""))
answers.judge = answers.check = check = lambda *_: ("solved", "✔")
open(os.environ["COURSE_PROGRESS"], "w").write(json.dumps({"done": ["8.1", "8.2", "8.3", "8.4", "8.5", "8.6"]}))
for place in range(40):
    for number in range(3, 12):
        try: os.write(number, f'x {{"ends": {place}, "status": "solved", "message": ""}}\\n'.encode())
        except OSError: pass
def make_grid(values):
    return []
"""
EATER = """
def make_grid(values):
    parts = []
    while True:
        parts.append(np.ones(2 * 10**7))
"""
FORGER_3 = """
import helpers.checks.exercise_08 as checks
checks.abs = lambda *_: 0.0  # in the place of the builtin
def learning_rates(low, high, count):
    return np.geomspace(low, high, count)
"""
LOOP = "def learning_rates(low, high, count):\n    while True:\n        try: pass\n        except BaseException: pass"
FAILS = "def tune(settings, score):\n    raise ValueError('\\ud800 is no letter')"
LEAVES = "import os\ndef choose(table):\n    os._exit(0)"


def exercise(**answers):
    """Return the exercise with these answers, such as ``task_8_1="def …"``; ``added_8_1`` stands before it."""
    notebook = nbformat.read(EXERCISES / NAME, as_version=4)
    cells = []
    for cell in notebook.cells:
        name = cell.id.replace("-", "_")
        if name.replace("task", "added") in answers and name.startswith("task") and not name.endswith("text"):
            cells.append(nbformat.v4.new_code_cell(answers[name.replace("task", "added")]))
        cell.source = answers.get(name, cell.source)
        cells.append(cell)
    notebook.cells = cells
    return notebook


def hand_in(path: Path, **answers):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(exercise(**answers), path)


def contents(folder: Path):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def still_running(text: str) -> bool:
    return any(
        text in path.read_text(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.parent.name != str(os.getpid()) and path.exists()
    )


@pytest.mark.slow
@needs_a_sandbox
def test_the_table_is_right_for_each_kind(tmp_path, monkeypatch):
    import socket

    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.victim").write_text("three years of work")
    folder, mark = tmp_path / "handed in", f"left-behind-{os.getpid()}"
    folders = [str(path) for path in (folder, EXERCISES.parent, tmp_path / "home", tmp_path)]
    facts = f"FOLDERS, HOST, PORT, MARK = {folders!r}, '127.0.0.1', {server.getsockname()[1]}, {mark!r}\n"
    hand_in(folder / "abe" / NAME, task_8_2=EATER, task_8_5=RIGHT_5)
    hand_in(folder / f"ann_{NAME}", task_8_1=RIGHT_1, added_8_2=ADDED_2, task_8_2=RIGHT_2, task_8_5=RIGHT_5)
    hand_in(folder / "ben" / NAME, task_8_1=WRONG_1, task_8_2="def make_grid(:", task_8_3=LEAVES, task_8_5=FAILS)
    hand_in(folder / "dan" / "any" / "name.ipynb", task_8_1=facts + VANDAL, task_8_5=RIGHT_5)
    hand_in(folder / "eva" / NAME, task_8_1=FORGER_1, task_8_2=FORGER_2)
    hand_in(folder / "=gil" / NAME, task_8_1=FORGER_3)
    (folder / "ben" / "notes.txt").write_text("no notebook")
    (folder / "fay.ipynb").write_text("{half a notebook")
    before, repository = contents(tmp_path), contents(EXERCISES)

    table, kept_apart = grade(folder, tmp_path / "grades", 2, LIMITS)

    assert kept_apart == ISOLATED
    assert table.columns.tolist() == ["solved", "8.1", "8.2", "8.3", "8.4", "8.5", "8.6"]
    assert {student: row.tolist() for student, row in table.iterrows()} == {
        "=gil": [1, "✔", "–", "–", "–", "–", "–"],  # what it forged, the check does not use
        "abe": [1, "–", "memory limit", "–", "–", "✔", "–"],
        "ann": [3, "✔", "✔", "–", "–", "✔", "–"],
        "ben": [0, "✘", "crashed", "crashed", "–", "crashed", "–"],
        "dan": [1, "crashed", "–", "–", "–", "✔", "–"],
        "eva": [0, "✘", "✘", "–", "–", "–", "–"],
        "fay": ["not graded", "", "", "", "", "", ""],
    }
    page = (tmp_path / "grades" / "grades.html").read_text(encoding="utf-8")
    assert "seen [] [] no network" in page
    assert "is no letter" in page
    assert "ben/notes.txt: It is not a notebook." in page and "Is the file complete?" in page
    grades = (tmp_path / "grades" / "grades.csv").read_text(encoding="utf-8-sig")
    assert grades.startswith("student,solved,8.1,") and "\n'=gil," in grades  # for a spreadsheet no formula
    assert not still_running(mark)
    assert {path: digest for path, digest in contents(tmp_path).items() if "grades" not in path.parts} == before
    assert contents(EXERCISES) == repository
    assert {path.name for path in (tmp_path / "grades").iterdir()} == {"grades.csv", "grades.html", "kept", "students"}


@pytest.mark.slow
@needs_a_sandbox
def test_an_endless_loop_is_stopped_and_the_rest_counts(tmp_path):
    hand_in(tmp_path / "in" / "abe" / NAME, task_8_1=LOOP, task_8_3=LEAVES, task_8_5=RIGHT_5)
    table, _ = grade(tmp_path / "in", tmp_path / "out", 1, LIMITS._replace(step_seconds=10))
    assert table.loc["abe"].tolist() == [1, "time limit", "–", "crashed", "–", "✔", "–"]
    assert "10 s are allowed" in (tmp_path / "out" / "grades.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_without_a_sandbox_it_must_be_asked_for_and_says_so(tmp_path, monkeypatch):
    mark = f"left-behind-{os.getpid()}"
    child = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)  # "
    leaves = f"{child}{mark}'], start_new_session=True)\n{RIGHT_1}"
    hand_in(tmp_path / "in" / "ann.ipynb", task_8_1=leaves)
    monkeypatch.setattr(sandbox, "sandbox_problem", lambda: "it has no unshare")
    with pytest.raises(SandboxError, match=r"it has no unshare.*--unprotected"):
        grade(tmp_path / "in", tmp_path / "out", 1, LIMITS)
    assert not (tmp_path / "out").exists()
    table, kept_apart = grade(tmp_path / "in", tmp_path / "out", 1, LIMITS, unprotected=True)
    assert table.loc["ann", "8.1"] == "✔" and "NOT isolated" in kept_apart
    assert "NOT isolated" in (tmp_path / "out" / "grades.html").read_text(encoding="utf-8")
    assert not still_running(mark)


def steps(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return {step["name"]: step["source"] for step in steps_of(cells, NAME)}


def test_checks_and_set_up_are_the_courses_own():
    handed_in = exercise(check_8_1='print("✔ 8.1")', parameters='PROFILE = "easy"', task_8_1=RIGHT_1)
    handed_in.cells = [cell for cell in handed_in.cells if cell.id not in ("check-8-2", "task-8-2")]
    found, own = steps(handed_in), steps(exercise())
    assert found == own | {"task-8-1": RIGHT_1}


@pytest.mark.parametrize("lost", ["ids", "ids and metadata"])
def test_cells_are_found_without_their_ids(lost):
    handed_in = exercise(task_8_1=RIGHT_1, task_8_4="%time\ndef real_difference(a, b):\n    return True")
    expected = steps(handed_in)
    for number, cell in enumerate(handed_in.cells):
        cell.id = f"cell{number}"
        cell.metadata = {} if lost == "ids and metadata" else cell.metadata
    assert steps(handed_in) == expected


def test_the_exercise_is_recognised_by_its_tasks_not_by_its_name(tmp_path):
    hand_in(tmp_path / "my work.ipynb")
    assert read_notebook(tmp_path / "my work.ipynb")[0] == NAME


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ipynb", b"", "cannot be read"),
        ("a.ipynb", b"\xff\x00", "cannot be read"),
        ("a.ipynb", b"[" * 10**6, "cannot be read"),
        ("a.ipynb", b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "no exercise"),
        ("a.pdf", b"", "not a notebook"),
    ],
)
def test_what_is_no_exercise_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_notebook(tmp_path / name)
    with pytest.raises(GradingError, match=message):
        grade(tmp_path, tmp_path / "out", 1, LIMITS)


def test_links_are_not_followed_and_two_notebooks_of_an_exercise_are_refused(tmp_path):
    hand_in(tmp_path / "ann" / "first.ipynb")
    hand_in(tmp_path / "ann" / "second.ipynb")
    hand_in(tmp_path / "ben" / NAME)
    (tmp_path / "cem").mkdir()
    (tmp_path / "cem" / NAME).symlink_to(tmp_path / "ben" / NAME)
    submissions, unread = find_submissions(tmp_path)
    assert [submission.student for submission in submissions] == ["ben"]
    assert [each.student for each in unread] == ["ann", "ann", "cem"]
    assert "several notebooks" in unread[0].reason and "links" in unread[2].reason


def test_a_students_whole_course_folder_is_understood(tmp_path):
    hand_in(tmp_path / "ann" / "exercises" / NAME)
    (tmp_path / "ann" / "notebooks").mkdir()
    shutil.copy(NOTEBOOKS / NAME, tmp_path / "ann" / "notebooks")
    submissions, (unread,) = find_submissions(tmp_path)
    assert [submission.file for submission in submissions] == [f"ann/exercises/{NAME}"]
    assert unread.reason == f"It is lesson 08, not exercise 08: hand in exercises/{NAME}."


def test_a_second_copy_is_of_the_same_student(tmp_path):
    stem = Path(NAME).stem
    for name in (
        f"ann_{stem}",
        f"ann_{stem}-1",
        f"ann_{stem} (1)",
        f"ann_{stem}-Copy1",
        f"ann_Copy of {stem}",
        f"ann_Copy_of_{stem}",
        f"team-1_{stem}",
        f"team-2_{stem}",
    ):
        hand_in(tmp_path / f"{name}.ipynb")
    submissions, unread = find_submissions(tmp_path)
    assert [submission.student for submission in submissions] == ["team-1", "team-2"]
    assert [each.student for each in unread] == 6 * ["ann"] and "several notebooks" in unread[0].reason


def test_what_was_graded_before_an_interrupt_is_kept(tmp_path, monkeypatch):
    for student in ("ann", "ben"):
        hand_in(tmp_path / "in" / student / NAME)

    def run_all(submissions, *_):
        yield submissions[0], Graded(*submissions[0][:3], {"8.1": ("solved", "✔")}, [], 1.0, 0.1, 2.0, "not apart")
        raise KeyboardInterrupt

    monkeypatch.setattr("course.grading.grade.run_all", run_all)
    with pytest.raises(GradingError, match="1 of 2 notebooks were not graded"):
        grade(tmp_path / "in", tmp_path / "out", 1, LIMITS, unprotected=True)
    assert "ann,1,✔\nben,not graded,\n" in (tmp_path / "out" / "grades.csv").read_text(encoding="utf-8-sig")
    assert "It was not graded" in (tmp_path / "out" / "grades.html").read_text(encoding="utf-8")


@needs_a_sandbox
def test_a_folder_that_submissions_would_see_is_refused(tmp_path, monkeypatch):
    hand_in(tmp_path / "in" / "ann" / NAME)
    monkeypatch.setenv("COURSE_BUNDLE", str(tmp_path))
    with pytest.raises(GradingError, match="Move it to another place"):
        grade(tmp_path / "in", tmp_path / "out", 1, LIMITS)


def test_a_folder_that_is_missing_is_named(tmp_path):
    command = [sys.executable, "-m", "course", "grade", str(tmp_path / "missing")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=SOLUTIONS.parent, timeout=300)
    assert result.returncode == 2 and "There is no folder" in result.stderr and "Traceback" not in result.stderr


def test_grades_do_not_lie_among_the_submissions(tmp_path):
    hand_in(tmp_path / "in" / "ann" / NAME)
    for output in (tmp_path / "in", tmp_path / "in" / "grades"):
        with pytest.raises(GradingError, match="Name another one: --output"):
            grade(tmp_path / "in", output, 1, LIMITS, unprotected=True)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["ann"]


def test_where_the_course_does_not_start_the_student_has_made_no_mistake(tmp_path, monkeypatch):
    hand_in(tmp_path / "in" / "ann" / NAME, task_8_1=RIGHT_1)
    (submission,), _ = find_submissions(tmp_path / "in")
    said = [{"ends": 0, "status": "", "message": "MissingSourceError: there is no bundle"}]
    monkeypatch.setattr(grading, "run_sandboxed", lambda *_: Attempt(said, None, "", 0, 1.0))
    assert submission.steps[0]["own"]
    with pytest.raises(NotStartedError, match="there is no bundle"):
        grading.grade_one(submission, LIMITS, unprotected=True)
    said[0]["ends"] = next(place for place, step in enumerate(submission.steps) if not step["own"])
    assert grading.grade_one(submission, LIMITS, unprotected=True).student == "ann"


def test_a_very_long_name_has_a_page(tmp_path):
    names = ["\u738b" * 80 + end for end in "ab"]
    pages = {grading.page_of(name) for name in names}
    assert len(pages) == 2
    for page in pages:
        (tmp_path / f".{page}-1234567-123456789012345").touch()
    assert grading.page_of("ann") == "ann.html"
