"""Outputs of a notebook that carry data beside what the reader sees.

The runner and the tests read the data from the executed notebook; readers see the text.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

RECORDS = "application/vnd.finetuning-course."  # how the type of each output begins that holds data
CLAIM_TYPE = f"{RECORDS}claim+json"
SESSION_TYPE = f"{RECORDS}session+json"
TRAINING_TYPE = f"{RECORDS}training+json"
METRICS_TYPE = f"{RECORDS}metrics+json"


def show_record(kind: str, record: dict, text: str, page: str | None = None) -> None:
    """Show ``text`` (or ``page``, as HTML, where it can be shown), and attach ``record`` under ``kind``."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display

    if not InteractiveShell.initialized():  # a plain Python script
        print(text)
        return
    display({"text/plain": text, kind: record} | ({"text/html": page} if page else {}), raw=True)


def read_records(executed: Path, kind: str) -> list[dict]:
    """Return the data that an executed notebook recorded under ``kind``, in order."""
    found = []
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):  # it stopped before, or while, it was written
        for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                if kind in output.get("data", {}):
                    found.append(output["data"][kind])
    return found
