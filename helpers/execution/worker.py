"""The process of one run: it gets a job, runs the notebook, keeps what it gave, and answers.

It ends when the process that gave the job does: the connection closes then.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from helpers.execution.kernel import execute
from helpers.execution.store import Store
from helpers.files.cache import write_beside

if TYPE_CHECKING:
    from helpers.execution.warm import WarmKernel


def run_job(job: dict, kernel: WarmKernel | None = None) -> dict:
    """Run a notebook, write it with its outputs, and, if it came to its end, keep them in the store.

    Args:
        job: "notebook", "parameters", "executed", "store" (a folder), "limit" (bytes), "key", and "folder", for what is
            temporary.
        kernel: see ``helpers.execution.kernel.execute``.

    Returns:
        The fields of ``Outcome``.
    """
    notebook, executed = Path(job["notebook"]), Path(job["executed"])
    temporary = Path(job["folder"]) / "executed.ipynb"
    outcome = execute(notebook, job["parameters"], temporary, kernel)
    if outcome.error is None:
        outcome = Store(Path(job["store"]), job["limit"]).put(job["key"], notebook, temporary, outcome)
    executed.parent.mkdir(parents=True, exist_ok=True)
    if temporary.exists():
        with write_beside(executed) as beside:
            shutil.copyfile(temporary, beside)
    else:
        executed.unlink(missing_ok=True)  # an older one would be taken for this run's
    return outcome._asdict()


def run_over_connection(connection: socket.socket) -> None:
    """Read a job from a connection, run it in a warm kernel, answer, and end this process."""
    with connection.makefile("rb") as stream:
        job = json.loads(stream.readline())
    os.setsid()
    os.environ.clear()
    os.environ.update(job.pop("environment"))
    os.chdir(job["home"])
    from helpers.execution.warm import WarmKernel

    kernel = WarmKernel()  # now: there is one thread
    _answer(job, kernel, lambda: connection.recv(1), connection.makefile("w", encoding="utf-8"))


def _answer(job: dict, kernel: WarmKernel | None, wait_for_the_end: Callable, answers: IO[str]) -> None:
    """Run a job, write the answer, and end this process; earlier if the process that gave the job ends."""
    folder = tempfile.mkdtemp(prefix="course-run-")

    def end_early() -> None:
        wait_for_the_end()
        shutil.rmtree(folder, ignore_errors=True)
        if kernel is not None:
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=end_early, daemon=True).start()
    try:
        result = run_job({**job, "folder": folder}, kernel)
    except Exception as error:  # a full disk, say
        result = {"error": f"{type(error).__name__}: {error}"}
    shutil.rmtree(folder, ignore_errors=True)
    answers.write(json.dumps(result) + "\n")
    answers.flush()
    os._exit(0)


if __name__ == "__main__":
    _answer(json.loads(sys.stdin.readline()), None, sys.stdin.read, sys.stdout)
