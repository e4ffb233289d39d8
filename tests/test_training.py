import numpy as np

import helpers.quiet  # noqa: F401
from helpers.training import History, progress_bar

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
