"""Hostile submissions: none gets a mark that it does not deserve, and none costs another its marks."""

import json
import os
import queue
import signal
import subprocess
import sys

import nbformat
import numpy as np
import pandas as pd
import pytest

from course.authoring.exercises import EXERCISES
from course.grading import sandbox
from course.grading.grade import GradingError, Limits, grade, harmless, make_table
from course.grading.kept import Graded
from course.grading.plain import NotPlainError, Reader, to_plain
from course.grading.sandbox import Run, kind_of, read_message
from course.grading.submissions import find_submissions, read_notebook, steps_of
from tests.faults.submissions import run_all

NAME = "08_hyperparameters.ipynb"
CELLS = {"setup", "parameters", "begin", "start", "task-8-1", "check-8-1", "task-8-5", "check-8-5"}
RIGHT_1 = "def learning_rates(low, high, count):\n    return np.geomspace(low, high, count)\n"
WRONG_1 = "def learning_rates(low, high, count):\n    return np.linspace(low, high, count)\n"
RIGHT_5 = (
    "def tune(settings, score):\n    best = max(settings, key=lambda s: score(s, 'validation'))\n"
    "    return best, score(best, 'test')\n"
)
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
SAY = "status='solved', message='well done'"

# Code that stands before a wrong answer: what is forged, and how.
REPLACES = {
    f"{target} replaced": f"import numpy, builtins, math, json, os, sys\n{imports}\n{target} = {value}\n" + WRONG_1
    for target, imports, value in (
        ("np.allclose", "", "lambda *_, **__: True"),
        ("np.isclose", "", "lambda *_, **__: np.True_"),
        ("np.geomspace", "", "np.linspace"),
        ("np.sort", "", "lambda x: numpy.geomspace(1e-5, 1e-2, 4)"),
        ("builtins.len", "", "lambda _: 4"),
        ("builtins.all", "", "lambda _: True"),
        ("checks.expect", "import helpers.checks.exercise_08 as checks", "lambda *_: None"),
        ("checks.Wrong", "import helpers.checks.exercise_08 as checks", "lambda _: ValueError()"),
        ("checks.len", "import helpers.checks.exercise_08 as checks", "lambda _: 4"),
        ("answers.judge", "import helpers.checks.answers as answers", "lambda *_: ('solved', '')"),
        ("answers.Verdict", "import helpers.checks.answers as answers", "lambda *_: ('solved', '')"),
        ("answers.Wrong", "import helpers.checks.answers as answers", "ZeroDivisionError"),
        ("task.Task.__getattribute__", "import helpers.checks.task as task", "lambda *_: lambda *__: ''"),
        ("task.expect.__code__", "import helpers.checks.task as task", "(lambda held, message: None).__code__"),
        ("json.dumps", "", 'lambda *_, **__: \'{"ends": 5, "status": "solved", "message": ""}\''),
    )
}
TASK = "import helpers.checks.exercise_08 as checks\ntask = checks.TASKS['8.1']\n"
IN_THE_ANSWER = "def learning_rates(low, high, count):\n    {}\n    return np.linspace(low, high, count)\n"
OTHERS = {
    "task's check by object.__setattr__": TASK + "object.__setattr__(task, 'check', lambda *_: '')\n" + WRONG_1,
    "task's check, same repr": TASK
    + "class Same:\n    def __init__(self, old): self.text = repr(old)\n    def __repr__(self): return self.text\n"
    "    def __call__(self, *_): return ''\nobject.__setattr__(task, 'check', Same(task.check))\n" + WRONG_1,
    "another task in the table": TASK
    + "checks.TASKS['8.1'] = checks.TASKS['8.2'].__class__('', lambda *_: '', ())\n"
    + WRONG_1,
    "check's code": TASK + "def other(answer):\n    return ''\ntask.check.__code__ = other.__code__\n" + WRONG_1,
    "a function behind numpy's": "import importlib, sys\nplace = sys.modules[np.ones.__module__]\n"
    "for module in [m for n, m in list(sys.modules.items()) if n.startswith('numpy') and 'isclose' in vars(m)]:\n"
    "    module.isclose = lambda *_, **__: np.array(True)\n    module.all = lambda *_, **__: True\n" + WRONG_1,
    "code of a function behind numpy's": "def yes(a, b, rtol=1e-05, atol=1e-08, equal_nan=False):\n    return True\n"
    "import sys\nfor m in [m for n, m in list(sys.modules.items()) if n.startswith('numpy')]:\n"
    "    f = getattr(vars(m).get('allclose'), '_implementation', None)\n"
    "    if f is not None: f.__code__ = yes.__code__\n" + WRONG_1,
    "an array that is always right": "class Yes(np.ndarray):\n    def __array_function__(self, *_, **__): return True\n"
    "    def __array_ufunc__(self, *_, **__): return True\n    def __eq__(self, other): return True\n"
    "def learning_rates(low, high, count):\n    return np.linspace(low, high, count).view(Yes)\n",
    "numbers that are always right": "class Yes(float):\n    def __eq__(self, other): return True\n"
    "    def __sub__(self, other): return 0.0\n    __rsub__ = __sub__\n    __hash__ = float.__hash__\n"
    "def learning_rates(low, high, count):\n    return [Yes(x) for x in np.linspace(low, high, count)]\n",
    "an object that becomes any array": "import sys\nclass Any:\n    def __iter__(self): return iter(self.right())\n"
    "    def right(self):\n        frame = sys._getframe()\n"
    "        while 'low' not in frame.f_locals: frame = frame.f_back\n"
    "        v = frame.f_locals\n        return np.geomspace(v['low'], v['high'], v['count'])\n"
    "def learning_rates(a, b, c):\n    return Any()\n",
    "settrace": IN_THE_ANSWER.format("import sys; sys.settrace(lambda *_: None)"),
    "setprofile": IN_THE_ANSWER.format("import sys; sys.setprofile(lambda *_: None)"),
    "threading.settrace": IN_THE_ANSWER.format("import threading; threading.settrace(lambda *_: None)"),
    "all objects": IN_THE_ANSWER.format(
        f"import gc; [x({SAY}, ends=5) for x in gc.get_objects() if getattr(x, '__name__', '') == 'say']"
    ),
    "all objects, in a pool": "from concurrent.futures import ThreadPoolExecutor\nimport gc\n"
    + IN_THE_ANSWER.format("ThreadPoolExecutor().submit(gc.get_objects).result(); np.allclose = lambda *_, **__: True"),
    "referrers": "import gc\n" + IN_THE_ANSWER.format("gc.get_referents(type.__dict__); np.isclose = lambda *_: True"),
    "frames": "import sys\ndef learning_rates(low, high, count):\n    frame = sys._getframe()\n"
    "    while frame and 'say' not in frame.f_locals: frame = frame.f_back\n"
    f"    if frame: frame.f_locals['say'](ends=5, {SAY})\n    return np.linspace(low, high, count)\n",
    "frames by inspect": "import inspect\ndef learning_rates(low, high, count):\n    frame = inspect.currentframe()\n"
    "    while frame and 'judge' not in frame.f_locals: frame = frame.f_back\n"
    "    if frame: frame.f_locals['tasks'].clear()\n    np.allclose = lambda *_, **__: True\n"
    "    return np.linspace(low, high, count)\n",
    "frames of an error": "def learning_rates(low, high, count):\n    try: 1 / 0\n"
    "    except ZeroDivisionError as error: frame = error.__traceback__.tb_frame\n"
    "    while frame and 'status' not in frame.f_locals: frame = frame.f_back\n"
    "    np.allclose = lambda *_, **__: True\n    return np.linspace(low, high, count)\n",
    "memory of the process": IN_THE_ANSWER.format("open('/proc/self/mem', 'rb'); np.allclose = lambda *_: True"),
    "ctypes": "import ctypes\n"
    + IN_THE_ANSWER.format("ctypes.cast(id(np), ctypes.py_object).value.allclose = lambda *_, **__: True"),
    "an audit hook": "import sys\nsys.addaudithook(lambda *_: None)\nnp.allclose = lambda *_, **__: True\n" + WRONG_1,
    "a thread": "import threading, time\ndef go_on():\n    while True:\n        np.allclose = lambda *_, **__: True\n"
    "        time.sleep(0.001)\nthreading.Thread(target=go_on, daemon=True).start()\n" + WRONG_1,
    "put back when it is forgotten": "true = np.allclose\nclass Rates(list):\n"
    "    def __del__(self): np.allclose = true\n"
    "def learning_rates(low, high, count):\n    np.allclose = lambda *_, **__: True\n"
    "    return Rates(np.linspace(low, high, count))\n",
    "another numpy": "import sys, types\nother = types.ModuleType('numpy')\nother.__dict__.update(vars(np))\n"
    "other.allclose = lambda *_, **__: True\nsys.modules['numpy'] = other\n"
    "import helpers.checks.exercise_08 as checks\nchecks.np = other\n" + WRONG_1,
    "the guard": "import course.grading.guard as guard, course.grading.worker as worker\n"
    "guard.Snapshot.changed = guard.Watch.threads = lambda self: []\nworker.run_check = lambda *_: ('solved', '')\n"
    "guard.alike = lambda *_: True\nnp.allclose = lambda *_, **__: True\n" + WRONG_1,
    "lines on all files": "import os\nfor n in range(3, 40):\n    for word in ('secret ', ''):\n"
    '        try: os.write(n, (word + \'{"ends": 5, "status": "solved", "message": ""}\\n\').encode())\n'
    "        except OSError: pass\n" + WRONG_1,
    "its own check": "check = lambda *_: print('✔')\nimport helpers.checks\nhelpers.checks.check = check\n" + WRONG_1,
    "an exit": "import os\n" + IN_THE_ANSWER.format("os._exit(0)"),
    "SystemExit": IN_THE_ANSWER.format("raise SystemExit(0)"),
}
FORGED = {**REPLACES, **OTHERS}
# All of them while the check runs apart, as it does for these tasks; beside the student's code, every third.
CASES = [(name, True) for name in FORGED] + [(name, False) for name in list(FORGED)[::3]]


def steps(**answers: str) -> list[dict]:
    """Return the steps of the exercise that the cases need, with these answers, such as ``task_8_1``."""
    notebook = nbformat.read(EXERCISES / NAME, as_version=4)
    for cell in notebook.cells:
        cell.source = answers.get(cell.id.replace("-", "_"), cell.source)
    found = steps_of([cell for cell in notebook.cells if cell.cell_type == "code"], NAME)
    return [dict(step) for step in found if step["name"] in CELLS]


@pytest.fixture(scope="module")
def results():
    """Return what each forged submission got, by its name and whether its checks run apart; and an honest one."""
    cases = [*CASES, ("honest", True), ("honest", False)]
    codes = {**FORGED, "honest": RIGHT_1}
    jobs = [
        {"exercise": "08", "apart": apart, "steps": steps(task_8_1=codes[name], task_8_5=RIGHT_5)}
        for name, apart in cases
    ]
    return dict(zip(cases, run_all(jobs), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "apart"), CASES)
def test_no_mark_is_undeserved(results, name, apart):
    """A forged answer is not solved, whether the check runs apart or beside the student's code."""
    found = results[name, apart]
    status, message = found["tasks"].get("8.1", ["crashed", ""])
    assert found["forged"] or status != "solved", message


@pytest.mark.slow
@pytest.mark.parametrize("apart", [True, False])
def test_an_honest_submission_keeps_its_marks(results, apart):
    found = results["honest", apart]
    assert {number: status for number, (status, _) in found["tasks"].items()} == {"8.1": "solved", "8.5": "solved"}
    assert not found["forged"]


SOME = [{"name": "a", "source": "", "task": "8.1", "check": True, "cell": "", "own": False}] * 3
BAD = (
    [{"ends": place, "status": "solved", "message": ""} for place in (-1, 3, 10**30, 1.0, True, None, "1", [0], {})]
    + [{"ends": 1, "status": status, "message": ""} for status in (1, None, [1], {"a": 1}, "x" * 5000)]
    + [{"ends": 1, "status": "solved", "message": message} for message in (1, None, [1], {}, "x" * 5000)]
    + [{}, {"ends": 1}, {"ends": 1, "status": "solved"}, {"begins": "0"}, {"begins": 0, "more": 1}, {"judge": 0}]
    + [{"ready": []}, {"talk": 1}, {"talk": [1]}, {"verdict": "solved", "message": ""}, {"status": [1]}]
)


@pytest.mark.parametrize("message", BAD, ids=lambda each: str(each)[:60])
def test_the_pipe_takes_known_messages_only(message):
    """A message of another form ends the run: the submission is forged."""
    assert kind_of(message, SOME) == ""


@pytest.mark.parametrize(
    "line", [b"[1]", b"1", b"null", b'"x"', b"{", b"[" * 10**5, b'{"a": ' * 10**5, b"\xff\xfe", b"", b'{"talk": {}}']
)
def test_a_line_that_is_no_dict_is_none(line):
    assert read_message(line + b"\n", is_talk=False) == {}
    assert read_message(line, is_talk=True) in ({}, {"talk": {}}) or not line


class Deaf:
    """Takes what is said to it."""

    def tell(self, message):
        pass

    def cpu_seconds(self):
        return 0.0


def some_run():
    return Run({"steps": SOME, "skip": []}, queue.Queue(), Deaf(), Deaf(), 1, 1, 1)


SOLVED = {"ends": 0, "status": "solved", "message": ""}


@pytest.mark.parametrize(
    "said",
    [
        [{"begins": 0}],
        [{"ready": 1}, {"ready": 1}],
        [{"ready": 1}, SOLVED],
        [{"ready": 1}, {"begins": 0}, SOLVED],
        [{"ready": 1}, {"begins": 0}, {"judge": 0, "stopped": ""}, SOLVED],
        [{"ready": 1}, {"begins": 0}, {"judge": 0, "stopped": ""}, SOLVED | {"status": "judged"}],
        [{"ready": 1}, {"begins": 0}, {"judge": 0, "stopped": ""}, {"talk": {"value": 1}}],
        [{"ready": 1}, {"begins": 1}, {"begins": 2}],
        [{"ready": 1}, {"begins": 1}, {"judge": 0, "stopped": ""}],
    ],
)
def test_a_message_out_of_its_turn_is_forged(said):
    run = some_run()
    results = [run.take(message) for message in said]
    assert results[-1] == "forged" and not any(results[:-1]) and not run.said


PLAIN = [
    None,
    True,
    1,
    1.5,
    "é",
    b"x",
    (1, [2]),
    {1: "a"},
    {1, 2},
    range(3),
    np.float32(1.5),
    np.arange(6).reshape(2, 3),
]
PLAIN += [np.array(["a", "bc"]), np.array([1, None], object), np.zeros((0, 3), bool)]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_data_cross_unchanged(value):
    back = Reader(None).read(json.loads(json.dumps(to_plain(value, None))))
    assert type(back) is type(value) and np.all(back == value)
    if isinstance(value, np.ndarray):
        assert back.dtype == value.dtype


def test_a_table_crosses_unchanged():
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=[3, 5])
    pd.testing.assert_frame_equal(Reader(None).read(json.loads(json.dumps(to_plain(table, None)))), table)


HOSTILE = [{"array": "O8", "shape": [1], "data": "AAAAAAAAAAA="}, {"array": "<f8", "shape": [10**12], "data": ""}]
HOSTILE += [{"array": "|V8", "shape": [1], "data": "AAAAAAAAAAA="}, {"list": 3}, {"dict": [[{"list": []}, 1]]}, [1], {}]
HOSTILE += [{"range": [0, 1.5, 1]}, {"function": "x"}, {"pickle": "x"}, {"table": [], "columns": 1, "index": 2}]
HOSTILE += [{"list": [0] * 300_000}, {"bytes": "é"}, {"scalar": 1}]


@pytest.mark.parametrize("plain", HOSTILE, ids=lambda each: str(each)[:50])
def test_what_is_no_plain_data_is_refused(plain):
    with pytest.raises(NotPlainError):
        Reader(None).read(plain)


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t=", "\r=", "\n=", " =", "|", "%"])
def test_no_cell_is_a_formula(first):
    result = Graded(f"{first}1+1", "a.ipynb", NAME, {"8.1": (f"{first}cmd", "")}, [], 1.0, 0.1, 2.0, "")
    text = harmless(make_table([result], [])).to_csv()
    assert f"'{first}1+1" in text and f"'{first}cmd" in text


def put(path, content=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_each_student_has_a_row(tmp_path):
    """Links, hidden and empty folders, and folders with a PDF only: each is named, and none is a zero."""
    (tmp_path / "empty").mkdir()
    put(tmp_path / ".hidden" / NAME, (EXERCISES / NAME).read_bytes())
    put(tmp_path / "pdf" / "answers.pdf")
    put(tmp_path / "deep" / ".git" / "config")
    put(tmp_path / "ann" / NAME, (EXERCISES / NAME).read_bytes())
    (tmp_path / "link").symlink_to(tmp_path / "ann")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".git").mkdir()
    submissions, unread = find_submissions(tmp_path)
    assert [each.student for each in submissions] == ["ann"]
    assert {each.student for each in unread} == {"empty", ".hidden", "pdf", "deep", "link", "broken"}
    table = make_table([], unread)
    assert set(table["solved"]) == {"not graded"}


@pytest.mark.parametrize("closed", ["ann", "ann/sub"])
def test_a_folder_that_cannot_be_read_is_not_called_empty(tmp_path, monkeypatch, closed):
    put(tmp_path / "ann" / "sub" / NAME, (EXERCISES / NAME).read_bytes())
    scandir = os.scandir

    def refusing(path):
        if os.fspath(path) == str(tmp_path / closed):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    submissions, unread = find_submissions(tmp_path)
    assert not submissions and "Permission denied" in unread[0].reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_does_no_harm(tmp_path, encoding):
    put(tmp_path / NAME, (EXERCISES / NAME).read_text(encoding="utf-8").encode(encoding))
    assert read_notebook(tmp_path / NAME)[0] == NAME


@pytest.mark.parametrize("cells", [["1" + "+1" * 9 * 10**6], ["x = 1\n" * 5000] * 20, ["(" * 60_000]])
def test_large_code_is_refused_before_it_is_read(tmp_path, cells):
    notebook = nbformat.read(EXERCISES / NAME, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(notebook, tmp_path / NAME)
    with pytest.raises(ValueError, match="characters of code"):
        read_notebook(tmp_path / NAME)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, TypeError("unhashable"), MemoryError, "SIGTERM"])
def test_what_was_graded_is_written_whatever_is_raised(tmp_path, monkeypatch, error):
    for student in ("ann", "ben"):
        put(tmp_path / "in" / student / NAME, (EXERCISES / NAME).read_bytes())

    def some(submissions, *_):
        yield submissions[0], Graded(*submissions[0][:3], {"8.1": ("solved", "✔")}, [], 1.0, 0.1, 2.0, "not apart")
        if error == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            raise error

    monkeypatch.setattr("course.grading.grade.run_all", some)
    expected = GradingError if error in (KeyboardInterrupt, "SIGTERM") else BaseException
    with pytest.raises(expected):
        grade(tmp_path / "in", tmp_path / "out", 1, Limits(1, 1, 1), unprotected=True)
    assert "ann,1,✔\nben,not graded,\n" in (tmp_path / "out" / "grades.csv").read_text(encoding="utf-8-sig")


def test_a_control_group_is_used_where_there_is_one(tmp_path, monkeypatch):
    (tmp_path / "user").mkdir()
    put(tmp_path / "own", b"1:name=systemd:/\n0::/user\n")
    monkeypatch.setattr(sandbox, "GROUPS", tmp_path)
    monkeypatch.setattr(sandbox, "CONTROL_GROUP", tmp_path / "own")
    with sandbox.memory_group(1.5) as group:
        assert (group / "memory.max").read_text() == str(int(1.5 * 2**30))


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux")
@pytest.mark.parametrize("mapped", [False, True])
def test_memory_without_a_process_counts(mapped):
    code = "import mmap, os\nf = os.memfd_create('x')\nos.write(f, bytes(50_000_000))\n"
    code += "m = mmap.mmap(f, 50_000_000)\nos.close(f)\n" if mapped else ""
    child = subprocess.Popen([sys.executable, "-c", code + "print(1, flush=True)\ninput()"], **PIPES)
    child.stdout.readline()
    try:
        assert 5e7 <= sandbox.unmapped_memory_of(child.pid) < 6e7
    finally:
        child.kill()
        child.communicate()


def test_a_bundle_behind_a_link_is_seen(tmp_path, monkeypatch):
    (tmp_path / "true").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "true")
    monkeypatch.setenv("COURSE_BUNDLE", str(tmp_path / "link"))
    assert {str(tmp_path / "true"), str(tmp_path / "link")} <= set(sandbox.visible_paths())
