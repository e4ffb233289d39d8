"""What a model was compiled with, as checks see it."""

from __future__ import annotations

import numpy as np

import helpers.quiet  # noqa: F401
from helpers.checks.task import Wrong, expect

import keras
import tensorflow as tf


class NotedModel(keras.Sequential):
    """A model that notes which weights were trainable when it was compiled."""

    def compile(self, *args, **kwargs):
        self.noted = [id(weight) for weight in self.trainable_weights]
        return super().compile(*args, **kwargs)

    def remark(self) -> str:
        """Return advice if flags were set after compile, which Keras honours only until the next fit."""
        late = self.noted != [id(weight) for weight in self.trainable_weights]
        return " (You set flags after compile. That works only as long as there is no fit between.)" if late else ""


def check_loss(model: keras.Model, x: np.ndarray, y: np.ndarray) -> None:
    """Raise ``Wrong`` unless a model is compiled for integer labels and logits; ``x`` and ``y`` are to judge it."""
    logits = np.asarray(model(x, training=False), "float64")
    logs = np.log(np.exp(logits).sum(axis=1))
    expected = float(np.mean(logs - logits[np.arange(len(y)), y]))
    try:
        loss = float(
            model.compute_loss(x, keras.ops.convert_to_tensor(y), keras.ops.convert_to_tensor(logits, "float32"))
        )
    except Exception as error:
        raise Wrong(
            f"The loss cannot be computed for integer labels ({type(error).__name__}). Which loss takes labels such as "
            "3, and which takes one-hot vectors?"
        ) from error
    expect(
        np.isclose(loss, expected, rtol=1e-3),
        f"On some pictures the loss should be {expected:.3f}, but it is {loss:.3f}. The model gives logits, not "
        "probabilities, and the labels are integers: does the loss know both?",
    )


def train_one_step(model: keras.Model, x: np.ndarray, y: np.ndarray) -> None:
    """Train a compiled model with one batch.

    For a single step, a graph of the whole model would cost far more than the step itself, so there is none. Only the
    loss is run as a graph: a learner's own loss that cannot be one would fail in fit, and fails here.
    """
    logits = keras.ops.convert_to_tensor(model(x, training=False))
    tf.function(model.compute_loss)(x, keras.ops.convert_to_tensor(y), logits)
    model.run_eagerly = True
    model.train_on_batch(x, y)
