"""Run many notebooks: each in a process of its own, what has not changed only once, on this machine or on many.

The lessons, the seeds, the site, the sweeps of lesson 08 and the tests all run notebooks with ``run_many``.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple

from helpers import ASSETS
from helpers.execution.kernel import Outcome
from helpers.execution.key import imports_tensorflow, key_of
from helpers.execution.store import Store
from helpers.execution.warm import can_be_warm
from helpers.files.cache import write_beside
from helpers.files.home import without_tilde

SECONDS_TO_ANSWER = 20  # what a scheduler and its first worker may take
_HOME = ASSETS.parent.parent  # the folder of `helpers`
FOLDERS = ("COURSE_BUNDLE", "COURSE_CACHE", "KERAS_HOME", "TFHUB_CACHE_DIR")
CORES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")  # how many threads a run takes
_READ_AT_EACH_RUN = ("COURSE_", "PYTEST_", "TFHUB_")  # variables that nothing reads while TensorFlow is loaded


class SchedulerError(RuntimeError):
    """No Dask scheduler answers, or it has no worker."""


class Run(NamedTuple):
    """One run of a notebook: its parameters, and the file for the notebook with its outputs."""

    notebook: Path
    parameters: Mapping[str, object]
    executed: Path


def run_many(
    runs: Sequence[Run],
    store: Store,
    *,
    jobs: int = 2,
    scheduler: str | None = None,
    fresh: bool = False,
    begun: Callable[[Run], None] | None = None,
) -> Iterator[tuple[Run, Outcome]]:
    """Run notebooks, and yield each one with its outcome as soon as it is there, those of the store first.

    Each run is a process of its own, and ends when this process does. What came to its end is kept in the store.

    Args:
        runs: what to run, in the order in which the runs begin.
        store: keeps what has run; on several machines, a folder that all of them see.
        jobs: runs at the same time, on this machine alone.
        scheduler: address of a Dask scheduler, such as "tcp://10.0.0.5:8786", whose workers have the course installed
            and see the same files; None for this machine alone.
        fresh: run also what the store has.
        begun: called when a run begins, on this machine alone.

    Raises:
        SchedulerError: no scheduler answers, or it has no worker.
    """
    make_folders_absolute()
    waiting: dict[str, list[Run]] = {}  # runs with the same key are one run
    for run in runs:
        key = key_of(run.notebook, run.parameters)
        stored = None if fresh else store.get(key, run.notebook)
        if stored is None:
            waiting.setdefault(key, []).append(run)
            if scheduler is None and can_be_warm():  # it loads while the keys of the others are computed
                _Forker.of_this_process(imports_tensorflow(run.notebook))
        else:
            outcome, executed = stored
            yield run, _write(executed, run.executed, outcome)
    if not waiting:
        return
    from distributed import as_completed

    with contextlib.ExitStack() as stack:
        client = stack.enter_context(connect(scheduler, min(jobs, len(waiting))))
        here = stack.enter_context(_on_this_machine(begun)) if scheduler is None else None
        futures = {}
        for number, (key, (run, *_)) in enumerate(waiting.items()):
            futures[client.submit(_run_apart, _job(key, run, store), here, pure=False, priority=-number)] = key
        for future in as_completed(list(futures)):
            key = futures[future]
            if future.status == "finished":
                outcome = future.result()
            else:  # a worker failed, or the scheduler was lost
                reason = future.exception() or "no answer from the scheduler"
                outcome = Outcome(f"the run was lost ({future.status}): {reason}")
            for run in waiting[key]:
                yield run, _seen_here(run, outcome, key, store)


def _job(key: str, run: Run, store: Store) -> dict:
    """Describe a run for ``helpers.execution.worker``."""
    tensorflow = imports_tensorflow(run.notebook)
    paths = {"notebook": str(run.notebook), "executed": str(run.executed), "store": str(store.folder)}
    settings = {"parameters": dict(run.parameters), "tensorflow": tensorflow, "limit": store.limit, "cores": cores()}
    return {"key": key, **settings, **paths}


def _seen_here(run: Run, outcome: Outcome, key: str, store: Store) -> Outcome:
    """Return the outcome of a run, with an error if what it wrote on its machine is not to be seen on this one."""
    if outcome.error is None and not run.executed.exists():
        stored = store.get(key, run.notebook)
        if stored is None:
            place = store.path(key, run.notebook)
            return outcome._replace(
                error=f"it has finished, but {place} is not here: do all machines share this folder?"
            )
        return _write(stored[1], run.executed, outcome)
    return outcome


def _write(executed: Any, path: Path, outcome: Outcome) -> Outcome:
    """Write an executed notebook."""
    import nbformat

    path.parent.mkdir(parents=True, exist_ok=True)
    with write_beside(path) as temporary:
        nbformat.write(executed, temporary)
    return outcome


def cores() -> dict[str, str]:
    """Return the variables of this process that say how many threads a run takes."""
    return {name: os.environ[name] for name in CORES if name in os.environ}


def take_cores(asked: Mapping[str, str]) -> None:
    """Give the runs of a worker as many threads as where they were asked for: with others, last digits differ."""
    for name in CORES:
        os.environ.pop(name, None)
    os.environ.update(asked)


def make_folders_absolute() -> None:
    """Make the folders that variables name absolute: a notebook runs in its own folder, not in this one."""
    for name in FOLDERS:
        if os.environ.get(name):
            os.environ[name] = str(without_tilde(os.environ[name]).absolute())


@contextlib.contextmanager
def connect(scheduler: str | None, jobs: int) -> Iterator:
    """Give a Dask client: of the scheduler at an address, or of a cluster in this process.

    Raises:
        SchedulerError: nothing answers at the address, or there is no worker.
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
        raise SchedulerError(
            f"No Dask scheduler answers at {scheduler!r} ({type(error).__name__}). Start one with `dask scheduler`, "
            "and on each machine `dask worker ADDRESS --nthreads 1`; or leave the address out."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=SECONDS_TO_ANSWER)
        except TimeoutError as error:
            raise SchedulerError(
                f"The Dask scheduler at {scheduler!r} has no workers. Start some with "
                f"`dask worker {scheduler} --nthreads 1`."
            ) from error
        yield client


_HERE: dict[str, tuple[_Processes, Callable[[Run], None] | None]] = {}  # what tasks of this process share, by a word


@contextlib.contextmanager
def _on_this_machine(begun: Callable[[Run], None] | None) -> Iterator[str]:
    """Give a word by which ``_run_apart`` finds what cannot travel with a task; at the end, no process is left."""
    word = secrets.token_hex(8)
    with _Processes() as processes:
        _HERE[word] = processes, begun
        try:
            yield word
        finally:
            del _HERE[word]


def _run_apart(job: dict, here: str | None) -> Outcome:
    """Run a job in a process of its own: papermill changes the working folder and the warnings of its process."""
    if here is None:
        take_cores(job["cores"])
        with _Processes() as processes:
            return processes.run(job)
    processes, begun = _HERE[here]
    if begun is not None:
        begun(Run(Path(job["notebook"]), job["parameters"], Path(job["executed"])))
    return processes.run(job)


class _Processes:
    """The processes of the runs of one ``run_many`` on one machine; at the end of the block, none is left."""

    def __init__(self) -> None:
        self.open: set[socket.socket | IO] = set()
        self.closed = False

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, *_) -> None:
        self.closed = True
        for each in list(self.open):  # a process ends when it sees this
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR) if isinstance(each, socket.socket) else each.close()

    def run(self, job: dict) -> Outcome:
        """Run a job, and wait for its answer."""
        if self.closed:
            return Outcome("it was stopped before it began")
        answer = self._ask_warm_process(job) if can_be_warm() else self._ask_new_process(job)
        try:
            return Outcome(**json.loads(answer.splitlines()[-1]))
        except (IndexError, ValueError, TypeError):
            return Outcome("the process of the run ended without a word: was it killed, or is the memory full?")

    def _ask_new_process(self, job: dict) -> str:
        with subprocess.Popen(
            [sys.executable, "-m", "helpers.execution.worker"],
            cwd=_HOME,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        ) as process:
            assert process.stdin and process.stdout
            self.open.add(process.stdin)
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            answer = process.stdout.read()
            self.open.discard(process.stdin)
        return answer

    def _ask_warm_process(self, job: dict) -> str:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                _Forker.of_this_process(job["tensorflow"]).fork_for(theirs)
            self.open.add(ours)
            ours.sendall(json.dumps({**job, "environment": dict(os.environ), "home": str(_HOME)}).encode() + b"\n")
            with ours.makefile("r", encoding="utf-8") as stream, contextlib.suppress(OSError):
                answer = stream.read()
                self.open.discard(ours)
                return answer
        return ""


class _Forker:
    """A process that has loaded what runs need and forks one for each run; see ``helpers.execution.warm``."""

    _lock = threading.Lock()
    _current: ClassVar[dict[bool, _Forker]] = {}  # with TensorFlow, and without

    @classmethod
    def of_this_process(cls, tensorflow: bool) -> _Forker:
        """Return the one that runs, or a new one if there is none or the environment was changed."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(_READ_AT_EACH_RUN)}
        with cls._lock:
            current = cls._current.get(tensorflow)
            if current is None or current.environment != environment or current.process.poll() is not None:
                if current is not None:
                    current.control.close()  # it ends after its last run
                cls._current[tensorflow] = current = cls(tensorflow, environment)
            return current

    def __init__(self, tensorflow: bool, environment: dict[str, str]) -> None:
        self.environment = environment
        self.control, theirs = socket.socketpair()
        modules = "tensorflow" if tensorflow else "no tensorflow"
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "helpers.execution.warm", str(theirs.fileno()), modules],
                cwd=_HOME,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # an interrupt at the terminal is this process' to handle
            )

    def fork_for(self, connection: socket.socket) -> None:
        """Let it fork a process that gets a connection."""
        with self._lock:
            socket.send_fds(self.control, [b"+"], [connection.fileno()])
