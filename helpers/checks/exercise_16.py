"""Checks of exercise 16, ship it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from textwrap import shorten

import numpy as np
from PIL import Image

import helpers.quiet  # noqa: F401
from helpers.checks.faults import first_line, where
from helpers.checks.images import unseen_images
from helpers.checks.task import NOTHING, Task, Wrong, expect, same_arrays, things
from helpers.data.datasets import load_data
from helpers.models.backbones import build_backbone
from helpers.models.features import compute_features
from helpers.profiles import PROFILES

import keras
import tensorflow as tf

SHARE, POINTS = 0.36, 0.02  # task 16.5: of the bytes of the plain file; the accuracy that may be lost


def small_network(side: int, seed: int) -> keras.Model:
    """Return a network with BatchNorm whose statistics are far from those of a batch."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    norm = layers.BatchNormalization()
    network = keras.Sequential(
        [
            keras.Input((side, side, 3)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(4, 3),
            norm,
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(3),
        ]
    )
    norm.moving_mean.assign([0.3, -0.2, 0.1, 0.5])
    norm.moving_variance.assign([2.0, 0.5, 3.0, 1.5])
    return network


def check_any_size(for_any_size) -> str:
    """Check task 16.1."""
    random = np.random.default_rng(161)
    for side, sizes in ((8, ((8, 8), (20, 12))), (11, ((7, 15), (33, 21)))):
        network = small_network(side, side)
        before = network.get_weights()
        model = for_any_size(network)
        expect(model is not None, NOTHING)
        expect(isinstance(model, keras.Model), f"Your function returns {type(model).__name__}, not a keras.Model.")
        expect(model is not network, "Your function returns the network itself.")
        expect(
            tuple(model.input_shape) == (None, None, None, 3),
            f"Your model takes the shape {model.input_shape}. Wanted is (None, None, None, 3): any number of pictures, "
            "any height, any width.",
        )
        takes = keras.backend.standardize_dtype(model.inputs[0].dtype)
        expect(takes == "uint8", f"Your model takes {takes}. Wanted are whole numbers, uint8.")
        for size in sizes:
            pixels = random.integers(0, 256, (6, *size, 3)).astype("uint8")
            judge_any_size(network, model, pixels, side)
        same = same_arrays(before, network.get_weights())
        expect(
            same,
            "The weights of the network are no longer what they were: a plain call has moved the statistics of "
            "BatchNorm. Who says in your model that this is no training?",
        )
    return "It takes pictures of any size, and a plain call answers as predict does, so an export will, too."


def judge_any_size(network: keras.Model, model: keras.Model, pixels: np.ndarray, side: int) -> None:
    """Raise ``Wrong`` unless a model gives for pixels of any size what the network gives for resized ones."""
    resized = keras.ops.image.resize(pixels.astype("float32"), (side, side))
    wanted = np.asarray(network(resized, training=False))
    case = f"For pictures of {pixels.shape[1]} x {pixels.shape[2]} pixels"
    in_predict = model.predict(pixels, batch_size=32, verbose=0)
    expect(in_predict.shape == wanted.shape, f"{case}, your model gives the shape {in_predict.shape}.")
    scaled = np.asarray(network(resized / 255, training=False))
    expect(
        np.allclose(in_predict, wanted, atol=1e-3) or not np.allclose(in_predict, scaled, atol=1e-3),
        f"{case}, yours are divided by 255. The network rescales them itself: that is preprocessing done twice.",
    )
    expect(
        np.allclose(in_predict, wanted, atol=0.05),
        f"{case}, predict of your model gives other numbers than the network with pictures of {side} x {side}. Are "
        "they resized to what it takes, and not changed otherwise?",
    )
    expect(
        np.allclose(np.asarray(model(pixels)), in_predict, atol=0.02),  # Resizing rounds whole numbers in a plain call
        f"{case}, predict is right, but a plain call of your model gives other numbers. An export makes a plain call: "
        "Dropout, and BatchNorm that is not frozen, run in training mode there, as a Resizing before them says so.",
    )


def check_standardise(make_standardise) -> str:
    """Check task 16.2."""
    random = np.random.default_rng(162)
    for columns in (3, 5):
        features = random.normal(random.normal(size=columns) * 4, 1 + random.random(columns), (50, columns))
        features[:, -1] = 2.5
        features = features.astype("float32")
        kind = make_standardise()
        expect(kind is not None, NOTHING)
        expect(
            isinstance(kind, type) and issubclass(kind, keras.layers.Layer),
            "Your function returns no class of layers: return the class itself, not a layer made of it.",
        )
        expect(
            not issubclass(kind, keras.layers.Normalization),
            "That is the layer of Keras. Please write one of your own.",
        )
        expect(hasattr(kind, "adapt"), "Your class has no adapt(features).")
        judge_standardise(kind, features)
    return "Saved and loaded, it still knows mean and deviation."


def judge_standardise(kind: type, features: np.ndarray) -> None:
    """Raise ``Wrong`` unless a layer standardises features, before and after it was saved."""
    deviation = features.std(axis=0)
    centred = features - features.mean(axis=0)
    wanted = centred / np.where(deviation < 1e-6, 1, deviation)
    try:
        layer = kind()
    except TypeError as error:
        raise Wrong(f"A layer of your class must be made without arguments: {shorten(str(error), 160)}.") from error
    try:
        layer.adapt(features.copy())
    except AttributeError as error:
        raise Wrong(
            "adapt stops on a new layer. Keras calls build when a layer meets its first input, so here it did not run "
            f"yet: adapt can call it. {where(error)}"
        ) from error
    inputs = keras.Input(features.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    answer = model.predict(features, batch_size=32, verbose=0)
    expect(np.isfinite(answer).all(), "A column that never changes becomes nan or infinite: what is it divided by?")
    expect(
        not np.allclose(answer, features, atol=1e-3),
        "After adapt, the layer gives the features as they are. Does adapt keep what it has computed, and does "
        "building the layer afterwards leave it alone?",
    )
    expect(not np.allclose(answer, centred, atol=1e-3), "The mean is subtracted, but the deviation is not divided by.")
    expect(
        np.allclose(answer, wanted, rtol=2e-2, atol=1e-2),  # also with the deviation of a sample
        "After adapt, the columns have not the mean 0 and the deviation 1 of the features that it was given.",
    )
    moved = model.predict(features + np.float32(0.1), verbose=0)
    expect(
        np.allclose(moved - answer, 0.1 / np.where(deviation < 1e-6, 1, deviation), rtol=3e-2, atol=1e-3),
        "On other features, a column that never changed in adapt is not only shifted: it is divided by nearly 0, or "
        "left out. What is it to be divided by?",
    )
    expect(not model.trainable_weights, "Mean and deviation would learn: they are trainable weights.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            model.save(path)
            loaded = keras.saving.load_model(path)
        except Exception as error:  # whatever the class raises
            text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # Keras colours what it says
            lost = re.search(r"has no attribute '(\w+)'", text)
            expect(
                "Could not locate class" not in text,
                "The saved model cannot be loaded: Keras does not know your class. Which decorator tells it?",
            )
            expect(
                lost is None,
                f"The loaded layer has no {lost and lost[1]!r}: it was never adapted, so nothing has made that. A file "
                "holds the arguments and the weights of a layer. Which method does Keras call when it loads, in which "
                "weights can be made?",
            )
            advice = " Does __init__ take **kwargs and pass them on?" if "argument" in text else ""
            raise Wrong(
                f"The model cannot be saved and loaded: {type(error).__name__}: {shorten(text, 300)}.{advice}"
            ) from error
    expect(
        np.allclose(loaded.predict(features, batch_size=32, verbose=0), answer, atol=1e-3),
        "Saved and loaded, the layer gives other numbers, and nothing complains. A file holds the arguments and the "
        "weights of a layer, not its attributes. What is lost is neither.",
    )


# On how many of ten pictures a scripted training is right, epoch by epoch: each figure is best in another epoch.
TRAINING, VALIDATION = (3, 9, 6, 7, 5), (4, 6, 9, 8, 5)
KEPT = {
    1: "the best *training* accuracy. It knows the training pictures by heart, perhaps; which pictures should choose?",
    3: "the lowest validation *loss*. Wanted is the highest validation accuracy.",
    0: "the *lowest* accuracy: look at the mode.",
    4: "the last one: each epoch is written over the one before.",
}


def script(epoch: int) -> np.ndarray:
    """Return the kernel of a scripted epoch ``(20, 1)``: a score for each of 10 training and 10 validation pictures."""
    right = [np.arange(10) < count for count in (TRAINING[epoch], VALIDATION[epoch])]
    wrong = -60.0 if epoch == 2 else -3.0  # so that the epoch with the highest accuracy has not the lowest loss
    return np.where(np.concatenate(right), 3.0, wrong)[:, None].astype("float32")


class Script(keras.callbacks.Callback):
    """Before each epoch, give the model the weights of the script; stop once on purpose, as a crash does."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__()
        self.stop = stop

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.stop:
            raise InterruptedError
        self.model.set_weights([script(epoch)])


def scripted_fit(callbacks: list, stop: int | None = None) -> list[int]:
    """Run a training of five epochs whose weights are scripted; return the epochs that were run."""
    head = keras.layers.Dense(1, activation="sigmoid", use_bias=False)
    model = keras.Sequential([keras.Input((20,)), head])
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy", metrics=["accuracy"])
    pictures, labels = np.eye(20, dtype="float32"), np.ones((20, 1))
    options = {"epochs": 5, "batch_size": 10, "shuffle": False, "verbose": 0}
    validation = pictures[10:], labels[10:]
    callbacks = [*callbacks, Script(stop)]
    return model.fit(pictures[:10], labels[:10], validation_data=validation, callbacks=callbacks, **options).epoch


def check_callbacks(make_callbacks) -> str:
    """Check task 16.3."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        made = make_callbacks(Path(one))
        expect(made is not None, NOTHING)
        listed = made if isinstance(made, list | tuple) else [made]
        odd = [type(each).__name__ for each in listed if not isinstance(each, keras.callbacks.Callback)]
        expect(
            listed is made and not odd,
            f"Your function returns {type(made).__name__}{f' with {odd[0]}' if listed is made and odd else ''}. Wanted "
            "is a list of callbacks.",
        )
        scripted_fit(list(made))
        judge_kept(Path(one) / "best.keras")
        with contextlib.suppress(InterruptedError):
            scripted_fit(list(make_callbacks(Path(other))), stop=3)
        epochs = scripted_fit(list(make_callbacks(Path(other))))
        expect(
            epochs != [0, 1, 2, 3, 4],
            "A training that was interrupted before epoch 3 begins again with epoch 0. Which callback writes what is "
            "needed to go on?",
        )
        expect(epochs == [3, 4], f"Interrupted before epoch 3, the training went on with the epochs {epochs}.")
    return "The epoch with the best validation accuracy was kept, and an interrupted training went on with epoch 3."


def judge_kept(path: Path) -> None:
    """Raise ``Wrong`` unless a file holds the scripted epoch with the best validation accuracy."""
    expect(
        path.exists(),
        "After fit there is no best.keras. Was it written at all, and in a folder that is still there? "
        "BackupAndRestore deletes its folder when fit has ended.",
    )
    kernel = keras.saving.load_model(path).get_weights()[0]
    kept = [epoch for epoch in range(5) if np.array_equal(kernel, script(epoch))]
    expect(kept, "best.keras holds weights that the model had after no epoch.")
    if kept[0] == 2:
        return
    raise Wrong(
        f"Of a training whose validation accuracy is best in epoch 2, epoch {kept[0]} was kept: {KEPT[kept[0]]}"
    )


NAMES = ["anvil", "bellows", "crucible", "drill"]


@cache
def temporary_folder() -> tempfile.TemporaryDirectory:
    """Return a folder that lasts as long as this process."""
    return tempfile.TemporaryDirectory()


BRIGHT = 240, 120, 60
GREY = 0.7, 0.25, 0.05  # what each colour counts; unequal, so that a change of colours shows


@cache
def quarter_model(height: int, width: int) -> Path:
    """Return a file with a model that says which quarter of a picture of its size is brightest, mostly in red."""
    layers = keras.layers
    pixels = keras.Input((height, width, 3), dtype="uint8")
    quarters = layers.AveragePooling2D((height // 2, width // 2))(layers.Rescaling(1 / 255)(pixels))
    weights = layers.Conv2D(1, 1, use_bias=False, name="grey")
    grey = layers.Flatten()(weights(quarters))
    model = keras.Model(pixels, layers.Softmax()(4.0 * grey))
    weights.set_weights([np.reshape(np.array(GREY, "float32"), (1, 1, 3, 1))])
    path = Path(temporary_folder().name) / f"quarters_{height}_{width}.keras"
    model.save(path)
    return path


def pictures_of_all_kinds(quarter: int) -> Iterator[tuple[str, Path]]:
    """Write pictures whose brightest quarter is the given one; yield what is special in each, and its file."""
    upright = np.full((48, 72, 3), 40, "uint8")
    row, column = divmod(quarter, 2)
    upright[24 * row : 24 * row + 24, 36 * column : 36 * column + 36] = BRIGHT
    image, folder = Image.fromarray(upright), Path(temporary_folder().name)
    kinds = {
        "a PNG of another size": image,
        "a grey PNG": image.convert("L"),
        "a PNG with transparency": image.convert("RGBA"),
        "a GIF with a palette": image.convert("P", palette=Image.Palette.ADAPTIVE),
    }
    for number, (kind, picture) in enumerate(kinds.items()):
        path = folder / f"{quarter}_{number}.{'gif' if 'GIF' in kind else 'png'}"
        picture.save(path)
        yield kind, path
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    path = folder / f"{quarter}.jpg"
    image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    yield "a JPEG that the camera says to turn", path


def check_name(name_picture) -> str:
    """Check task 16.4."""
    for quarter, names, size in ((1, NAMES, (8, 12)), (2, NAMES[::-1], (10, 6))):
        model_file = quarter_model(*size)
        model = keras.saving.load_model(model_file)
        for kind, path in pictures_of_all_kinds(quarter):
            try:
                answer = name_picture(model_file, list(names), path)
            except (TypeError, ValueError, IndexError, tf.errors.OpError) as error:
                raise Wrong(
                    f"For {kind} your function raises {type(error).__name__}: {first_line(error)[:160]} Which shape "
                    "has your array, and which does the model take? Pillow says (width, height), arrays (height, "
                    "width, channels)."
                ) from error
            judge_name(model, names, quarter, kind, answer)
    return "It names pictures of five kinds, turned and resized as they should be."


def judge_name(model: keras.Model, names: list[str], quarter: int, kind: str, answer) -> None:
    """Raise ``Wrong`` unless an answer is the name of the brightest quarter, and its probability."""
    name, probability = things(answer, 2, f"two things, for {kind} as for all: a name and a probability")
    expect(
        not isinstance(name, int | np.integer),
        f"For {kind} your function returns the number {name}. Wanted is the name: names[number].",
    )
    expect(isinstance(name, str) and name in names, f"For {kind} the first thing that you return is no name: {name!r}.")
    grey = np.asarray(Image.new("RGB", (1, 1), BRIGHT).convert("L")).item()
    bright = grey if kind == "a grey PNG" else np.dot(BRIGHT, GREY)
    scores = np.full(4, 40 / 255 * 4.0)
    scores[quarter] = bright / 255 * 4.0
    wanted = float(np.exp(scores[quarter]) / np.exp(scores).sum())
    advice = "Is it turned as its camera says?" if "turn" in kind else "What happens to its channels?"
    probability = float(np.asarray(probability).reshape(-1)[0])
    twice = float(np.exp(wanted) / (np.exp(wanted) + 3 * np.exp((1 - wanted) / 3)))
    expect(
        abs(probability - twice) > 0.005,
        f"For {kind} the probability is {probability:.2f}; the model gives {wanted:.2f}. Did softmax run twice? The "
        "model's last layer is one.",
    )
    expect(
        abs(probability - 0.25) > 0.02,
        f"For {kind} the probability is {probability:.2f}, that of guessing. Did you rescale the pixels? The model "
        "does that itself.",
    )
    expect(name == names[quarter], f"For {kind} your function says {name!r}; right is {names[quarter]!r}. {advice}")
    expect(
        abs(probability - wanted) < 0.05,
        f"For {kind} the probability is {probability:.2f}; the model gives {wanted:.2f}. Are the colours those of "
        "the file, in the order red, green, blue?",
    )


@contextlib.contextmanager
def hidden_error_stream() -> Iterator[None]:
    """Hide what the converter writes past Python."""
    null, kept = os.open(os.devnull, os.O_WRONLY), os.dup(2)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(null)
        os.close(kept)


@cache
def shipped_model() -> tuple[keras.Model, bytes]:
    """Return a classifier of Emoji-10 from uint8 pixels to probabilities, and its plain LiteRT file."""
    from sklearn.linear_model import LogisticRegression

    layers = keras.layers
    data = load_data("mini")
    backbone = build_backbone("mini_mobilenet", "mini")
    extractor = keras.Sequential([backbone.model, layers.GlobalAveragePooling2D()])
    features = compute_features(extractor, data.x_train[:1000], 128)
    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
    linear = LogisticRegression(C=0.1, max_iter=1000).fit((features - mean) / spread, data.y_train[:1000])
    head = layers.Dense(10, activation="softmax")
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    model = keras.Model(pixels, head(extractor(layers.Rescaling(1.0)(pixels), training=False)))
    kernel = linear.coef_.T / spread[:, None]
    head.set_weights([kernel, linear.intercept_ - mean @ kernel])
    with hidden_error_stream(), contextlib.redirect_stdout(io.StringIO()):  # what is printed is not the learner's
        plain = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    return model, plain


def litert_answers(content: bytes, pictures: np.ndarray) -> np.ndarray:
    """Return what a LiteRT file gives for pictures ``(n, 32, 32, 3)`` uint8, one by one: ``(n, 10)``.

    Raises:
        Wrong: it is no such file, or takes something else.
    """
    try:
        with hidden_error_stream():
            interpreter = _interpreter(content)
    except (ValueError, RuntimeError) as error:
        raise Wrong(f"The LiteRT interpreter cannot read your bytes: {str(error)[:160]}") from error
    (takes,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    expect(
        tuple(takes["shape"]) == (1, 32, 32, 3) and takes["dtype"] == np.uint8,
        f"Your file takes {tuple(takes['shape'])} of {np.dtype(takes['dtype']).name}; wanted is (1, 32, 32, 3) "
        "of uint8.",
    )
    expect(tuple(gives["shape"]) == (1, 10), f"Your file gives the shape {tuple(gives['shape'])}; wanted is (1, 10).")
    answers = []
    for picture in pictures:
        interpreter.set_tensor(takes["index"], picture[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(gives["index"])[0])
    return np.array(answers)


def _interpreter(content: bytes):
    """Return an interpreter of a LiteRT file, of its own package where that is installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-not-found]
    except ImportError:
        Interpreter = tf.lite.Interpreter
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return interpreter


def check_smallest(smallest: Callable) -> str:
    """Check task 16.5."""
    kept, plain = shipped_model()
    model = keras.models.clone_model(kept)  # an answer may change it, and the next answer needs it as it was
    model.set_weights(kept.get_weights())
    with hidden_error_stream():
        content = smallest(model, load_data("mini").x_train[:300].copy())
    expect(content is not None, NOTHING)
    expect(
        isinstance(content, bytes | bytearray),
        f"Your function returns {type(content).__name__}. Wanted are the bytes that converter.convert() returns.",
    )
    pictures, labels = unseen_images(PROFILES["mini"])
    whole = litert_answers(plain, pictures).argmax(axis=1) == labels
    right = litert_answers(bytes(content), pictures).argmax(axis=1) == labels
    share, lost = len(content) / len(plain), float(whole.mean() - right.mean())
    expect(
        right.mean() > 0.2,
        f"Your file guesses: accuracy {right.mean():.2f}; the plain file has {whole.mean():.2f}. If you have shown it "
        "pictures: were they in the form that the model takes?",
    )
    expect(
        share <= SHARE,
        f"Your file has {100 * share:.0f} % of the bytes of the plain one; the target is {100 * SHARE:.0f} %. How many "
        "bytes does it spend on a weight: four, two or one?",
    )
    expect(
        lost <= POINTS,
        f"Your file is {100 * lost:.1f} points less accurate than the plain one on {len(labels)} unseen pictures; "
        f"{100 * POINTS:.0f} may be lost. Did it see enough different pictures?",
    )
    gained = 0.0 - 100 * lost  # never -0.0
    return f"{len(content):,} bytes, {100 * share:.0f} % of the plain file, and {gained:+.1f} points of accuracy."


TASKS = {
    "16.1": Task(
        "put a model around a network that takes pictures of any size",
        check_any_size,
        (
            "Which part of the shape is open? And who says in the graph that this is no training?",
            "Read about keras.Input with None in its shape and a dtype, keras.layers.Resizing, and training=False.",
            'keras.Input((None, None, 3), dtype="uint8"), then Resizing(side, side), then network(…, training=False).',
        ),
    ),
    "16.2": Task(
        "write a layer that is saved and loaded",
        check_standardise,
        (
            "What does a file hold of a layer? Where must mean and deviation be kept to be among it?",
            "Read about Layer.add_weight with trainable=False, and keras.saving.register_keras_serializable.",
            "In build: two weights of shape (columns,), zeros and ones; adapt builds if needed, then assigns them.",
        ),
    ),
    "16.3": Task(
        "find the four bugs in callbacks",
        check_callbacks,
        (
            "Four things are wrong: the figure, its direction, how often it is written, and where.",
            "Read about ModelCheckpoint: monitor, mode, save_best_only; and about what BackupAndRestore deletes.",
            'monitor="val_accuracy", mode="max", save_best_only=True; the backup into a folder of its own in folder.',
        ),
    ),
    "16.4": Task(
        "name a picture of any kind",
        check_name,
        (
            "Which shape and type must the array have that the model takes? What do cameras write beside the pixels?",
            "Read about PIL.ImageOps.exif_transpose, Image.convert and Image.resize: width first, or height?",
            'ImageOps.exif_transpose(Image.open(picture)).convert("RGB"), .resize((width, height)), pixels[None].',
        ),
    ),
    "16.5": Task(
        "make the smallest file that is still right",
        check_smallest,
        (
            "A weight of four bytes, of two, of one: which reaches 36 %?",
            "Read about tf.lite.TFLiteConverter: optimizations, and representative_dataset.",
            "from_keras_model(model), optimizations = [tf.lite.Optimize.DEFAULT], convert(). More is possible.",
        ),
    ),
}
