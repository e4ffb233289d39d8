"""``restart`` is a restart: the second training is the first, to the bit, for every optimizer of Keras."""

import inspect

import numpy as np
import pytest

import helpers.quiet  # noqa: F401
from helpers.models.restarting import restart

import keras
import tensorflow as tf

random = np.random.default_rng(0)
X = random.normal(size=(32, 4)).astype("float32")
Y = random.normal(size=(32, 1)).astype("float32")

WRAPPERS = (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer, keras.optimizers.MultiOptimizer)
OPTIMIZERS = {
    name: kind
    for name, kind in inspect.getmembers(keras.optimizers, inspect.isclass)
    if issubclass(kind, keras.optimizers.Optimizer) and kind not in WRAPPERS
}
EXTRAS = {
    "ema": {"use_ema": True, "ema_overwrite_frequency": 3},
    "accumulation": {"gradient_accumulation_steps": 3},
    "clipped and decayed": {"clipnorm": 0.5, "weight_decay": 1e-3},
    "cosine": {"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 10)},
    "exponential": {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)},
    "a function": {"learning_rate": lambda: 0.05},
}


def small_model(optimizer, policy="float32", dropout=0.0):
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(8, activation="tanh", dtype=policy)
    layers = [keras.Input((4,)), dense, keras.layers.Dropout(dropout), keras.layers.Dense(1, dtype=policy)]
    model = keras.Sequential(layers)
    if policy == "mixed_float16" and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, dynamic_growth_steps=3)
    model.compile(optimizer, "mse", jit_compile=False)
    return model


def run(model, callbacks=(), epochs=3):
    history = model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks))
    return [*history.history["loss"], *map(bytes, map(np.ascontiguousarray, model.get_weights()))]


def state(optimizer):
    return [variable.numpy() for variable in optimizer.variables]


def check_restarts(model, callbacks=lambda: ()):
    """Train as compiled, then restarted, after one and after two restarts."""
    weights = model.get_weights()
    if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        inner = model.optimizer.inner_optimizer
    else:
        inner = model.optimizer
    if isinstance(inner, keras.optimizers.ScheduleFreeAdamW):  # built in fit, it begins from zeros, a fault of Keras
        restart(model, weights)
    first = run(model, callbacks())
    last_state = state(model.optimizer)
    assert np.isfinite(first[0]) and first[0] != first[1]
    for _ in range(2):
        restart(model, weights)
        assert int(model.optimizer.iterations) == 0
        assert run(model, callbacks()) == first
        for a, b in zip(last_state, state(model.optimizer), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("policy", ["float32", pytest.param("mixed_float16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name, policy):
    check_restarts(small_model(OPTIMIZERS[name](learning_rate=0.01), policy))


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("name", ["Adam", *(pytest.param(name, marks=pytest.mark.slow) for name in ("SGD", "Nadam"))])
def test_every_option(name, extra):
    check_restarts(small_model(OPTIMIZERS[name](**EXTRAS[extra])))


@pytest.mark.parametrize("by_function", [False, True])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_several_optimizers_in_one(policy, by_function):
    adam, nadam = keras.optimizers.Adam(0.01), keras.optimizers.Nadam(0.02)
    chosen = keras.optimizers.OptimizerMap(nadam, {".*kernel": adam})
    if by_function:
        chosen = lambda variable: adam if "kernel" in variable.path else nadam  # noqa: E731
    model = small_model(keras.optimizers.MultiOptimizer(chosen), policy)
    check_restarts(model)
    adam.learning_rate = 0.5
    restart(model, model.get_weights())
    assert np.isclose(float(adam.learning_rate), 0.01) and np.isclose(float(nadam.learning_rate), 0.02)
    with pytest.raises(ValueError, match="holds several"):
        restart(model, model.get_weights(), learning_rate=0.1)


def test_the_loss_scale_goes_back_to_its_start():
    scaled = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.01), initial_scale=64.0, dynamic_growth_steps=2
    )
    model = small_model(scaled, "mixed_float16")
    weights = model.get_weights()
    run(model)
    assert float(scaled.dynamic_scale) > 64
    restart(model, weights)
    assert float(scaled.dynamic_scale) == 64 and np.isclose(float(scaled.learning_rate), 0.01)


def test_before_the_first_fit():
    model = small_model(keras.optimizers.Adam(0.01))
    weights = model.get_weights()
    restart(model, weights)
    first = run(model)
    restart(model, weights)
    assert run(model) == first


def test_dropout_and_augmentation_draw_the_same_numbers():
    check_restarts(small_model(keras.optimizers.Adam(0.01), dropout=0.5))
    keras.utils.set_random_seed(0)
    augmented = keras.Sequential([keras.layers.RandomFlip(), keras.layers.RandomTranslation(0.2, 0.2)])
    model = keras.Sequential([keras.Input((2, 2, 1)), augmented, keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("adam", "mse", jit_compile=False)
    weights, losses = model.get_weights(), []
    for _ in range(2):
        restart(model, weights)
        images = X.reshape(32, 2, 2, 1)
        losses.append(model.fit(images, Y, shuffle=False, epochs=3, verbose=0).history["loss"])
    assert losses[0] == losses[1]


class Falling(keras.callbacks.Callback):
    """Changes the rate without a note in the history."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = float(self.model.optimizer.learning_rate) / 2


CALLBACKS = {
    "plateau": lambda: keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.1, patience=1, min_delta=10),
    "scheduler": lambda: keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7),
    "own": Falling,
}


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("name", CALLBACKS)
def test_a_rate_that_a_callback_changed_goes_back(name, policy):
    model = small_model(keras.optimizers.Adam(0.01), policy)
    weights, runs = model.get_weights(), []
    for _ in range(3):
        restart(model, weights)
        assert np.isclose(float(model.optimizer.learning_rate), 0.01)
        runs.append(run(model, [CALLBACKS[name]()]))
        assert float(model.optimizer.learning_rate) < 0.0099
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("name", ["plateau", "scheduler"])
def test_a_rate_that_was_changed_before_the_first_restart_must_be_given(name):
    model = small_model(keras.optimizers.Adam(0.01))
    weights = model.get_weights()
    first = run(model, [CALLBACKS[name]()])
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"A callback has changed the learning rate.*learning_rate=\.\.\."):
        restart(model, weights)
    np.testing.assert_array_equal(before[0], model.get_weights()[0])  # nothing was touched
    restart(model, weights, learning_rate=0.01)
    assert run(model, [CALLBACKS[name]()]) == first
    restart(model, weights)
    assert np.isclose(float(model.optimizer.learning_rate), 0.01)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_what_is_no_rate(rate):
    model = small_model(keras.optimizers.Adam(0.01))
    with pytest.raises(ValueError, match="no learning rate"):
        restart(model, model.get_weights(), learning_rate=rate)


def test_a_schedule_takes_no_rate():
    model = small_model(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 10)))
    with pytest.raises(ValueError, match="follows a schedule"):
        restart(model, model.get_weights(), learning_rate=0.1)


def test_what_cannot_be_restarted_is_refused():
    class Own(keras.optimizers.SGD):
        def __init__(self, needed, **kwargs):
            super().__init__(**kwargs)

    class Growing(keras.optimizers.SGD):
        def build(self, variables):
            super().build(variables)
            self.other = self.add_variable((len(made),))
            made.append(1)

    made = []
    for optimizer, words in ((Own(1), "cannot be made anew"), (Growing(), "other variables than a new one")):
        model = small_model(optimizer)
        run(model, epochs=2)
        with pytest.raises(ValueError, match=words):
            restart(model, model.get_weights())
    with pytest.raises(ValueError, match="compile"):
        restart(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), [])


def nested(model):
    return keras.Sequential([keras.Input((4,)), model])


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_normalization_uses_the_restored_statistics(depth):
    norm = keras.layers.Normalization()
    norm.adapt(X)
    model = keras.Sequential([keras.Input((4,)), norm, keras.layers.Dense(1)])
    for _ in range(depth):
        model = nested(model)
    model.compile("adam", "mse", jit_compile=False)
    weights = model.get_weights()
    first, live = run(model), model(X).numpy()
    predicted, score = model.predict(X, verbose=0), model.evaluate(X, Y, verbose=0)
    norm.adapt(5 + 3 * X)
    restart(model, weights)
    assert run(model) == first
    np.testing.assert_array_equal(model(X), live)
    np.testing.assert_array_equal(model.predict(X, verbose=0), predicted)
    assert model.evaluate(X, Y, verbose=0) == score


def test_unchanged_statistics_cost_no_new_functions():
    norm = keras.layers.Normalization()
    norm.adapt(X)
    fixed = keras.layers.Normalization(mean=1.0, variance=2.0)
    model = keras.Sequential([keras.Input((4,)), norm, fixed, keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    run(model)
    function = model.train_function
    restart(model, model.get_weights())
    assert model.train_function is function and tf.reduce_all(tf.math.is_finite(model(X)))
