"""Odd machines: other kernels, a package of our name, a clock that was set back, a worker that is killed, a copy."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from course import ROOT
from helpers.execution import Run, Store, engine, run_many
from helpers.execution.kernel import _advice
from helpers.sweeps import run_sweep
from tests.test_execution import PARAMETERS, run, text_of, write_notebook


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


FOREIGN = (
    '{"argv": ["false", "-f", "{connection_file}"], "display_name": "x", "language": "python"}',
    '{"argv": ["python2", "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "", "language": "R"}',
    "no json",
)


@pytest.mark.parametrize(("kernel", "warm"), [(kernel, True) for kernel in FOREIGN] + [(FOREIGN[0], False)])
def test_a_foreign_kernel_of_the_same_name_is_not_used(tmp_path, monkeypatch, store, kernel, warm):
    (tmp_path / "jupyter" / "kernels" / "python3").mkdir(parents=True)
    (tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json").write_text(kernel)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    if not warm:
        monkeypatch.setattr(engine, "can_be_warm", lambda: False)
    notebook = write_notebook(tmp_path / "a.ipynb", PARAMETERS, "import sys\nprint(sys.executable)")
    outcome, executed = run(notebook, store, tmp_path)
    assert outcome.error is None and text_of(executed).strip() == sys.executable


VARIABLES = [  # two at a time: each run takes its ten seconds
    {"MPLBACKEND": "TkAgg", "HOME": "/proc/nonexistent"},
    {"PYTHONWARNINGS": "error", "LC_ALL": "C", "LANG": "C"},
]


@pytest.mark.slow
@pytest.mark.parametrize("variables", VARIABLES, ids=lambda variables: "".join(variables))
def test_lesson_00_runs_whatever_the_variables_say(tmp_path, variables):
    command = [sys.executable, "-m", "course", "run", "--profile", "mini", "--lessons", "00", "--output", str(tmp_path)]
    environment = {**os.environ, **variables, "MPLCONFIGDIR": str(tmp_path), "COURSE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [*command, "--fresh"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, errors="replace"
    )
    assert done.returncode == 0 and "passed" in done.stdout and "Traceback" not in done.stderr, done


def test_a_foreign_package_called_helpers_is_not_imported(tmp_path, store):
    (tmp_path / "site" / "helpers").mkdir(parents=True)
    (tmp_path / "site" / "helpers" / "__init__.py").write_text("raise ImportError('the wrong package')")
    code = "from course.run.lessons import find_lessons\nprint(len(find_lessons()))"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'site'}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip().isdigit(), done.stderr


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_was_set_loses_nothing(tmp_path, store, days):
    notebook = write_notebook(tmp_path / "a.ipynb", PARAMETERS, "print('once')")
    run(notebook, store, tmp_path)
    for path in store.folder.rglob("*"):
        os.utime(path, (time.time() + 86_400 * days,) * 2)
    ((_, outcome),) = run_many([Run(notebook, {}, tmp_path / "again.ipynb")], store)
    assert outcome.error is None and len([p for p in store.folder.iterdir() if p.suffix == ".gz"]) == 1


def test_a_copy_without_git_knows_its_address(tmp_path):
    for name in ("course", "helpers", "notebooks", "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    named = ["badges", "--repository", "ada/course"]
    for arguments in (["--help"], named, ["strip-outputs", "notebooks/00_start_here.ipynb"]):
        command = [sys.executable, "-m", "course", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("files", "error", "advice"),
    [
        (40, "Kernel died before replying to kernel_info", "ulimit -n 1024"),
        (4096, "Kernel died before replying to kernel_info", "memory"),
        (4096, "Kernel didn't respond in 60 seconds", "127.0.0.1"),
        (4096, "No such file or directory", ""),
    ],
)
def test_a_kernel_that_did_not_start_is_explained(monkeypatch, files, error, advice):
    monkeypatch.setattr("resource.getrlimit", lambda _: (files, files))
    assert advice in _advice(error) and bool(advice) == bool(_advice(error))


@pytest.mark.slow
def test_a_dask_worker_that_is_killed_costs_its_run_only(tmp_path):
    kills = """import os, pathlib, time
if SEED < 2:
    time.sleep(3)  # the other worker has the other one of these two runs
    if SEED == 0 and not pathlib.Path("killed").exists():
        pathlib.Path("killed").touch()
        os.kill(int(pathlib.Path("worker").read_text()), 9)
        time.sleep(2)
from helpers.sweeps import record_metrics
record_metrics(square=SEED**2)"""
    parameters = PARAMETERS.copy()
    parameters.source = "SEED = 0"
    notebook = write_notebook(tmp_path / "a.ipynb", parameters, kills)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}
    dask = [sys.executable, "-m", "dask"]
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            process = subprocess.Popen([*dask, *arguments], **quiet)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start("scheduler", "--host", "127.0.0.1", "--port", address.rsplit(":")[-1], "--no-dashboard")
        first, _ = (start("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard") for _ in range(2))
        (tmp_path / "worker").write_text(str(first.pid))
        table = run_sweep(notebook, [{"SEED": seed} for seed in range(5)], tmp_path / "sweep", scheduler=address)
    assert (tmp_path / "killed").exists() and first.returncode == -9
    assert table["square"].tolist() == [0, 1, 4, 9, 16] and (table["error"] == "").all()
