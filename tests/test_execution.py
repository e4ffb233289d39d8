"""The engine, the store and the keys: what is run, what is kept, and what is left when something goes wrong."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from course import ROOT
from helpers.execution import Run, Store, engine, key, run_many
from helpers.execution.key import code_of, key_of, modules_of
from helpers.execution.processes import memory_of

PARAMETERS = nbformat.v4.new_code_cell("SECONDS = 0.0", metadata={"tags": ["parameters"]})
WORK = "import os, time\ntime.sleep(SECONDS)\nprint('process', os.getpid())"


def write_notebook(path, *cells):
    cells = [nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def notebook(tmp_path):
    return write_notebook(tmp_path / "work.ipynb", PARAMETERS, WORK)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def run(notebook, store, tmp_path, name="executed.ipynb", **parameters):
    ((_, outcome),) = run_many([Run(notebook, parameters, tmp_path / name)], store)
    return outcome, nbformat.read(tmp_path / name, as_version=4)


def text_of(executed):
    outputs = [output for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream")


# The store


@pytest.mark.slow
def test_what_has_run_is_not_run_again(notebook, store, tmp_path):
    first, executed = run(notebook, store, tmp_path)
    second, again = run(notebook, store, tmp_path, "again.ipynb")
    assert first == second and first.error is None
    assert text_of(executed) == text_of(again) != ""
    assert len(store.entries()) == 1


def test_other_parameters_are_another_run(notebook, store, tmp_path):
    _, first = run(notebook, store, tmp_path, SECONDS=0.0)
    _, second = run(notebook, store, tmp_path, SECONDS=0.01)
    assert text_of(first) != text_of(second)
    assert "SECONDS = 0.01" in [cell.source for cell in second.cells][1]


def test_equal_runs_of_one_call_run_once(notebook, store, tmp_path):
    runs = [Run(notebook, {}, tmp_path / f"{number}.ipynb") for number in range(3)]
    assert [outcome.error for _, outcome in run_many(runs, store)] == [None] * 3
    assert len({text_of(nbformat.read(run.executed, as_version=4)) for run in runs}) == 1


def test_a_new_text_shows_without_a_new_run(notebook, store, tmp_path):
    _, first = run(notebook, store, tmp_path)
    text = nbformat.v4.new_markdown_cell("A reworded text")
    write_notebook(notebook, text, PARAMETERS, f"# a comment\n{WORK}  # another one")
    _, second = run(notebook, store, tmp_path)
    assert text_of(second) == text_of(first)
    assert second.cells[0].source == "A reworded text" and "# another one" in second.cells[-1].source


def test_a_failed_run_is_not_kept_and_shows_how_far_it_came(store, tmp_path):
    notebook = write_notebook(tmp_path / "fails.ipynb", "print('begun')", "raise ValueError('no luck')", "print('end')")
    outcome, executed = run(notebook, store, tmp_path)
    assert outcome.error == "ValueError: no luck" and store.entries() == []
    assert text_of(executed) == "begun\n"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"text" * 9])
def test_a_damaged_entry_is_made_again(notebook, store, tmp_path, damage, capsys):
    _, first = run(notebook, store, tmp_path)
    (entry,) = store.entries()
    entry.write_bytes(damage(entry.read_bytes()))
    _, second = run(notebook, store, tmp_path)
    assert text_of(second) != text_of(first) and "damaged" in capsys.readouterr().out
    assert store.entries() == [entry]


def test_a_flipped_byte_is_noticed(notebook, store, tmp_path):
    run(notebook, store, tmp_path)
    (entry,) = store.entries()
    data = bytearray(entry.read_bytes())
    data[len(data) // 2] ^= 1
    entry.write_bytes(data)
    assert store.get(key_of(notebook, {}), notebook) is None


@pytest.mark.slow
def test_the_oldest_entries_make_room(store, tmp_path):
    notebooks = [write_notebook(tmp_path / f"{name}.ipynb", f"print('{name}')") for name in "abc"]
    for number, notebook in enumerate(notebooks):
        run(notebook, store, tmp_path)
        os.utime(store.path(key_of(notebook, {}), notebook), (number, number))
    store.get(key_of(notebooks[0], {}), notebooks[0])  # used now
    small = Store(store.folder, limit=store.size() * 5 // 6)  # room for two and a half
    run(write_notebook(tmp_path / "d.ipynb", "print('d')"), small, tmp_path)
    assert {path.name[0] for path in small.entries()} == {"a", "d"}


def test_a_store_that_cannot_be_written_is_said(notebook, tmp_path):
    (tmp_path / "file").write_text("")
    outcome, executed = run(notebook, Store(tmp_path / "file" / "store"), tmp_path)
    assert str(tmp_path / "file" / "store") in outcome.error and "process" in text_of(executed)


def test_an_entry_of_another_format_is_not_used(notebook, store, tmp_path, monkeypatch):
    run(notebook, store, tmp_path)
    monkeypatch.setattr("helpers.execution.store.FORMAT", 99)
    assert store.get(key_of(notebook, {}), notebook) is None


# The key

MODULES = {
    "helpers/__init__.py": "",
    "helpers/quiet.py": "x = 1",
    "helpers/data/__init__.py": (
        "from helpers.data.arrays import load\nfrom helpers.data.own import folder\n__all__ = []"
    ),
    "helpers/data/arrays.py": (
        '"""Say."""\nfrom helpers.data._inner import one\n\ndef load():\n    """Load."""\n    return one'
    ),
    "helpers/data/_inner.py": "one = 1",
    "helpers/data/own.py": "def folder(): return 1",
    "helpers/hub/__init__.py": "from helpers.hub.layer import KerasLayer",
    "helpers/hub/layer.py": "class KerasLayer: pass",
    "helpers/checks/__init__.py": "from helpers.checks.answers import check",
    "helpers/checks/answers.py": "def check(*_): pass",
    "helpers/checks/exercise_07.py": "from helpers.hub import KerasLayer",
    "helpers/checks/exercise_08.py": "x = 2",
}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A small course in a folder of its own."""
    for name, text in MODULES.items():
        path = tmp_path / "course" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(key, "_ROOT", tmp_path / "course")
    return tmp_path / "course"


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    later = time.time_ns() + 10**9 * (1 + change.calls)
    change.calls += 1
    os.utime(path, ns=(later, later))


change.calls = 0


def lesson(course, code="from helpers.data import load"):
    return write_notebook(course / "notebooks" / "03_a.ipynb", PARAMETERS, code)


@pytest.mark.parametrize(
    ("file", "old", "new", "another"),
    [
        ("helpers/data/arrays.py", "return one", "return one  # a comment", False),
        ("helpers/data/arrays.py", '"""Load."""', '"""Load it, in other words."""', False),
        ("helpers/data/arrays.py", "return one", "return  one", False),
        ("helpers/data/own.py", "return 1", "return 2", False),
        ("helpers/hub/layer.py", "pass", "x = 1", False),
        ("helpers/data/__init__.py", "__all__ = []", "__all__ = ['load']", False),
        ("helpers/data/arrays.py", "return one", "return one + 1", True),
        ("helpers/data/_inner.py", "one = 1", "one = 2", True),
        ("helpers/data/__init__.py", "helpers.data.arrays import load", "helpers.data.own import folder as load", True),
    ],
)
def test_only_what_a_notebook_really_imports_counts(course, file, old, new, another):
    notebook = lesson(course)
    before = key_of(notebook, {})
    change(course / file, old, new)
    assert (key_of(notebook, {}) != before) is another


def test_a_stray_file_changes_no_key(course):
    notebook = lesson(course)
    before = key_of(notebook, {})
    (course / "helpers" / "stray.py").write_text("x")
    (course / "notebooks" / "stray.txt").write_text("x")
    (course / "helpers" / "data" / "notes.md").write_text("x")
    assert key_of(notebook, {}) == before


@pytest.mark.parametrize(
    "code",
    [
        "import helpers.data",
        "from helpers import data",
        "from helpers.data import *",
        "from helpers.data import arrays",
        "def f():\n    from helpers.data import load",
        "%matplotlib inline\nfrom helpers.data import load",
        "import helpers.data.arrays as a",
    ],
)
def test_every_form_of_import_is_seen(course, code):
    notebook = lesson(course, code)
    before = key_of(notebook, {})
    change(course / "helpers" / "data" / "_inner.py", "one = 1", "one = 2")
    assert key_of(notebook, {}) != before


def test_an_exercise_depends_on_the_checks_of_its_number(course):
    code = 'from helpers.checks import check\n\ncheck("{}.1", None)'
    seven, eight = (write_notebook(course / "exercises" / f"{n}.ipynb", code.format(n)) for n in (7, 8))
    assert "helpers/hub/layer.py" in modules_of(seven)
    assert "helpers/hub/layer.py" not in modules_of(eight) and "helpers/checks/exercise_08.py" in modules_of(eight)


def test_files_that_a_lesson_names_count(course):
    notebook = lesson(course, 'open("runs/table.csv")')
    (course / "notebooks" / "runs").mkdir()
    (course / "notebooks" / "runs" / "table.csv").write_text("1")
    before = key_of(notebook, {})
    (course / "notebooks" / "runs" / "table.csv").write_text("2")
    assert key_of(notebook, {}) != before


def test_a_quiz_counts_for_the_page_but_not_for_what_is_measured(course):
    notebook = lesson(course, 'quiz("03")')
    before, code = key_of(notebook, {}), code_of(notebook)
    (course / "notebooks" / "quizzes").mkdir()
    (course / "notebooks" / "quizzes" / f"{notebook.stem}.toml").write_text("1")
    assert key_of(notebook, {}) != before and code_of(notebook) == code
    content = json.loads(notebook.read_text())
    content["cells"].append(dict(content["cells"][-1], source="more", metadata={"tags": ["quiz"]}))
    notebook.write_text(json.dumps(content))
    assert code_of(notebook) == code


def test_a_module_beside_a_notebook_counts(tmp_path):
    notebook = write_notebook(tmp_path / "own.ipynb", "import beside\nopen('result.csv', 'w')")
    (tmp_path / "beside.py").write_text("x = 1")
    before = key_of(notebook, {})
    (tmp_path / "result.csv").write_text("what the notebook wrote itself")
    assert key_of(notebook, {}) == before
    change(tmp_path / "beside.py", "x = 1", "x = 2")
    assert key_of(notebook, {}) != before


def test_the_surroundings_count(course, monkeypatch, tmp_path):
    notebook = lesson(course)
    keys = {
        key_of(notebook, {"SEED": seed, "PROFILE": profile}) for seed in (0, 1) for profile in ("mini", "cifar10-cpu")
    }
    mini = key_of(notebook, {"SEED": 0, "PROFILE": "mini"})
    monkeypatch.setenv("COURSE_BUNDLE", str(tmp_path))
    assert key_of(notebook, {"SEED": 0, "PROFILE": "mini"}) == mini  # all that it needs is embedded
    keys.add(key_of(notebook, {"SEED": 0, "PROFILE": "cifar10-cpu"}))
    monkeypatch.setattr(key, "_versions", lambda: {"keras": "99"})
    keys.add(key_of(notebook, {"SEED": 0, "PROFILE": "mini"}))
    assert len(keys) == 6


def test_in_the_course_itself_the_hub_layer_concerns_the_notebooks_that_use_it_only():
    notebooks = [path for folder in ("notebooks", "solutions") for path in (ROOT / folder).glob("[0-9]*.ipynb")]
    concerned = [path.parent.name + path.name[:2] for path in notebooks if "helpers/hub/layer.py" in modules_of(path)]
    assert sorted(concerned) == ["notebooks07", "notebooks11", "solutions07"]


# The processes


def mark_of(folder):
    """All processes that have ``folder`` in their environment or command."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            marked = str(folder) in " ".join([*process.cmdline(), process.environ().get("COURSE_CACHE", "")])
            if marked and process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:  # it ends meanwhile
            continue
    return found


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


SCRIPT = """
import sys
from pathlib import Path
from helpers.execution import Run, Store, run_many
folder, tensorflow = Path(sys.argv[1]), sys.argv[2]
runs = [Run(folder / f"{name}.ipynb", {"SECONDS": seconds}, folder / f"executed_{name}.ipynb")
        for name, seconds in (("a", 0.0), ("b", 300.0))]
for run, outcome in run_many(runs, Store(folder / "store"), jobs=2):
    print(run.notebook.stem, outcome.error, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("tensorflow", ["", "import keras"], ids=["plain", "with TensorFlow"])
def test_sigkill_leaves_no_process_and_no_half_entry(tmp_path, tensorflow):
    for name in "ab":
        write_notebook(tmp_path / f"{name}.ipynb", PARAMETERS, f"{tensorflow}\n{WORK}\n'{name}'")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), tensorflow]
    environment = os.environ | {"COURSE_CACHE": str(tmp_path / "cache")}
    main = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: list((tmp_path / "store").glob("a-*.json.gz"))), "the first run did not end"
        assert wait_until(lambda: len(mark_of(tmp_path)) > 1)
    finally:
        main.send_signal(signal.SIGKILL)
        main.wait()
    assert wait_until(lambda: not mark_of(tmp_path), 20), mark_of(tmp_path)
    files = [path.name for path in (tmp_path / "store").iterdir()]
    assert len(files) == 1 and gzip.decompress((tmp_path / "store" / files[0]).read_bytes())


@pytest.mark.slow
def test_two_at_once_share_a_store(tmp_path):
    for name in "ab":
        write_notebook(tmp_path / f"{name}.ipynb", PARAMETERS, f"{WORK}\n'{name}'")
    script = SCRIPT.replace("300.0", "0.5")
    command = [sys.executable, "-c", script, str(tmp_path), ""]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert sorted(process.communicate(timeout=120)[0].splitlines()) == ["a None", "b None"]
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_a_stopped_loop_stops_its_runs(tmp_path, store, notebook):
    quick = write_notebook(tmp_path / "quick.ipynb", "1")
    runs = [Run(quick, {}, tmp_path / "q.ipynb"), Run(notebook, {"SECONDS": 300.0}, tmp_path / "s.ipynb")]
    begun = time.monotonic()
    for _ in run_many(runs, store):
        break  # as an interrupt does
    assert time.monotonic() - begun < 100


@pytest.mark.slow
def test_a_warm_process_gives_the_same_numbers_as_a_new_one(tmp_path, monkeypatch):
    code = (
        "import helpers.quiet\nimport keras, numpy as np\nkeras.utils.set_random_seed(0)\n"
        "model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(32, 'relu'), keras.layers.Dense(3)])\n"
        "model.compile('adam', 'mse')\nx, y = np.random.rand(64, 8), np.random.rand(64, 3)\n"
        "print(model.fit(x, y, epochs=2, verbose=0).history['loss'])"
    )
    notebook = write_notebook(tmp_path / "train.ipynb", f"import sys\nsys.path.insert(0, {str(ROOT)!r})", code)
    texts = []
    for warm in (True, False):
        monkeypatch.setattr(engine, "can_be_warm", lambda warm=warm: warm)
        outcome, executed = run(notebook, Store(tmp_path / str(warm)), tmp_path)
        assert outcome.error is None
        texts.append(text_of(executed))
    assert texts[0] == texts[1] and "[" in texts[0]


def test_a_process_that_is_killed_is_an_error_not_a_hang(tmp_path, store):
    end = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    notebook = write_notebook(tmp_path / "dies.ipynb", "print('begun')", end)
    outcome, executed = run(notebook, store, tmp_path)
    assert "died" in outcome.error.lower() or "kernel" in outcome.error.lower()
    assert text_of(executed) == "begun\n"


def test_memory_counts_children():
    hold = "x = bytearray(80 * 2**20); import time; print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        assert memory_of(child.pid) > 80 * 2**20
        assert memory_of(os.getpid()) > memory_of(child.pid)
        child.kill()


def test_a_relative_path_of_the_environment_holds_in_the_notebook(tmp_path, monkeypatch, store):
    notebook = write_notebook(tmp_path / "deep" / "a.ipynb", "import os\nprint(os.environ['COURSE_CACHE'])")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_CACHE", "cache")
    _, executed = run(notebook, store, tmp_path)
    assert text_of(executed).strip() == str(Path(tmp_path / "cache"))
