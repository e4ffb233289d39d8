"""Run a notebook with parameters, in a kernel of its own, and read the data that it recorded."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path

HELPERS = Path(__file__).resolve().parent
SETTINGS = ("COURSE_PROFILE", "COURSE_BUNDLE", "KERAS_HOME", "CUDA_VISIBLE_DEVICES")
NOT_STARTED = "Kernel died before replying to kernel_info"  # Jupyter's words
FOLDERS = ("COURSE_BUNDLE", "COURSE_CACHE", "KERAS_HOME", "TFHUB_CACHE_DIR")


def make_folders_absolute() -> None:
    """Make the folders that variables name absolute: a notebook runs in its own folder, not in this one."""
    for name in FOLDERS:
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().absolute())


@functools.cache
def installed_packages() -> list[str]:
    """Return the name and version of each installed package."""
    return sorted(f"{package.name} {package.version}" for package in importlib.metadata.distributions())


def fingerprint(notebook: Path, parameters: Mapping[str, object], *code: Path) -> str:
    """Return a key that changes with anything that the result of a notebook depends on.

    That is: the notebook, its parameters, the helpers, the installed packages, the settings, the bundle, and the
    files ``code``.
    """
    settings = {name: os.environ.get(name) for name in SETTINGS} | {"gpu": shutil.which("nvidia-smi")}
    digest = hashlib.sha256(json.dumps([dict(parameters), installed_packages(), settings], sort_keys=True).encode())
    files = [notebook, *code, *sorted(HELPERS.rglob("*"))]
    if settings["COURSE_BUNDLE"]:
        files.append(Path(settings["COURSE_BUNDLE"]) / "MANIFEST.json")
    for path in files:
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def execute(notebook: Path, parameters: Mapping[str, object], executed: Path) -> str | None:
    """Run a notebook with papermill.

    Args:
        notebook: it runs in its own folder.
        parameters: values for its parameters cell.
        executed: where the notebook with its outputs is written, as far as it came.

    Returns:
        None, or the last line of the error that stopped it.
    """
    error = execute_once(notebook, parameters, executed)
    if error and NOT_STARTED in error:  # kernels that start at the same time may want the same port; no cell has run
        error = execute_once(notebook, parameters, executed)
    return error


def execute_once(notebook: Path, parameters: Mapping[str, object], executed: Path) -> str | None:
    """Do what ``execute`` does, with one kernel."""
    import papermill

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            papermill.execute_notebook(
                notebook,
                executed,
                dict(parameters),
                kernel_name="python3",
                cwd=notebook.parent,
                progress_bar=False,
                extra_arguments=["--log-level=CRITICAL"],  # of the kernel: no advice about its transport
            )
    except papermill.PapermillExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    except Exception as error:  # a dead kernel, a full disk: one run must not stop the others
        return f"{type(error).__name__}: {error}"
    return None


def read_records(executed: Path, kind: str) -> list[dict]:
    """Return the data that an executed notebook recorded under ``kind``, in order; see ``helpers.records``."""
    found = []
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):  # it stopped before, or while, it was written
        for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                if kind in output.get("data", {}):
                    found.append(output["data"][kind])
    return found
