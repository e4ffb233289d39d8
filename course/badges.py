"""Write the repository's address and tag into all notebooks: the Colab badge and the set-up cell of each.

Both come from ``[tool.course]`` in pyproject.toml, the one place where they live.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from course import CourseError
from course.lessons import ROOT
from course.tidy import read, save
from helpers.cache import write_beside

FOLDERS = ("notebooks", "notebooks/runs", "exercises", "solutions")
COLAB = "https://colab.research.google.com"
BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)\n\n")
ADDRESS = re.compile(r'(os\.environ\.get\("COURSE_REPOSITORY", )"[^"]*"')
TAG = re.compile(r'(os\.environ\.get\("COURSE_TAG", )"[^"]*"')


def read_address(root: Path = ROOT) -> tuple[str, str]:
    """Return the repository, as owner/name, and the tag, from pyproject.toml."""
    course = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["course"]
    return course["repository"], course["tag"]


def write_address(repository: str, tag: str, root: Path = ROOT) -> None:
    """Put the repository and the tag into pyproject.toml.

    Raises:
        CourseError: the repository is not of the form owner/name, or the tag has characters that git refuses.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise CourseError(
            f"{repository!r} is no repository on GitHub: write owner/name, such as ada/finetuning-course."
        )
    if not re.fullmatch(r"[\w.][\w./-]*", tag):
        raise CourseError(f"{tag!r} is no tag: write one such as v1, without spaces.")
    path = root / "pyproject.toml"
    text = before = path.read_text(encoding="utf-8")
    for key, value in (("repository", repository), ("tag", tag)):
        text = re.sub(rf'(?m)^{key} = "[^"]*"$', f'{key} = "{value}"', text)
    if text != before:  # a newer file would make ``make`` set itself up again
        with write_beside(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def stamp(root: Path = ROOT) -> list[Path]:
    """Write badge and address into every notebook; return those that changed. A second call changes none."""
    repository, tag = read_address(root)
    changed = []
    for path in sorted(path for folder in FOLDERS for path in (root / folder).glob("*.ipynb")):
        notebook = read(path)
        place = path.relative_to(root).as_posix()
        for cell in notebook.cells:
            cell.source = stamped(cell.id, cell.source, repository, tag, place)
        if save(notebook, path):
            changed.append(path)
    return changed


def stamped(cell: str, source: str, repository: str, tag: str, place: str) -> str:
    """Return the source of a cell with the address in it; only the title and the set-up cell have one."""
    if cell == "title":
        return f"{badge(repository, tag, place)}\n\n{BADGE.sub('', source)}"
    if cell == "setup":
        source = ADDRESS.sub(rf'\1"https://github.com/{repository}"', source)
        return TAG.sub(rf'\1"{tag}"', source)
    return source


def badge(repository: str, tag: str, place: str) -> str:
    """Return the badge that opens a notebook in Colab.

    Args:
        repository: owner/name on GitHub.
        tag: a tag or a branch of it.
        place: the notebook's path in the repository.
    """
    return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({COLAB}/github/{repository}/blob/{tag}/{place})"
