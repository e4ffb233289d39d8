"""How the tests run a notebook of the course: once for each state of it, by the engine that ``course run`` uses.

``executed`` runs it or takes it from the store. ``StoredNotebook`` lets nbval compare its kept outputs: nbval asks a
kernel for the outputs of each cell, and gets those of the executed notebook, one cell after the other. A claim that
does not hold fails its cell.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbval.plugin import IPyNbCell, IPyNbFile

from course import ROOT
from course.run.lessons import run_of
from course.run.store import STORE
from helpers.execution import Outcome, run_many
from helpers.execution.store import INJECTED
from helpers.notebook.records import CLAIM_TYPE

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
        outputs = [*cell.outputs, *false_claims(cell.outputs)]
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


def false_claims(outputs) -> list[nbformat.NotebookNode]:
    """Return an error for each claim among the outputs that does not hold."""
    claims = [output.data[CLAIM_TYPE] for output in outputs if CLAIM_TYPE in output.get("data", {})]
    return [error("ClaimNotBorneOut", f"{c['claim']} {c['evidence']}") for c in claims if not c["held"]]


def error(name: str, text: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])
