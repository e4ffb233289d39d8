"""Run submissions without a sandbox, many after each other: a process that has TensorFlow loaded forks for each.

As a program, it reads a list of jobs from standard input, each an exercise, its steps, and whether its checks run
apart, and writes into a file for each the status and message of each task, and whether a message was no worker's.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = 120  # for one submission; on a busy machine, an honest one took more than 10


def run_all(jobs: list[dict]) -> list[dict]:
    """Run jobs ``{"exercise": "08", "steps": [...], "apart": True}``; return for each what it got."""
    with tempfile.TemporaryDirectory() as folder:
        return run_in(Path(folder) / "found.json", jobs)


def run_in(file: Path, jobs: list[dict]) -> list[dict]:
    """Run jobs in another process, which writes what it found into a file: a submission writes on all open ones."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.faults.submissions", str(file)],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "COURSE_PROFILE": "mini", "MPLBACKEND": "agg"},
    )
    assert result.returncode == 0, result.stderr
    return json.loads(file.read_text())


def main() -> None:
    """Load the course once, and fork for each job."""
    import numpy.testing  # noqa: F401
    import sklearn.svm  # noqa: F401

    import helpers.quiet  # noqa: F401

    found = [run_one(job) for job in json.load(sys.stdin)]
    Path(sys.argv[1]).write_text(json.dumps(found))


def run_one(job: dict) -> dict:
    """Run one job in two new processes, a worker and a judge; return the verdicts."""
    from course.grading.sandbox import kind_of

    to_judge, from_judge = os.pipe(), os.pipe()
    judge = child(lambda: judge_all(job, to_judge[0], from_judge[1]))
    os.close(from_judge[1])  # neither must hold the other's end open: nobody would notice when one has ended
    to_worker, from_worker = os.pipe(), os.pipe()
    worker = child(lambda: work(job, to_worker[0], from_worker[1]))
    os.close(from_worker[1])
    with (
        os.fdopen(from_worker[0]) as said,
        os.fdopen(from_judge[0]) as judged,
        os.fdopen(to_worker[1], "w") as worker_in,
        os.fdopen(to_judge[1], "w") as judge_in,
    ):

        def tell(stream, message) -> None:
            stream.write(json.dumps(message) + "\n")
            stream.flush()

        signal.signal(signal.SIGALRM, lambda *_: os.kill(worker, signal.SIGKILL))
        signal.alarm(SECONDS)
        tasks, forged = {}, False
        with contextlib.suppress(BrokenPipeError, json.JSONDecodeError):  # one of the two has ended
            for line in said:
                word, _, text = line.partition(" ")
                if word not in ("secret", "talk"):
                    continue
                message = json.loads(text)
                kind = "talk" if word == "talk" else kind_of(message, job["steps"])
                forged |= not kind
                if kind == "judge":
                    step = job["steps"][message["judge"]]
                    tell(judge_in, {"task": step["task"], "source": step["source"]})
                elif kind == "talk":
                    tell(judge_in, {"talk": message})
                elif kind == "ends" and message["status"] not in ("done", "judged"):
                    tasks[job["steps"][message["ends"]]["task"]] = [message["status"], message["message"]]
                if kind in ("judge", "talk"):
                    answer = json.loads(judged.readline())
                    if "verdict" in answer:
                        tasks[step["task"]] = [answer["verdict"], answer["message"]]
                        answer = {"done": 0}
                    tell(worker_in, answer.get("talk", answer))
        signal.alarm(0)
    for process in (worker, judge):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    return {"tasks": tasks, "forged": forged}


def child(run) -> int:
    """Fork; run a function in the child, which then ends; return the child's number."""
    number = os.fork()
    if number == 0:
        try:
            run()
        except BaseException:
            import traceback

            traceback.print_exc()
        os._exit(0)
    return number


def work(job: dict, into: int, out: int) -> None:
    """Run the worker of a job."""
    import course.grading.worker as worker_module
    from course.grading.worker import make_voices, run_steps

    if not job["apart"]:
        worker_module.APART = frozenset()
    worker_module.hide_the_course()

    os.chdir(tempfile.mkdtemp())
    os.symlink(ROOT / "helpers", "helpers")
    say, send = make_voices(out, "secret", "talk")
    lines = os.fdopen(into)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    run_steps(job["exercise"], job["steps"], set(), say, send, lambda: json.loads(lines.readline()))


def judge_all(job: dict, into: int, out: int) -> None:
    """Run the judge of a job."""
    from course.grading.judge import judge_apart, prepare

    lines = os.fdopen(into)

    def say(message: dict) -> None:
        os.write(out, json.dumps(message).encode() + b"\n")

    prepare(job["exercise"])
    while line := lines.readline():
        step = json.loads(line)
        status, message = judge_apart(
            step["task"],
            step["source"],
            lambda each: say({"talk": each}),
            lambda: json.loads(lines.readline())["talk"],
        )
        say({"verdict": status, "message": message})


if __name__ == "__main__":
    main()
