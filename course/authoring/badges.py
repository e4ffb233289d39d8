"""Write the Colab badge and the set-up cell of all notebooks.

The repository's address and tag come from ``[tool.course]`` in pyproject.toml, the one place where they live; the
text of the set-up cell is here.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from course import ROOT, CourseError
from course.authoring.strip_outputs import read, save
from helpers.files.cache import write_beside

FOLDERS = ("notebooks", "notebooks/runs", "exercises", "solutions")
COLAB = "https://colab.research.google.com"
BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)\n\n")
# pip comes first: when it fails, there is no folder yet, and the cell can be run again.
SET_UP = """\
import sys
from pathlib import Path
from subprocess import run

places = Path("{folder}/helpers").absolute().parents  # one is the course
root = next((place for place in places if (place / "helpers").is_dir()), None)
if root is None:  # Colab: fetch it
    root, url = places[0], "https://github.com/{repository}"
    run([sys.executable, "-m", "pip", "install", "-q", f"git+{{url}}@{tag}"], check=True)
    run(["git", "-c", "advice.detachedHead=0", "clone", "-qb", "{tag}", url], check=True)
sys.path.insert(0, str(root))

import helpers.quiet  # loads TensorFlow without its start-up messages"""


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
    """Write badge and set-up cell of every notebook; return those that changed. A second call changes none."""
    repository, tag = read_address(root)
    changed = []
    for path in sorted(path for folder in FOLDERS for path in (root / folder).glob("*.ipynb")):
        notebook = read(path)
        for cell in notebook.cells:
            if cell.id == "title":
                place = path.relative_to(root).as_posix()
                cell.source = f"{badge(repository, tag, place)}\n\n{BADGE.sub('', cell.source)}"
            elif cell.id == "setup":
                cell.source = set_up(repository, tag)
                cell.metadata["jupyter"] = {"source_hidden": True}
        if save(notebook, path):
            changed.append(path)
    return changed


def set_up(repository: str, tag: str) -> str:
    """Return the text of the set-up cell; see ``badge`` for the arguments."""
    return SET_UP.format(repository=repository, tag=tag, folder=repository.split("/")[1])


def badge(repository: str, tag: str, place: str) -> str:
    """Return the badge that opens a notebook in Colab.

    Args:
        repository: owner/name on GitHub.
        tag: a tag or a branch of it.
        place: the notebook's path in the repository.
    """
    return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({COLAB}/github/{repository}/blob/{tag}/{place})"
