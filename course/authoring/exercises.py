"""Write the exercises from their solutions, the only source.

A solution is an ordinary notebook. ``student_version`` turns it into the exercise:

- code between ``### BEGIN SOLUTION`` and ``### END SOLUTION`` (nbgrader's marks) becomes a line that raises
  ``NotImplementedError``; the signature and the docstring before it stay;
- cells with the tag "solution" are left out;
- the cells ``task-3-2`` and ``check-3-2`` carry nbgrader's metadata, so that nbgrader can use both notebooks.
"""

from __future__ import annotations

import copy
import re
import textwrap
from functools import partial
from pathlib import Path

from course import ROOT, CourseError
from course.authoring.strip_outputs import read, save
from helpers.checks.answers import UnknownTaskError, find_task

SOLUTIONS, EXERCISES = ROOT / "solutions", ROOT / "exercises"
MARKED = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION$", re.DOTALL | re.MULTILINE)
ROLE = re.compile(r"(task|check)-(\d+)-(\d+)")


def write_exercises(solutions: Path = SOLUTIONS, exercises: Path = EXERCISES) -> list[Path]:
    """Bring the solutions into their committed form, and write the exercises; return the files that changed.

    Raises:
        CourseError: a solution cannot be read, has marks that do not match, or a task without marks or without check.
    """
    changed = []
    for path in sorted(solutions.glob("[0-9][0-9]_*.ipynb")):
        solution = committed_form(read(path))
        for target, notebook in ((path, solution), (exercises / path.name, student_version(solution))):
            if save(notebook, target):
                changed.append(target)
    return changed


def write_nbgrader_sources(folder: Path, solutions: Path = SOLUTIONS) -> list[Path]:
    """Write for each exercise the notebook from which nbgrader makes its own, ``exercise_03/03_title.ipynb``.

    That is the solution without the cells that explain it: nbgrader would hand them out. Returns the files.

    Raises:
        CourseError: there are no solutions, one cannot be read, or a file there is another: a teacher may have changed
            its points.
    """
    notebooks = {}
    sources = sorted(solutions.glob("[0-9][0-9]_*.ipynb"))
    if not sources:
        raise CourseError(f"There are no solutions in {solutions}; the zip for students has none. Use your clone.")
    for path in sources:
        target = folder / f"exercise_{path.name[:2]}" / path.name
        notebooks[target] = without_explanations(committed_form(read(path)))
    if other := [target for target, notebook in notebooks.items() if target.exists() and read(target) != notebook]:
        raise CourseError(
            f"{other[0]} is there, and was changed. Delete it, or name a new folder. Nothing was written."
        )
    for target, notebook in notebooks.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        save(notebook, target)
    return list(notebooks)


def committed_form(notebook):
    """Return a solution without outputs, with nbgrader's metadata on its tasks and checks."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        role = ROLE.fullmatch(cell.id)
        if role:
            cell.metadata["nbgrader"] = grading(cell.id, is_check=role[1] == "check")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def grading(name: str, is_check: bool) -> dict:
    """Return nbgrader's metadata (https://nbgrader.readthedocs.io) of a task's cell, or of its check: one point."""
    metadata = {
        "grade": is_check,
        "grade_id": name,
        "locked": is_check,
        "schema_version": 3,
        "solution": not is_check,
        "task": False,
    }
    return metadata | ({"points": 1} if is_check else {})


def student_version(solution):
    """Return the exercise of a solution.

    Raises:
        CourseError: marks that do not match, or a task without marks or without check.
    """
    exercise = without_explanations(solution)
    for cell in exercise.cells:
        role = ROLE.fullmatch(cell.id)
        if role and role[1] == "task":
            number = f"{role[2]}.{role[3]}"
            try:
                title = find_task(number).title
            except UnknownTaskError as error:
                raise CourseError(f"{error} A new task needs a check: see CONTRIBUTING.md.") from error
            message = f"Exercise {number}: {title}"
            cell.source, count = MARKED.subn(partial(stub_of, message), cell.source)
            if count == 0:
                raise CourseError(f"The cell {cell.id} has no ### BEGIN SOLUTION … ### END SOLUTION.")
        if "SOLUTION" in cell.source:
            raise CourseError(f"The marks in the cell {cell.id} do not match, or it is no task.")
    return exercise


def without_explanations(solution):
    """Return a copy of a solution without the cells that only it has, and with the links of the exercise."""
    notebook = copy.deepcopy(solution)
    notebook.cells = [cell for cell in notebook.cells if "solution" not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.id == "title":  # its links open the exercise
            cell.source = cell.source.replace("/solutions/", "/exercises/")
    return notebook


def stub_of(message: str, marked: re.Match[str]) -> str:
    """Return the code that stands for a marked answer, in lines of at most 88 columns: the site cuts longer ones."""
    indent = marked[1]
    line = f'{indent}raise NotImplementedError("{message}")'
    if len(line) <= 88:
        return line
    inner = f"{indent}    "
    parts = textwrap.wrap(message, 88 - len(inner) - 2, drop_whitespace=False)
    return "\n".join([f"{indent}raise NotImplementedError(", *(f'{inner}"{part}"' for part in parts), f"{indent})"])
