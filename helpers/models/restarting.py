"""Put a compiled model back to its start."""

from __future__ import annotations

import weakref

import numpy as np

import helpers.quiet  # noqa: F401

import keras

# The learning rate that each optimizer begins with, from its first restart on.
_first_rates: weakref.WeakKeyDictionary[keras.optimizers.Optimizer, float] = weakref.WeakKeyDictionary()


def restart(model: keras.Model, weights: list, learning_rate: float | None = None) -> None:
    """Put a compiled model back to its start, so that it can be trained again without compiling again.

    What is as new: the weights; what the optimizer remembers, for every optimizer of Keras and under mixed precision
    (steps, moments, loss scale, moving averages, gradients that wait); the random numbers of Dropout and of the
    augmentation layers; and Normalization layers use the statistics in ``weights``.

    The learning rate becomes the one that the optimizer had at its first restart, whatever a callback such as
    ReduceLROnPlateau or a cell has made of it since. To train at another rate, give ``learning_rate``, or assign
    ``model.optimizer.learning_rate`` after the restart. A schedule begins at step 0 again.

    One optimizer of Keras, ScheduleFreeAdamW, begins wrongly (from zeros) when the first ``fit`` builds it. Restart the
    model before the first ``fit``, too: then all runs are the same.

    Args:
        model: a compiled model.
        weights: arrays as ``model.get_weights()`` returns them.
        learning_rate: above 0; from now on, the rate of this and each later restart.

    Raises:
        ValueError: the model is not compiled; the weights are another model's; a callback changed the learning rate
            before the first restart, and ``learning_rate`` is not given; the optimizer cannot be made anew from its
            configuration; it has a schedule or holds several optimizers, and cannot take a ``learning_rate``.
    """
    if getattr(model, "optimizer", None) is None:
        raise ValueError("The model has no optimizer: call model.compile(...) first.")
    optimizers = _working_optimizers(model.optimizer)
    if learning_rate is not None:
        _check_rate(learning_rate, optimizers)
    rates = [_rate_to_begin_with(model, optimizer, learning_rate) for optimizer in optimizers]
    before = model.get_weights()
    model.set_weights(weights)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    try:
        start: list[tuple[keras.Variable, float | np.ndarray]] = [*_values_of_wrappers(model.optimizer)]
        for optimizer in optimizers:  # made after the weights, which some optimizers begin with
            start += _values_of_a_new_one(optimizer)
    except ValueError:
        model.set_weights(before)
        raise
    for variable, value in start:
        variable.assign(value)
    for optimizer, rate in zip(optimizers, rates, strict=True):
        if rate is not None:
            optimizer.learning_rate = _first_rates[optimizer] = rate
    for layer in model._flatten_layers():
        for generator in layer._seed_generators:
            generator.state.assign([generator.state[0], 0])  # its seed, and how many numbers it gave
    _use_statistics(model)


def _working_optimizers(optimizer: keras.optimizers.Optimizer) -> list[keras.optimizers.Optimizer]:
    """Return the optimizers that change weights: those inside, where one scales the loss (float16) or holds several."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return _working_optimizers(optimizer.inner_optimizer)
    return getattr(optimizer, "optimizers", [optimizer])


def _values_of_wrappers(optimizer: keras.optimizers.Optimizer) -> list[tuple[keras.Variable, float]]:
    """Return the variables of optimizers that hold others, with the values that they have at the start."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        scale = getattr(optimizer, "dynamic_scale", None)  # None until it is built
        own = [(variable, optimizer.initial_scale if variable is scale else 0) for variable in optimizer._variables]
        return own + _values_of_wrappers(optimizer.inner_optimizer)
    return [(variable, 0) for variable in optimizer._variables] if hasattr(optimizer, "optimizers") else []


def _check_rate(learning_rate: float, optimizers: list[keras.optimizers.Optimizer]) -> None:
    """Make sure that a learning rate is one, and that one is wanted."""
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"learning_rate={learning_rate} is no learning rate: give a number above 0.")
    if len(optimizers) > 1:
        raise ValueError("This optimizer holds several, each with its own learning rate: leave learning_rate out.")
    if not isinstance(optimizers[0]._learning_rate, keras.Variable):
        raise ValueError("The learning rate follows a schedule: leave learning_rate out, or compile again.")


def _rate_to_begin_with(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, learning_rate: float | None
) -> float | None:
    """Return the learning rate that a restarted optimizer has; None for a schedule, which is no number."""
    if not isinstance(optimizer._learning_rate, keras.Variable):
        return None
    if learning_rate is not None:
        return float(learning_rate)
    now = float(optimizer.learning_rate)
    if optimizer in _first_rates or not int(optimizer.iterations):
        return _first_rates.get(optimizer, now)
    history = getattr(model, "history", None)  # of the last fit; Keras notes there what callbacks do to the rate
    if history and any(rate != now for rate in history.history.get("learning_rate", [])):
        raise ValueError(
            f"A callback has changed the learning rate, which is {now:g} now, so the one to begin with is not known. "
            "Give it: restart(model, weights, learning_rate=...); or call restart once before the first fit."
        )
    return now


def _values_of_a_new_one(optimizer: keras.optimizers.Optimizer) -> list[tuple[keras.Variable, np.ndarray]]:
    """Return each variable of an optimizer but a fixed learning rate, with the value that it has in a new optimizer."""
    rate, name = optimizer._learning_rate, type(optimizer).__name__
    try:
        if not isinstance(rate, keras.Variable):
            optimizer._learning_rate = 0.0  # a schedule remembers nothing, and need not be in the configuration
        new = type(optimizer).from_config(optimizer.get_config())
        if optimizer.built:
            new.build(optimizer._trainable_variables)
    except Exception as error:  # whatever an optimizer of a reader's own raises
        raise ValueError(
            f"The optimizer {name} cannot be made anew from its configuration ({error}). Compile the model again "
            "instead of restarting it."
        ) from error
    finally:
        if not isinstance(rate, keras.Variable):
            optimizer._learning_rate = rate
    old, fresh = _variables_by_place(optimizer), _variables_by_place(new)
    known = {id(variable) for variable in (*old.values(), rate)}
    if (
        {place: variable.shape for place, variable in old.items()}
        != {place: variable.shape for place, variable in fresh.items()}
    ) or any(id(variable) not in known for variable in optimizer.variables):
        raise ValueError(
            f"The optimizer {name} has other variables than a new one, so it cannot go back to its start. Compile the "
            "model again instead of restarting it."
        )
    return [(variable, fresh[place].numpy()) for place, variable in old.items()]


def _variables_by_place(optimizer: keras.optimizers.Optimizer) -> dict[tuple, keras.Variable]:
    """Return the variables in an optimizer's attributes; ``optimizer.variables`` lacks some under mixed precision."""
    found = {}

    def look(place: tuple, value) -> None:
        if isinstance(value, keras.Variable):
            found[place] = value
        elif isinstance(value, (list, tuple)):
            for number, part in enumerate(value):
                look((*place, number), part)
        elif isinstance(value, dict):
            for key, part in value.items():
                look((*place, key), part)

    for name, value in vars(optimizer).items():
        if name not in ("_variables", "_trainable_variables", "_learning_rate") and not name.startswith("_self_"):
            look((name,), value)
    return found


def _use_statistics(model: keras.Model) -> None:
    """Let Normalization layers use the mean and variance that ``set_weights`` gave them, which Keras forgets.

    They are constants in the functions that Keras compiled. Where they changed, Keras makes these functions anew.
    """
    changed = False
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization) and layer.built and layer.input_mean is None:
            before = np.array(layer.mean), np.array(layer.variance)
            layer.finalize_state()
            changed |= not all(map(np.array_equal, before, (layer.mean, layer.variance)))
    if changed:
        for part in model._flatten_layers():
            if isinstance(part, keras.Model):
                part.train_function = part.test_function = part.predict_function = None
