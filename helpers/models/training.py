"""What a training measured, epoch by epoch, and a progress bar of one line."""

from __future__ import annotations

import functools
import sys
import time

from tqdm import tqdm
from tqdm.keras import TqdmCallback

import helpers.quiet  # noqa: F401

import keras


class History(keras.callbacks.Callback):
    """One continuous history: give the same object to several ``fit`` calls, and their epochs join.

    Attributes:
        metrics: name, such as "val_accuracy" -> one value for each epoch.
        seconds: how long each epoch took, validation included. The first one includes tracing.
        starts: the epoch, counted from 0, at which each ``fit`` began.
    """

    def __init__(self) -> None:
        super().__init__()
        self.metrics: dict[str, list[float]] = {}
        self.seconds: list[float] = []
        self.starts: list[int] = []

    @property
    def epochs(self) -> int:
        """The number of epochs so far, which is the ``initial_epoch`` of the next ``fit``."""
        return len(self.seconds)

    def branch(self) -> History:
        """Return a new history that begins with the epochs of this one: for several second phases after one first."""
        other = History()
        other.metrics = {name: list(values) for name, values in self.metrics.items()}
        other.seconds, other.starts = list(self.seconds), list(self.starts)
        return other

    def on_train_begin(self, logs=None) -> None:
        self.starts.append(self.epochs)
        self._clock = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        for name, value in (logs or {}).items():
            self.metrics.setdefault(name, []).append(float(value))
        now = time.perf_counter()
        self.seconds.append(now - self._clock)
        self._clock = now


def progress_bar() -> TqdmCallback:
    """Return a callback for ``fit`` that shows one line for the whole training; use it with ``verbose=0``."""
    bar = functools.partial(tqdm, file=sys.stdout, dynamic_ncols=False, ncols=100, mininterval=0.5)
    return TqdmCallback(verbose=0, tqdm_class=bar)
