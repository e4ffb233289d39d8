"""Write the links to Colab and Kaggle, and the set-up cell, of all notebooks.

The repository's address and tag come from ``[tool.course]`` in pyproject.toml, the one place where they live; the
text of the set-up cell is here. As long as no address is set, the notebooks have no links, and their set-up cell looks
for the course only on this machine.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from course import ROOT, CourseError
from course.authoring.strip_outputs import read, save
from helpers.files.cache import write_beside

FOLDERS = ("notebooks", "notebooks/runs", "exercises", "solutions")
LINKS = re.compile(r"\[Open in Colab\]\([^)]*\) · \[Open in Kaggle\]\([^)]*\)\n\n")
FIND = """\
import sys
from pathlib import Path
{imports}
places = Path("{folder}/helpers").absolute().parents  # one is the course
root = next((place for place in places if (place / "helpers").is_dir()), None)
{otherwise}
sys.path.insert(0, str(root))

import helpers.quiet  # loads TensorFlow without its start-up messages"""
STOP = """\
if root is None:
    raise SystemExit("Open this notebook inside the course's folder.")"""
# pip comes first: when it fails, there is no folder yet, and the cell can be run again.
FETCH = """\
if root is None:  # Colab, Kaggle: fetch it
    root, url = places[0], "https://github.com/{repository}"
    pip = [sys.executable, "-m", "pip", "install", "-q", f"git+{{url}}@{tag}"]
    git = ["git", "-c", "advice.detachedHead=0", "clone", "-qb", "{tag}", url]
    if run(pip).returncode or run(git).returncode:
        raise SystemExit(f"{{url}}: {tag} was not fetched, see above. Is the internet on?")"""


def read_address(root: Path = ROOT) -> tuple[str, str]:
    """Return the repository, as owner/name, and the tag, from pyproject.toml. Without an address both are empty."""
    course = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["course"]
    return course["repository"], course["tag"]


def remote_address(root: Path = ROOT) -> str:
    """Return where git pushes this copy to.

    Raises:
        CourseError: git knows no such place.
    """
    command = ["git", "remote", "get-url", "origin"]
    try:
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        raise CourseError(
            "git knows no remote “origin” of this folder: name the repository with --repository."
        ) from None


def write_address(address: str, tag: str, root: Path = ROOT) -> None:
    """Put the repository and the tag into pyproject.toml.

    Args:
        address: owner/name of a repository on GitHub, or its address as git or a browser shows it.
        tag: a tag or a branch.

    Raises:
        CourseError: the address is none of these, or the tag has characters that git refuses.
    """
    found = re.fullmatch(r"(?:(?:https://|ssh://git@|git@)github\.com[/:])?([\w.-]+/[\w.-]+?)(?:\.git)?/?", address)
    if not found:
        raise CourseError(
            f"{address!r} is no repository on GitHub: write owner/name, such as ada/finetuning-course, or its address."
        )
    if not re.fullmatch(r"[\w.][\w./-]*", tag):
        raise CourseError(f"{tag!r} is no tag: write one such as v1, without spaces.")
    path = root / "pyproject.toml"
    text = before = path.read_text(encoding="utf-8")
    for key, value in (("repository", found[1]), ("tag", tag)):
        text = re.sub(rf'(?m)^{key} = "[^"]*"', f'{key} = "{value}"', text)
    if text != before:  # a newer file would make ``make`` set itself up again
        with write_beside(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def stamp(root: Path = ROOT) -> list[Path]:
    """Write links and set-up cell of every notebook; return those that changed. A second call changes none."""
    repository, tag = read_address(root)
    changed = []
    for path in sorted(path for folder in FOLDERS for path in (root / folder).glob("*.ipynb")):
        notebook = read(path)
        for cell in notebook.cells:
            if cell.id == "title":
                place = path.relative_to(root).as_posix()
                cell.source = links(repository, tag, place) + LINKS.sub("", cell.source)
            elif cell.id == "setup":
                cell.source = set_up(repository, tag)
                cell.metadata["jupyter"] = {"source_hidden": True}
        if save(notebook, path):
            changed.append(path)
    return changed


def set_up(repository: str, tag: str) -> str:
    """Return the text of the set-up cell; see ``links`` for the arguments."""
    folder = repository.split("/")[-1] or "finetuning-course"
    if not repository:
        return FIND.format(folder=folder, imports="", otherwise=STOP)
    fetch = FETCH.format(repository=repository, tag=tag)
    return FIND.format(folder=folder, imports="from subprocess import run\n", otherwise=fetch)


def links(repository: str, tag: str, place: str) -> str:
    """Return the line that opens a notebook in Colab and in Kaggle, or nothing without an address.

    They are plain links: a picture from another host would be broken without internet.

    Args:
        repository: owner/name on GitHub, or empty.
        tag: a tag or a branch of it.
        place: the notebook's path in the repository.
    """
    if not repository:
        return ""
    path = f"{repository}/blob/{tag}/{place}"
    colab = f"https://colab.research.google.com/github/{path}"
    return f"[Open in Colab]({colab}) · [Open in Kaggle](https://kaggle.com/kernels/welcome?src=https://github.com/{path})\n\n"
