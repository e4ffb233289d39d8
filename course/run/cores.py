"""How many runs begin at the same time, and how many cores each of them uses."""

from __future__ import annotations

import os

from helpers.execution.engine import CORES

BYTES_FOR_A_RUN = 4e9  # the largest lesson takes 3 GB in `mini`, 4.5 GB in `cifar10-cpu`; most take half of that


def usual_jobs(cores: int | None = None, memory: float | None = None) -> int:
    """Return one run more than there are cores, or as many as the memory has room for.

    Two runs leave a fifth of two cores idle, and a third takes it: all lessons take about a tenth less time.

    Args:
        cores: by default those that this process may use.
        memory: in bytes; by default what this process may use.
    """
    from dask.system import CPU_COUNT  # unlike os.cpu_count, they know the limits of a container
    from distributed.system import MEMORY_LIMIT

    room = int((memory or MEMORY_LIMIT) // BYTES_FOR_A_RUN)
    return max(1, min((cores or CPU_COUNT) + 1, room))


def share_cores(jobs: int) -> None:
    """Give each run its part of the cores: runs that use all of them at the same time hold each other up."""
    from dask.system import CPU_COUNT

    for name in CORES:
        os.environ.setdefault(name, str(max(1, CPU_COUNT // jobs)))
