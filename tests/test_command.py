"""The command ``python -m course``: what its help shows, and what it says where there is no course around it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from course.__main__ import COMMANDS, main

ROOT = Path(__file__).resolve().parent.parent
STUDENTS = {"run", "doctor"}
INSTRUCTORS = {"release", "grade", "capacity", "bundle", "check-bundle", "site"}


def test_the_help_has_three_groups(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    _, students, instructors, maintainers = re.split(
        r"\nfor (?:students|instructors|maintainers):\n", capsys.readouterr().out
    )
    named = [re.findall(r"^  ([\w-]+) +\w", text, re.MULTILINE) for text in (students, instructors, maintainers)]
    assert set(named[0]) == STUDENTS and set(named[1]) == INSTRUCTORS and len(named[2]) > 5
    assert [name for group in named for name in group] == [name for texts in COMMANDS.values() for name in texts]


@pytest.mark.parametrize("command", [name for texts in COMMANDS.values() for name in texts])
def test_each_command_has_a_help_of_its_own(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0 and f"usage: python -m course {command} " in capsys.readouterr().out


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder such as site-packages, with the packages as ``pip install .`` puts them there: without notebooks."""
    folder = tmp_path_factory.mktemp("installed")
    for package in ("helpers", "course"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize("arguments", [["run"], ["exercises"], ["doctor"], ["grade", "."], ["badges"]])
def test_outside_of_the_courses_folder_one_sentence_says_so(installed, tmp_path, arguments):
    before = sorted(installed.rglob("*"))
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "course", *arguments]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 2 and not result.stdout
    assert f"there are no notebooks in {installed}; run this in the folder of the course" in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(installed.rglob("*")) == before and not list(tmp_path.iterdir())
