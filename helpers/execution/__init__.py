"""Run notebooks: each in a process of its own, what has not changed only once, on one machine or on many."""

from helpers.execution.engine import Run, SchedulerError, run_many
from helpers.execution.kernel import Outcome
from helpers.execution.store import Store

__all__ = ["Outcome", "Run", "SchedulerError", "Store", "run_many"]
