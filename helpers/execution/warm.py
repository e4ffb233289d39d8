"""Kernels that begin with all loaded already: one process loads it, and each run is a fork of that process.

Loading TensorFlow, Keras and papermill takes 5 to 7 s of a core for each kernel, papermill alone 2 s. To fork is
safe because the process that forks has one thread and has computed nothing: no TensorFlow context, no pool of threads
and no GPU. Measured with TensorFlow 2.21: the same losses, to the last bit, as in a new process. Where this is not
sure to hold (a GPU, macOS, Windows), each run is an ordinary new process; see ``helpers.execution.engine``.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterable

_WITH_TENSORFLOW = ("helpers.quiet", "keras", "pandas", "scipy.ndimage", "sklearn.linear_model", "sklearn.svm")
# tqdm looks, when it is loaded, whether it is in a notebook; the helpers are the notebook's to find.
_NOT_FOR_KERNELS = ("helpers", "papermill", "tqdm")
_PR_SET_PDEATHSIG = 1


def can_be_warm() -> bool:
    """Tell whether forking a process that has loaded TensorFlow is safe here."""
    return sys.platform == "linux" and shutil.which("nvidia-smi") is None


def end_with_parent() -> None:
    """Let the system kill this process as soon as its parent has ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class WarmKernel:
    """A forked process that waits to become a Jupyter kernel, with what Jupyter asks of a ``subprocess.Popen``.

    To be made while this process has one thread.
    """

    stdin = stdout = stderr = None

    def __init__(self) -> None:
        told, self._tell = os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._tell)
            _become_a_kernel(told)
        os.close(told)

    def begin(self, command: list[str], cwd: str | None, env: dict[str, str]) -> None:
        """Let it run ``command``, as Jupyter wrote it for a new process, in a folder and an environment."""
        arguments = command[command.index("ipykernel_launcher") + 1 :]
        lines = [cwd or os.getcwd(), *arguments, "", *(f"{name}={value}" for name, value in env.items())]
        with os.fdopen(self._tell, "wb") as pipe:
            pipe.write("\0".join(lines).encode(errors="surrogateescape"))

    def poll(self) -> int | None:
        """Return how it ended, or None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        while (status := self.poll()) is None:
            time.sleep(0.01)
        return status

    def send_signal(self, signum: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def _become_a_kernel(told: int) -> None:
    """Wait for the words of ``WarmKernel.begin``, and be that kernel until it ends."""
    end_with_parent()
    with os.fdopen(told, "rb") as pipe:
        lines = pipe.read().decode(errors="surrogateescape").split("\0")
    if lines == [""]:  # it was not needed
        os._exit(0)
    end = lines.index("")
    os.environ.clear()
    os.environ.update({name: value for name, _, value in (line.partition("=") for line in lines[end + 1 :])})
    os.environ["JPY_PARENT_PID"] = str(os.getppid())
    os.chdir(lines[0])
    for name in [name for name in sys.modules if name.split(".")[0] in _NOT_FOR_KERNELS]:
        del sys.modules[name]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path[0] = ""  # modules beside the notebook
    sys.argv = ["ipykernel_launcher", *lines[1:end]]
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance(argv=lines[1:end])
    atexit._run_exitfuncs()
    os._exit(0)  # Python would now take apart TensorFlow's objects, one by one: 1.5 to 4 s of a lesson's 30


def serve(control: socket.socket, modules: Iterable[str]) -> None:
    """Load modules; then fork a process for each connection that is sent through ``control``, until it closes.

    A process gets a ``WarmKernel`` and its connection; see ``helpers.execution.worker``.
    """
    from helpers.execution.worker import run_over_connection

    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as ipykernel sets it
    for name in ("ipykernel.kernelapp", *modules, "papermill"):
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a run that has ended
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            break
        connection = socket.socket(fileno=descriptors[0])
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            end_with_parent()
            control.close()
            run_over_connection(connection)
        connection.close()
    with contextlib.suppress(ChildProcessError):  # there is none any more
        os.waitpid(-1, 0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), _WITH_TENSORFLOW if sys.argv[2] == "tensorflow" else ())
