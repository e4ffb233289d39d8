import json
import os

import nbformat
import pytest

from course import lessons
from course.__main__ import main
from course.lessons import find_lessons, fingerprint, run_lesson, succeeded
from helpers.notebooks import execute
from helpers.records import CLAIM_TYPE, SESSION_TYPE

SESSION = {"profile": "mini", "device": "CPU"}


def write_lesson(path, held=True, crash=False):
    record = {"claim": "one is one", "held": held, "evidence": {"one": 1}}
    outputs = f"""
import os
from IPython.display import display
display({{"text/plain": "", {SESSION_TYPE!r}: {SESSION!r} | {{"process": os.getpid()}}}}, raw=True)
display({{"text/plain": "", {CLAIM_TYPE!r}: {record!r}}}, raw=True)
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
    monkeypatch.setattr(lessons, "fingerprint", lambda lesson, parameters, *code: f"{lesson.read_text()}{parameters}")
    return tmp_path


def run(folder, *options):
    status = main(["run", "--output", str(folder / "report"), "--profile", "mini", *options])
    return status, json.loads((folder / "report" / "summary.json").read_text(encoding="utf-8"))


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
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert "RuntimeError: no luck" in page and '<a href="02_good.html">' in page and "one is one" in page
    assert (folder / "report" / "02_good.html").exists()


def test_only_what_changed_or_failed_runs_again(folder):
    write_lesson(folder / "notebooks" / "00_a.ipynb")
    write_lesson(folder / "notebooks" / "01_b.ipynb", held=False)
    run(folder)
    times = {path.name: path.stat().st_mtime_ns for path in (folder / "report").glob("*.ipynb")}
    write_lesson(folder / "notebooks" / "01_b.ipynb")
    status, _ = run(folder)
    again = {path.name: path.stat().st_mtime_ns for path in (folder / "report").glob("*.ipynb")}
    assert status == 0
    assert again["00_a.ipynb"] == times["00_a.ipynb"] and again["01_b.ipynb"] != times["01_b.ipynb"]
    run(folder, "--fresh", "--lessons", "0")
    fresh = (folder / "report" / "00_a.ipynb").stat().st_mtime_ns
    assert fresh != times["00_a.ipynb"]


def test_a_stopped_run_leaves_no_older_result(folder, monkeypatch):
    lesson, output = folder / "notebooks" / "00_a.ipynb", folder / "report"
    write_lesson(lesson)
    run_lesson(lesson, {}, output)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(lessons, "execute", stop)
    with pytest.raises(KeyboardInterrupt):
        run_lesson(lesson, {}, output, fresh=True)
    assert not list(output.iterdir())


def test_a_damaged_record_is_no_record(folder):
    write_lesson(folder / "notebooks" / "00_a.ipynb")
    lesson, output = folder / "notebooks" / "00_a.ipynb", folder / "report"
    run_lesson(lesson, {"PROFILE": "mini"}, output)
    (output / "00_a.json").write_text('{"fingerprint"')
    assert succeeded(run_lesson(lesson, {"PROFILE": "mini"}, output))


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


def test_the_fingerprint_names_parameters_and_surroundings(monkeypatch):
    lesson = find_lessons(["00"])[0]
    keys = {fingerprint(lesson, {"SEED": seed}) for seed in (0, 1)}
    monkeypatch.setenv("COURSE_BUNDLE", "/somewhere")
    assert len(keys | {fingerprint(lesson, {"SEED": 0})}) == 3


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
    error = execute(tmp_path / "a.ipynb", {}, tmp_path / "b.ipynb")
    assert len(calls) == 2 and (error is None if outcome is None else error.startswith(outcome))
