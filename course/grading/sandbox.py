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
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from course import ROOT, CourseError
from course.grading.judge import APART
from course.grading.talk import LONGEST
from course.grading.worker import LONGEST_LINE
from helpers.execution.engine import CORES, FOLDERS
from helpers.execution.processes import cpu_seconds_of, family_of, memory_of

ISOLATED = "isolated (own files, own processes, no network)"
NOT_ISOLATED = "NOT isolated: limits of time and memory only; it could read and delete what you can"
SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"]
PASSED_ON = ("PATH", "LANG", "LC_ALL", *CORES, "COURSE_BUNDLE", "SYSTEMROOT")
HOME = "/home/student"
MARK = "COURSE_SUBMISSION"  # a variable by which the processes of a submission are known
INTERVAL = 0.1  # seconds between two looks at the memory
START_SECONDS = 600  # to load TensorFlow and the course, twice at the same time
PATIENCE = 4  # a step that waits for a busy machine may take so many times as long
GB = 2**30
ENDED = "ended"
STATUSES = {"solved", "wrong", "untouched", "crashed", "memory limit", "forged"}  # of a check
FORMS = {"ready": (), "begins": (), "judge": ("stopped",), "ends": ("status", "message"), "talk": ()}  # texts beside
NAMELESS = ("/memfd:", "/dev/zero", "/SYSV", "/[aio]")  # files in memory
GROUPS, CONTROL_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
STOP = threading.Event()  # set: end all runs of this process


class SandboxError(CourseError):
    """This machine cannot keep submissions apart."""


class NotStartedError(CourseError):
    """The course itself was not ready in time, or had no memory: nothing can be said about the submission."""


class Attempt(NamedTuple):
    """One run: what its steps said, the place of the step that was not finished, why it ended, the peak in bytes.

    ``reason`` is empty for a run that came to its end, else "time limit", "memory limit", "crashed" or "forged".
    ``seconds`` is the time since the course was loaded.
    """

    said: list[dict]
    unfinished: int | None
    reason: str
    peak: int
    seconds: float


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
    places = [*SYSTEM, *python, *course, bundle()]
    real = [os.path.realpath(path) for path in [*python, *course, bundle()] if path]  # what a link leads to
    wanted = {os.path.abspath(path) for path in [*places, *real] if path and os.path.exists(path)}
    inside = {path for path in wanted for other in wanted if path != other and Path(path).is_relative_to(other)}
    return sorted(wanted - inside)


def bundle() -> str:
    """Return the folder of the bundle, in which `~` is the home folder of who grades, or nothing."""
    return os.path.expanduser(os.environ.get("COURSE_BUNDLE", ""))


def visible_folder_of(path: Path) -> str | None:
    """Return the one of ``visible_paths`` through which a submission sees a file or folder, or None if none does."""
    return next((other for other in visible_paths() if path.resolve().is_relative_to(Path(other).resolve())), None)


def environment(home: str) -> dict[str, str]:
    """Return the variables that a submission gets: none that could hold a secret, all folders its own."""
    own = {name: f"{home}/{name.lower()}" for name in FOLDERS if name != "COURSE_BUNDLE"}
    return {
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        **own,
        **({"COURSE_BUNDLE": os.path.abspath(bundle())} if bundle() else {}),
        "HOME": home,
        "USERPROFILE": home,  # the same on Windows
        "USER": "student",
        "COURSE_PROGRESS": f"{home}/progress.json",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": str(ROOT),
        "PYTHONSAFEPATH": "1",  # no modules from its own folder, which it may change
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "agg",
    }


def run_sandboxed(job: dict, memory: float, step_seconds: float, seconds: float) -> Attempt:
    """Run a job of ``course.grading.worker`` and the judge beside it in new processes, and end them and all children.

    The clock of a submission starts when the course is loaded: a slow machine is not the student's fault. A step is
    late when both the clock and its processors have used ``step_seconds``, or the clock ``PATIENCE`` times as many.

    Args:
        job: "exercise", "profile", "steps" and "skip".
        memory: GB that all its processes may use together.
        step_seconds: that a cell or a check may take.
        seconds: that all may take.

    Raises:
        InterruptedError: ``STOP`` was set.
        NotStartedError: the course was not loaded within ``START_SECONDS``, or ended before.
    """
    heard: queue.Queue = queue.Queue(maxsize=50)  # who floods it, waits
    with (
        Process("course.grading.worker", job["profile"], memory, heard) as worker,
        Process("course.grading.judge", job["profile"], memory, heard) as judge,
    ):
        given = {"memory": memory, "root": str(ROOT), "exercise": job["exercise"]}
        worker.tell({**given, **job, "secret": worker.secret, "talk": worker.talk})
        judge.tell({**given, "secret": judge.secret, "talk": judge.talk})
        return Run(job, heard, worker, judge, memory, step_seconds, seconds).run()


class Run:
    """One run of a submission: passes on what worker and judge say, and watches over time and memory.

    What the worker says is hostile. Of each message only known keys with values of exact types count, in the order in
    which a worker sends them; anything else means that the student's code has found the channel, and ends the run.
    """

    def __init__(
        self,
        job: dict,
        heard: queue.Queue,
        worker: Process,
        judge: Process,
        memory: float,
        step_seconds: float,
        seconds: float,
    ) -> None:
        self.steps, self.skip = job["steps"], set(job["skip"])
        self.heard, self.worker, self.judge = heard, worker, judge
        self.memory, self.step_seconds, self.seconds = memory, step_seconds, seconds
        self.said: list[dict] = []
        self.place: int | None = None  # of the step that runs
        self.last = -1
        self.judged = False  # the step that runs has asked for its verdict
        self.asked = False  # the judge has asked the worker, and waits for its word
        self.verdict: dict | None = None
        self.stopped = ""  # the error of the cell that the check belongs to
        self.ready = self.judge_ready = False
        self.start = time.monotonic()
        self.since, self.used = self.start, 0.0
        self.peak, self.looked = 0, 0.0

    def run(self) -> Attempt:
        """Take in messages until the run has ended, or is ended."""
        while True:
            reason = self.hear() or self.late()
            if STOP.is_set():
                raise InterruptedError("Grading was stopped.")
            if reason:
                if not self.ready:
                    raise NotStartedError(
                        f"The course did not start ({reason}). That is not the student's fault: grade it again, with "
                        "fewer --jobs or more --memory."
                    )
                finished = reason == "ended" and self.place is None and self.worker.process.returncode == 0
                reason = "" if finished else "crashed" if reason == "ended" else reason
                if reason == "crashed" and self.worker.out_of_memory():
                    reason = "memory limit"
                return Attempt(self.said, self.place, reason, self.peak, time.monotonic() - self.start)

    def hear(self) -> str:
        """Take in what worker or judge has said; return why the run ends, or nothing."""
        try:
            process, message = self.heard.get(timeout=INTERVAL)
        except queue.Empty:
            return ""
        if message == ENDED:
            with contextlib.suppress(subprocess.TimeoutExpired):  # it may have closed its output, and go on
                process.process.wait(timeout=5)
            return "ended"
        return self.take(message) if process is self.worker else self.take_verdict(message)

    def take(self, message: dict) -> str:
        """Take in a message of the worker."""
        kind = kind_of(message, self.steps)
        if kind == "ready" and not self.ready:
            self.ready = True
            self.start = time.monotonic()
            self.begin_clock()
        elif kind == "begins" and self.ready and self.place is None and message["begins"] > self.last:
            self.place = self.last = message["begins"]
            self.judged, self.asked, self.verdict = False, False, None
            self.begin_clock()
        elif kind == "judge" and message["judge"] == self.place and self.is_apart() and not self.judged:
            step = self.steps[self.place]
            self.judged, self.stopped = True, message["stopped"]
            self.judge.tell({"task": step["task"], "source": step["source"]})
        elif kind == "talk" and self.asked:
            self.asked = False
            self.judge.tell(message)
        elif kind == "ends" and message["ends"] == self.place and self.may_end(message):
            self.said.append({**message, **(self.verdict or {})})
            self.place = None
            self.begin_clock()
        else:
            return "forged"
        return ""

    def is_apart(self) -> bool:
        """Tell whether the step that runs is a check that the judge runs."""
        return self.steps[self.place]["check"] and self.steps[self.place]["task"] in APART

    def may_end(self, message: dict) -> bool:
        """Tell whether the step that runs may end with this status."""
        if self.is_apart():
            return message["status"] == "judged" and self.verdict is not None
        return message["status"] in (STATUSES if self.steps[self.place]["check"] else {"done"})

    def take_verdict(self, message: dict) -> str:
        """Take in a message of the judge."""
        if not message:
            return "crashed"
        if "ready" in message:
            self.judge_ready = True
            self.begin_clock()
        elif "talk" in message:
            self.asked = True
            self.worker.tell(message["talk"])
        elif self.judged and self.verdict is None:
            status, text = message["verdict"], message["message"]
            if status != "solved" and self.stopped:
                text = f"The cell of the task stopped with an error. {self.stopped}"
            self.verdict = {"status": status, "message": text}
            self.worker.tell({"done": self.place})
        return ""

    def begin_clock(self) -> None:
        """Begin to count the time of a step."""
        self.since, self.used = time.monotonic(), self.worker.cpu_seconds()

    def late(self) -> str:
        """Look at memory and time; return why the run ends, or nothing."""
        if time.monotonic() - self.looked < INTERVAL:
            return ""
        self.looked = time.monotonic()
        self.peak = max(self.peak, self.worker.memory_used())
        if self.peak > self.memory * GB:
            return "memory limit"
        now = time.monotonic()
        if not self.ready or (self.judged and not self.judge_ready):
            return "time limit" if now - self.since > START_SECONDS else ""
        clock = now - self.since
        if self.place is not None and clock > self.step_seconds:
            used = self.worker.cpu_seconds() - self.used
            if used > self.step_seconds or clock > PATIENCE * self.step_seconds:
                return "time limit"
        if now - self.start > PATIENCE * self.seconds:
            return "time limit"
        if now - self.start > self.seconds and self.worker.cpu_seconds() > self.seconds:
            return "time limit"
        return ""


def kind_of(message: dict, steps: list) -> str:
    """Return what a message of a worker is, or nothing if it is none that a worker sends."""
    if not message:
        return ""
    kind = next(iter(message))
    if set(message) != {kind, *FORMS.get(kind, ())} or kind not in FORMS:
        return ""
    if kind == "talk":
        return kind if type(message["talk"]) is dict else ""
    place = message[kind]
    texts = [message[name] for name in FORMS[kind]]
    if type(place) is not int or not 0 <= place < max(len(steps), 2):
        return ""
    return kind if all(type(text) is str and len(text) <= LONGEST for text in texts) else ""


class Process:
    """A worker or a judge, in a sandbox where that works, in an empty folder; at the end, nothing of it is left."""

    def __init__(self, module: str, profile: str, memory: float, heard: queue.Queue) -> None:
        self.module, self.profile, self.memory, self.heard = module, profile, memory, heard
        self.secret, self.talk, self.mark = (secrets.token_hex(16) for _ in range(3))
        self.said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.closed = threading.Event()

    def __enter__(self) -> Process:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True))
            self.group = stack.enter_context(memory_group(self.memory))
            sandboxed = sandbox_problem() is None
            home = HOME if sandboxed else folder
            command = [*(sandbox_command(folder) if sandboxed else []), sys.executable, "-m", self.module]
            self.process = subprocess.Popen(
                [*enter_group(self.group), *command],
                cwd=folder,
                env={**environment(home), "COURSE_PROFILE": self.profile, MARK: self.mark},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            stack.callback(end_all, self.process, self.mark)
            stack.callback(self.close)
            for target in (self.listen, self.speak):
                threading.Thread(target=target, daemon=True).start()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def close(self) -> None:
        """Let both threads end."""
        self.closed.set()
        self.said.put(None)

    def tell(self, message: dict) -> None:
        """Send a message; it waits in a queue, so that a process that does not read stops nobody."""
        self.said.put(json.dumps(message) + "\n")

    def speak(self) -> None:
        """Write what is to be sent; the stream stays open, because its end is the other's end."""
        stream: Any = self.process.stdin
        with contextlib.suppress(OSError, ValueError):
            while (text := self.said.get()) is not None:
                stream.write(text.encode())
                stream.flush()

    def listen(self) -> None:
        """Put what it says into a queue, and a word at the end; lines without a secret word are not its own.

        A line with a secret word that is no JSON, or is too long, is an empty dict in the queue.
        """
        stream: Any = self.process.stdout
        with contextlib.suppress(OSError, ValueError):  # closed by the other thread
            while line := stream.readline(LONGEST_LINE):
                word, _, text = line.partition(b" ")
                if word in (self.secret.encode(), self.talk.encode()):
                    self.put(read_message(text, word == self.talk.encode()))
                if self.closed.is_set():
                    return
        self.put(ENDED)

    def put(self, message: dict | str) -> None:
        """Put a message into the queue, unless nobody takes it any more."""
        while not self.closed.is_set():
            with contextlib.suppress(queue.Full):
                return self.heard.put((self, message), timeout=0.5)

    def memory_used(self) -> int:
        """Return the bytes that it and its children use together, those that belong to no process included."""
        if self.group is not None:
            with contextlib.suppress(OSError, ValueError):
                return int((self.group / "memory.current").read_text())
        return memory_of(self.process.pid) + unmapped_memory_of(self.process.pid)

    def out_of_memory(self) -> bool:
        """Tell whether the system has killed a process of it because of the memory limit."""
        if self.group is None:
            return False
        with contextlib.suppress(OSError):
            return not re.search(r"^oom_kill 0$", (self.group / "memory.events").read_text(), re.MULTILINE)
        return False

    def cpu_seconds(self) -> float:
        """Return the processor time that it and its children have used."""
        return cpu_seconds_of(self.process.pid)


def read_message(text: bytes, is_talk: bool) -> dict:
    """Return what a line holds: a dict, empty if it holds none."""
    try:
        if not text.endswith(b"\n"):
            return {}
        message = json.loads(text)
    except (ValueError, RecursionError, MemoryError):
        return {}
    if is_talk:
        return {"talk": message}
    return message if type(message) is dict and "talk" not in message else {}


@contextlib.contextmanager
def memory_group(memory: float) -> Iterator[Path | None]:
    """Give a control group with a limit of ``memory`` GB, or None where the system lends none (version 2, writable)."""
    group = None
    try:
        line = next(line for line in CONTROL_GROUP.read_text().splitlines() if line.startswith("0::"))
        group = GROUPS / line[3:].lstrip("/") / f"course-{secrets.token_hex(8)}"
        group.mkdir()
        (group / "memory.max").write_text(str(int(memory * GB)))
        with contextlib.suppress(OSError):  # where there is no swap
            (group / "memory.swap.max").write_text("0")
    except (OSError, StopIteration):
        if group is not None:
            with contextlib.suppress(OSError):
                group.rmdir()
        group = None
    try:
        yield group
    finally:
        if group is not None:
            with contextlib.suppress(OSError):
                group.rmdir()


def enter_group(group: Path | None) -> list[str]:
    """Return the beginning of a command that runs the rest of it in a control group."""
    if group is None:
        return []
    return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs")]


def unmapped_memory_of(pid: int) -> int:
    """Return the bytes that a process and its children hold in files that are in memory only.

    These are the files of the sandbox, and such that have no name (`memfd`), open or mapped: they count for no process
    until it reads them. Pages that are in a process as well are counted twice.
    """
    found: dict[tuple[int, int], int] = {}
    for each in family_of(pid):
        place = f"/proc/{each.pid}"
        with contextlib.suppress(OSError):
            for name in os.listdir(f"{place}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"{place}/fd/{name}").startswith(NAMELESS):
                        status = os.stat(f"{place}/fd/{name}")
                        found[status.st_dev, status.st_ino] = 512 * status.st_blocks
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"{place}/maps").read_text(errors="replace").splitlines():
                span, _, _, device, number, *path = line.split(maxsplit=5)
                if path and path[0].startswith(NAMELESS):
                    start, end = (int(part, 16) for part in span.split("-"))
                    high, low = (int(part, 16) for part in device.split(":"))
                    key = os.makedev(high, low), int(number)
                    found[key] = max(found.get(key, 0), end - start)
        with contextlib.suppress(OSError):
            status = os.stat(f"{place}/root")
            if status.st_dev != os.stat("/").st_dev:  # the sandbox' own
                size = os.statvfs(f"{place}/root")
                found[status.st_dev, 0] = (size.f_blocks - size.f_bfree) * size.f_frsize
    return sum(found.values())


def end_all(process: subprocess.Popen, mark: str) -> None:
    """Kill a process and its children; in a sandbox the first of them takes all others along."""
    import psutil

    doomed = family_of(process.pid)[::-1]
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
