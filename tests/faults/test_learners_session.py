"""A learner's session in a real kernel: cells out of order, an endless loop and an interrupt, a restart."""

import contextlib
import json
import os
import time

import nbformat
import pytest

from course import ROOT

NOTEBOOK = nbformat.read(ROOT / "solutions" / "08_hyperparameters.ipynb", as_version=4)
CELLS = {cell.id: cell.source for cell in NOTEBOOK.cells if cell.cell_type == "code"}
UNTOUCHED = nbformat.read(ROOT / "exercises" / "08_hyperparameters.ipynb", as_version=4)
TASK = next(cell.source for cell in UNTOUCHED.cells if cell.id == "task-8-1")
NAME = TASK.split("def ")[1].split("(")[0]


class Session:
    """A kernel, and what its cells print, in order."""

    def __init__(self, environment):
        from jupyter_client.manager import start_new_kernel

        self.manager, self.client = start_new_kernel(cwd=str(ROOT / "exercises"), env=environment, startup_timeout=120)

    def run(self, source, interrupt_after=None):
        """Run a cell; return what it printed as pairs of stream and text, and the name of its error."""
        request, printed, error = self.client.execute(source), [], None
        if interrupt_after:
            time.sleep(interrupt_after)
            self.manager.interrupt_kernel()
        while True:
            message = self.client.get_iopub_msg(timeout=180)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                printed += [(content["name"], line) for line in content["text"].splitlines()]
            elif message["msg_type"] == "error":
                error = content["ename"]
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return printed, error

    def begin(self):
        for name in ("setup", "parameters", "begin", "start"):
            assert self.run(CELLS[name])[1] is None, name


@pytest.fixture
def session(tmp_path, monkeypatch):

    environment = {**os.environ, "COURSE_PROFILE": "mini", "COURSE_PROGRESS": str(tmp_path / "progress.json")}
    session = Session(environment)
    with contextlib.ExitStack() as stack:
        stack.callback(session.manager.shutdown_kernel, now=True)
        stack.callback(session.client.stop_channels)
        yield session


@pytest.mark.slow
def test_a_session_with_everything_that_happens(session, tmp_path):
    check = CELLS["check-8-1"]
    assert session.run(check)[1] == "NameError"  # before the set-up
    session.begin()
    assert session.run(check)[1] == "NameError"  # before the task's own cell
    session.run(TASK)
    printed, error = session.run(check)
    assert error is None and "Not done yet" in printed[-1][1] and printed[-1][0] == "stderr"

    endless = f"def {NAME}(*_, **__):\n    print('begun', flush=True)\n    while True: pass"
    session.run(endless)
    printed, error = session.run(check, interrupt_after=4)
    assert error == "KeyboardInterrupt" and not any("✔" in text for _, text in printed)

    session.run(CELLS["task-8-1"])
    wrong = f"right = {NAME}\ncheck('8.1', lambda *_, **__: None)\n{check}\ncheck('8.1', lambda *_: 3)\n{check}"
    printed, error = session.run(wrong)
    verdicts = [text[0] for _, text in printed if text[:1] in "✔✘" and text]
    assert error is None and verdicts == ["✘", "✔", "✘", "✔"], printed

    session.manager.restart_kernel(now=True)
    session.client.wait_for_ready(timeout=120)
    assert session.run(check)[1] == "NameError"
    session.begin()
    printed, _ = session.run("from helpers.checks import progress\nprogress()")
    assert any("✔ 8.1" in text for _, text in printed)
    assert "8.1" in json.loads((tmp_path / "progress.json").read_text())["done"]
    session.run(CELLS["task-8-1"])
    session.run(CELLS["task-8-1"])  # twice
    printed, error = session.run(check)
    assert error is None and printed[-1][1].startswith("✔ 8.1")
