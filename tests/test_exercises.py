"""The exercises are made from their solutions; a solution passes every check, an untouched exercise none."""

import re
import sys

import nbformat
import pytest

from course import ROOT, CourseError
from course.authoring.exercises import EXERCISES, SOLUTIONS, student_version, write_exercises
from tests.support.stored_notebooks import executed

NAMES = sorted(path.name for path in SOLUTIONS.glob("*.ipynb"))


def said(cell):
    return "".join(output["text"] for output in cell.outputs if output.output_type == "stream")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_solution_passes_all_checks(name):
    outcome, notebook = executed(SOLUTIONS / name)
    assert outcome.error is None
    checks = {cell.id: said(cell) for cell in notebook.cells if cell.id.startswith("check-")}
    assert checks
    for cell, text in checks.items():
        number = cell.removeprefix("check-").replace("-", ".")
        assert f"✔ {number}" in text and "✘" not in text, (cell, text)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_untouched_exercise_fails_all_checks_with_their_own_words(name, monkeypatch, tmp_path, capsys):
    """All in this process: nothing is trained in an untouched exercise, so it needs no kernel."""
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.chdir(EXERCISES)
    monkeypatch.setattr(sys, "path", list(sys.path))  # the set-up cell adds to it
    variables, checked = {"__name__": "__main__"}, 0
    for cell in nbformat.read(EXERCISES / name, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        try:
            exec(compile(cell.source, cell.id, "exec"), variables)
        except NotImplementedError as error:
            assert str(error).startswith("Exercise "), cell.id
        output = "".join(capsys.readouterr())
        if cell.id.startswith("check-"):
            checked += 1
            number = cell.id.removeprefix("check-").replace("-", ".")
            assert f"✘ {number} Not done yet: " in output and "✔" not in output, (cell.id, output)
    assert checked >= 4


def test_the_exercises_are_those_of_the_solutions():
    assert [path.relative_to(ROOT) for path in write_exercises()] == [], "run: python -m course exercises"


@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_shows_no_solution(name):
    solution = nbformat.read(SOLUTIONS / name, as_version=4)
    exercise = nbformat.read(EXERCISES / name, as_version=4)
    assert "SOLUTION" not in str(exercise) and not [
        c for c in exercise.cells if "solution" in c.metadata.get("tags", [])
    ]
    assert {cell.id for cell in exercise.cells} <= {cell.id for cell in solution.cells}
    why = [cell.id for cell in solution.cells if cell.id.startswith("why-")]
    tasks = [cell.id for cell in exercise.cells if re.fullmatch(r"task-\d+-\d+", cell.id)]
    assert len(tasks) == len(why) == len([cell.id for cell in exercise.cells if cell.id.startswith("check-")])


def task(source):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id="task-3-1")])


def test_the_signature_and_the_docstring_stay():
    source = (
        'def f(x):\n    """Say."""\n    ### BEGIN SOLUTION\n    y = x\n\n    return y\n    ### END SOLUTION\n\n\nz = 1'
    )
    (cell,) = student_version(task(source)).cells
    title = "cut off the top and pool the feature maps"
    assert (
        cell.source == f'def f(x):\n    """Say."""\n    raise NotImplementedError("Exercise 3.1: {title}")\n\n\nz = 1'
    )


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    return x",
        "### BEGIN SOLUTION\nx = 1",
        "x = 1\n### END SOLUTION",
        "### END SOLUTION\n### BEGIN SOLUTION",
    ],
)
def test_marks_that_do_not_match_are_refused(source):
    with pytest.raises(CourseError, match="task-3-1"):
        student_version(task(source))


def test_a_damaged_solution_is_named(tmp_path):
    (tmp_path / "03_half.ipynb").write_text('{"cells": [')
    with pytest.raises(CourseError, match=r"half.* cannot be read as a notebook"):
        write_exercises(tmp_path, tmp_path / "exercises")
