import numpy as np
import pytest

import helpers.quiet  # noqa: F401
from helpers.models.multi_optimizer import FallbackMultiOptimizer, FallbackOptimizerMap

import keras
from keras.optimizers import Adam

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(64, 4)).astype("float32"), RANDOM.integers(0, 3, 64)


def trained(choose, multi):
    keras.utils.set_random_seed(0)
    x, dense = keras.Input((4,)), keras.layers.Dense
    model = keras.Model(x, dense(3, name="last")(dense(5, "relu", name="first")(x)))
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 20)
    optimizer = multi(choose(Adam(schedule), Adam(1e-3)))
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, Y, epochs=3, batch_size=16, shuffle=False, verbose=0)
    return model


def by_pattern(map_class):
    return lambda high, low: map_class(high, {"first/.*": low})


def by_function(high, low):
    return lambda weight: low if weight.path.startswith("first/") else high


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="Keras has none before 3.15")
@pytest.mark.parametrize("kind", ["pattern", "function"])
def test_the_fallback_trains_as_that_of_keras(kind):
    theirs, ours = by_function, by_function
    if kind == "pattern":
        theirs, ours = by_pattern(keras.optimizers.OptimizerMap), by_pattern(FallbackOptimizerMap)
    expected = trained(theirs, keras.optimizers.MultiOptimizer)
    model = trained(ours, FallbackMultiOptimizer)
    for one, other in zip(expected.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(model.optimizer.iterations) == 12 and len(model.optimizer.optimizers) == 2


def test_each_part_gets_its_rate():
    start = trained(lambda high, low: lambda weight: Adam(0.0), FallbackMultiOptimizer).get_weights()
    model = trained(
        lambda high, low: lambda weight: low if weight.path == "first/kernel" else Adam(0.0), FallbackMultiOptimizer
    )
    moved = [not np.array_equal(a, b) for a, b in zip(start, model.get_weights(), strict=True)]
    assert moved == [True, False, False, False]


def test_a_pattern_must_fit_the_whole_path():
    high, low = Adam(), Adam()
    chosen = FallbackOptimizerMap(high, {"first": low, "last/.*": low})
    assert chosen["first/kernel"] is high and chosen["last/bias"] is low and chosen["first"] is low


def test_two_patterns_for_one_weight_are_refused():
    chosen = FallbackOptimizerMap(Adam(), {"first/.*": Adam(), ".*/kernel": Adam()})
    with pytest.raises(ValueError, match="Several patterns fit first/kernel"):
        chosen["first/kernel"]
