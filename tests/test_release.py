"""The zip for students: the same bytes twice, no answers, complete enough to work with."""

import ast
import copy
import os
import re
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path, PurePosixPath

import nbformat
import pytest

from course.authoring.exercises import MARKED, ROOT, SOLUTIONS
from course.authoring.release import ReleaseError, git, write_release

try:
    git(ROOT, "rev-parse", "HEAD")
except ReleaseError:
    pytest.skip("not in a git clone", allow_module_level=True)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return write_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def unpacked(release, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(release.path) as archive:
        archive.extractall(folder)
    (course,) = folder.iterdir()
    return course


def test_the_same_bytes_twice(release, tmp_path):
    again = write_release(tmp_path / "new")
    assert again.path.read_bytes() == release.path.read_bytes() and again.sha256 == release.sha256
    assert sorted(path.name for path in again.path.parent.iterdir()) == [again.path.name]  # nothing half written


def test_only_what_git_tracks_and_no_answers(release):
    with zipfile.ZipFile(release.path) as archive:
        names = [str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in archive.namelist()]
    tracked = git(ROOT, "ls-tree", "-r", "--name-only", "HEAD").decode().splitlines()
    assert set(names) <= set(tracked) and names == sorted(names)
    assert {"README.md", "Makefile", "course/set_up.sh", "exercises/03_feature_extraction.ipynb"} <= set(names)
    assert not [name for name in names if name.startswith(("solutions", "tests"))]


def answers():
    for path in sorted(SOLUTIONS.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if "solution" in cell.metadata.get("tags", []):
                yield cell.source
            for marked in MARKED.finditer(cell.source):
                lines = [line.strip() for line in marked[0].splitlines()[1:-1]]
                if len(lines) > 2:
                    yield "\n".join(lines)


def test_no_answer_stands_in_any_file_but_what_a_lesson_teaches(unpacked):
    texts = []
    for path in set(unpacked.rglob("*")) - set(unpacked.glob("notebooks/*")):
        if path.suffix == ".ipynb":
            texts += [cell.source for cell in nbformat.read(path, as_version=4).cells]
        elif path.suffix in {".py", ".md", ".txt", ".sh"}:
            texts.append(path.read_text(encoding="utf-8"))
    everything = "\n".join(line.strip() for text in texts for line in text.splitlines())
    wanted = list(answers())
    assert len(wanted) > 40
    assert [answer for answer in wanted if answer in everything] == []


MODULES = {"np", "keras", "layers", "tf", "pd", "itertools"}
OPERATIONS = (ast.Call, ast.BinOp, ast.Compare, ast.Subscript, ast.comprehension)


class Bare(ast.NodeTransformer):
    """Takes away what may differ between two texts of one answer: names of variables, and changes of type."""

    def __init__(self, node):
        self.called = {each.func for each in ast.walk(node) if isinstance(each, ast.Call)}

    def visit_Name(self, node):
        return node if node.id in MODULES or node in self.called else ast.Name("_")

    def visit_Call(self, node):
        if isinstance(node.func, ast.Attribute) and node.func.attr in {"astype", "tolist", "to_numpy"}:
            return self.visit(node.func.value)
        if isinstance(node.func, ast.Name) and node.func.id in {"bool", "int", "float", "list", "tuple"} and node.args:
            return self.visit(node.args[0])
        return self.generic_visit(node)


def bare(node):
    node = copy.deepcopy(node)
    return ast.unparse(Bare(node).visit(node))


def short_answers():
    """Return what the solutions return, and their longer right sides, as ``bare`` gives them -> the task."""
    found = {}
    for path in sorted(SOLUTIONS.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for marked in MARKED.finditer(cell.source):
                lines = textwrap.dedent("\n".join(marked[0].splitlines()[1:-1]))
                for node in ast.walk(ast.parse("def answer():\n" + textwrap.indent(lines, "    "))):
                    if isinstance(node, ast.Return | ast.Assign) and node.value:
                        operations = sum(isinstance(part, OPERATIONS) for part in ast.walk(node.value))
                        if operations >= (1 if isinstance(node, ast.Return) else 3):
                            found[bare(node.value)] = cell.id
    return found


def leaks(source):
    """Return the answers of ``short_answers`` that stand in a text of Python."""
    wanted = short_answers()
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, OPERATIONS[:-1])]
    return {f"{wanted[bare(node)]}: {ast.unparse(node)}" for node in nodes if bare(node) in wanted}


def test_no_answer_of_any_length_stands_in_the_checks():
    assert len(short_answers()) > 60
    files = sorted((ROOT / "helpers" / "checks").glob("*.py"))
    assert {path.name: found for path in files if (found := leaks(path.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "line",
    ["rates = np.geomspace(a, b, n)", "right = pixels / 127.5 - 1", "f(float(np.geomspace(low, high, count)))"],
)
def test_a_short_answer_is_found_under_other_names(line):
    assert leaks(line)


def test_every_link_of_the_readme_is_there(unpacked):
    links = re.findall(r"\]\(([^)#:]+)\)", (unpacked / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 10
    assert [link for link in links if not (unpacked / link).exists()] == []


@pytest.mark.slow
def test_the_commands_and_an_untouched_exercise_work(unpacked, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "COURSE_PROGRESS": str(tmp_path / "progress.json")}
    command = [sys.executable, "-m", "course", "run", "--help"]
    subprocess.run(command, cwd=unpacked, env=environment, check=True, timeout=300)
    make = subprocess.run(["make", "--dry-run", "run"], cwd=unpacked, capture_output=True, text=True, timeout=300)
    assert make.returncode == 0 and "set_up.sh" in make.stdout, make.stderr
    code = """
import json, helpers
cells = json.load(open("08_hyperparameters.ipynb", encoding="utf-8"))["cells"]
for name in ("setup", "parameters", "begin", "start", "task-8-1", "check-8-1"):
    exec("".join(next(cell["source"] for cell in cells if cell["id"] == name)))
print(helpers.__file__)
"""
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, cwd=unpacked / "exercises", env=environment, capture_output=True, text=True, timeout=300
    )
    assert "✘ 8.1 Not done yet" in result.stderr and str(Path(unpacked, "helpers")) in result.stdout, result


def test_outside_a_clone_it_says_what_to_do(unpacked, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(unpacked.parent))
    with pytest.raises(ReleaseError, match="clone the course with git"):
        write_release(tmp_path / "new", unpacked)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReleaseError, match="git is not installed"):
        write_release(tmp_path / "new")
    assert not (tmp_path / "new").exists()
