"""Lesson 17: the four ways give equal tables, a killed worker loses no point, and a folder that is not shared is named.

The code that is tested is that of the lesson's cells; the notebook of a point is a smaller one.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from helpers.execution.engine import Run, _seen_here
from helpers.execution.kernel import Outcome
from helpers.execution.store import Store
from helpers.sweeps import run_sweep

ROOT = Path(__file__).resolve().parent.parent
LESSON = ROOT / "notebooks" / "17_more_than_one_machine.ipynb"
CELLS = {cell["id"]: "".join(cell["source"]) for cell in json.loads(LESSON.read_text(encoding="utf-8"))["cells"]}
POINTS = [{"RATE": rate} for rate in (0.1, 0.2, 0.3, 0.7)]
RUN = """
import random, time
from helpers.sweeps import record_metrics
time.sleep(0.5)
record_metrics(accuracy=random.Random(RATE).random() / 3)
"""


@pytest.fixture
def work(tmp_path):
    """A folder with the notebook of a point, and with the files that the lesson's cells write."""
    parameters = nbformat.v4.new_code_cell("RATE = 0.5", metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(RUN)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "point.ipynb")
    (tmp_path / "points.json").write_text(json.dumps(POINTS))
    for cell, name in {"array": "job.py", "slurm": "array.sh"}.items():
        first, _, rest = CELLS[cell].partition("\n")
        assert first == f'%%writefile "{{work}}/{name}"'
        (tmp_path / name).write_text(rest + "\n")
    return tmp_path


@pytest.fixture
def lesson(work):
    """The lesson's variables, with a scheduler and two workers that its cells have started."""
    variables = {"work": work, "root": ROOT, "sys": sys, "time": time, "TIME_LIMIT": 120, "run_sweep": run_sweep}
    variables |= {"point": work / "point.ipynb", "points": POINTS}
    try:
        for cell in ("dask", "dask-start"):
            exec(CELLS[cell], variables)
        yield variables
    finally:
        if "client" in variables:
            variables["client"].close()
        for process in (*variables.get("workers", {}).values(), variables.get("scheduler")):
            if process is not None:
                process.kill()
                process.wait()


def jobs_of_an_array(work, count):
    """Run the lesson's script as a batch system does; return the status of each job."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SLURM_ARRAY_TASK_COUNT": str(count)}
    started = [
        subprocess.Popen(
            [sys.executable, work / "job.py"],
            env=environment | {"SLURM_ARRAY_TASK_ID": str(number)},
            cwd=work.parent,
            stdout=subprocess.DEVNULL,
        )
        for number in range(count)
    ]
    return [process.wait(300) for process in started]


@pytest.mark.slow
def test_the_four_ways_give_equal_tables(work, lesson):
    point = work / "point.ipynb"
    first = run_sweep(point, POINTS, work / "1", jobs=1)
    assert (first["error"] == "").all() and first["accuracy"].nunique() == 4
    assert run_sweep(point, POINTS, work / "2", jobs=2).equals(first)
    assert run_sweep(point, POINTS, work / "3", scheduler=lesson["address"]).equals(first)
    assert jobs_of_an_array(work, 3) == [0, 0, 0]
    assert len(list((work / "4").glob("*.json.gz"))) == 4  # so the next call runs nothing
    assert run_sweep(point, POINTS, work / "4").equals(first)


@pytest.mark.slow
def test_a_killed_worker_loses_no_point(work, lesson):
    wanted = run_sweep(work / "point.ipynb", POINTS, work / "1", jobs=2)
    exec(CELLS["killed"], lesson)
    assert len(lesson["lost"]) > 0 and lesson["workers"]["second"].wait() != 0
    assert lesson["after_kill"].equals(wanted)
    assert len(lesson["client"].scheduler_info(n_workers=-1)["workers"]) == 1


def test_a_result_that_stayed_on_another_machine_is_named(work):
    run = Run(work / "point.ipynb", POINTS[0], work / "sweep" / "executed.ipynb")
    outcome = _seen_here(run, Outcome(None, 1.0), "key", Store(work / "sweep"))
    assert "it has finished, but" in outcome.error and "do all machines share this folder?" in outcome.error


@pytest.mark.slow
def test_data_that_a_worker_does_not_see_are_an_error_in_their_row(work, lesson):
    path = work / "point.ipynb"
    path.write_text(path.read_text().replace("time.sleep(0.5)", "RATE < 0.5 or open('/only/here')"))
    table = run_sweep(path, POINTS, work / "sweep", scheduler=lesson["address"])
    assert table["error"].map(bool).tolist() == [False, False, False, True]
    assert "FileNotFoundError" in table["error"][3] and table["accuracy"].notna().sum() == 3


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_script_for_slurm_has_no_error_of_syntax(work):
    subprocess.run(["bash", "-n", work / "array.sh"], check=True)
    text = (work / "array.sh").read_text()
    assert text.startswith("#!/bin/bash\n#SBATCH ")
