"""Outputs of a notebook that carry data beside what the reader sees.

The runner and the tests read the data from the executed notebook; readers see the text.
"""

from __future__ import annotations

CLAIM_TYPE = "application/vnd.finetuning-course.claim+json"
SESSION_TYPE = "application/vnd.finetuning-course.session+json"
METRICS_TYPE = "application/vnd.finetuning-course.metrics+json"


def show_record(kind: str, record: dict, text: str, page: str | None = None) -> None:
    """Show ``text`` (or ``page``, as HTML, where it can be shown), and attach ``record`` under ``kind``."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display

    if not InteractiveShell.initialized():  # a plain Python script
        print(text)
        return
    display({"text/plain": text, kind: record} | ({"text/html": page} if page else {}), raw=True)
