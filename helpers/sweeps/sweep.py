"""Run one notebook with many settings of its parameters: in parallel, resumable, on one machine or on several.

Each point of a sweep is one run of ``helpers.execution``. The notebook calls ``record_metrics``; what it recorded is
read from the executed notebook.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.execution.engine import Run, SchedulerError, run_many
from helpers.execution.key import key_of
from helpers.execution.store import Store
from helpers.files.cache import writable_folder
from helpers.files.home import without_tilde
from helpers.notebook.records import METRICS_TYPE, read_records, show_record
from helpers.sweeps.points import SweepError, check_not_assigned_again, check_points, default_values

if TYPE_CHECKING:
    import pandas as pd


def record_metrics(**metrics: float) -> None:
    """Show what a run measured, and record it as data: the row of the run in the table of a sweep.

    Args:
        metrics: numbers by name, at least one; no name may be "error" or that of a parameter.

    Raises:
        ValueError: there are none.
    """
    if not metrics:
        raise ValueError("There is nothing to record. Give numbers by name, such as record_metrics(accuracy=0.7).")
    plain = {name: float(value) for name, value in metrics.items()}
    show_record(METRICS_TYPE, plain, ", ".join(f"{name} {value:.4g}" for name, value in plain.items()))


def run_sweep(
    notebook: Path | str,
    points: Sequence[Mapping[str, object]],
    folder: Path | str,
    *,
    scheduler: str | None = None,
    jobs: int = 2,
) -> pd.DataFrame:
    """Run a notebook once for each point, except for points that an earlier call has finished.

    Args:
        notebook: has a cell with the tag "parameters", and calls ``record_metrics``.
        points: values of some of its parameters, such as ``sklearn.model_selection.ParameterGrid`` or
            ``ParameterSampler`` gives them.
        folder: keeps the executed notebook of each point. A point is known by the notebook's code, its values, the
            helpers that the notebook imports, the versions of the course's packages and the data's place: change one
            of them, and it runs again.
        scheduler: address of a Dask scheduler, such as "tcp://10.0.0.5:8786", whose workers have the course installed
            and see the same files; None for this machine alone.
        jobs: runs at the same time, on this machine alone.

    Returns:
        A row for each point, in the order of ``points``: the values of all parameters that a point names, its metrics,
        and "error", which is empty for a run that came to its end. The next call runs failed points again.

    Raises:
        SweepError: a parameter is unknown, a value has the wrong type, there are no points, ``jobs`` is no number of
            runs, the notebook is missing or has no parameters, or no scheduler (or no worker) answers.
        CacheFolderError: ``folder`` cannot be written.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    if not isinstance(jobs, Integral) or jobs < 1:
        raise SweepError(f"jobs={jobs!r} is no number of runs at the same time: give a whole number such as 2.")
    notebook = Path(notebook).absolute()
    folder = without_tilde(folder).absolute()
    if set("{}") & set(f"{notebook}{folder}"):
        raise SweepError(f"papermill takes braces in a path for placeholders. Use other names: {notebook}, {folder}.")
    defaults = default_values(notebook)
    points = check_points(points, defaults)
    check_not_assigned_again(notebook, points)
    store = Store(folder)
    keys = [key_of(notebook, point) for point in points]
    runs = {
        key: Run(notebook, point, folder / f"{notebook.stem}_{key[:20]}.ipynb")
        for key, point in zip(keys, points, strict=True)
    }
    if not all(store.has(key, notebook) for key in runs):
        writable_folder(folder, "folder=")
    found: dict[Path, dict[str, float | str]] = {}
    layout = "{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} points [{elapsed}{postfix}]"
    with tqdm(total=len(runs), bar_format=layout, file=sys.stdout) as bar:
        try:
            for run, outcome in run_many(list(runs.values()), store, scheduler=scheduler, jobs=int(jobs)):
                found[run.executed] = _metrics_of(run) if outcome.error is None else {"error": outcome.error}
                if error := found[run.executed].get("error"):
                    bar.write(f"✘ {_describe(run.parameters)}: {error}")
                    bar.set_postfix_str(f"failed: {sum('error' in metrics for metrics in found.values())}")
                bar.update()
        except SchedulerError as error:
            raise SweepError(str(error)) from error
    named = {name: defaults[name] for point in points for name in point}
    rows = [named | point | {"error": ""} | found[runs[key].executed] for key, point in zip(keys, points, strict=True)]
    table = pd.DataFrame(rows)
    return table[[name for name in table.columns if name != "error"] + ["error"]]


def _metrics_of(run: Run) -> dict[str, float | str]:
    """Return what a run recorded, or, under "error", why that is no row of a table."""
    records = read_records(run.executed, METRICS_TYPE)
    if not records:
        return {"error": "the notebook recorded no metrics: it must call record_metrics"}
    taken = {"error", *run.parameters} & set(records[-1])
    if taken:
        return {"error": f"a metric has the name of a parameter, or is called error: {', '.join(sorted(taken))}"}
    return {name: float(value) for name, value in records[-1].items()}  # Jupyter sends nan as text


def _describe(point: Mapping[str, object]) -> str:
    """Return the values of a point as text."""
    return ", ".join(f"{name}={value!r}" for name, value in point.items())
