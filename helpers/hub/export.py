"""Export a Keras 3 model as a TensorFlow Hub module."""

from __future__ import annotations

import os
from pathlib import Path

import helpers.quiet  # noqa: F401
from helpers.files.cache import write_beside

import keras
import tensorflow as tf


def export_hub_module(model: keras.Model, folder: str | os.PathLike) -> None:
    """Write a Keras model as a TF2 SavedModel with the reusable interface of TensorFlow Hub.

    The module has ``__call__(inputs, training=False)``, ``variables``, ``trainable_variables`` and
    ``regularization_losses`` (https://www.tensorflow.org/hub/reusable_saved_models). A ``tf.Module`` would
    see none of a Keras 3 model's variables, so they are listed by hand.

    Args:
        model: a built model with one input and one output.
        folder: a new folder.

    Raises:
        FileExistsError: ``folder`` exists already.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} exists already. Name a new folder, or delete that one first.")

    (takes,) = model.inputs
    signature = tf.TensorSpec(takes.shape, takes.dtype, name="inputs")

    @tf.function
    def call(inputs, training=False):
        return model(inputs, training=training)

    for training in (False, True):
        call.get_concrete_function(signature, training=training)

    module = tf.train.Checkpoint()
    module.__call__ = call
    module.variables = [variable.value for variable in model.variables]
    module.trainable_variables = [variable.value for variable in model.trainable_variables]
    module.regularization_losses = [
        _regularization_loss(variable) for variable in model.trainable_variables if variable.regularizer is not None
    ]
    serving = call.get_concrete_function(signature, training=False)
    with write_beside(folder) as temporary:
        tf.saved_model.save(module, str(temporary), signatures=serving)


def _regularization_loss(variable: keras.Variable) -> tf.types.experimental.PolymorphicFunction:
    """Return the loss of one weight as a function without arguments, which is what a module holds."""

    @tf.function(input_signature=[])
    def loss():
        return variable.regularizer(variable.value)

    return loss
