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

_handles_elsewhere: list[str] = []  # of the models that are being loaded: see ``load_model``


@keras.saving.register_keras_serializable("finetuning_course")
class KerasLayer(keras.layers.Layer):
    """Use a TF2 SavedModel as a Keras layer.

    What a module must have (https://www.tensorflow.org/hub/reusable_saved_models):

    - to be used frozen: ``__call__`` with at least one concrete function. No more.
    - to be trained: trainable variables. A module may list them as ``trainable_variables``; for one that does not, they
      are those that its ``__call__`` reads and that TensorFlow marks as trainable. ``regularization_losses`` are added
      where there are any.

    The module's own variables are the layer's weights. So ``trainable`` works as for every Keras layer: set it
    when you like, and compile again.

    Frozen, the module runs in inference mode: its BatchNorm statistics do not move. Trainable, its weights are
    trained, and BatchNorm still runs in inference mode, which is the safe choice for small data. With
    ``batch_norm_training=True``, a trainable module runs in training mode inside ``fit``: BatchNorm uses each
    batch and updates its statistics, and Dropout is active.

    A model with this layer keeps the handle, not the module's graph. To load it on another machine or from another
    folder, see ``helpers.hub.load_model``.

    Args:
        handle: see ``helpers.files.hub_modules.find_module``.
        trainable: whether the module's weights are trained.
        batch_norm_training: see above.

    Input: what the module takes, usually images ``(batch, height, width, 3)`` float32 in [0, 1]; also text, or a dict
    or list of tensors. Images for a module of floats whose first batch is clearly in another range, such as [0, 255] or
    [-1, 1], are reported once.
    Output: what the module gives; floats in the layer's compute dtype.

    Raises:
        HubModuleError: the handle leads to no module of this kind, or a module without trainable weights is
            to be trained.
    """

    def __init__(
        self, handle: str | os.PathLike, trainable: bool = False, batch_norm_training: bool = False, **kwargs
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # the module has a dtype of its own
        if not isinstance(handle, (str, os.PathLike)):
            raise HubModuleError(
                f"KerasLayer takes a handle (a folder, an archive, a name or an address), not an object of the type "
                f"{type(handle).__name__}. Give the handle itself: KerasLayer(handle), not "
                "KerasLayer(hub.load(handle))."
            )
        self.handle = os.fspath(handle)
        self.batch_norm_training = batch_norm_training
        self._module = load_module(self.handle)
        takes = _inputs_of(self._module.__call__)
        self._several = len(takes[0]) > 1  # inputs, given as a list
        self._all_takes = [each if self._several else each[0] for each in takes]
        self._has_training_argument = "training" in self._module.__call__.function_type.parameters
        trained, variables = _variables_of(self._module)
        # A Keras variable made from a TensorFlow variable of the same dtype holds that variable itself, no copy.
        self._module_variables = [
            keras.Variable(variable, dtype=variable.dtype, trainable=id(variable) in trained) for variable in variables
        ]
        self._can_learn = bool(trained)
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
        if trainable and not self._can_learn:
            raise HubModuleError(f"The module {self.handle} has no trainable weights: it can be used frozen only.")

    def call(self, inputs, training=None):
        inputs = self._prepare(inputs)
        arguments = inputs if self._several else [inputs]
        if not self._has_training_argument:
            outputs = self._module(*arguments)
        else:
            training = bool(training and self.trainable and self.batch_norm_training)
            outputs = self._module(*arguments, training=training)
        if self.trainable:
            for loss in getattr(self._module, "regularization_losses", ()):
                self.add_loss(loss())
        return tf.nest.map_structure(
            lambda output: tf.cast(output, self.compute_dtype) if _is_of_floats(output) else output, outputs
        )

    def _prepare(self, inputs):
        """Find the graph that takes such inputs, and cast numbers to its dtypes."""
        fitting = [takes for takes in self._all_takes if _fits(takes, inputs)]
        if not fitting:
            wanted = self._all_takes[0]
            advice = "Give the same structure and shapes."
            if isinstance(wanted, tf.TensorSpec) and wanted.shape.rank == len(getattr(inputs, "shape", ())) == 4:
                advice = "Resize the pictures, or use a module for this size."
            raise ValueError(
                f"The module {self.handle} takes {_describe(wanted)}, but got {_describe(inputs)}. {advice}"
            )
        takes = max(fitting, key=lambda takes: _dtypes(takes) == _dtypes(inputs))  # the first, if there is no such
        flat = map(self._prepare_tensor, tf.nest.flatten(inputs), tf.nest.flatten(takes))
        return tf.nest.pack_sequence_as(takes, list(flat))

    def _prepare_tensor(self, tensor, takes):
        """Check the kind of one input, and cast it where it is a number."""
        if (takes.dtype == tf.string) != (tensor.dtype == tf.string):
            raise ValueError(
                f"The module {self.handle} takes inputs of {takes.dtype.name}, but got {tensor.dtype.name}. Give "
                + ("texts: a tensor of strings." if takes.dtype == tf.string else "numbers.")
            )
        if takes.dtype == tf.string:
            return tensor
        are_images = takes.shape.rank == 4 and takes.shape[-1] == 3 and takes.dtype.is_floating
        if are_images and not tensor.dtype.is_floating and not self._warned_of_dtype:
            self._warned_of_dtype = True
            warnings.warn(
                f"The module {self.handle} got {tensor.dtype.name}; hub modules for pictures expect float32 in [0, 1]. "
                "Divide pixels by 255 first.",
                stacklevel=2,
            )
        if are_images or (takes.dtype.is_integer and tensor.dtype.is_floating):
            tf.cond(self._range_is_unchecked, lambda: self._check_range(tensor, are_images), lambda: True)
        return tf.cast(tensor, takes.dtype)

    def _check_range(self, values, unit: bool):
        """Print a warning if values are clearly in a wrong range; this happens once, also inside ``fit``.

        Args:
            unit: whether images in [0, 1] are expected; else whole numbers, and parts of them would be cut off.
        """
        values = tf.cast(values, tf.float32)
        low, high = tf.reduce_min(values), tf.reduce_max(values)
        message = [f"The module {self.handle} got values from", low, "to", high]
        if unit:
            advice = "; hub modules for pictures expect [0, 1]. Divide pixels by 255, and use no other preprocessing."
            wrong = tf.logical_or(low < -0.5, high > 2.0)  # enlarging may leave [0, 1] a little
        else:
            advice = "; this module takes whole numbers, such as pixels in [0, 255]. Do not divide them."
            wrong = tf.reduce_any(values != tf.round(values))
        tf.cond(wrong, lambda: tf.print(*message, advice) is None, lambda: False)
        self._range_is_unchecked.assign(False)
        return True

    @classmethod
    def from_config(cls, config: dict) -> KerasLayer:
        """Make the layer of a saved model; ``load_model`` may have given another handle."""
        if _handles_elsewhere:
            config = config | {"handle": _handles_elsewhere[-1]}
        try:
            find_module(config["handle"])
        except HubModuleError as error:
            raise HubModuleError(
                f"{error} This is the handle of a saved model; if its module is elsewhere now, load the model with "
                "helpers.hub.load_model(path, handle=...)."
            ) from error
        return super().from_config(config)

    def get_config(self) -> dict:
        return super().get_config() | {"handle": self.handle, "batch_norm_training": self.batch_norm_training}


def load_model(path: str | os.PathLike, handle: str | os.PathLike) -> keras.Model:
    """Load a saved ``.keras`` model with a hub module in it whose handle leads to the module no more.

    A model keeps the handle as it was written, such as "my_module", and ``keras.models.load_model`` looks for it from
    the folder of the notebook. Elsewhere, give another handle of the same module here. The weights are those of the
    file, the module gives the graph. The loaded model keeps the new handle.

    Args:
        path: a file that ``model.save`` wrote.
        handle: of the module, for all hub layers in the model; see ``helpers.files.hub_modules.find_module``.

    Raises:
        HubModuleError: the handle leads to no module.
    """
    find_module(os.fspath(handle))
    _handles_elsewhere.append(os.fspath(handle))
    try:
        return keras.models.load_model(path)
    finally:
        _handles_elsewhere.pop()


def load_module(handle: str):
    """Load a module and make sure that it can be called.

    Raises:
        HubModuleError: it cannot be loaded, or cannot be called; the message says why.
    """
    folder = find_module(handle)
    try:
        module = tf.saved_model.load(str(folder))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        if "tags" in str(error):  # a TF1 module has several graphs, told apart by tags
            raise HubModuleError(
                f"The module {handle} is in the TF1 format, which cannot be a layer. Look for a TF2 version of it."
            ) from error
        raise HubModuleError(f"The module in {folder} cannot be loaded: {error}") from error
    if callable(module) and getattr(module.__call__, "concrete_functions", None):
        return module
    raise HubModuleError(f"The module {handle} cannot be a layer: {_why_not_callable(module)}")


def _why_not_callable(module) -> str:
    """Return why a loaded SavedModel has nothing that a layer can call, and what to do."""
    names = ", ".join(sorted(getattr(module, "signatures", {}))) or "none"
    if hasattr(module, "serve"):
        return (
            "it was written by model.export(), which keeps functions for serving only. Write it with "
            "helpers.hub.export_hub_module(model, folder) instead."
        )
    if hasattr(module, "graph"):  # what TensorFlow makes of a SavedModel without objects
        return "it is in the TF1 format. Look for a TF2 version of it."
    if callable(module):
        return (
            "its __call__ was stored without a graph. Give it @tf.function with an input_signature, or call it once, "
            "and save it again."
        )
    return (
        f"it has no __call__, only signatures ({names}). Save it with a __call__, or, if you have it as a Keras "
        "model, with helpers.hub.export_hub_module(model, folder)."
    )


def _inputs_of(function) -> list[tuple]:
    """Return what each graph of a module's ``__call__`` takes: TensorSpecs, or dicts or lists of them; not "training".

    Raises:
        HubModuleError: it wants tensors by name only.
    """
    names, found = list(function.function_type.parameters), []
    for graph in function.concrete_functions:
        positional, named = graph.structured_input_signature
        if any(isinstance(value, tf.TypeSpec) for name, value in named.items() if name != "training"):
            raise HubModuleError("The module takes tensors by name only, which a layer cannot give. Wrap its __call__.")
        given = [value for name, value in zip(names, positional, strict=False) if name != "training"]
        found.append(tuple(value for value in given if any(map(_is_spec, tf.nest.flatten(value)))))
    return found


def _is_spec(value) -> bool:
    return isinstance(value, tf.TypeSpec)


def _is_of_floats(value) -> bool:
    return value is not None and value.dtype.is_floating


def _dtypes(values) -> list:
    return [value.dtype for value in tf.nest.flatten(values)]


def _variables_of(module) -> tuple[set[int], list[tf.Variable]]:
    """Return the ids of a module's trainable variables, and all its variables.

    What the module does not list itself is found in the graphs of its ``__call__``.
    """
    used = {id(variable): variable for graph in module.__call__.concrete_functions for variable in graph.variables}
    listed = getattr(module, "variables", None)
    variables = {id(variable): variable for variable in listed} if listed is not None else used
    learning = getattr(module, "trainable_variables", None)
    if learning is None:
        learning = [variable for key, variable in variables.items() if variable.trainable and key in used]
    variables |= {id(variable): variable for variable in learning}
    return {id(variable) for variable in learning}, list(variables.values())


def _fits(takes, inputs) -> bool:
    """Tell whether inputs have the structure and the shapes that a graph takes."""
    if isinstance(takes, dict) and not (isinstance(inputs, dict) and set(takes) == set(inputs)):
        return False
    if not isinstance(takes, tf.TypeSpec) and isinstance(takes, (list, tuple)) != isinstance(inputs, (list, tuple)):
        return False
    pairs = list(zip(tf.nest.flatten(takes), tf.nest.flatten(inputs), strict=False))
    same = len(tf.nest.flatten(takes)) == len(tf.nest.flatten(inputs))
    return same and all(wanted.shape.is_compatible_with(given.shape) for wanted, given in pairs)


def _describe(inputs) -> str:
    """Return inputs, or what a module takes, in words."""
    if isinstance(inputs, dict):
        return "a dict with " + ", ".join(f"{key!r}" for key in sorted(inputs))
    if isinstance(inputs, (list, tuple)):
        return f"{len(inputs)} inputs"
    return f"inputs {tuple(inputs.shape)}"
