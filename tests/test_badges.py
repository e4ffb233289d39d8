import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from course import ROOT, CourseError
from course.authoring.badges import FOLDERS, remote_address, set_up, stamp, write_address

NOTEBOOK = ROOT / "notebooks" / "00_start_here.ipynb"


@pytest.fixture
def copy(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
        first = sorted((ROOT / folder).glob("*.ipynb"))[0]
        shutil.copy(first, tmp_path / folder)
    return tmp_path


def cells(root, folder):
    (path,) = (root / folder).glob("*.ipynb")
    return path, {cell.id: cell.source for cell in nbformat.read(path, as_version=4).cells}


def test_the_committed_notebooks_are_stamped(tmp_path):
    for folder in ("notebooks", "exercises", "solutions"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert stamp(tmp_path) == [], "run python -m course badges"


@pytest.mark.parametrize("folder", ["notebooks", "exercises", "solutions"])
@pytest.mark.parametrize(
    "address",
    ["ada/her-course", "https://github.com/ada/her-course", "git@github.com:ada/her-course.git"],
)
def test_links_and_set_up_cell_get_the_address(copy, folder, address):
    for _ in range(2):
        write_address(address, "v2.1", copy)
        stamp(copy)
    path, source = cells(copy, folder)
    place = f"github.com/ada/her-course/blob/v2.1/{folder}/{path.name})"
    assert source["title"].count("[Open in Colab]") == source["title"].count("[Open in Kaggle]") == 1
    assert source["title"].count(place.removeprefix("github.com/")) == 2 and place in source["title"]
    assert '"https://github.com/ada/her-course"' in source["setup"]
    assert 'f"git+{url}@v2.1"' in source["setup"] and '"-qb", "v2.1", url' in source["setup"]
    assert "example" not in source["title"] and "OWNER" not in source["setup"]


def test_without_an_address_nothing_leads_to_another_host(tmp_path):
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(re.sub('(?m)^repository = "[^"]*"', 'repository = ""', text))
    (tmp_path / "notebooks").mkdir()
    shutil.copy(NOTEBOOK, tmp_path / "notebooks")
    stamp(tmp_path)
    _, source = cells(tmp_path, "notebooks")
    assert "http" not in source["setup"] and "Open in" not in source["title"]


def test_the_address_is_where_git_pushes_to(copy):
    with pytest.raises(CourseError, match="--repository"):
        remote_address(copy)
    for arguments in (["init", "-q"], ["remote", "add", "origin", "git@github.com:ada/course.git"]):
        subprocess.run(["git", *arguments], cwd=copy, check=True)
    assert remote_address(copy) == "git@github.com:ada/course.git"


def test_the_set_up_cell_is_short_collapsed_and_the_same_everywhere():
    found = set()
    for path in (path for folder in FOLDERS for path in (ROOT / folder).glob("*.ipynb")):
        (cell,) = [cell for cell in nbformat.read(path, as_version=4).cells if cell.id == "setup"]
        assert cell.metadata["jupyter"] == {"source_hidden": True}, path
        found.add(cell.source)
    assert len(found) == 1
    for source in (*found, set_up("ada/finetuning-course", "v1")):
        lines = [line for line in source.splitlines() if line]
        assert len(lines) <= 13 and max(map(len, lines)) <= 88


def run_set_up(folder, **variables):
    """Run the set-up cell in a folder; return its process, whose output is where it found the helpers."""
    folder.mkdir(parents=True, exist_ok=True)
    code = f"{set_up('ada/course', 'v1')}\nprint(helpers.quiet.__file__)"
    environment = os.environ | {"PYTHONSAFEPATH": "1"} | variables
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def github(tmp_path):
    """What stands for the course on GitHub: a repository with a tag; and the variables that lead to it."""
    repository = tmp_path / "github" / "ada" / "course"
    (repository / "helpers").mkdir(parents=True)
    (repository / "helpers" / "__init__.py").touch()
    (repository / "helpers" / "quiet.py").touch()
    (repository / "pyproject.toml").write_text(
        '[project]\nname = "finetuning-course"\nversion = "1"\n[tool.setuptools]\npackages = ["helpers"]\n'
    )
    identity = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "1"], ["tag", "v1"]):
        subprocess.run(["git", *arguments], cwd=repository, check=True)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{(tmp_path / 'github').as_uri()}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
        "PIP_TARGET": str(tmp_path / "site-packages"),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip takes this as: no isolation
    }


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git")


@needs_git
def test_the_set_up_cell_fetches_the_course_once_where_it_is_not(github, tmp_path):
    room = tmp_path / "content"
    first = run_set_up(room, **github)
    assert first.returncode == 0 and "detached" not in first.stderr, first.stderr
    assert Path(first.stdout.strip()) == room / "course" / "helpers" / "quiet.py"
    assert (tmp_path / "site-packages" / "helpers").is_dir()  # with what the course needs
    (tmp_path / "github").rename(tmp_path / "away")
    assert run_set_up(room, **github).stdout == first.stdout
    assert run_set_up(room / "course" / "notebooks" / "runs", **github).stdout == first.stdout


@needs_git
def test_a_set_up_cell_without_network_says_so_and_can_be_run_again(github, tmp_path):
    away = tmp_path / "away"
    (tmp_path / "github").rename(away)
    room = tmp_path / "content"
    failed = run_set_up(room, **github)
    assert failed.returncode != 0 and "not fetched" in failed.stderr.splitlines()[-1] and list(room.iterdir()) == []
    away.rename(tmp_path / "github")
    assert run_set_up(room, **github).returncode == 0


def test_the_same_address_again_leaves_the_files_as_old_as_they_are(copy):
    write_address("ada/course", "v1", copy)
    stamp(copy)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*.*")}
    write_address("ada/course", "v1", copy)
    assert stamp(copy) == [] and {path: path.stat().st_mtime_ns for path in copy.rglob("*.*")} == before


def test_nothing_else_changes(copy):
    path, before = cells(copy, "notebooks")
    write_address("ada/her-course", "v2.1", copy)
    stamp(copy)
    _, after = cells(copy, "notebooks")
    assert {name for name in before if before[name] != after[name]} == {"title", "setup"}
    shutil.copy(ROOT / "pyproject.toml", copy)
    stamp(copy)
    assert path.read_bytes() == (ROOT / "notebooks" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("repository", "tag", "message"),
    [
        ("https://example.org/ada/course", "v1", "owner/name"),
        ("ada", "v1", "owner/name"),
        ("ada/course", "v 1", "no tag"),
    ],
)
def test_a_wrong_address_is_refused_before_anything_is_written(copy, repository, tag, message):
    before = (copy / "pyproject.toml").read_bytes()
    with pytest.raises(CourseError, match=re.escape(message)):
        write_address(repository, tag, copy)
    assert (copy / "pyproject.toml").read_bytes() == before
