"""Pack the course for students: what git tracks, without the answers; the same commit gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from course import ROOT, CourseError
from helpers.files.cache import write_beside

# What students get. What is not listed stays here: solutions/ and tests/ hold answers.
WANTED: tuple[str, ...] = ("notebooks", "exercises", "helpers", "course", "benchmarks", "docs")
WANTED += ("README.md", "CONTRIBUTING.md", "LICENSE", "CITATION.cff")
WANTED += ("Makefile", "pyproject.toml", "constraints.txt", "environment.yml")
WANTED += (".gitignore", ".gitattributes", ".devcontainer")  # for a repository made of it
ADVICE = "A release holds only what git tracks: clone the course with git, and run this command there."


class ReleaseError(CourseError):
    """The course cannot be packed."""


class Release(NamedTuple):
    """A zip for students: its place, its sha256, how many files are in it, and what changed since the commit."""

    path: Path
    sha256: str
    files: int
    uncommitted: list[str]


def write_release(folder: Path, root: Path = ROOT) -> Release:
    """Write ``finetuning-course-VERSION.zip`` with the last commit's files for students.

    Args:
        folder: where the zip is written.
        root: the course, a git clone.

    Raises:
        ReleaseError: ``root`` is no git clone, git is missing, or the folder cannot be made.
    """
    files = committed_files(root)
    version = tomllib.loads(files["pyproject.toml"][1].decode())["project"]["version"]
    name = f"finetuning-course-{version}"
    data = packed(files, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReleaseError(f"{folder} cannot be made ({error.strerror}). Name another folder.") from error
    path = folder / f"{name}.zip"
    with write_beside(path) as temporary:
        temporary.write_bytes(data)
    changed = git(root, "status", "--porcelain", "--untracked-files=all", "--", *WANTED).decode().splitlines()
    return Release(path, hashlib.sha256(data).hexdigest(), len(files), [line[3:] for line in changed])


def committed_files(root: Path) -> dict[str, tuple[bool, bytes]]:
    """Return the files of the last commit that students get: path -> (may be run, bytes), sorted by path.

    Raises:
        ReleaseError: ``root`` is no git clone, or git is missing.
    """
    top = Path(git(root, "rev-parse", "--show-toplevel").decode().strip())
    if not top.samefile(root):
        raise ReleaseError(f"{root} is not a git clone of the course, but a folder inside {top}. {ADVICE}")
    # On Windows git may write other line ends, with which set_up.sh does not run: not here.
    archive = git(root, "-c", "core.autocrlf=false", "archive", "--format=tar", "HEAD", *WANTED)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = sorted((member for member in tar if member.isfile()), key=lambda member: member.name)
        contents = ((member, tar.extractfile(member)) for member in members)
        return {member.name: (bool(member.mode & 0o100), file.read()) for member, file in contents if file}


def git(root: Path, *arguments: str) -> bytes:
    """Return what git prints.

    Raises:
        ReleaseError: git is missing, or says no.
    """
    try:
        return subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True).stdout
    except FileNotFoundError as error:
        raise ReleaseError(f"git is not installed. {ADVICE}") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise ReleaseError(f"git says about {root}: {reason.removesuffix('.')}. {ADVICE}") from error


def packed(files: dict[str, tuple[bool, bytes]], name: str) -> bytes:
    """Return a zip of files under the folder ``name``. No clock, no user and no machine is in it."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for path, (executable, data) in files.items():
            entry = zipfile.ZipInfo(str(PurePosixPath(name, path)))  # dated 1980-01-01, the first day of zip files
            entry.create_system = 3  # Unix: the next line holds permissions
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, compresslevel=9)
    return memory.getvalue()
