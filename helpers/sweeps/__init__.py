"""Run one notebook with many settings of its parameters, and read what each run measured."""

from helpers.sweeps.recorded import recorded_sweep
from helpers.sweeps.sweep import SweepError, record_metrics, run_sweep

__all__ = ["SweepError", "record_metrics", "recorded_sweep", "run_sweep"]
