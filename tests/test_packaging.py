import re
import subprocess
import sys
import tomllib
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


def test_a_python_that_is_too_old_is_named(tmp_path):
    old = tmp_path / "python3.10"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.10.13\nexit 1\n')
    old.chmod(0o755)
    result = subprocess.run(
        ["sh", ROOT / "course" / "set_up.sh", str(old), tmp_path / "venv", "lab"], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "3.11, 3.12 or 3.13" in result.stderr and "Python 3.10.13" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_a_failed_set_up_keeps_the_old_environment(tmp_path):
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\n[ "$1" = -m ] && exit 1\nexit 0\n')  # fits, but cannot make an environment
    python.chmod(0o755)
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "works").touch()
    command = ["sh", ROOT / "course" / "set_up.sh", python, tmp_path / "venv", "lab"]
    environment = {"PATH": "/usr/bin:/bin"}  # no uv
    result = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert result.returncode != 0 and "network" in result.stderr
    assert (tmp_path / "venv" / "works").exists()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["seeds", "--help"]])
def test_help_needs_no_tensorflow(arguments):
    code = f"import sys; sys.argv[1:] = {arguments!r}; from course.__main__ import main\n"
    code += "try: main()\nexcept SystemExit: assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
