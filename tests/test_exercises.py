"""The exercises are made from their solutions; a solution passes every check, an untouched exercise none."""

import re
from pathlib import Path

import nbformat
import pytest

from course import CourseError
from course.exercises import EXERCISES, ROOT, SOLUTIONS, student_version, write_exercises

NAMES = sorted(path.name for path in SOLUTIONS.glob("*.ipynb"))


def executed(path: Path, monkeypatch, tmp_path):
    """Run a notebook to its end, whatever its cells raise."""
    from nbclient import NotebookClient

    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, kernel_name="python3", allow_errors=True, resources=resources, timeout=300).execute()
    return notebook


def said(cell):
    return "".join(output["text"] for output in cell.outputs if output.output_type == "stream")


def errors(notebook):
    return [
        output.ename
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]


def checks(notebook):
    found = {cell.id: said(cell) for cell in notebook.cells if cell.id.startswith("check-")}
    assert found
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_solution_passes_all_checks(name, monkeypatch, tmp_path):
    notebook = executed(SOLUTIONS / name, monkeypatch, tmp_path)
    assert errors(notebook) == []
    for cell, text in checks(notebook).items():
        number = cell.removeprefix("check-").replace("-", ".")
        assert f"✔ {number}" in text and "✘" not in text, (cell, text)


@pytest.mark.parametrize("name", NAMES)
def test_every_untouched_exercise_fails_all_checks_with_their_own_words(name, monkeypatch, tmp_path):
    notebook = executed(EXERCISES / name, monkeypatch, tmp_path)
    assert set(errors(notebook)) <= {"NotImplementedError"}
    for cell, text in checks(notebook).items():
        number = cell.removeprefix("check-").replace("-", ".")
        assert f"✘ {number} Not done yet: " in text and "✔" not in text, (cell, text)


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
