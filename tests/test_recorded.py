"""Recorded tables of sweeps: read beside the notebook, not out of date, and no rival was stopped early."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest

from helpers.profiles import PROFILES
from helpers.sweeps import recorded_sweep
from helpers.sweeps.recorded import code_key

RUNS = Path(__file__).parents[1] / "notebooks" / "runs"
TABLES = [
    (notebook, profile)
    for notebook in sorted(RUNS.glob("*.ipynb"))
    for profile in PROFILES
    if notebook.with_name(f"{notebook.stem}_{profile}.csv").exists()
]


@pytest.fixture
def notebook(tmp_path):
    path = tmp_path / "once.ipynb"
    code = "from helpers.sweeps import record_metrics\n\nrecord_metrics(double=2 * A)"
    cells = [nbformat.v4.new_code_cell(source) for source in ("import sys", "A = 1", code)]
    cells[1].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def test_a_table_is_recorded_and_read(notebook, capsys):
    points = [{"A": 2}, {"A": 3}]
    first = recorded_sweep(notebook, points, "mini")
    assert list(first["double"]) == [4] and "Nothing is recorded for mini" in capsys.readouterr().out
    written = recorded_sweep(notebook, points, "mini", run=True)
    capsys.readouterr()
    read = recorded_sweep(notebook, points, "mini")
    assert "Read from once_mini.csv" in capsys.readouterr().out
    assert recorded_sweep(notebook, points, "cifar10-gpu", instead="mini").equals(read)
    assert "NOT measured for cifar10-gpu" in capsys.readouterr().out
    assert list(read["double"]) == list(written["double"]) == [4, 6] and list(read["error"]) == ["", ""]
    assert set(read["code"]) == {code_key(notebook)}


@pytest.mark.parametrize(("notebook", "profile"), TABLES, ids=str)
def test_no_table_is_out_of_date(notebook, profile):
    table = pd.read_csv(notebook.with_name(f"{notebook.stem}_{profile}.csv"))
    assert set(table["code"]) == {code_key(notebook)}, "record it again: recorded_sweep(…, run=True)"
    assert table["error"].isna().all() and len(table) >= 5
    if "best epoch" in table:
        assert (table["epochs"] - table["best epoch"] >= 5).all(), "stopped before its patience of 5 epochs was over"
