import functools
import io
import json
import os

import nbformat
import pytest

from course.__main__ import main
from course.run import lessons, runner
from course.run.cores import usual_jobs
from course.run.lessons import run_of
from helpers.execution import Store
from helpers.execution.kernel import execute
from helpers.notebook.records import CLAIM_TYPE, SESSION_TYPE, read_records

SESSION = {"profile": "mini", "device": "CPU"}


def write_lesson(path, held=True, crash=False):
    record = {"claim": "one is one", "held": held, "evidence": {"one": 1}}
    outputs = f"""
import os
from IPython.display import display
display({{"text/plain": "", {SESSION_TYPE!r}: {SESSION!r} | {{"process": os.getpid()}}}}, raw=True)
record = {record!r}
record["evidence"]["threads"] = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
display({{"text/plain": "", {CLAIM_TYPE!r}: record}}, raw=True)
"""
    parameters = nbformat.v4.new_code_cell('PROFILE = "auto"\nSEED = 0', metadata={"tags": ["parameters"]})
    cells = [parameters, nbformat.v4.new_code_cell(outputs)]
    if crash:
        cells.append(nbformat.v4.new_code_cell("raise RuntimeError('no luck')"))
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(lessons, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(runner, "STORE", Store(tmp_path / "store"))
    return tmp_path


def run(folder, *options):
    status = main(["run", "--output", str(folder / "report"), "--profile", "mini", *options])
    return status, json.loads((folder / "report" / "summary.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_failing_lesson_stops_no_other(folder, capsys):
    write_lesson(folder / "notebooks" / "00_crash.ipynb", crash=True)
    write_lesson(folder / "notebooks" / "01_false.ipynb", held=False)
    write_lesson(folder / "notebooks" / "02_good.ipynb")
    status, summary = run(folder)
    assert status == 1
    assert [lesson["status"] for lesson in summary["lessons"]] == ["failed", "passed", "passed"]
    assert [lesson["claims"][0]["held"] for lesson in summary["lessons"]] == [True, False, True]
    assert summary["profile"] == "mini" and summary["device"] == "CPU" and summary["versions"]["keras"]
    assert all(lesson["peak_memory_mb"] > 10 and lesson["seconds"] > 0 for lesson in summary["lessons"])
    assert all(0.05 < lesson["cpu_seconds"] < 60 for lesson in summary["lessons"])
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert "RuntimeError: no luck" in page and '<a href="02_good.html">' in page and "one is one" in page
    assert (folder / "report" / "02_good.html").exists()


@pytest.mark.slow
def test_seeds_over_a_scheduler_give_the_evidence_of_this_machine(folder, scheduler, monkeypatch, capsys):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")  # of which the workers, which run already, know nothing
    write_lesson(folder / "notebooks" / "00_good.ipynb")
    write_lesson(folder / "notebooks" / "01_false.ipynb", held=False)
    found = []
    for number, options in enumerate([[], ["--scheduler", scheduler, "--fresh"]]):
        output = folder / f"seeds{number}"
        assert main(["seeds", "--profile", "mini", "--seeds", "3", "--output", str(output), *options]) == 1
        claims = [read_records(path, CLAIM_TYPE) for path in sorted(output.rglob("*.ipynb"))]
        found.append(((output / "claims.csv").read_text(encoding="utf-8"), claims))
    assert found[0] == found[1] and "one is one,3,3," in found[0][0] and "one is one,0,3,0 1 2" in found[0][0]
    assert [claim["evidence"]["threads"] for (claim,) in found[0][1]] == ["3"] * 6


def test_a_scheduler_that_does_not_answer_is_said_in_a_line(folder, monkeypatch, capsys):
    monkeypatch.setattr("helpers.execution.engine.SECONDS_TO_ANSWER", 1)
    write_lesson(folder / "notebooks" / "00_good.ipynb")
    assert main(["run", "--output", str(folder / "report"), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "No Dask scheduler answers at 'tcp://127.0.0.1:9'" in capsys.readouterr().err


def pids(folder):
    """The process that each lesson of the report ran in: another one when it ran again."""
    found = {}
    for path in sorted((folder / "report").glob("*.ipynb")):
        outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
        (found[path.stem],) = [o.data[SESSION_TYPE]["process"] for o in outputs if SESSION_TYPE in o.get("data", {})]
    return found


@pytest.mark.slow
def test_only_what_changed_or_failed_runs_again(folder):
    write_lesson(folder / "notebooks" / "00_a.ipynb")
    write_lesson(folder / "notebooks" / "01_b.ipynb", held=False)
    write_lesson(folder / "notebooks" / "02_c.ipynb", crash=True)
    run(folder)
    first = pids(folder)
    write_lesson(folder / "notebooks" / "01_b.ipynb")
    status, _ = run(folder)
    second = pids(folder)
    assert status == 1
    assert [name for name in first if first[name] == second[name]] == ["00_a"]
    run(folder, "--fresh", "--lessons", "0")
    assert pids(folder)["00_a"] != first["00_a"]


def test_a_report_in_another_folder_needs_no_new_run(folder):
    write_lesson(folder / "notebooks" / "00_a.ipynb")
    run(folder)
    first = pids(folder)
    main(["run", "--output", str(folder / "other" / "report"), "--profile", "mini"])
    assert pids(folder / "other") == first


def test_the_bar_counts_usual_seconds_and_leaves_out_what_the_store_has(folder, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(runner, "tqdm", functools.partial(runner.tqdm, file=terminal, ncols=100))
    monkeypatch.setattr(runner, "usual_seconds", lambda: {"01_long": 300.0, "02_short": 100.0})
    paths = [folder / "notebooks" / f"{name}.ipynb" for name in ("00_stored", "01_long", "02_short")]
    for path in paths:
        write_lesson(path)
    runs = [run_of(path, "mini", folder / "report") for path in paths]
    runner.run_lessons(runs[:1], jobs=1)
    runner.run_lessons(runs, jobs=1)
    after_the_long = next(line for line in terminal.getvalue().split("\r") if "2 of 3 done" in line)
    assert after_the_long.startswith(" 75%|") and " left, " in after_the_long
    assert "100%|" in terminal.getvalue().split("\r")[-1] and "3 of 3 done" in terminal.getvalue()


def test_auto_and_the_profile_it_chooses_are_one_run(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_PROFILE", "mini")
    lesson = tmp_path / "00_a.ipynb"
    assert run_of(lesson, "auto", tmp_path) == run_of(lesson, "mini", tmp_path)


@pytest.mark.slow
def test_seeds_are_counted(folder, capsys):
    write_lesson(folder / "notebooks" / "00_a.ipynb")
    write_lesson(folder / "notebooks" / "01_b.ipynb", held=False)
    write_lesson(folder / "notebooks" / "02_crash.ipynb", crash=True)
    options = ["seeds", "--seeds", "2", "--output", str(folder / "seeds"), "--profile", "mini"]
    assert main([*options, "--lessons", "0"]) == 0
    assert main([*options, "--lessons", "1"]) == 1
    assert main([*options, "--lessons", "2"]) == 1
    assert main(options) == 1
    table = (folder / "seeds" / "claims.csv").read_text()
    assert "00_a,one is one,2,2," in table and "01_b,one is one,0,2,0 1" in table


@pytest.mark.parametrize(
    ("cores", "gigabytes", "jobs"),
    [(2, 16, 3), (2, 8.1, 2), (2, 4.1, 1), (2, 2, 1), (1, 64, 2), (8, 16, 4), (8, 64, 9)],
)
def test_as_many_runs_as_cores_and_one_more_if_the_memory_has_room(cores, gigabytes, jobs):
    assert usual_jobs(cores, gigabytes * 1e9) == jobs


@pytest.mark.parametrize("options", [["--profile", "maxi"], ["--jobs", "0"], ["--jobs", "two"]])
def test_wrong_options(options, capsys):
    with pytest.raises(SystemExit) as error:
        main(["run", *options])
    assert error.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_folders_may_be_named_from_where_one_stands(folder, monkeypatch):
    write_lesson(folder / "notebooks" / "00_a.ipynb")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COURSE_BUNDLE", "../bundle")
    run(folder)
    assert os.environ["COURSE_BUNDLE"] == str(folder / ".." / "bundle")


def test_unknown_lesson_lists_the_known_ones(capsys):
    assert main(["run", "--lessons", "77"]) == 2
    assert "Choose from: 00, 01, 02, 03" in capsys.readouterr().err


@pytest.mark.parametrize(("deaths", "outcome"), [(1, None), (2, "RuntimeError: Kernel died before replying")])
def test_a_kernel_that_does_not_start_gets_a_second_chance(monkeypatch, tmp_path, deaths, outcome):
    calls = []

    def start(*_, **__):
        calls.append(1)
        if len(calls) <= deaths:
            raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr("papermill.execute_notebook", start)
    error = execute(tmp_path / "a.ipynb", {}, tmp_path / "b.ipynb").error
    assert len(calls) == 2 and (error is None if outcome is None else error.startswith(outcome))


def test_cpu_seconds_count_the_kernel_and_its_children(tmp_path):
    write_lesson(tmp_path / "a.ipynb")
    burn = "import time\nstart = time.process_time()\nwhile time.process_time() < start + 1: pass"
    notebook = nbformat.read(tmp_path / "a.ipynb", as_version=4)
    notebook.cells.append(
        nbformat.v4.new_code_cell(f"{burn}\nimport subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])")
    )
    nbformat.write(notebook, tmp_path / "a.ipynb")
    outcome = execute(tmp_path / "a.ipynb", {}, tmp_path / "b.ipynb")
    assert 2 < outcome.cpu_seconds < 20


def test_cpu_seconds_count_processes_that_nobody_waits_for(tmp_path):
    """As the runs of a sweep inside a lesson."""
    write_lesson(tmp_path / "a.ipynb")
    burn = "import time\nwhile time.process_time() < 2: pass\nopen('done', 'w')\ntime.sleep(1)"
    code = f"""import os, signal, subprocess, sys, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
subprocess.Popen([sys.executable, '-c', {burn!r}], start_new_session=True)
while not os.path.exists('done'): time.sleep(0.05)
time.sleep(0.5)"""
    notebook = nbformat.read(tmp_path / "a.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(code))
    nbformat.write(notebook, tmp_path / "a.ipynb")
    assert 2 < execute(tmp_path / "a.ipynb", {}, tmp_path / "b.ipynb").cpu_seconds < 20
