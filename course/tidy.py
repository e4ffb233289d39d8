"""Keep notebooks as they are committed: outputs only where nbval compares them.

nbval takes a cell with an output but without a number for one that was never run, so such a cell keeps its place
among the code cells as its number. (nbstripout keeps all numbers or none.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

COMPARED = "NBVAL_CHECK_OUTPUT"


def tidy(paths: Sequence[Path]) -> list[Path]:
    """Strip notebooks in place; return those that changed."""
    import nbformat

    from helpers.cache import write_beside

    changed = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        notebook = nbformat.reads(text, as_version=4)
        for number, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), start=1):
            cell.execution_count = number if COMPARED in cell.source else None
            if COMPARED not in cell.source:
                cell.outputs = []
        tidied = nbformat.writes(notebook) + "\n"
        if tidied != text:
            with write_beside(path) as temporary:
                temporary.write_text(tidied, encoding="utf-8")
            changed.append(path)
    return changed
