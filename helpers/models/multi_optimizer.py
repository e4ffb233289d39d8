"""Several optimizers for one model: Keras' own, or, before Keras 3.15 brought them, the part that the course uses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import helpers.quiet  # noqa: F401

import keras


class FallbackOptimizerMap:
    """Choose an optimizer by the path of a weight, as ``keras.optimizers.OptimizerMap`` does.

    Args:
        default_optimizer: for weights that no pattern fits.
        optimizer_map: a regular expression for the *whole* path, such as ``"conv1/.*"``, to an optimizer.
    """

    def __init__(
        self,
        default_optimizer: keras.optimizers.Optimizer,
        optimizer_map: Mapping[str, keras.optimizers.Optimizer] | None = None,
    ) -> None:
        self.default_optimizer, self.optimizer_map = default_optimizer, dict(optimizer_map or {})

    def __getitem__(self, path: str) -> keras.optimizers.Optimizer:
        """Return the optimizer of a path.

        Raises:
            ValueError: more than one pattern fits it.
        """
        if path in self.optimizer_map:
            return self.optimizer_map[path]
        fitting = [pattern for pattern in self.optimizer_map if re.fullmatch(pattern, path)]
        if len(fitting) > 1:
            raise ValueError(f"Several patterns fit {path}: {', '.join(fitting)}. Write them so that only one does.")
        return self.optimizer_map[fitting[0]] if fitting else self.default_optimizer

    def __call__(self, variable: keras.Variable) -> keras.optimizers.Optimizer:
        """Return the optimizer of a weight."""
        return self[variable.path]


class FallbackMultiOptimizer(keras.optimizers.Optimizer):
    """Give each weight to an optimizer of its own choice, as ``keras.optimizers.MultiOptimizer`` does.

    Args:
        optimizer_map: takes a weight, returns its optimizer: an ``OptimizerMap``, or a function.
    """

    def __init__(self, optimizer_map: Callable[[keras.Variable], keras.optimizers.Optimizer]) -> None:
        super().__init__(learning_rate=0.0)  # not used: each optimizer has its own
        self.optimizer_map = optimizer_map
        self.optimizers: list[keras.optimizers.Optimizer] = []
        self._parts: list[tuple[keras.optimizers.Optimizer, list[int]]] = []

    def build(self, variables: list[keras.Variable]) -> None:
        """Ask for the optimizer of each weight, and make what the optimizers keep."""
        if self.built:
            return
        chosen = [self.optimizer_map(variable) for variable in variables]
        self.optimizers = list({id(optimizer): optimizer for optimizer in chosen}.values())
        for optimizer in self.optimizers:
            mine = [index for index, other in enumerate(chosen) if other is optimizer]
            optimizer.build([variables[index] for index in mine])
            self._parts.append((optimizer, mine))
        super().build(variables)

    def apply(self, grads: list, trainable_variables: list[keras.Variable] | None = None) -> None:
        """Change the weights, which are those of ``build`` in the same order, by one step."""
        weights = trainable_variables or self._trainable_variables
        self.build(weights)
        for optimizer, mine in self._parts:
            optimizer.apply([grads[index] for index in mine], [weights[index] for index in mine])
        self._iterations.assign_add(1)


MultiOptimizer = getattr(keras.optimizers, "MultiOptimizer", FallbackMultiOptimizer)
OptimizerMap = getattr(keras.optimizers, "OptimizerMap", FallbackOptimizerMap)
