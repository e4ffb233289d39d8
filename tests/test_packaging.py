import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


def pins(lines):
    return dict(
        re.match(r"([A-Za-z0-9_.-]+)(?:\[[a-z]+\])?==([^\s;]+)", line).groups() for line in lines if "==" in line
    )


def constraints():
    return pins((ROOT / "constraints.txt").read_text().splitlines())


def test_conda_users_get_the_same_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    listed = pins(pip)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = {re.match(r"[A-Za-z0-9_.-]+", line).group() for line in project["dependencies"]}
    assert listed == {name: constraints()[name] for name in direct}


def test_every_pin_is_exact_and_names_no_host():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z0-9_.-]+==[^\s]+( ; .+)?", line) for line in lines)
    assert "://" not in "\n".join(lines)


needs_sh = pytest.mark.skipif(os.name == "nt", reason="set_up.sh is for Linux and macOS")

# A python that fits, makes an environment out of itself, and logs what it would install. It takes real locks.
STUB = """#!/bin/sh
case "$1 $2" in
--version*) echo Python 3.12.1 ;;
"-c "*fcntl*) exec {python} "$@" ;;
-c*) echo "$0" ;;
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip")
    for last; do :; done
    echo "$last" >>installed
    if [ -e no_network ]; then exit 1; fi
    if [ -e slow_network ]; then sleep "$(cat slow_network)"; fi ;;
esac
"""


@pytest.fixture
def course(tmp_path):
    """A folder with what the set-up reads, and a stub of python."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    stub = tmp_path / "python3"
    stub.write_text(STUB.format(python=sys.executable))
    stub.chmod(0o755)
    return tmp_path


def start(course, *extras, python="./python3"):
    command = ["sh", ROOT / "course" / "set_up.sh", python, "venv", *extras]
    environment = {"PATH": "/usr/bin:/bin"}  # no uv
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, cwd=course, start_new_session=True, **pipes)


def set_up(course, *extras, **kwargs):
    """Run the set-up to its end; return its status and what it said."""
    process = start(course, *extras, **kwargs)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output + errors


def installed(course):
    """What pip was asked to install, call by call, since the last time."""
    log = course / "installed"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


@needs_sh
def test_a_python_that_is_too_old_is_named(course):
    old = course / "python3.10"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.10.13\nexit 1\n')
    old.chmod(0o755)
    status, said = set_up(course, "lab", python=str(old))
    assert status == 1 and "3.11, 3.12 or 3.13" in said and "Python 3.10.13" in said
    assert not (course / "venv").exists()


@needs_sh
def test_what_is_missing_is_added_and_what_is_there_needs_no_network(course):
    assert set_up(course)[0] == 0 and installed(course) == ["."]
    (course / "venv" / "works").touch()
    assert set_up(course, "lab", "gpu")[0] == 0 and installed(course) == [".[lab,gpu]"]
    (course / "no_network").touch()
    for extras in ((), ("lab",), ("gpu,lab",), ("lab", "gpu")):
        assert set_up(course, *extras) == (0, "") and installed(course) == []
    status, said = set_up(course, "site")
    assert status != 0 and "network" in said
    assert set_up(course, "lab") == (0, "") and (course / "venv" / "works").exists()


@needs_sh
def test_a_failed_set_up_keeps_the_old_environment(course):
    assert set_up(course)[0] == 0
    (course / "venv" / "works").touch()
    (course / "constraints.txt").write_text("numpy==1.0\n")
    (course / "no_network").touch()
    status, said = set_up(course)
    assert status != 0 and "network" in said and (course / "venv" / "works").exists()
    (course / "no_network").unlink()
    assert set_up(course)[0] == 0 and not (course / "venv" / "works").exists()
    assert not (course / "venv.old").exists()


@needs_sh
def test_new_versions_keep_what_was_asked_for_once(course):
    assert set_up(course, "lab", "gpu")[0] == 0 and installed(course) == [".[lab,gpu]"]
    (course / "constraints.txt").write_text("numpy==1.0\n")
    assert set_up(course, "lab")[0] == 0 and installed(course) == [".[lab,gpu]"]
    assert set_up(course, "gpu") == (0, "")


@needs_sh
def test_the_settings_of_tools_install_nothing_again(course):
    assert set_up(course)[0] == 0 and installed(course) == ["."]
    with (course / "pyproject.toml").open("a") as file:
        file.write("\n[tool.other]\nx = 1\n")
    assert set_up(course) == (0, "") and installed(course) == []


@needs_sh
def test_two_at_once_install_once(course):
    (course / "slow_network").write_text("2")
    processes = [start(course, "lab"), start(course, "lab")]
    said = ["".join(process.communicate(timeout=60)) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert installed(course) == [".[lab]"]
    assert sorted("Waiting for another set-up" in text for text in said) == [False, True]


@needs_sh
def test_a_killed_set_up_leaves_neither_a_lock_nor_half_an_environment(course):
    assert set_up(course)[0] == 0
    (course / "venv" / "works").touch()
    (course / "constraints.txt").write_text("numpy==1.0\n")
    (course / "installed").unlink()
    (course / "slow_network").write_text("600")
    process = start(course)
    deadline = time.monotonic() + 60
    while not (course / "installed").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    (course / "slow_network").unlink()
    (course / "no_network").touch()
    assert set_up(course)[0] != 0 and (course / "venv" / "works").exists()  # the old one, not the half made one
    (course / "no_network").unlink()
    assert set_up(course)[0] == 0 and not (course / "venv" / "works").exists()


def targets():
    """The targets of the Makefile."""
    return set(re.search(r"(?m)^\.PHONY: (.+)$", (ROOT / "Makefile").read_text())[1].split())


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_alone_prints_its_targets_and_does_nothing(course):
    shutil.copy(ROOT / "Makefile", course)
    before = sorted(course.iterdir())
    help_text = subprocess.run(["make"], cwd=course, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in help_text.splitlines() if line.startswith("make ")} == targets() - {
        "help",
        "check",
    }
    assert sorted(course.iterdir()) == before


def status_of(address, seconds=60):
    """The status of a page of a server that may only be about to listen."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_lab_opens_lesson_00_and_serves_the_exercises_that_it_links_to(monkeypatch, tmp_path):
    lines = subprocess.run(["make", "--dry-run", "lab"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    _, *arguments = next(line for line in lines.splitlines() if "-m jupyterlab" in line).split()
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name))
    options = ["--no-browser", "--ServerApp.port=0", "--IdentityProvider.token=secret"]
    command = [sys.executable, *arguments, *options]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as server:
        try:
            found = (re.search(r"(http://127\.0\.0\.1:\d+)(/lab\S*)\?", line) for line in server.stderr)
            address = next(filter(None, found))
            assert address[2] == "/lab/tree/notebooks/00_start_here.ipynb"
            for path in ("notebooks/00_start_here.ipynb", "exercises/01_what_a_pretrained_network_knows.ipynb"):
                assert status_of(f"{address[1]}/api/contents/{path}?content=0&token=secret") == 200
        finally:
            server.terminate()


def test_the_workflow_names_only_what_exists():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = "\n".join(step.get("run", "") for step in steps)
    named = set(re.findall(r"\bmake ([\w-]+)", commands))
    assert "test" in named and named <= targets()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(re.findall(r"\.\[(\w+)\]", commands)) <= set(project["project"]["optional-dependencies"])
    assert {step["uses"].split("@")[0] for step in steps if "uses" in step} == {
        "actions/checkout",
        "actions/setup-python",
    }
    markers = {marker.split(":")[0] for marker in project["tool"]["pytest"]["ini_options"]["markers"]}
    assert set(re.findall(r"not (\w+)", commands)) == markers


def test_scripts_keep_their_line_ends():
    command = ["git", "check-attr", "eol", "course/set_up.sh", ".ci/run"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        pytest.skip("not in a git clone")
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["lf", "lf"]


def test_only_the_site_and_the_atlas_need_what_they_alone_declare():
    only_there = {"sphinx", "docutils", "bs4", "playwright", "axe_playwright_python", "myst_nb", "resvg_py"}
    for path in (*ROOT.glob("helpers/**/*.py"), *ROOT.glob("course/**/*.py")):
        if path.relative_to(ROOT).parts[:2] in (("course", "site"), ("course", "assets")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & only_there, path


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["seeds", "--help"]])
def test_help_needs_no_tensorflow(arguments):
    code = f"import sys; sys.argv[1:] = {arguments!r}; from course.__main__ import main\n"
    code += "try: main()\nexcept SystemExit: assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
