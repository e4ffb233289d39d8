import hashlib
import os
import subprocess
import sys
import tarfile

import numpy as np
import pytest

import helpers.quiet  # noqa: F401
from helpers.files.hub_modules import HubModuleError, cache_of_modules, find_module, first_module
from helpers.hub.export import export_hub_module
from helpers.hub.layer import KerasLayer
from helpers.models.backbones import EMBEDDED_WEIGHTS
from helpers.profiles import PROFILES

import keras
import tensorflow as tf

MINI = EMBEDDED_WEIGHTS / "mini_mobilenet_hub"
IMAGES = np.random.default_rng(0).uniform(0, 1, (16, 32, 32, 3)).astype("float32")
LABELS = np.arange(16) % 10


@pytest.fixture(autouse=True)
def module_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "modules"))


def small_module(folder, trainable=True):
    """Write a module that multiplies by a matrix, with a regularization loss; return its folder."""

    class Module(tf.Module):
        def __init__(self):
            self.kernel = tf.Variable(tf.eye(3) * 2, trainable=trainable)
            self.regularization_losses = [tf.function(lambda: tf.reduce_sum(self.kernel**2), input_signature=[])]

        @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32)])
        def __call__(self, x):
            return x @ self.kernel

    module = Module()
    saved = tf.train.Checkpoint(kernel=module.kernel)
    saved.__call__ = module.__call__
    saved.variables = [module.kernel]
    saved.trainable_variables = [module.kernel] if trainable else []
    saved.regularization_losses = module.regularization_losses
    tf.saved_model.save(saved, str(folder))
    return folder


def classifier(layer):
    keras.utils.set_random_seed(0)
    return compiled(keras.Sequential([keras.Input((32, 32, 3)), layer, keras.layers.Dense(10)]))


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    return model


def values(layer):
    return [weight.numpy().copy() for weight in layer.weights]


def moved(before, after):
    return sum(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_shapes_and_counts_are_known_before_the_first_call():
    model = classifier(KerasLayer(MINI))
    assert model.layers[0].output.shape == (None, 224)
    assert model.count_params() == 151_648 + 2_250
    inputs = keras.Input((32, 32, 3))
    assert keras.Model(inputs, KerasLayer(MINI)(inputs)).output_shape == (None, 224)


@pytest.mark.slow
def test_frozen_then_trained_then_frozen_again():
    layer = KerasLayer(MINI)
    model = classifier(layer)
    start = values(layer)
    model.fit(IMAGES, LABELS, epochs=2, verbose=0)
    assert moved(start, values(layer)) == 0 and layer.trainable_weights == []

    layer.trainable = True
    compiled(model).fit(IMAGES, LABELS, epochs=2, verbose=0)
    trained = values(layer)
    assert len(layer.trainable_weights) == 39
    # every trainable weight moved, no BatchNorm statistic did
    assert moved(start, trained) == 39

    layer.trainable = False
    compiled(model).fit(IMAGES, LABELS, epochs=2, verbose=0)
    assert moved(trained, values(layer)) == 0
    assert model.evaluate(IMAGES, LABELS, verbose=0) > 0


def test_training_mode_moves_the_statistics_where_it_is_asked_for():
    layer = KerasLayer(MINI, trainable=True, batch_norm_training=True)
    model = keras.Sequential([layer, keras.layers.Dense(10)])
    model.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    start = values(layer)
    model.predict(IMAGES, verbose=0)
    assert moved(start, values(layer)) == 0
    model.fit(IMAGES, LABELS, verbose=0)
    assert moved(start, values(layer)) == 26  # mean and variance of 13 layers


@pytest.mark.slow
def test_a_saved_model_keeps_the_fine_tuned_values(tmp_path):
    layer = KerasLayer(MINI, trainable=True)
    model = classifier(layer)
    before = model.predict(IMAGES, verbose=0)
    model.fit(IMAGES, LABELS, verbose=0)
    expected = model.predict(IMAGES, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not np.allclose(before, expected)
    np.testing.assert_array_equal(loaded.predict(IMAGES, verbose=0), expected)
    assert loaded.layers[0].trainable


def test_a_saved_model_without_its_module_says_which_is_missing(tmp_path):
    model = keras.Sequential([keras.Input((3,)), KerasLayer(small_module(tmp_path / "module"))])
    model.save(tmp_path / "model.keras")
    os.rename(tmp_path / "module", tmp_path / "elsewhere")
    with pytest.raises(Exception, match=r"module.* is no folder, no archive"):
        keras.models.load_model(tmp_path / "model.keras")


@pytest.mark.slow
def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = KerasLayer(MINI, trainable=True)
        model = classifier(layer)
    finally:
        keras.config.set_dtype_policy("float32")
    start = values(layer)
    model.fit(IMAGES, LABELS, verbose=0)
    assert moved(start, values(layer)) == 39
    assert layer.weights[0].dtype == "float32" and layer(IMAGES).dtype == "bfloat16"


def test_regularization_losses_count_only_when_trained(tmp_path):
    layer = KerasLayer(small_module(tmp_path / "module"))
    x = np.ones((2, 3), "float32")
    layer(x)
    assert layer.losses == []
    layer.trainable = True
    layer(x)
    assert [float(loss) for loss in layer.losses] == [12.0]
    np.testing.assert_array_equal(layer(x), 2 * x)


def test_an_archive_is_unpacked_once(tmp_path):
    archive = tmp_path / "module.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(MINI, arcname=".")
    np.testing.assert_array_equal(KerasLayer(archive)(IMAGES), KerasLayer(MINI)(IMAGES))
    assert find_module(str(archive)) == find_module(str(archive))
    assert len(list(cache_of_modules().iterdir())) == 1


def test_a_cut_archive_leaves_nothing_behind(tmp_path):
    archive = tmp_path / "module.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(MINI, arcname=".")
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(HubModuleError, match="cut or no tar archive"):
        KerasLayer(archive)
    assert list(cache_of_modules().iterdir()) == []


def test_an_address_is_served_from_the_cache_without_network(no_network):
    address = "https://tfhub.dev/google/module/1?tf-hub-format=compressed"
    name = hashlib.sha1(b"https://tfhub.dev/google/module/1").hexdigest()
    cache_of_modules().mkdir()
    os.symlink(MINI, cache_of_modules() / name)
    assert KerasLayer(address)(IMAGES).shape == (16, 224)


def test_an_address_without_network_says_what_to_do(no_network):
    with pytest.raises(HubModuleError, match="No answer from https"):
        KerasLayer("https://tfhub.dev/google/module/1")


def test_modules_of_the_bundle_are_found_by_name(bundle):
    layer = KerasLayer("mobilenet_v2_035_224_feature_vector")
    assert layer(keras.Input((224, 224, 3))).shape == (None, 1280)
    assert KerasLayer("mobilenet_v1_025_224_classification")(np.zeros((1, 224, 224, 3), "float32")).shape == (1, 1000)


def test_the_first_module_that_is_to_be_had_serves(no_network, tmp_path):
    assert first_module(PROFILES["mini"].hub_modules) == "mini_mobilenet_hub"
    handles = ("https://tfhub.dev/google/module/1", str(tmp_path / "none"), str(MINI))
    assert first_module(handles) == str(MINI)
    with pytest.raises(HubModuleError, match=r'PROFILE = "mini"(.|\n)*No answer(.|\n)*none\W+is no folder'):
        first_module(handles[:2])


def test_the_cpu_profile_finds_its_module_in_the_bundle(bundle, no_network):
    assert first_module(PROFILES["cifar10-cpu"].hub_modules) == "mobilenet_v2_035_224_feature_vector"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: "no_such_module", "no folder, no archive, and no module in the bundle"),
        (lambda folder: folder, "no saved_model.pb"),
        (lambda folder: (folder / "saved_model.pb").write_bytes(b"damaged") and folder, "cannot be loaded"),
        (lambda folder: (folder / "a.tar.gz").write_bytes(b"damaged") and folder / "a.tar.gz", "no tar archive"),
    ],
)
def test_a_handle_that_leads_to_no_module(tmp_path, make, message):
    with pytest.raises(HubModuleError, match=message):
        KerasLayer(make(tmp_path))


def test_signatures_only_is_refused(tmp_path):
    module = tf.Module()
    module.answer = tf.function(lambda x: x, input_signature=[tf.TensorSpec((None, 3))])
    tf.saved_model.save(module, str(tmp_path / "old"), signatures=module.answer)
    with pytest.raises(HubModuleError, match=r"no __call__, only signatures \(serving_default\)"):
        KerasLayer(tmp_path / "old")


def test_the_tf1_format_of_hub_is_named(tmp_path):
    builder = tf.compat.v1.saved_model.Builder(str(tmp_path / "old"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.Variable(1.0, name="weight")
        session.run(tf.compat.v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, [])
        builder.add_meta_graph(["train"])
    builder.save()
    with pytest.raises(HubModuleError, match="TF1 format"):
        KerasLayer(tmp_path / "old")


def test_training_may_be_an_argument_by_name_only(tmp_path):
    scale = tf.Variable(1.0)

    @tf.function(input_signature=[tf.TensorSpec((None, 3))])
    def infer(x):
        return scale * x

    saved = tf.train.Checkpoint(scale=scale)

    @tf.function
    def call(x, *, training=False):
        return -infer(x) if training else infer(x)

    for training in (False, True):
        call.get_concrete_function(tf.TensorSpec((None, 3)), training=training)
    saved.__call__, saved.variables, saved.trainable_variables = call, [scale], [scale]
    saved.regularization_losses = []
    tf.saved_model.save(saved, str(tmp_path / "module"))
    layer = KerasLayer(tmp_path / "module", trainable=True, batch_norm_training=True)
    x = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(layer(x, training=True), -x)
    np.testing.assert_array_equal(layer(x, training=False), x)


def test_a_module_without_trainable_weights_can_be_used_frozen_only(tmp_path):
    layer = KerasLayer(small_module(tmp_path / "module", trainable=False))
    with pytest.raises(HubModuleError, match="no trainable weights"):
        layer.trainable = True
    with pytest.raises(HubModuleError, match="no trainable weights"):
        KerasLayer(tmp_path / "module", trainable=True)


def test_wrong_size_dtype_and_range(capfd):
    layer = KerasLayer(MINI)
    with pytest.raises(ValueError, match=r"takes inputs \(None, 32, 32, 3\), but got inputs \(16, 31, 32, 3\)"):
        layer(IMAGES[:, :31])
    model = keras.Sequential([keras.Input((32, 32, 3)), layer])
    model.predict(IMAGES, verbose=0)
    assert "Divide" not in capfd.readouterr().err
    model = keras.Sequential([keras.Input((32, 32, 3)), KerasLayer(MINI)])
    for _ in range(2):
        model.predict(IMAGES * 255, verbose=0)
    assert capfd.readouterr().err.count("Divide pixels by 255") == 1
    KerasLayer(MINI)(IMAGES * 2 - 1)
    assert "values from -0.99" in capfd.readouterr().err
    layer = KerasLayer(MINI)
    with pytest.warns(UserWarning, match="uint8") as caught:
        for _ in range(2):
            layer((IMAGES * 255).astype("uint8"))
    assert len(caught) == 1


def test_export_refuses_to_write_over_something(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    export_hub_module(model, tmp_path / "module")
    np.testing.assert_allclose(KerasLayer(tmp_path / "module")(np.ones((1, 3))), model(np.ones((1, 3))), atol=1e-6)
    with pytest.raises(FileExistsError):
        export_hub_module(model, tmp_path / "module")


def test_export_keeps_regularization_losses(tmp_path):
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L2(0.1))
    model = keras.Sequential([keras.Input((3,)), dense, keras.layers.Dense(2)])
    export_hub_module(model, tmp_path / "module")
    layer = KerasLayer(tmp_path / "module", trainable=True)
    layer(np.ones((1, 3), "float32"))
    np.testing.assert_allclose([float(loss) for loss in layer.losses], [float(loss) for loss in model.losses])
    layer.set_weights([2 * weight for weight in layer.get_weights()])
    layer(np.ones((1, 3), "float32"))
    np.testing.assert_allclose(float(layer.losses[0]), 4 * float(model.losses[0]), rtol=1e-5)


OLD_LAYER = """
import sys
import numpy as np, tensorflow as tf, tensorflow_hub as hub, tf_keras
layer = hub.KerasLayer(sys.argv[1], trainable=True)
inputs = tf_keras.Input((32, 32, 3))
model = tf_keras.Model(inputs, layer(inputs))
model.compile(tf_keras.optimizers.SGD(0.01), "mse")
x = np.random.default_rng(0).uniform(0, 1, (16, 32, 32, 3)).astype("float32")
before = model.predict(x, verbose=0)
for _ in range(3):
    model.train_on_batch(x, np.ones((16, 224), "float32"))
np.savez(sys.argv[2], *[v.numpy() for v in layer.resolved_object.variables], before=before)
"""


@pytest.mark.slow
def test_same_as_the_layer_of_tensorflow_hub_under_tf_keras(tmp_path):
    pytest.importorskip("tf_keras")
    pytest.importorskip("pkg_resources")
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", OLD_LAYER, str(MINI), str(tmp_path / "old.npz")]
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=600)
    layer = KerasLayer(MINI, trainable=True, batch_norm_training=True)
    model = keras.Sequential([keras.Input((32, 32, 3)), layer])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    before = model.predict(IMAGES, verbose=0)
    for _ in range(3):
        model.train_on_batch(IMAGES, np.ones((16, 224), "float32"))
    with np.load(tmp_path / "old.npz") as old:
        np.testing.assert_allclose(before, old["before"], atol=1e-5)
        for number, variable in enumerate(layer._module.variables):
            np.testing.assert_allclose(variable, old[f"arr_{number}"], rtol=1e-3, atol=1e-4)
