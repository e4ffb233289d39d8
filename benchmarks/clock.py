"""What the benchmarks count: CPU time, which depends less than the clock on what else a machine does."""

from __future__ import annotations

import os


def cpu_seconds() -> float:
    """Return the CPU time of this process so far, user and system."""
    times = os.times()
    return times.user + times.system
