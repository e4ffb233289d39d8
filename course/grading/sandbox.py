"""Run a submission in a process of its own that can neither stay, nor take all memory, nor reach what is not its own.

On Linux the process gets namespaces of its own (`unshare` and `setpriv` of util-linux): it sees the system's
programs, Python with its packages, `helpers` and `course`, all read-only, an empty home folder in memory, its own
processes and no network. The folder with the submissions, the solutions and the home folders do not exist there. When
root starts it, it runs as a user who owns nothing.

Bubblewrap could take the place of ``sandbox.sh``; but it is one more package of the system, which few machines and no
usual container have, while util-linux is everywhere.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from course import ROOT, CourseError
from helpers.execution.engine import FOLDERS
from helpers.execution.kernel import memory_of

ISOLATED = "isolated (own files, own processes, no network)"
NOT_ISOLATED = "NOT isolated: limits of time and memory only; it could read and delete what you can"
SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"]
CORES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")  # how many to use
PASSED_ON = ("PATH", "LANG", "LC_ALL", *CORES, "COURSE_BUNDLE", "SYSTEMROOT")
HOME = "/home/student"
MARK = "COURSE_SUBMISSION"  # a variable by which the processes of a submission are known
INTERVAL = 0.1  # seconds between two looks at the memory
STOP = threading.Event()  # set: end all runs of this process


class SandboxError(CourseError):
    """This machine cannot keep submissions apart."""


class Attempt(NamedTuple):
    """One run: what its steps said, the place of the step that was not finished, why it ended, the peak in bytes.

    ``reason`` is empty for a run that came to its end, else "time limit", "memory limit" or "crashed".
    """

    said: list[dict]
    unfinished: int | None
    reason: str
    peak: int


def protection(unprotected: bool) -> str:
    """Say what keeps submissions apart on this machine.

    Args:
        unprotected: run them also where nothing does.

    Raises:
        SandboxError: nothing does, and ``unprotected`` is False.
    """
    problem = sandbox_problem()
    if problem is None:
        return ISOLATED
    if unprotected:
        return NOT_ISOLATED
    raise SandboxError(
        f"This machine cannot keep submissions apart ({problem}): they could read and delete what you can. Use Linux "
        "where `unshare --map-root-user --mount --pid --fork --net true` works. Or work in a container or a virtual "
        "machine that holds nothing else, and add --unprotected."
    )


@functools.cache
def sandbox_problem() -> str | None:
    """Try the sandbox; return None, or why it does not work here."""
    missing = [name for name in ("unshare", "setpriv", "findmnt", "pivot_root") if shutil.which(name) is None]
    if missing:
        return f"it has no {', '.join(missing)}"
    folder = visible_folder_of(ROOT / "solutions")
    if folder and (ROOT / "solutions").exists():
        return f"the solutions are inside {folder}, which submissions see. Move the course to another folder"
    with tempfile.TemporaryDirectory() as folder:
        command = [*sandbox_command(folder), sys.executable, "-c", "import IPython"]
        result = subprocess.run(command, env=environment(HOME), capture_output=True, text=True, errors="replace")
    lines = result.stderr.strip().splitlines() or [f"status {result.returncode}"]
    return lines[-1] if result.returncode else None


def sandbox_command(folder: str) -> list[str]:
    """Return the beginning of a command that runs the rest of it in a sandbox; ``folder`` is empty and stays so."""
    root = os.geteuid() == 0
    return [
        *["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc"],
        *([] if root else ["--map-root-user"]),
        *("sh", str(Path(__file__).with_suffix(".sh")), folder, HOME),
        str(2_000_000_000 + secrets.randbelow(10**8)) if root else "",  # nobody: no such user owns anything
        *visible_paths(),
        "--",
    ]


def visible_paths() -> list[str]:
    """Return the files and folders that a submission sees, besides the devices and its own home folder."""
    python = [sys.prefix, sys.base_prefix, os.path.dirname(os.path.realpath(sys.executable))]
    course = [str(ROOT / "helpers"), str(ROOT / "course")]
    wanted = {path for path in [*SYSTEM, *python, *course, os.environ.get("COURSE_BUNDLE", "")] if os.path.exists(path)}
    inside = {path for path in wanted for other in wanted if path != other and Path(path).is_relative_to(other)}
    return sorted(wanted - inside)


def visible_folder_of(path: Path) -> str | None:
    """Return the one of ``visible_paths`` through which a submission sees a file or folder, or None if none does."""
    return next((other for other in visible_paths() if path.resolve().is_relative_to(Path(other).resolve())), None)


def environment(home: str) -> dict[str, str]:
    """Return the variables that a submission gets: none that could hold a secret, all folders its own."""
    own = {name: f"{home}/{name.lower()}" for name in FOLDERS if name != "COURSE_BUNDLE"}
    return {
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        **own,
        "HOME": home,
        "USERPROFILE": home,  # the same on Windows
        "USER": "student",
        "COURSE_PROGRESS": f"{home}/progress.json",
        "COURSE_PROFILE": os.environ.get("COURSE_PROFILE", "mini"),
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": str(ROOT),
        "PYTHONSAFEPATH": "1",  # no modules from its own folder, which it may change
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "agg",
    }


def run_sandboxed(job: dict, memory: float, step_seconds: float, deadline: float) -> Attempt:
    """Run a job of ``course.grading.worker`` in a new process, and end it and all its children.

    Args:
        job: "exercise", "steps" and "skip".
        memory: GB that all its processes may use together.
        step_seconds: that a cell or a check may take.
        deadline: the end of all, by ``time.monotonic``.

    Raises:
        InterruptedError: ``STOP`` was set.
    """
    secret = secrets.token_hex(16)
    text = json.dumps({**job, "secret": secret, "memory": memory, "root": str(ROOT)}) + "\n"
    with worker_process() as process:
        heard: queue.Queue[dict | None] = queue.Queue()
        listener = threading.Thread(target=listen, args=(process.stdout, secret, heard), daemon=True)
        listener.start()
        threading.Thread(target=tell, args=(process.stdin, text), daemon=True).start()
        said: list[dict] = []
        unfinished, peak, since = None, 0, time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                message = heard.get(timeout=INTERVAL)
                since = time.monotonic()
                if message is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):  # it may have closed its output, and go on
                        process.wait(timeout=5)
                    finished = unfinished is None and process.returncode == 0
                    return Attempt(said, unfinished, "" if finished else "crashed", peak)
                unfinished = message.get("begins")
                said += [message] if "ends" in message else []
            if STOP.is_set():
                raise InterruptedError("Grading was stopped.")
            peak = max(peak, memory_of(process.pid))
            if peak > memory * 2**30:
                return Attempt(said, unfinished, "memory limit", peak)
            end_of_step = since + step_seconds if unfinished is not None else deadline  # TensorFlow loads for some time
            if time.monotonic() > min(deadline, end_of_step):
                return Attempt(said, unfinished, "time limit", peak)
            if process.poll() is not None:
                listener.join(timeout=1)  # what the process left behind may hold its output open
                heard.put(None)


@contextlib.contextmanager
def worker_process() -> Iterator[subprocess.Popen]:
    """Start the worker, in a sandbox where that works, in an empty folder; at the end, nothing of it is left."""
    mark = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True) as folder:
        sandboxed = sandbox_problem() is None
        home = HOME if sandboxed else folder
        process = subprocess.Popen(
            [*(sandbox_command(folder) if sandboxed else []), sys.executable, "-m", "course.grading.worker"],
            cwd=folder,
            env={**environment(home), MARK: mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            end_all(process, mark)


def listen(stream, secret: str, heard: queue.Queue) -> None:
    """Put what the worker says into a queue, and None at the end; lines without the secret word are not its own."""
    with contextlib.suppress(OSError, ValueError):  # closed by the other thread
        while line := stream.readline(2**16):
            word, _, text = line.decode(errors="replace").partition(" ")
            if word == secret:
                heard.put(json.loads(text))
    heard.put(None)


def tell(stream, text: str) -> None:
    """Give the worker its job; the stream stays open, because its end is the worker's end."""
    with contextlib.suppress(OSError, ValueError):
        stream.write(text.encode())
        stream.flush()


def end_all(process: subprocess.Popen, mark: str) -> None:
    """Kill a process and its children; in a sandbox the first of them takes all others along."""
    import psutil

    doomed = []
    with contextlib.suppress(psutil.Error):
        first = psutil.Process(process.pid)
        doomed = [*first.children(recursive=True), first]
    if sandbox_problem() is not None:  # outside a sandbox a child may have left its parent
        for each in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if each.environ().get(MARK) == mark:
                    doomed.append(each)
    for each in doomed:
        with contextlib.suppress(psutil.Error):
            each.kill()
    psutil.wait_procs(doomed, timeout=10)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
