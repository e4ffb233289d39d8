import numpy as np

import helpers.quiet  # noqa: F401
from helpers.models.restarting import restart
from helpers.models.training import History, progress_bar

import keras


def test_two_fits_make_one_history(capsys):
    x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = History()
    model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0, callbacks=[history, progress_bar()])
    model.fit(x, y, initial_epoch=2, epochs=5, validation_data=(x, y), verbose=0, callbacks=[history, progress_bar()])
    assert history.epochs == 5 and history.starts == [0, 2]
    assert len(history.metrics["loss"]) == len(history.metrics["val_loss"]) == len(history.seconds) == 5
    assert history.metrics["loss"][-1] < history.metrics["loss"][0]
    assert "5/5" in capsys.readouterr().out


def test_a_branch_goes_on_without_changing_the_history_it_came_from():
    first = History()
    first.metrics, first.seconds, first.starts = {"loss": [2.0, 1.0]}, [0.5, 0.1], [0]
    branch = first.branch()
    branch.on_train_begin()
    branch.on_epoch_end(2, {"loss": 0.5})
    assert branch.metrics == {"loss": [2.0, 1.0, 0.5]} and branch.starts == [0, 2] and branch.epochs == 3
    assert first.metrics == {"loss": [2.0, 1.0]} and first.starts == [0] and first.epochs == 2


def test_a_restarted_model_trains_as_if_it_were_new():
    x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    weights, losses = model.get_weights(), []
    for _ in range(2):
        restart(model, weights)
        losses.append(model.fit(x, y, epochs=3, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == losses[1] and losses[0][0] > losses[0][-1]
    assert int(model.optimizer.iterations) == 3 and np.isclose(float(model.optimizer.learning_rate), 0.1)
