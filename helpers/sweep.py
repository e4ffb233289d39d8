"""Run one notebook with many settings of its parameters: in parallel, resumable, on one machine or on several.

Each point of a sweep is one papermill run of the notebook, in a kernel of its own. The notebook calls
``record_metrics``; what it recorded is kept in one small file for each point.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.cache import writable_folder, write_beside
from helpers.notebooks import HELPERS, execute, fingerprint, make_folders_absolute, read_records
from helpers.records import METRICS_TYPE, show_record

if TYPE_CHECKING:
    import pandas as pd

SECONDS_TO_ANSWER = 20  # what a scheduler and its first worker may take


class SweepError(ValueError):
    """A sweep cannot begin."""


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
        folder: keeps the executed notebook and the metrics of each point. A point is known by the notebook, its
            values, the helpers, the installed packages and the data's place: change one of them, and it runs again.
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
    folder = Path(folder).expanduser().absolute()
    if set("{}") & set(f"{notebook}{folder}"):
        raise SweepError(f"papermill takes braces in a path for placeholders. Use other names: {notebook}, {folder}.")
    defaults = default_values(notebook)
    points = check_points(points, defaults)
    make_folders_absolute()
    files = [folder / f"{notebook.stem}_{fingerprint(notebook, point)[:20]}.json" for point in points]
    missing = {path: point for path, point in zip(files, points, strict=True) if read_metrics(path) is None}
    if missing:
        writable_folder(folder, "folder=")
    errors: dict[Path, str] = {}
    layout = "{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} points [{elapsed}{postfix}]"
    with tqdm(total=len(set(files)), initial=len(set(files)) - len(missing), bar_format=layout) as bar:
        for path, error in run_points(notebook, missing, scheduler, jobs):
            if error:
                errors[path] = error
                bar.write(f"✘ {describe(missing[path])}: {error}")
                bar.set_postfix_str(f"failed: {len(errors)}")
            bar.update()
    named = {name: defaults[name] for point in points for name in point}
    rows = [
        named | point | (read_metrics(path) or {}) | {"error": errors.get(path, "")}
        for path, point in zip(files, points, strict=True)
    ]
    table = pd.DataFrame(rows)
    return table[[name for name in table.columns if name != "error"] + ["error"]]


def describe(point: Mapping[str, object]) -> str:
    """Return the values of a point as text."""
    return ", ".join(f"{name}={value!r}" for name, value in point.items())


def run_points(
    notebook: Path, points: Mapping[Path, dict], scheduler: str | None, jobs: int
) -> Iterator[tuple[Path, str | None]]:
    """Run points on a Dask cluster; yield the file and the error of each one as soon as it is done."""
    if not points:
        return
    from distributed import as_completed

    with connect(scheduler, min(jobs, len(points))) as client:
        futures = {
            client.submit(run_apart, notebook, point, path, key=str(path)): path for path, point in points.items()
        }
        for future in as_completed(list(futures)):
            path = futures[future]
            if future.status == "finished":
                error = future.result()
                if error is None and read_metrics(path) is None:
                    error = f"it has finished, but {path} is not to be seen here: do all machines share this folder?"
            else:  # the worker failed, or the scheduler was lost
                error = f"the run was lost ({future.status}): {future.exception() or 'no answer from the scheduler'}"
            yield path, error


@contextlib.contextmanager
def connect(scheduler: str | None, jobs: int) -> Iterator:
    """Give a Dask client: of the scheduler at an address, or of a cluster in this process.

    Raises:
        SweepError: nothing answers at the address, or there is no worker.
    """
    from distributed import Client, LocalCluster

    if scheduler is None:
        # Threads are enough: each run has processes of its own.
        with (
            LocalCluster(n_workers=1, threads_per_worker=jobs, processes=False, dashboard_address=":0") as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=SECONDS_TO_ANSWER)
    except Exception as error:  # an address can be wrong in many ways
        raise SweepError(
            f"No Dask scheduler answers at {scheduler!r} ({type(error).__name__}). Start one with `dask scheduler`, "
            "and on each machine `dask worker ADDRESS --nthreads 1`; or leave the address out."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=SECONDS_TO_ANSWER)
        except TimeoutError as error:
            raise SweepError(
                f"The Dask scheduler at {scheduler!r} has no workers. Start some with "
                f"`dask worker {scheduler} --nthreads 1`."
            ) from error
        yield client


def run_apart(notebook: Path, point: Mapping[str, object], path: Path) -> str | None:
    """Do ``run_point`` in a process of its own: papermill changes the working folder and the warnings of its process.

    The process ends when this one does: its standard input is closed then.
    """
    given = json.dumps([str(notebook), dict(point), str(path)])
    with subprocess.Popen(
        [sys.executable, "-m", "helpers.sweep", given],
        cwd=HELPERS.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    ) as process:
        answer = process.stdout.read()
    try:
        return json.loads(answer.splitlines()[-1])["error"]
    except (IndexError, ValueError, TypeError, KeyError):
        return f"the process of the run ended with status {process.returncode}"


def run_point(notebook: Path, point: Mapping[str, object], path: Path) -> str | None:
    """Run one point, and write its metrics to ``path``; return None, or why there are none."""
    with write_beside(path.with_suffix(".ipynb")) as executed:
        error = execute(notebook, point, executed)
        records = read_records(executed, METRICS_TYPE)
        executed.touch()  # it may have failed before its first cell
    if error is None and not records:
        error = "the notebook recorded no metrics: it must call record_metrics"
    taken = {"error", *point} & set(records[-1] if records else ())
    if error is None and taken:
        error = f"a metric has the name of a parameter, or is called error: {', '.join(sorted(taken))}"
    if error is None:
        metrics = {name: float(value) for name, value in records[-1].items()}  # Jupyter sends nan as text
        with write_beside(path) as temporary:
            temporary.write_text(json.dumps(metrics), encoding="utf-8")
    return error


def read_metrics(path: Path) -> dict[str, float] | None:
    """Return the metrics of a finished point, or None if it is not finished or its file is damaged."""
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(metrics, dict) and metrics and all(isinstance(value, float) for value in metrics.values())
    return metrics if whole else None


def default_values(notebook: Path) -> dict[str, object]:
    """Return the parameters of a notebook with their default values.

    Raises:
        SweepError: there is no such notebook, or it has no parameters.
    """
    import papermill

    if not notebook.is_file():
        raise SweepError(f"There is no notebook {notebook}.")
    try:
        found = papermill.inspect_notebook(notebook)
    except Exception as error:
        raise SweepError(f"{notebook} cannot be read as a notebook ({type(error).__name__}: {error}).") from error
    if not found:
        raise SweepError(f'{notebook} has no parameters: give one cell the tag "parameters", and assign them there.')
    try:
        return {name: ast.literal_eval(details["default"]) for name, details in found.items()}
    except (ValueError, SyntaxError) as error:
        raise SweepError(
            f"In the parameters cell of {notebook.name}, each value must be a plain number, text or truth value "
            f"without a # in it ({error})."
        ) from error


def check_points(points: Sequence[Mapping[str, object]], defaults: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the points with plain Python values.

    Raises:
        SweepError: there are none, a parameter is unknown, or a value has another type than its default.
    """
    if not isinstance(points, Iterable):
        raise SweepError(f"points must be a list of dicts, one for each run, not {points!r}.")
    checked = []
    for point in points:
        if not isinstance(point, Mapping):
            raise SweepError(f"A point must be a dict such as {{'SEED': 1}}, not {point!r}.")
        unknown = [name for name in point if name not in defaults]
        if unknown:
            raise SweepError(
                f"The notebook has no parameter {', '.join(map(repr, unknown))}. It has: {', '.join(defaults)}."
            )
        checked.append({name: plain_value(name, value, defaults[name]) for name, value in point.items()})
    if not checked:
        raise SweepError("There are no points to run. Give a list of dicts, one for each run.")
    return checked


def plain_value(name: str, value: object, default: object) -> object:
    """Return a value as what JSON and a parameters cell can hold.

    Raises:
        SweepError: its type is not that of the default. Whole numbers serve as floats.
    """
    if isinstance(value, np.generic):
        value = value.item()
    kinds = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(default, bool)):
        raise SweepError(
            f"{name} must be {type(default).__name__}, as its default {default!r} is, not {value!r} "
            f"({type(value).__name__})."
        )
    return float(value) if isinstance(default, float) else value


def end_with_the_parent() -> None:
    """Wait until standard input is closed, which is when the parent has ended, and end this process."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_parent, daemon=True).start()
    notebook, point, path = json.loads(sys.argv[1])
    print(json.dumps({"error": run_point(Path(notebook), point, Path(path))}), flush=True)
    os._exit(0)
