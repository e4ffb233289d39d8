"""A TensorFlow Hub module as a layer of a Keras 3 model.

``tensorflow_hub.KerasLayer`` is a Keras 2 layer: Keras 3 refuses it. ``KerasLayer`` here takes its place.
"""

from __future__ import annotations

import os
import warnings

import helpers.quiet  # noqa: F401
from helpers.files.hub_modules import HubModuleError, find_module

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("finetuning_course")
class KerasLayer(keras.layers.Layer):
    """Use a reusable TF2 SavedModel (https://www.tensorflow.org/hub/reusable_saved_models) as a Keras layer.

    The module's own variables are the layer's weights. So ``trainable`` works as for every Keras layer: set it
    when you like, and compile again.

    Frozen, the module runs in inference mode: its BatchNorm statistics do not move. Trainable, its weights are
    trained, and BatchNorm still runs in inference mode, which is the safe choice for small data. With
    ``batch_norm_training=True``, a trainable module runs in training mode inside ``fit``: BatchNorm uses each
    batch and updates its statistics, and Dropout is active.

    Args:
        handle: see ``helpers.files.hub_modules.find_module``.
        trainable: whether the module's weights are trained.
        batch_norm_training: see above.

    Input: what the module takes, usually images ``(batch, height, width, 3)`` float32 in [0, 1]. Images whose
    first batch is clearly in another range, such as [0, 255] or [-1, 1], are reported once.
    Output: what the module gives, in the layer's compute dtype.

    Raises:
        HubModuleError: the handle leads to no module of this kind, or a module without trainable weights is
            to be trained.
    """

    def __init__(
        self, handle: str | os.PathLike, trainable: bool = False, batch_norm_training: bool = False, **kwargs
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # the module has a dtype of its own
        self.handle = str(handle)
        self.batch_norm_training = batch_norm_training
        self._module = load_module(self.handle)
        positional, named = self._module.__call__.concrete_functions[0].structured_input_signature
        self._takes, self._has_training_argument = positional[0], len(positional) > 1 or "training" in named
        trained = {id(variable) for variable in self._module.trainable_variables}
        # A Keras variable made from a TensorFlow variable of the same dtype holds that variable itself, no copy.
        self._module_variables = [
            keras.Variable(variable, dtype=variable.dtype, trainable=id(variable) in trained)
            for variable in self._module.variables
        ]
        self._warned_of_dtype = False
        self._range_is_unchecked = tf.Variable(True, trainable=False)
        self.supports_jit = False  # a stored graph may hold what XLA cannot compile
        self._check_can_be(trainable)  # the setter is not called where the value does not change
        self.trainable = trainable
        self.built = True

    @keras.layers.Layer.trainable.setter
    def trainable(self, value: bool) -> None:
        self._check_can_be(value)
        keras.layers.Layer.trainable.fset(self, value)

    def _check_can_be(self, trainable: bool) -> None:
        if trainable and not self._module.trainable_variables:
            raise HubModuleError(f"The module {self.handle} has no trainable weights: it can be used frozen only.")

    def call(self, inputs, training=None):
        inputs = self._prepare(inputs)
        if not self._has_training_argument:
            outputs = self._module(inputs)
        else:
            outputs = self._module(inputs, training=bool(training and self.trainable and self.batch_norm_training))
        if self.trainable:
            for loss in self._module.regularization_losses:
                self.add_loss(loss())
        return tf.nest.map_structure(lambda output: tf.cast(output, self.compute_dtype), outputs)

    def _prepare(self, inputs):
        """Check shape, dtype and range of the inputs, and cast them to the module's dtype."""
        if not self._takes.shape.is_compatible_with(inputs.shape):
            raise ValueError(
                f"The module {self.handle} takes inputs {self._takes.shape}, but got {inputs.shape}. Resize the "
                "pictures, or use a module for this size."
            )
        if not inputs.dtype.is_floating and not self._warned_of_dtype:
            self._warned_of_dtype = True
            warnings.warn(
                f"The module {self.handle} got {inputs.dtype.name}; hub modules for pictures expect float32 in [0, 1]. "
                "Divide pixels by 255 first.",
                stacklevel=2,
            )
        inputs = tf.cast(inputs, self._takes.dtype)
        if inputs.shape.rank == 4 and inputs.shape[-1] == 3:  # images
            tf.cond(self._range_is_unchecked, lambda: self._check_range(inputs), lambda: True)
        return inputs

    def _check_range(self, inputs):
        """Print a warning if images are clearly not in [0, 1]; this happens once, also inside ``fit``."""
        low, high = tf.reduce_min(inputs), tf.reduce_max(inputs)
        message = [f"The module {self.handle} got values from", low, "to", high]
        advice = "; hub modules for pictures expect [0, 1]. Divide pixels by 255, and use no other preprocessing."
        wrong = tf.logical_or(low < -0.5, high > 2.0)  # enlarging may leave [0, 1] a little
        tf.cond(wrong, lambda: tf.print(*message, advice) is None, lambda: False)
        self._range_is_unchecked.assign(False)
        return True

    def get_config(self) -> dict:
        return super().get_config() | {"handle": self.handle, "batch_norm_training": self.batch_norm_training}


def load_module(handle: str):
    """Load a module and make sure that it has the reusable interface.

    Raises:
        HubModuleError: it cannot be loaded, or has another format.
    """
    folder = find_module(handle)
    old_format = HubModuleError(
        f"The module {handle} is in the TF1 format, or a SavedModel with signatures only: it has no __call__ with "
        "variables, so it cannot be a layer that learns. Look for a TF2 version of it."
    )
    try:
        module = tf.saved_model.load(str(folder))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        if "tags" in str(error):  # a TF1 module has several graphs, told apart by tags
            raise old_format from error
        raise HubModuleError(f"The module in {folder} cannot be loaded: {error}") from error
    if not callable(module) or not hasattr(module, "trainable_variables"):
        raise old_format
    return module
