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


@pytest.mark.parametrize("command", [["run"], ["seeds", "--lessons", "00"]])
def test_a_misspelt_profile_is_named_before_anything_runs(command, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_PROFILE", "maxi")
    assert main(command) == 2 and "COURSE_PROFILE is 'maxi'. Set it to one of mini" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "seeds"])
def test_an_output_that_cannot_be_written_is_named_before_anything_runs(command, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main([command, "--output", str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_user_who_does_not_exist_is_part_of_a_path(capsys, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", "~nobody-has-this-name/cache")
    assert main(["check-bundle", "~nobody-has-this-name/bundle"]) != 0
    assert "~nobody-has-this-name" in "".join(capsys.readouterr())


@pytest.mark.parametrize("summary", ["", "{}", "[]"])
def test_a_damaged_summary_is_named(summary, tmp_path, capsys):
    (tmp_path / "summary.json").write_text(summary)
    assert main(["results", str(tmp_path)]) == 2 and "is no summary of a run" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "{}", "[]", "3"])
def test_what_is_no_notebook_is_named(content, tmp_path, capsys):
    (tmp_path / "x.ipynb").write_text(content)
    assert main(["strip-outputs", str(tmp_path / "x.ipynb")]) == 2
    assert "cannot be read as a notebook" in capsys.readouterr().err


def test_sources_of_nbgrader_that_a_teacher_changed_stay(tmp_path, capsys):
    command = ["exercises", "--nbgrader", str(tmp_path)]
    assert main(command) == 0 == main(command)
    changed = next(tmp_path.glob("exercise_03/*.ipynb"))
    changed.write_text(changed.read_text(encoding="utf-8").replace('"points": 1', '"points": 5'), encoding="utf-8")
    before = changed.read_bytes()
    assert main(command) == 2 and "Delete it, or name a new folder" in capsys.readouterr().err
    assert changed.read_bytes() == before
