"""Read what students handed in: find the notebooks, recognise the exercise, and put the cells in order.

Two ways to collect are understood; any folder may lie between the student's folder and a notebook, as nbgrader has it:

    FOLDER/alice/03_feature_extraction.ipynb      a folder for each student
    FOLDER/alice_03_feature_extraction.ipynb      a notebook for each student, all of one exercise or not
"""

from __future__ import annotations

import ast
import codecs
import functools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypedDict

from course.authoring.exercises import EXERCISES, ROLE
from course.authoring.strip_outputs import read
from course.run.lessons import NOTEBOOKS

LARGEST = 20 * 2**20  # bytes of a notebook; an executed exercise has less than a tenth of it
LONGEST_CELL, LONGEST_CODE = 50_000, 500_000  # characters of a cell's code, and of all; an exercise has about 10,000
MOST_CELLS = 500  # with code, in a notebook; an exercise has about 20
MADE_BY_PROGRAMS = {".git", ".ipynb_checkpoints", ".DS_Store", ".idea", ".vscode", ".venv", ".cache", ".Trash"}
OWN = {"setup", "parameters", "begin"}  # cells in which the course's own text always runs
COPY_OF = r"(Copy[ _]of[ _])*"  # what Colab puts before the name of a copy
COPY = r"(-Copy\d+|-\d+| ?\(\d+\))?"  # what Jupyter and browsers add to the name of a second copy
CHECK = re.compile(r'^check\(\s*["\'](\d+)\.(\d+)["\']', re.MULTILINE)


class Step(TypedDict):
    """A cell to run.

    ``task`` is a number such as "3.1", or empty; a check also has the name of its task's cell. ``own``: neither this
    cell nor one before it has anything of the student in it.
    """

    name: str
    source: str
    task: str
    check: bool
    cell: str
    own: bool


class Submission(NamedTuple):
    """A notebook of an exercise: who handed it in, its path in the folder, the exercise's file, and its steps."""

    student: str
    file: str
    exercise: str
    steps: list[Step]


class Unread(NamedTuple):
    """A file that is not graded, and why; ``exercise`` is as in ``Submission``, or empty if it is not known."""

    student: str
    file: str
    reason: str
    exercise: str = ""


def find_submissions(folder: Path) -> tuple[list[Submission], list[Unread]]:
    """Read all notebooks in a folder; return those of an exercise, and the files that are not graded, by name.

    Raises:
        NotADirectoryError: there is no such folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"There is no folder {folder}. Give the folder with what the students handed in.")
    found = []
    unread = [each for name in students_of(folder) if (each := unseen(folder / name))]
    for path in walk(folder):
        file = path.relative_to(folder)
        student = file.parts[0] if len(file.parts) > 1 else file.stem
        try:
            exercise, cells = read_notebook(path)
        except ValueError as error:
            unread.append(Unread(student, file.as_posix(), str(error)))
            continue
        if len(file.parts) == 1:
            student = re.sub(COPY_OF + re.escape(Path(exercise).stem) + COPY, "", file.stem).strip(" _-") or file.stem
        found.append(Submission(student, file.as_posix(), exercise, steps_of(cells, exercise)))
    handed_in = Counter((submission.student, submission.exercise) for submission in found)
    for submission in [each for each in found if handed_in[each.student, each.exercise] > 1]:
        found.remove(submission)
        reason = f"{submission.student} handed in several notebooks of {submission.exercise}. Keep one of them."
        unread.append(Unread(submission.student, submission.file, reason, submission.exercise))
    return sorted(found), sorted(unread)


def unseen(place: Path) -> Unread | None:
    """Return why nothing in a student's folder is looked at, or None if its files are."""
    if place.is_symlink():
        reason = "It is a link: links are not followed. Put the folder itself here."
    elif place.name.startswith("."):
        reason = "The folder's name begins with a dot, so it is not looked into. Rename it."
    else:
        errors: list[OSError] = []
        files = list(walk(place, errors.append))
        if files and not errors:
            return None
        reason = "The folder is empty."
        if errors:
            reason = f"It cannot be read whole ({errors[0]}). Give yourself the right to read it."
    return Unread(place.name, place.name, reason)


def walk(folder: Path, onerror: Callable[[OSError], object] | None = None) -> Iterator[Path]:
    """Give the files of a folder; hidden ones are left out, and links to folders are not followed.

    ``onerror`` gets the error of each folder that cannot be read, which is left out.
    """
    for place, folders, files in os.walk(folder, onerror=onerror):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))


def read_notebook(path: Path) -> tuple[str, list]:
    """Return the file name of the exercise that a notebook is of, and the notebook's code cells.

    Raises:
        ValueError: it is no notebook, or of no exercise of the course; the message says what it is.
    """
    import nbformat

    if path.is_symlink() or not path.is_file():
        raise ValueError("It is a link, or no file: links are not followed.")
    if path.suffix != ".ipynb":
        raise ValueError("It is not a notebook.")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"It is larger than {LARGEST // 2**20} MB. Clear its outputs.")
    try:
        notebook = nbformat.reads(decoded(path.read_bytes()), as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code" and isinstance(cell.source, str)]
    except Exception as error:  # whatever stands in it
        raise ValueError(f"It cannot be read as a notebook ({type(error).__name__}). Is the file complete?") from error
    if len(cells) > MOST_CELLS:
        raise ValueError(f"It has {len(cells):,} cells with code. {MOST_CELLS} are enough for any answer.")
    longest, whole = max((len(cell.source) for cell in cells), default=0), sum(len(cell.source) for cell in cells)
    if longest > LONGEST_CELL or whole > LONGEST_CODE:  # before anything looks into the code
        raise ValueError(
            f"It has {whole:,} characters of code, {longest:,} of them in one cell. {LONGEST_CODE:,}, and "
            f"{LONGEST_CELL:,} in a cell, are enough for any answer."
        )
    exercise = recognise(cells, path)
    if exercise is None:
        raise ValueError("It is no exercise of the course: it has none of their tasks.")
    return exercise, cells


def decoded(content: bytes) -> str:
    """Return the text of a notebook: UTF-8, with a byte-order mark or without one, or UTF-16 or UTF-32 with one.

    Raises:
        UnicodeError: it is none of them.
    """
    for mark, encoding in ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
                           (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):  # fmt: skip
        if content.startswith(mark):
            return content.decode(encoding)
    return content.decode("utf-8-sig")


def students_of(folder: Path) -> list[str]:
    """Return the students who have a folder of their own, also where it is empty, hidden, or a link."""
    return sorted(path.name for path in folder.iterdir() if (path.is_dir() or path.is_symlink()) and is_students(path))


def is_students(path: Path) -> bool:
    """Tell whether a folder may be a student's, and not one that a program has made."""
    return path.name not in MADE_BY_PROGRAMS and not path.name.startswith("__MACOSX")


def recognise(cells: list, path: Path) -> str | None:
    """Return the file name of the exercise most of whose tasks are in the cells, else the one in the file's name.

    Raises:
        ValueError: it is the lesson, which has the same file name.
    """
    names = {path.name[:2]: path.name for path in sorted(EXERCISES.glob("[0-9][0-9]_*.ipynb"))}
    marks = [ROLE.fullmatch(name) for cell in cells for name in ids(cell)]
    numbers = [mark[2] for mark in marks if mark]
    numbers += [number for cell in cells for number, _ in CHECK.findall(cell.source)]
    for number, _ in Counter(numbers).most_common():
        if number.zfill(2) in names:
            return names[number.zfill(2)]
    exercise = next((name for name in names.values() if Path(name).stem in path.stem), None)
    if exercise is None:
        return None
    only_lesson = cells_of(NOTEBOOKS / exercise).keys() - cells_of(EXERCISES / exercise).keys()
    if any(name in only_lesson for cell in cells for name in ids(cell)):
        raise ValueError(f"It is lesson {exercise[:2]}, not exercise {exercise[:2]}: hand in exercises/{exercise}.")
    return exercise


def ids(cell) -> list[str]:
    """Return the names of a cell: nbgrader's, which more editors keep, and its id."""
    nbgrader = cell.metadata.get("nbgrader")
    names = [nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None, cell.get("id")]
    return [name for name in names if isinstance(name, str)]


@functools.cache
def cells_of(path: Path) -> dict[str, str]:
    """Return the source of each code cell of a notebook of the course, by id."""
    return {cell.id: cell.source for cell in read(path).cells if cell.cell_type == "code"}


def steps_of(cells: list, exercise: str) -> list[Step]:
    """Put a student's cells in the order of the exercise.

    The cells of the set-up and of the checks are the course's own, also where the student changed or lost them. All
    others are the student's; a cell that the exercise does not have stays behind the one that it follows.
    """
    own = cells_of(EXERCISES / exercise)
    answers: dict[str, str] = {}
    added: dict[str, list[str]] = {}
    last = "begin"
    for cell in cells:
        name = place_of(cell, own)
        if name in own and name not in answers:
            answers[name] = cell.source
            last = last if name in OWN else name
        elif name is None or not (name in OWN or name.startswith("check-")):
            added.setdefault(last, []).append(cell.source)
    steps, untouched = [], True
    for name, source in own.items():
        role = ROLE.fullmatch(name)
        task = f"{role[2]}.{role[3]}" if role else ""
        check = name.startswith("check-")
        text = source if check or name in OWN else answers.get(name, source)
        untouched = untouched and text == source
        cell = name.replace("check-", "task-")
        steps.append(Step(name=name, source=text, task=task, check=check, cell=cell, own=untouched))
        for number, extra in enumerate(added.get(name, []), 1):
            untouched = False
            name_of_extra = f"cell {number} added after {name}"
            steps.append(Step(name=name_of_extra, source=extra, task="", check=False, cell="", own=False))
    return steps


def place_of(cell, own: dict[str, str]) -> str | None:
    """Return the id of the exercise's cell that a student's cell is, or None if it is an added one.

    Where the ids are lost (some editors write new ones), the text tells, then the name of the function in it.
    """
    by_id = next((name for name in ids(cell) if name in own), None)
    if by_id:
        return by_id
    source = cell.source.strip()
    by_text = next((name for name, text in own.items() if text.strip() == source), None)
    check = CHECK.match(source)
    if by_text:
        return by_text
    if check:
        return f"check-{check[1]}-{check[2]}"
    defined = function_names(source)
    return next((name for name, text in own.items() if name not in OWN and defined & function_names(text)), None)


@functools.cache
def function_names(source: str) -> set[str]:
    """Return the names of the functions that a cell defines."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # magics, say
        return set(re.findall(r"^def (\w+)", source, re.MULTILINE))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
