"""How the tests run a notebook of the course: once for each state of it, by the engine that ``course run`` uses.

``executed`` runs it or takes it from the store. ``StoredNotebook`` lets nbval compare its kept outputs: nbval asks a
kernel for the outputs of each cell, and gets those of the executed notebook, one cell after the other. A cell fails
with a claim that does not hold, or whose figures are far from those that many seeds gave, and with a training that was
stopped while its validation loss still fell.
"""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import nbformat
from nbval.plugin import IPyNbCell, IPyNbFile

from course import ROOT
from course.run.lessons import run_of
from course.run.store import STORE
from helpers.execution import Outcome, run_many
from helpers.execution.store import INJECTED
from helpers.files.seeds_tables import recorded_claim
from helpers.notebook.records import CLAIM_TYPE, TRAINING_TYPE

EXECUTED = ROOT / "build" / "test-notebooks"


def executed(notebook: Path) -> tuple[Outcome, nbformat.NotebookNode | None]:
    """Run a notebook on mini with seed 0, unless the store has it; return its outcome and itself with outputs."""
    run = run_of(notebook, "mini", EXECUTED / notebook.parent.name)
    ((_, outcome),) = run_many([run], STORE, jobs=1)
    return outcome, nbformat.read(run.executed, as_version=4) if run.executed.exists() else None


class StoredNotebook(IPyNbFile):
    """A notebook whose cells nbval checks against those of the executed notebook."""

    def collect(self):
        self.compare_outputs = False  # only cells that ask for it, as with --nbval-lax
        for cell in super().collect():
            options = {"name": cell.name, "cell_num": cell.cell_num, "cell": cell.cell, "options": cell.options}
            yield StoredCell.from_parent(self, **options)

    def setup(self):
        outcome, notebook = executed(Path(self.path))
        if notebook is None:
            raise RuntimeError(f"{self.path.name} could not be run: {outcome.error}")
        self.kernel = Replay(notebook)


class StoredCell(IPyNbCell):
    """A cell of a ``StoredNotebook``."""

    def runtest(self):
        self.parent.kernel.place = self.cell_num
        super().runtest()


class Replay:
    """What nbval asks of a kernel, answered from an executed notebook."""

    def __init__(self, notebook: nbformat.NotebookNode) -> None:
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        self.cells = [cell for cell in code if INJECTED not in cell.metadata.get("tags", [])]
        self.place = 0
        self.messages: list[dict] = []

    def is_alive(self):
        return True

    def execute_cell_input(self, source, allow_stdin=None):
        """Make the messages of the cell at ``place``, as a kernel would send them."""
        cell = self.cells[self.place]
        assert cell.source == source, "the executed notebook is not this one"
        outputs = [*cell.outputs, *faults_of(cell.outputs)]
        if cell.execution_count is None:  # a cell before it has failed
            outputs = [error("NotReached", "The notebook stopped at an earlier cell.")]
        messages = [{"msg_type": output.output_type, "content": output} for output in outputs]
        messages.append({"msg_type": "status", "content": {"execution_state": "idle"}})
        self.messages = [{**message, "parent_header": {"msg_id": str(self.place)}} for message in messages]
        return str(self.place)

    def await_reply(self, msg_id, timeout=None):
        return {"content": {"status": "ok"}}

    def get_message(self, stream, timeout=None):
        return self.messages.pop(0)

    def await_idle(self, msg_id, timeout=None):
        self.messages.clear()

    def interrupt(self):
        pass

    def stop(self):
        pass


def faults_of(outputs) -> list[nbformat.NotebookNode]:
    """Return an error for each record among the outputs that must not be there."""
    faults = []
    for claim in records(outputs, CLAIM_TYPE):
        if not claim["held"]:
            faults.append(error("ClaimNotBorneOut", f"{claim['claim']} {claim['evidence']}"))
        recorded = recorded_claim(claim["claim"], "mini")
        faults += [error("FarFromRecorded", f"{claim['claim']}: {name}") for name in far_from(claim, recorded or {})]
    for training in records(outputs, TRAINING_TYPE):
        if not is_finished(training):
            faults.append(error("StoppedTooEarly", f"{training['name']}, {training['rule']}: {training['val_loss']}"))
    return faults


def records(outputs, kind: str) -> list[dict]:
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


def far_from(claim: dict, recorded: dict) -> list[str]:
    """Return the differences of a claim that lie far outside of those that many seeds gave.

    Then something that the table's key does not name, such as a helper, has changed what the lesson measures. Seven
    standard deviations leave room for other processors, which give other last digits and so other trainings.
    """
    far = []
    for name, value in claim["evidence"].items():
        seeds = [v["difference"] for v in recorded.get("evidence", {}).get(name, []) if isinstance(v, dict)]
        if isinstance(value, dict) and len(seeds) > 2:
            room = 7 * statistics.stdev(seeds) + 0.005
            if abs(value["difference"] - statistics.mean(seeds)) > room:
                far.append(name)
    return far


def is_finished(training: dict) -> bool:
    """Tell whether a training had come to its end by its own rule; what is meant to be cut short says so."""
    losses, rule = training["val_loss"], training["rule"]
    if rule.startswith("demonstration: "):
        return True
    patience = re.match(r"early stopping, patience (\d+)", rule)
    if patience:
        return len(losses) - 1 - losses.index(min(losses)) >= int(patience[1])
    if rule.startswith("schedule: "):  # its last epoch brings next to nothing, or a small part of what all have brought
        return len(losses) > 1 and (
            losses[-1] > 0.97 * losses[-2] or losses[-2] - losses[-1] < 0.1 * (losses[0] - losses[-1])
        )
    return False


def error(name: str, text: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])
