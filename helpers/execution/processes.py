"""A process and its children, and theirs: what they hold and use together."""

from __future__ import annotations

import contextlib
from typing import Any


def family_of(pid: int) -> list[Any]:
    """Return a process and all its children, as ``psutil.Process``; none if it has ended.

    Each may end at any moment.
    """
    import psutil

    with contextlib.suppress(psutil.Error):
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    return []


def memory_of(pid: int) -> int:
    """Return the bytes in memory of a process and all its children together."""
    import psutil

    total = 0
    for each in family_of(pid):
        with contextlib.suppress(psutil.Error):
            total += each.memory_info().rss
    return total


def cpu_seconds_of(pid: int) -> float:
    """Return the processor time, user and system, that a process and all its children have used so far."""
    import psutil

    total = 0.0
    for each in family_of(pid):
        with contextlib.suppress(psutil.Error):
            times = each.cpu_times()
            total += times.user + times.system
    return total
