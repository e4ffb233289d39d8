"""A pytest plugin: what has passed is not run again on this machine while nothing that it depends on has changed.

Depends on: all code of `helpers`, `course` and the tests' own tools, without comments and docstrings; the test's file;
all installed packages; the course's variables; whether the bundle is there; and all other files of the repository,
except for the tests in PURE, which read no notebook and no page. Cells of notebooks are not remembered here: the store
of executed notebooks keeps those. `--fresh` runs everything; a fresh clone remembers nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path

import pytest

from helpers.execution.key import parse
from helpers.files.cache import write_beside

ROOT = Path(__file__).resolve().parent.parent.parent
MEMORY = ROOT / "build" / "store" / "passed.json"
LEFT_OUT = {".git", ".venv", ".venv.old", "build", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}
NEVER = {"tests/test_release.py"}  # it reads what git has committed
PURE = {
    f"tests/test_{name}.py"
    for name in (
        *("backbones", "bundle", "checks", "claims", "datasets", "doctor", "domains", "downloads", "emoji10"),
        *("execution", "features", "freezing", "hub", "image_folder", "make_bundle", "pipelines", "profiles"),
        *("splitting", "training", "unseen_images"),
    )
}


def pytest_addoption(parser):
    parser.addoption("--fresh", action="store_true", help="run also tests that have passed and have not changed")


def pytest_configure(config):
    if hasattr(config, "workerinput"):
        plugin = Remembered(config.workerinput["passed"], config.workerinput["keys"])
    else:
        plugin = Remembered({} if config.option.fresh else read_memory(), keys_of_tests())
    config.pluginmanager.register(plugin, "remembered")


def read_memory() -> dict[str, str]:
    """Return the key with which each test has passed."""
    try:
        passed = json.loads(MEMORY.read_text(encoding="utf-8"))
        return {str(test): str(key) for test, key in passed.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def keys_of_tests() -> dict[str, str]:
    """Return the key of each file of tests; see the docstring of this module."""
    files = sorted(path for path in walk(ROOT) if path.is_file())
    shared, others, tests = hashlib.sha256(), hashlib.sha256(), {}
    packages = sorted(f"{package.name} {package.version}" for package in importlib.metadata.distributions())
    variables = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith("COURSE_"))
    bundle = (ROOT.parent / "shared" / "bundle" / "MANIFEST.json").exists()
    shared.update(json.dumps([packages, variables, bundle, platform.platform()]).encode())
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("tests/") and path.name.startswith("test_"):
            tests[name] = "\0".join(parse(path, path.stat().st_mtime_ns)[0])
        elif path.suffix == ".py" and path.name != "__init__.py":
            shared.update(f"{name}\0{parse(path, path.stat().st_mtime_ns)[0]}".encode())
        elif path.suffix == ".py" or name.startswith("helpers/"):
            shared.update(name.encode() + path.read_bytes())
        else:
            others.update(name.encode() + path.read_bytes())
    common = shared.hexdigest(), others.hexdigest()
    return {
        name: hashlib.sha256("\0".join([code, *(common[:1] if is_pure(name) else common)]).encode()).hexdigest()
        for name, code in tests.items()
        if name not in NEVER
    }


def is_pure(name: str) -> bool:
    return name in PURE or name.startswith("tests/banks/")


def walk(folder: Path):
    """Give all files of the repository that are not made by its tools."""
    for path in folder.iterdir():
        if path.name in LEFT_OUT or path.name.endswith(".egg-info"):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from walk(path)
        else:
            yield path


class Remembered:
    """What has passed before, and what passes now."""

    def __init__(self, passed: dict[str, str], keys: dict[str, str]) -> None:
        self.passed, self.keys = passed, keys
        self.outcomes: dict[str, set[str]] = {}
        self.remembered = 0

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node):
        node.workerinput |= {"passed": self.passed, "keys": self.keys}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item, nextitem):
        key = self.keys.get(item.nodeid.split("::")[0])
        if key is None or self.passed.get(item.nodeid) != key:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for when in ("setup", "call", "teardown"):
            report = pytest.TestReport(
                nodeid=item.nodeid,
                location=item.location,
                keywords={},
                outcome="passed",
                longrepr=None,
                when=when,
                user_properties=[("remembered", True)],
            )
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        item.session._setupstate.teardown_exact(nextitem)  # what the test before left for this one
        return True

    def pytest_runtest_logreport(self, report):
        self.outcomes.setdefault(report.nodeid, set()).add(f"{report.when} {report.outcome}")
        if report.when == "call" and ("remembered", True) in report.user_properties:
            self.remembered += 1

    def pytest_sessionfinish(self, session):
        if hasattr(session.config, "workerinput"):
            return
        passed = read_memory()
        for test, outcomes in self.outcomes.items():
            key = self.keys.get(test.split("::")[0])
            if key is not None and outcomes == {"setup passed", "call passed", "teardown passed"}:
                passed[test] = key
            else:
                passed.pop(test, None)
        MEMORY.parent.mkdir(parents=True, exist_ok=True)
        with write_beside(MEMORY) as temporary:
            temporary.write_text(json.dumps(passed, indent=0, sort_keys=True), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter):
        if self.remembered:
            terminalreporter.write_line(
                f"{self.remembered} of these tests passed before and depend on nothing that has changed: they were not "
                "run again (--fresh runs all)."
            )
