"""When did a training stop, and had it come to its end? Said in a line, and recorded for the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.notebook.records import TRAINING_TYPE, show_record


def report_training(name: str, metrics: Mapping[str, Sequence[float]], rule: str) -> None:
    """Say how long a model was trained, when it was best, and by which rule it stopped.

    The record lets the tests see that no rival was stopped while its validation loss still fell.

    Args:
        name: what was trained.
        metrics: the history of ``fit``, of all its phases: "val_loss" and, where it was measured, "val_accuracy", one
            value for each epoch.
        rule: why it stopped there, such as "early stopping, patience 5" or "schedule: the rate falls to 0".

    Raises:
        ValueError: there is no validation loss: a training that nobody validated cannot be judged.
    """
    losses = [float(loss) for loss in metrics.get("val_loss", ())]
    if not losses:
        raise ValueError(f"There is no val_loss for {name!r}: give fit validation_data, and pass its history.")
    best = losses.index(min(losses))
    accuracies = [float(accuracy) for accuracy in metrics.get("val_accuracy", ())]
    reached = f", accuracy {accuracies[best]:.3f}" if accuracies else ""
    text = f"{name}: {len(losses)} epochs, validation loss lowest after epoch {best + 1} ({losses[best]:.3f}{reached})"
    record = {"name": name, "rule": rule, "val_loss": [round(loss, 5) for loss in losses]}
    show_record(TRAINING_TYPE, record, f"{text}; stopped by: {rule}")
