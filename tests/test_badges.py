import re
import shutil

import nbformat
import pytest

from course import CourseError
from course.badges import FOLDERS, read_address, stamp, write_address
from course.lessons import ROOT


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
def test_badge_and_set_up_cell_get_the_address(copy, folder):
    write_address("ada/her-course", "v2.1", copy)
    assert len(stamp(copy)) == 4 and stamp(copy) == []
    path, source = cells(copy, folder)
    assert source["title"].count("[![Open in Colab]") == 1
    assert f"/github/ada/her-course/blob/v2.1/{folder}/{path.name})" in source["title"]
    assert '"COURSE_REPOSITORY", "https://github.com/ada/her-course")' in source["setup"]
    assert '"COURSE_TAG", "v2.1")' in source["setup"]


def test_the_same_address_again_leaves_the_files_as_old_as_they_are(copy):
    stamp(copy)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*.*")}
    write_address(*read_address(copy), copy)
    assert stamp(copy) == [] and {path: path.stat().st_mtime_ns for path in copy.rglob("*.*")} == before


def test_nothing_else_changes(copy):
    path, before = cells(copy, "notebooks")
    write_address("ada/her-course", "v2.1", copy)
    stamp(copy)
    _, after = cells(copy, "notebooks")
    assert {name for name in before if before[name] != after[name]} == {"title", "setup"}
    write_address(*read_address(ROOT), copy)
    stamp(copy)
    assert path.read_bytes() == (ROOT / "notebooks" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("repository", "tag", "message"),
    [
        ("https://github.com/ada/course", "v1", "owner/name"),
        ("ada", "v1", "owner/name"),
        ("ada/course", "v 1", "no tag"),
    ],
)
def test_a_wrong_address_is_refused_before_anything_is_written(copy, repository, tag, message):
    before = (copy / "pyproject.toml").read_bytes()
    with pytest.raises(CourseError, match=re.escape(message)):
        write_address(repository, tag, copy)
    assert (copy / "pyproject.toml").read_bytes() == before
