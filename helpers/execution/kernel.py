"""Run one notebook with papermill, in a kernel of its own, and measure what it took."""

from __future__ import annotations

import contextlib
import functools
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
_ENGINE = "course"  # a name in papermill
_OPEN_FILES = 256  # that a kernel and its libraries may need
_INTERVAL = 0.2  # seconds between two looks at the processes


class Outcome(NamedTuple):
    """What became of a run.

    Attributes:
        error: None, or the last line of the error that stopped it.
        seconds: by the clock.
        cpu_seconds: user and system, of the kernel and of all processes that it began.
        peak_memory: bytes, of the kernel and all its children together.
    """

    error: str | None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
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
    start, used = time.perf_counter(), _ended_children_seconds()
    with _watch() as seen:
        error = _execute_once(notebook, parameters, executed, kernel)
        if error and _NOT_STARTED in error:  # kernels that start at once may want the same port; no cell has run
            error = _execute_once(notebook, parameters, executed, None)
    # What has ended is known exactly, but for processes that nobody waited for; the looks have seen those, too.
    cpu_seconds = max(_ended_children_seconds() - used, sum(seen.seconds.values()))
    return Outcome(error, round(time.perf_counter() - start, 2), round(cpu_seconds, 2), seen.peak_memory)


def _ended_children_seconds() -> float:
    """Return the CPU seconds of all ended children of this process, and of theirs; 0 on Windows."""
    times = os.times()
    return times.children_user + times.children_system


def _execute_once(
    notebook: Path, parameters: Mapping[str, object], executed: Path, kernel: WarmKernel | None
) -> str | None:
    """Run a notebook with one kernel; return None, or the last line of the error that stopped it."""
    import papermill

    _register_engine()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            papermill.execute_notebook(
                notebook,
                executed,
                dict(parameters),
                engine_name=_ENGINE,
                request_save_on_cell_execute=False,
                kernel_name="python3",
                cwd=notebook.parent,
                progress_bar=False,
                executed=str(executed),
                extra_arguments=["--log-level=CRITICAL"],  # of the kernel: no advice about its transport
                kernel_manager_class=_manager_of(kernel),
            )
    except papermill.PapermillExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    except Exception as error:  # a dead kernel, a full disk: one run must not stop the others
        return f"{type(error).__name__}: {error}{_advice(str(error))}"
    return None


@functools.cache
def _register_engine() -> None:
    """Tell papermill of an engine that writes the notebook once, also when its kernel dies.

    Papermill writes all of it before and after each cell, text cells too: 3 to 4 CPU seconds of a lesson's 100.
    Told not to (``request_save_on_cell_execute``), it writes nothing when a kernel dies.
    """
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.iorw import write_ipynb

    class WritingAtTheEnd(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            executed = options.pop("executed")
            try:
                return super().execute_managed_notebook(nb_man, kernel_name, **options)
            except BaseException:
                write_ipynb(nb_man.nb, executed)
                raise

    papermill_engines.register(_ENGINE, WritingAtTheEnd)


def _advice(error: str) -> str:
    """Return what may be the matter with this machine if a kernel did not start."""
    if _NOT_STARTED not in error and "respond" not in error:
        return ""
    if os.name == "posix":
        import resource

        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if 0 <= files < _OPEN_FILES:
            return f" (This shell allows {files} open files only: try again after ulimit -n 1024.)"
    return (
        " (A kernel needs memory, and the machine's own network, 127.0.0.1. `python -m course doctor` looks over this "
        "machine.)"
    )


def _manager_of(kernel: WarmKernel | None) -> type:
    """Return a class of Jupyter kernel managers that begin with this process; with a new one if it is None.

    A new one runs in this environment: a kernel called python3 that another program has registered is not used.
    """
    from ipykernel.kernelspec import make_ipkernel_cmd
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernelManager(AsyncKernelManager):
        kernel_spec = KernelSpec(argv=make_ipkernel_cmd(), display_name="Python 3", language="python")

    if kernel is None:
        return OwnKernelManager
    process = kernel

    class WarmKernelManager(OwnKernelManager):
        async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
            process.begin(kernel_cmd, options.get("cwd"), options.get("env") or dict(os.environ))
            provisioner: Any = self.provisioner
            provisioner.process, provisioner.pid, provisioner.pgid = process, process.pid, None
            self._reconcile_connection_info(provisioner.connection_info)

    return WarmKernelManager


class _Seen:
    """What looks at all processes that this one began have shown.

    Attributes:
        peak_memory: the highest memory of all together, in bytes.
        seconds: by number and start, the CPU seconds (user and system) of each.
    """

    def __init__(self) -> None:
        self.peak_memory = 0
        self.seconds: dict[tuple[int, float], float] = {}

    def look(self, this: Any) -> None:
        """Look once; ``this`` is a ``psutil.Process``."""
        import psutil

        memory = 0
        for process in this.children(recursive=True):
            with contextlib.suppress(psutil.Error), process.oneshot():  # it may end at any moment
                memory += process.memory_info().rss
                times = process.cpu_times()
                self.seconds[process.pid, process.create_time()] = times.user + times.system
        self.peak_memory = max(self.peak_memory, memory)


@contextlib.contextmanager
def _watch() -> Iterator[_Seen]:
    """Look at this process' children, and theirs, again and again during the block."""
    import psutil

    seen, stop, this = _Seen(), threading.Event(), psutil.Process()

    def watch() -> None:
        while not stop.wait(_INTERVAL):
            seen.look(this)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
