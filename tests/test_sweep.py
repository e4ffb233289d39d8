"""A sweep runs each point once, goes on where it was stopped, and says which points failed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from sklearn.model_selection import ParameterGrid, ParameterSampler

from helpers.files.cache import CacheFolderError
from helpers.sweeps import SweepError, run_sweep

PARAMETERS = 'LEARNING_RATE = 0.1\nEPOCHS = 3\nNAME = "adam"\nFLAG = False'
RUN = """
from pathlib import Path
from helpers.sweeps import record_metrics
with open(Path.cwd() / "runs.txt", "a") as log:
    log.write(f"{LEARNING_RATE} {EPOCHS}\\n")
if EPOCHS == 13:
    raise RuntimeError("no luck")
record_metrics(accuracy=LEARNING_RATE * EPOCHS, epochs=EPOCHS)
"""


@pytest.fixture
def notebook(tmp_path):
    return write_notebook(tmp_path / "run.ipynb", RUN)


def write_notebook(path, code):
    parameters = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(code)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return path


def runs(notebook):
    log = notebook.with_name("runs.txt")
    return log.read_text().splitlines() if log.exists() else []


@pytest.mark.slow
def test_a_grid_gives_a_table_and_is_not_run_again(notebook, tmp_path):
    points = list(ParameterGrid({"LEARNING_RATE": [0.5, 1], "EPOCHS": [2, 3]}))
    table = run_sweep(notebook, points, tmp_path / "sweep")
    assert table.columns.tolist() == ["EPOCHS", "LEARNING_RATE", "accuracy", "epochs", "error"]
    assert table["accuracy"].tolist() == [1.0, 2.0, 1.5, 3.0] and table["error"].tolist() == [""] * 4
    assert len(runs(notebook)) == 4
    more = [*points, {"EPOCHS": 5}]
    longer = run_sweep(notebook, more, tmp_path / "sweep")
    assert len(runs(notebook)) == 5 and longer["accuracy"].tolist() == [1.0, 2.0, 1.5, 3.0, 0.5]
    nbformat.write(nbformat.read(write_notebook(notebook, RUN + "\n1"), as_version=4), notebook)
    run_sweep(notebook, more[:1], tmp_path / "sweep")
    assert len(runs(notebook)) == 6  # another notebook, another result


def test_random_search_and_numpy_values(notebook, tmp_path):
    sampler = ParameterSampler({"LEARNING_RATE": [np.float32(0.5)], "EPOCHS": np.arange(1, 4)}, 2, random_state=0)
    table = run_sweep(notebook, list(sampler), tmp_path / "sweep")
    assert (table["accuracy"] == table["LEARNING_RATE"] * table["EPOCHS"]).all()


@pytest.mark.slow
def test_a_failed_point_is_reported_not_fatal_and_tried_again(notebook, tmp_path, capfd):
    points = [{"EPOCHS": 1}, {"EPOCHS": 13}, {"EPOCHS": 2}]
    for tries in (1, 2):
        table = run_sweep(notebook, points, tmp_path / "sweep")
        assert table["error"].tolist() == ["", "RuntimeError: no luck", ""]
        assert table["accuracy"].notna().tolist() == [True, False, True]
        assert "✘ EPOCHS=13: RuntimeError: no luck" in "".join(capfd.readouterr())
        assert len(runs(notebook)) == 2 + tries


@pytest.mark.parametrize("code", ["1", "from helpers.sweeps import record_metrics\nrecord_metrics()"])
def test_a_notebook_that_records_nothing_is_a_failure(tmp_path, code):
    table = run_sweep(write_notebook(tmp_path / "run.ipynb", code), [{"EPOCHS": 1}], tmp_path / "sweep")
    assert "record_metrics" in table["error"][0]


@pytest.mark.slow
@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"accuracy": "high"}', ""])
def test_a_damaged_result_is_computed_again(notebook, tmp_path, text):
    run_sweep(notebook, [{}], tmp_path / "sweep")
    (result,) = (tmp_path / "sweep").glob("run-*.json.gz")
    result.write_text(text)
    assert run_sweep(notebook, [{}], tmp_path / "sweep")["accuracy"].tolist() == pytest.approx([0.3])


SWEEP = """
import sys
from helpers.sweeps import run_sweep
points = [{"EPOCHS": epochs} for epochs in range(1, 7)]
table = run_sweep(sys.argv[1], points, sys.argv[2], jobs=1)
print()
print(table.to_csv())
"""


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    notebook = write_notebook(tmp_path / "run.ipynb", RUN + "\nimport time; time.sleep(0.5)")
    command = [sys.executable, "-c", SWEEP, str(notebook), str(tmp_path / "sweep")]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "sweep").glob("run-*.json.gz"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    time.sleep(2)  # a kernel needs a moment to see that its parent is gone
    finished, begun = len(list((tmp_path / "sweep").glob("run-*.json.gz"))), len(runs(notebook))
    assert 2 <= finished < 6
    table = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert len(runs(notebook)) == begun + 6 - finished
    whole = run_sweep(notebook, [{"EPOCHS": epochs} for epochs in range(1, 7)], tmp_path / "another folder")
    assert table.endswith("\n" + whole.to_csv() + "\n")  # behind the bar


@pytest.mark.slow
def test_a_scheduler_elsewhere_gives_the_same_table(notebook, tmp_path, scheduler):
    points = list(ParameterGrid({"LEARNING_RATE": [0.5, 1.0], "EPOCHS": [2, 3]}))
    here = run_sweep(notebook, points, tmp_path / "here")
    there = run_sweep(notebook, points, tmp_path / "there", scheduler=scheduler)
    assert here.equals(there) and len(runs(notebook)) == 8


def test_a_scheduler_that_does_not_answer(notebook, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.execution.engine.SECONDS_TO_ANSWER", 1)
    with pytest.raises(SweepError, match=r"No Dask scheduler answers at 'tcp://127.0.0.1:9'.*dask scheduler"):
        run_sweep(notebook, [{}], tmp_path / "sweep", scheduler="tcp://127.0.0.1:9")


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "tcp://127.0.0.1:abc", 8786])
def test_an_address_that_is_none_gets_the_same_message(notebook, tmp_path, monkeypatch, address):
    monkeypatch.setattr("helpers.execution.engine.SECONDS_TO_ANSWER", 1)
    with pytest.raises(SweepError, match="No Dask scheduler answers"):
        run_sweep(notebook, [{}], tmp_path / "sweep", scheduler=address)


@pytest.mark.parametrize("jobs", [0, -1, "2", None, 1.5])
def test_no_number_of_jobs_is_refused(notebook, tmp_path, jobs):
    with pytest.raises(SweepError, match="no number of runs"):
        run_sweep(notebook, [{}], tmp_path / "sweep", jobs=jobs)


def test_a_folder_that_cannot_be_written(notebook, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CacheFolderError, match="Set folder= to a folder that you can write"):
        run_sweep(notebook, [{}], tmp_path / "file" / "sweep")


def test_a_finished_sweep_needs_no_folder_that_can_be_written(notebook, tmp_path, monkeypatch):
    first = run_sweep(notebook, [{}], tmp_path / "sweep")
    monkeypatch.setattr("helpers.sweeps.sweep.writable_folder", lambda *_: pytest.fail("written"))
    assert run_sweep(notebook, [{}], tmp_path / "sweep").equals(first)


@pytest.mark.slow
@pytest.mark.parametrize("point", [{"STEPS": 0}, {"FROZEN_BLOCKS": -1}, {"TRAIN_SIZE": 55}, {"LEARNING_RATE": 0.0}])
def test_the_lesson_s_run_refuses_values_that_make_no_sense(tmp_path, point):
    once = Path(__file__).parents[1] / "notebooks" / "runs" / "fine_tune_once.ipynb"
    (error,) = run_sweep(once, [{"PROFILE": "mini"} | point], tmp_path / "sweep")["error"]
    assert "This makes no sense" in error and next(iter(point)) in error


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "no points"),
        ([{"EPOCS": 3}], "no parameter 'EPOCS'. It has: LEARNING_RATE, EPOCHS, NAME, FLAG"),
        ([{"LEARNING_RATE": "high"}], "LEARNING_RATE must be float, as its default 0.1 is, not 'high'"),
        ([{"EPOCHS": 2.5}], "EPOCHS must be int"),
        ([{"EPOCHS": True}], "EPOCHS must be int"),
        ([{"LEARNING_RATE": None}], "LEARNING_RATE must be float"),
        ([{"LEARNING_RATE": [0.1, 0.2]}], "LEARNING_RATE must be float"),
        ([{"FLAG": 1}], "FLAG must be bool"),
        ([{"NAME": 3}], "NAME must be str"),
        (["EPOCHS"], "must be a dict"),
        (5, "points must be a list of dicts"),
        (None, "points must be a list of dicts"),
    ],
)
def test_bad_points_are_refused_before_anything_runs(notebook, tmp_path, points, message):
    with pytest.raises(SweepError, match=message):
        run_sweep(notebook, points, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_bad_notebooks_are_refused(tmp_path):
    with pytest.raises(SweepError, match="There is no notebook"):
        run_sweep(tmp_path / "missing.ipynb", [{}], tmp_path / "sweep")
    (tmp_path / "text.ipynb").write_text("text")
    with pytest.raises(SweepError, match="cannot be read as a notebook"):
        run_sweep(tmp_path / "text.ipynb", [{}], tmp_path / "sweep")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), tmp_path / "bare.ipynb")
    with pytest.raises(SweepError, match='the tag "parameters"'):
        run_sweep(tmp_path / "bare.ipynb", [{}], tmp_path / "sweep")


def test_numbers_that_are_none_come_back_as_numbers(tmp_path):
    code = "from helpers.sweeps import record_metrics\nrecord_metrics(loss=float('nan'), highest=float('inf'))"
    table = run_sweep(write_notebook(tmp_path / "run.ipynb", code), [{}], tmp_path / "sweep")
    assert np.isnan(table["loss"][0]) and table["highest"][0] == np.inf and table["error"][0] == ""


@pytest.mark.parametrize("name", ["error", "EPOCHS"])
def test_a_metric_with_the_name_of_another_column_is_a_failure(tmp_path, name):
    code = f"from helpers.sweeps import record_metrics\nrecord_metrics({name}=0.5)"
    table = run_sweep(write_notebook(tmp_path / "run.ipynb", code), [{"EPOCHS": 2}], tmp_path / "sweep")
    assert f"name of a parameter, or is called error: {name}" in table["error"][0] and table["EPOCHS"][0] == 2


def test_runs_do_not_disturb_the_callers_folder_and_warnings(notebook, tmp_path):
    import warnings

    before = os.getcwd(), list(warnings.filters)
    table = run_sweep(notebook, [{"EPOCHS": 1}, {"EPOCHS": 2}, {"LEARNING_RATE": 0.5}], tmp_path / "sweep")
    assert (os.getcwd(), list(warnings.filters)) == before
    assert table["EPOCHS"].tolist() == [1, 2, 3] and table["LEARNING_RATE"].tolist() == [0.1, 0.1, 0.5]
    assert len(runs(notebook)) == 3  # each one in the notebook's folder


def test_parameters_that_are_no_plain_values_are_refused(tmp_path):
    path = write_notebook(tmp_path / "run.ipynb", RUN)
    path.write_text(path.read_text().replace("EPOCHS = 3", "EPOCHS = 2 * 3"))
    with pytest.raises(SweepError, match="must be a plain number"):
        run_sweep(tmp_path / "run.ipynb", [{"EPOCHS": 2}], tmp_path / "sweep")
    with pytest.raises(SweepError, match="braces"):
        run_sweep(tmp_path / "run.ipynb", [{"EPOCHS": 2}], tmp_path / "{sweep}")
