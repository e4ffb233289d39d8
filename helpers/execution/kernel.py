"""Run one notebook with papermill, in a kernel of its own, and measure what it took."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from helpers.execution.warm import WarmKernel

_NOT_STARTED = "Kernel died before replying to kernel_info"  # Jupyter's words
_INTERVAL = 0.2  # seconds between two looks at the memory


class Outcome(NamedTuple):
    """What became of a run.

    Attributes:
        error: None, or the last line of the error that stopped it.
        seconds: by the clock.
        cpu_seconds: user and system, of the kernel and all its children; None where the system does not tell (Windows).
        peak_memory: bytes, of the kernel and all its children together.
    """

    error: str | None
    seconds: float = 0.0
    cpu_seconds: float | None = None
    peak_memory: int = 0


def execute(
    notebook: Path, parameters: Mapping[str, object], executed: Path, kernel: WarmKernel | None = None
) -> Outcome:
    """Run a notebook.

    Args:
        notebook: it runs in its own folder.
        parameters: values for its parameters cell.
        executed: where the notebook with its outputs is written, as far as it came.
        kernel: a process that waits to become its kernel; None for a new one.
    """
    start, used = time.perf_counter(), children_seconds()
    with _peak_memory() as peak:
        error = _execute_once(notebook, parameters, executed, kernel)
        if error and _NOT_STARTED in error:  # kernels that start at once may want the same port; no cell has run
            error = _execute_once(notebook, parameters, executed, None)
    now = children_seconds()
    cpu_seconds = None if now is None or used is None else round(now - used, 2)
    return Outcome(error, round(time.perf_counter() - start, 2), cpu_seconds, peak[0])


def children_seconds() -> float | None:
    """Return the CPU seconds of all ended children of this process, and of theirs; None on Windows."""
    times = os.times()
    return times.children_user + times.children_system if os.name == "posix" else None


def _execute_once(
    notebook: Path, parameters: Mapping[str, object], executed: Path, kernel: WarmKernel | None
) -> str | None:
    """Run a notebook with one kernel; return None, or the last line of the error that stopped it."""
    import papermill

    options: dict[str, Any] = {} if kernel is None else {"kernel_manager_class": _manager_of(kernel)}
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
                **options,
            )
    except papermill.PapermillExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    except Exception as error:  # a dead kernel, a full disk: one run must not stop the others
        return f"{type(error).__name__}: {error}"
    return None


def _manager_of(kernel: WarmKernel) -> type:
    """Return a class of Jupyter kernel managers that begin with this process instead of a new one."""
    from jupyter_client.manager import AsyncKernelManager

    class WarmKernelManager(AsyncKernelManager):
        async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
            kernel.begin(kernel_cmd, options.get("cwd"), options.get("env") or dict(os.environ))
            provisioner: Any = self.provisioner
            provisioner.process, provisioner.pid, provisioner.pgid = kernel, kernel.pid, None
            self._reconcile_connection_info(provisioner.connection_info)

    return WarmKernelManager


@contextlib.contextmanager
def _peak_memory() -> Iterator[list[int]]:
    """Watch this process' children; the list holds their highest memory together, in bytes."""
    import psutil

    peak, stop, this = [0], threading.Event(), psutil.Process()

    def watch() -> None:
        while not stop.wait(_INTERVAL):
            peak[0] = max(peak[0], sum(memory_of(child.pid) for child in this.children()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def memory_of(pid: int) -> int:
    """Return the bytes in memory of a process and all its children together."""
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):  # each may end at any moment
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += each.memory_info().rss
    return total
