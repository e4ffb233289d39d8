"""What a training measured, epoch by epoch, and a progress bar of one line."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

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


class _ProgressBar(keras.callbacks.Callback):
    """One line for a whole training: the epochs, and the last one's figures with three digits."""

    def on_train_begin(self, logs=None) -> None:
        epochs = self.params["epochs"]  # the final number, also where training goes on from an earlier epoch
        self._bar = tqdm(total=epochs, unit="epoch", file=sys.stdout, ncols=100, mininterval=0.5, bar_format=_LAYOUT)

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        figures = (f"{name} {value:.3f}" for name, value in (logs or {}).items() if name in _SHOWN)
        self._bar.set_postfix_str(", ".join(figures), refresh=False)
        self._bar.update(epoch + 1 - self._bar.n)

    def on_train_end(self, logs=None) -> None:
        self._bar.close()


_LAYOUT = "{bar:20} epoch {n_fmt}/{total_fmt} [{elapsed}]{postfix}"
_SHOWN = ("loss", "val_loss", "val_accuracy")  # what one line has room for


def progress_bar() -> keras.callbacks.Callback:
    """Return a callback for ``fit`` that shows one line for the whole training; use it with ``verbose=0``."""
    return _ProgressBar()
