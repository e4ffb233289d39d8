"""Keep notebooks as they are committed: outputs only where nbval compares them.

nbval takes a cell with an output but without a number for one that was never run, so such a cell keeps its place
among the code cells as its number. (nbstripout keeps all numbers or none.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from course import CourseError
from helpers.files.cache import write_beside

COMPARED = "NBVAL_CHECK_OUTPUT"


def strip_outputs(paths: Sequence[Path]) -> list[Path]:
    """Strip notebooks in place; return those that changed.

    Raises:
        CourseError: one cannot be read; those before it have been stripped.
    """
    changed = []
    for path in paths:
        notebook = read(path)
        for number, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), start=1):
            cell.execution_count = number if COMPARED in cell.source else None
            if COMPARED not in cell.source:
                cell.outputs = []
        if save(notebook, path):
            changed.append(path)
    return changed


def read(path: Path):
    """Return a notebook of the course.

    Raises:
        CourseError: the file is missing or damaged.
    """
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises many kinds for what is no notebook
        reason = str(error).split("\n")[0][:200]
        raise CourseError(f"{path} cannot be read as a notebook ({reason}). Restore it with git.") from error


def save(notebook, path: Path) -> bool:
    """Write a notebook in its committed form, unless the file has it already; return whether it was written."""
    import nbformat

    text = nbformat.writes(notebook) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(exist_ok=True)
    with write_beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return True
