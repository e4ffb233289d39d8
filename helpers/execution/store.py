"""The store of executed notebooks: what a notebook gave is kept under a key that names all it depends on.

An entry is one compressed file with the outputs of each code cell; text cells are not in it. So the executed notebook
is put together from the notebook as it is now and the outputs of then, and a reworded text needs no new run.
"""

from __future__ import annotations

import copy
import gzip
import json
import os
from pathlib import Path
from typing import Any

from helpers.execution.kernel import Outcome
from helpers.files.cache import write_beside

FORMAT = 1  # of an entry: count it up when entries change
LIMIT = 2**30  # bytes; the entries used longest ago go first
INJECTED = "injected-parameters"  # papermill's tag of the cell with the values of a run


class Store:
    """Executed notebooks in a folder, by key; see ``helpers.execution.key`` for the key.

    Several processes, also on several machines that share the folder, may use it at the same time.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder, self.limit = folder, limit

    def path(self, key: str, notebook: Path) -> Path:
        """Return the file of an entry, which may not exist."""
        return self.folder / f"{notebook.stem}-{key[:24]}.json.gz"

    def get(self, key: str, notebook: Path) -> tuple[Outcome, Any] | None:
        """Return the outcome of a run and the executed notebook, or None if it is not here (or damaged)."""
        path = self.path(key, notebook)
        try:
            data = path.read_bytes()
        except OSError:  # it is not there, or cannot be read
            return None
        try:
            entry = json.loads(gzip.decompress(data))
            if (entry["format"], entry["key"]) != (FORMAT, key):
                return None
            executed = _put_together(notebook, entry["cells"])
            outcome = Outcome(**entry["outcome"])
        except Exception:  # a damaged file fails in many ways
            print(f"The stored run {path} is damaged; the notebook runs again.")
            path.unlink(missing_ok=True)
            return None
        os.utime(path)  # it was used now
        return outcome, executed

    def has(self, key: str, notebook: Path) -> bool:
        """Tell whether there is an entry."""
        return self.get(key, notebook) is not None

    def put(self, key: str, notebook: Path, executed: Path, outcome: Outcome) -> Outcome:
        """Keep a run that came to its end; return its outcome, with an error if it cannot be kept."""
        import nbformat

        cells = [cell for cell in nbformat.read(executed, as_version=4).cells if _is_code(cell)]
        entry = {"format": FORMAT, "key": key, "outcome": outcome._asdict(), "cells": cells}
        path = self.path(key, notebook)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with write_beside(path) as temporary:
                temporary.write_bytes(gzip.compress(json.dumps(entry).encode(), compresslevel=6, mtime=0))
        except OSError as error:
            return outcome._replace(error=f"its result cannot be kept in {self.folder} ({error.strerror or error})")
        self._make_room()
        return outcome

    def entries(self) -> list[Path]:
        """Return the files of all entries, the one used longest ago first."""
        found = []
        for path in self.folder.glob("*.json.gz"):
            try:
                found.append((path.stat().st_mtime_ns, path))
            except FileNotFoundError:  # removed by another process
                continue
        return [path for _, path in sorted(found)]

    def size(self) -> int:
        """Return the bytes of all entries."""
        return sum(path.stat().st_size for path in self.entries() if path.exists())

    def _make_room(self) -> None:
        """Remove the entries used longest ago until the others are within the limit."""
        entries = self.entries()
        sizes = [path.stat().st_size if path.exists() else 0 for path in entries]
        too_much = sum(sizes) - self.limit
        for path, size in zip(entries[:-1], sizes, strict=False):  # the newest stays, however large
            if too_much <= 0:
                break
            path.unlink(missing_ok=True)
            too_much -= size


def _is_code(cell: dict) -> bool:
    return cell["cell_type"] == "code"


def _is_injected(cell: dict) -> bool:
    return INJECTED in cell["metadata"].get("tags", [])


def _put_together(notebook: Path, cells: list[dict]):
    """Return the notebook as it is now, with papermill's cell of parameters and the outputs of stored code cells.

    Raises:
        ValueError: it has another number of code cells, so the entry is not of this notebook.
    """
    import nbformat

    executed = nbformat.read(notebook, as_version=4)
    stored = [nbformat.from_dict(copy.deepcopy(cell)) for cell in cells]
    now = [cell for cell in executed.cells if _is_code(cell)]
    then = [cell for cell in stored if not _is_injected(cell)]
    for cell, with_outputs in zip(now, then, strict=True):
        cell.outputs, cell.execution_count = with_outputs.outputs, with_outputs.execution_count
    for injected in filter(_is_injected, stored):
        place = next((n for n, cell in enumerate(executed.cells) if "parameters" in cell.metadata.get("tags", [])), -1)
        executed.cells.insert(place + 1, injected)
    return executed
