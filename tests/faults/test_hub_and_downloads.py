"""Odd hub modules, odd networks, odd files and odd manifests: each is used rightly, or named with its real reason."""

import gzip
import hashlib
import io
import json
import os
import ssl
import subprocess
import tarfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import helpers.quiet  # noqa: F401
from helpers.files import downloads
from helpers.files.bundle import MissingSourceError, SourceError, bundle_file, read_manifest
from helpers.files.downloads import Source, damage_of, explain, explain_status, get_file
from helpers.files.hub_modules import HubModuleError, cache_of_modules, find_module
from helpers.hub import KerasLayer, export_hub_module, load_model
from helpers.models import classifiers
from helpers.models.backbones import EMBEDDED_WEIGHTS
from helpers.profiles import PROFILES

import keras
import tensorflow as tf

X = np.random.default_rng(0).uniform(0, 1, (4, 3)).astype("float32")
SPEC = tf.TensorSpec((None, 3), tf.float32)


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "modules"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


# Hub modules


class Plain(tf.Module):
    """A module with nothing but ``__call__``."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(2 * tf.eye(3))
        self.count = tf.Variable(1.0, trainable=False)
        self.unused = tf.Variable(5.0)

    @tf.function(input_signature=[SPEC])
    def __call__(self, x):
        return (x @ self.kernel) * self.count


def with_lists(**lists):
    """A module that lists some of what the reusable interface has."""
    module, saved = Plain(), tf.train.Checkpoint()
    saved.__call__ = module.__call__
    saved.kept = module
    for name, choose in lists.items():
        setattr(saved, name, choose(module))
    return saved


LISTS = {
    "plain": Plain,
    "__call__ only": with_lists,
    "variables only": lambda: with_lists(variables=lambda module: [module.kernel, module.count]),
    "trainable_variables only": lambda: with_lists(trainable_variables=lambda module: [module.kernel]),
    "no regularization_losses": lambda: with_lists(
        variables=lambda module: [module.kernel, module.count], trainable_variables=lambda module: [module.kernel]
    ),
    "empty regularization_losses": lambda: with_lists(
        variables=lambda module: [module.kernel, module.count],
        trainable_variables=lambda module: [module.kernel],
        regularization_losses=lambda module: [],
    ),
}


@pytest.mark.parametrize("kind", LISTS)
def test_what_can_be_called_can_be_used_and_trained(tmp_path, kind):
    tf.saved_model.save(LISTS[kind](), str(tmp_path / "module"))
    layer = KerasLayer(tmp_path / "module")
    np.testing.assert_allclose(layer(X), 2 * X)
    assert layer.trainable_weights == [] and layer.losses == []
    layer.trainable = True
    assert [weight.shape for weight in layer.trainable_weights] == [(3, 3)]
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = layer.get_weights()
    model.fit(X, 0 * X, verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True)]
    assert moved == [weight.trainable for weight in layer.weights]


def test_a_module_without_variables_is_used_frozen(tmp_path):
    module = tf.Module()
    module.__call__ = tf.function(lambda x: 2 * x, input_signature=[SPEC])
    tf.saved_model.save(module, str(tmp_path / "module"))
    np.testing.assert_allclose(KerasLayer(tmp_path / "module")(X), 2 * X)
    with pytest.raises(HubModuleError, match="no trainable weights"):
        KerasLayer(tmp_path / "module", trainable=True)


def module_of(function, *specs, **arguments):
    module = tf.Module()
    module.__call__ = tf.function(function)
    for spec in specs:
        module.__call__.get_concrete_function(*spec, **arguments)
    return module


TEXTS = tf.TensorSpec((None,), tf.string)
BYTES = tf.TensorSpec((None, 3), tf.uint8)
PIXELS = tf.TensorSpec((None, 4, 4, 3), tf.uint8)
CALLS = {
    "dict": (
        module_of(lambda x: x["a"] + x["b"], [{"a": SPEC, "b": SPEC}]),
        {"a": X, "b": X},
        2 * X,
    ),
    "two inputs": (module_of(lambda a, b: a - 2 * b, [SPEC, SPEC]), [X, X], -X),
    "a list": (module_of(lambda x: x[0] + x[1], [[SPEC, SPEC]]), [X, X], 2 * X),
    "two inputs and training": (
        module_of(lambda a, b, training=False: a + b, [SPEC, SPEC], training=False),
        [X, X],
        2 * X,
    ),
    "mask and training": (
        module_of(lambda x, mask=None, training=False: -x if training else x, [SPEC], training=False),
        X,
        X,
    ),
    "another default": (module_of(lambda x, scale=3.0: x * scale, [SPEC]), X, 3 * X),
    "text": (module_of(tf.strings.length, [TEXTS]), tf.constant(["a", "abc"]), [1, 3]),
    "uint8": (
        module_of(lambda x: tf.cast(x, tf.float32) + 1, [PIXELS]),
        np.full((2, 4, 4, 3), 200, "uint8"),
        np.full((2, 4, 4, 3), 201.0),
    ),
    "whole numbers as floats": (
        module_of(lambda x: tf.cast(x, tf.float32) + 1, [PIXELS]),
        np.full((2, 4, 4, 3), 200, "float32"),
        np.full((2, 4, 4, 3), 201.0),
    ),
    "two sizes": (module_of(lambda x: x + 1, [tf.TensorSpec((2, 5))], [SPEC]), X, X + 1),
    "two dtypes": (
        module_of(lambda x: tf.cast(x, tf.float32) * (2.0 if x.dtype == tf.uint8 else 1.0), [SPEC], [BYTES]),
        np.ones((2, 3), "uint8"),
        np.full((2, 3), 2.0),
    ),
    "training as a tensor": (
        module_of(lambda x, training: tf.where(training, -x, x), [SPEC, tf.TensorSpec((), tf.bool)]),
        X,
        X,
    ),
    "one of the outputs is None": (module_of(lambda x: {"y": x, "n": None}, [SPEC]), X, {"y": X}),
    "a dict comes out": (module_of(lambda x: {"y": x, "n": tf.shape(x)}, [SPEC]), X, {"y": X, "n": [4, 3]}),
}


@pytest.mark.filterwarnings("error:.*Divide pixels")
@pytest.mark.parametrize("kind", CALLS)
def test_every_kind_of_inputs(tmp_path, kind, capfd):
    module, inputs, expected = CALLS[kind]
    tf.saved_model.save(module, str(tmp_path / "module"))
    outputs = KerasLayer(tmp_path / "module")(inputs)
    if isinstance(expected, dict):
        for name, values in expected.items():
            np.testing.assert_allclose(outputs[name], values)
    else:
        np.testing.assert_allclose(outputs, expected)
    assert "pixels" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("kind", "inputs", "words"),
    [
        ("dict", X, r"takes a dict with 'a', 'b', but got inputs \(4, 3\)"),
        ("dict", {"a": X}, r"takes a dict with 'a', 'b', but got a dict with 'a'"),
        ("dict", {"a": X, "c": X}, r"but got a dict with 'a', 'c'"),
        ("two inputs", X, r"takes 2 inputs, but got inputs \(4, 3\)"),
        ("two inputs", [X, X, X], r"takes 2 inputs, but got 3 inputs"),
        ("text", X, r"takes inputs \(None,\), but got inputs \(4, 3\)"),
        ("text", X[0], r"takes inputs of string, but got float32. Give texts"),
        ("another default", np.array([["a", "b", "c"]]), r"takes inputs of float32, but got string. Give numbers"),
        ("uint8", np.zeros((1, 5, 4, 3), "uint8"), "Resize the pictures"),
    ],
)
def test_wrong_inputs_are_named(tmp_path, kind, inputs, words):
    tf.saved_model.save(CALLS[kind][0], str(tmp_path / "module"))
    inputs = tf.constant(inputs) if isinstance(inputs, np.ndarray) and inputs.dtype.kind == "U" else inputs
    with pytest.raises(ValueError, match=words):
        KerasLayer(tmp_path / "module")(inputs)


def test_divided_pixels_for_a_module_of_whole_numbers(tmp_path, capfd):
    tf.saved_model.save(CALLS["uint8"][0], str(tmp_path / "module"))
    layer = KerasLayer(tmp_path / "module")
    for _ in range(2):
        layer(np.full((1, 4, 4, 3), 0.5, "float32"))
    assert capfd.readouterr().err.count("takes whole numbers") == 1


def saved_by_export(folder):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).export(folder, verbose=False)


def saved_without_graph(folder):
    module = tf.Module()
    module.__call__ = tf.function(lambda x: x)
    tf.saved_model.save(module, str(folder))


def saved_with_signatures(folder):
    module = tf.Module()
    module.answer = tf.function(lambda x: x, input_signature=[SPEC])
    tf.saved_model.save(module, str(folder), signatures={"predict": module.answer})


def saved_by_tf1(folder):
    builder = tf.compat.v1.saved_model.Builder(str(folder))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.Variable(1.0)
        session.run(tf.compat.v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, ["serve"])
    builder.save()


def saved_with_names_only(folder):
    module = tf.Module()

    @tf.function
    def call(*, image):
        return image

    module.__call__ = call
    call.get_concrete_function(image=SPEC)
    tf.saved_model.save(module, str(folder))


@pytest.mark.parametrize(
    ("save", "words"),
    [
        (saved_by_export, r"written by model\.export\(\).*export_hub_module"),
        (saved_without_graph, "without a graph"),
        (saved_with_signatures, r"no __call__, only signatures \(predict\)"),
        (saved_by_tf1, "TF1 format"),
        (saved_with_names_only, "by name only"),
    ],
)
def test_the_reason_is_the_true_one(tmp_path, save, words):
    save(tmp_path / "module")
    with pytest.raises(HubModuleError, match=words):
        KerasLayer(tmp_path / "module")


@pytest.mark.parametrize("handle", [object(), 3, None, b"module", ["module"]])
def test_what_is_no_handle(handle):
    with pytest.raises(HubModuleError, match=r"takes a handle.*not KerasLayer\(hub\.load\(handle\)\)"):
        KerasLayer(handle)


@pytest.mark.parametrize("handle", ["x" * 5000, "a\0b", "~nobody/module", "", "hub/../..", "module.tar.gz"])
def test_a_handle_that_leads_nowhere(tmp_path, monkeypatch, handle):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HubModuleError, match=r"no handle of a module|no folder, no archive|no saved_model\.pb"):
        find_module(handle)


def small_export(folder):
    keras.utils.set_random_seed(0)
    export_hub_module(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), folder)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_saved_model_can_be_loaded_elsewhere(tmp_path, monkeypatch, layers):
    monkeypatch.chdir(tmp_path)
    small_export("module")
    hub_layers = [KerasLayer("module", trainable=True, name=f"hub_{number}") for number in range(layers)]
    inputs = keras.Input((3,))
    model = keras.Model(inputs, [hub_layer(inputs) for hub_layer in hub_layers])
    model.layers[1].set_weights([3 * weight for weight in hub_layers[0].get_weights()])
    expected = model.predict(X, verbose=0)
    model.save("model.keras")
    (tmp_path / "elsewhere").mkdir()
    os.rename("module", tmp_path / "elsewhere" / "moved")
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(HubModuleError, match=r"helpers\.hub\.load_model\(path, handle="):
        keras.models.load_model(tmp_path / "model.keras")
    with pytest.raises(HubModuleError, match="no folder"):
        load_model(tmp_path / "model.keras", "module")
    loaded = load_model(tmp_path / "model.keras", handle="moved")
    for a, b in zip(tf.nest.flatten(loaded.predict(X, verbose=0)), tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(a, b)
    loaded.save("again.keras")
    keras.models.load_model("again.keras")  # with the new handle


def packed(folder, archive):
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, arcname=".")
    return str(archive)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "saved_model.pb").unlink(),
        lambda folder: (folder / "variables" / "variables.index").unlink(),
        lambda folder: next(folder.glob("variables/variables.data*")).write_bytes(b"cut"),
        lambda folder: [path.unlink() for path in folder.rglob("*") if path.is_file()],
        lambda folder: (folder / "course_files.json").write_text("{"),
    ],
)
def test_an_unpacked_module_that_was_cleared_is_unpacked_again(tmp_path, damage):
    archive = packed(EMBEDDED_WEIGHTS / "mini_mobilenet_hub", tmp_path / "module.tar.gz")
    damage(find_module(archive))
    assert KerasLayer(archive)(np.zeros((1, 32, 32, 3), "float32")).shape == (1, 224)


def test_a_zip_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "module.zip", "w") as file:
        file.write(EMBEDDED_WEIGHTS / "mini_mobilenet_hub" / "saved_model.pb", "saved_model.pb")
    with pytest.raises(HubModuleError, match=r"is a zip.*Unpack it"):
        find_module(str(tmp_path / "module.zip"))


def test_a_full_disk_is_no_damaged_archive(tmp_path, monkeypatch):
    archive = packed(EMBEDDED_WEIGHTS / "mini_mobilenet_hub", tmp_path / "module.tar.gz")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "extractall", full)
    with pytest.raises(HubModuleError, match=r"No space left.*Make room"):
        find_module(archive)


def test_the_default_cache_belongs_to_the_user(monkeypatch, tmp_path):
    monkeypatch.delenv("TFHUB_CACHE_DIR")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "mine"))
    assert cache_of_modules() == tmp_path / "mine" / "hub"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFHUB_CACHE_DIR", "~/hub")
    assert cache_of_modules() == tmp_path / "hub"


# Networks


@pytest.fixture
def serve():
    """Serve with a function that answers a request handler; return the server's port."""
    servers = []

    def start(answer, context=None):
        class Handler(BaseHTTPRequestHandler):
            do_GET = do_HEAD = do_CONNECT = answer

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def answer_with(content, status=200, length=None, headers=()):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(content)

    return answer


def h5(values=1000):
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        if values:
            file["weights"] = np.arange(values)
    return memory.getvalue()


HTML = b"\n <!DOCTYPE html><html><body>Please log in</body></html>"
LOG_IN = "log-in page"
WRONG = {
    "HTML for weights": ("w.h5", HTML, LOG_IN),
    "capital HTML for weights": ("w.h5", b"<HTML>log in", LOG_IN),
    "HTML for JSON": ("c.json", HTML, LOG_IN),
    "HTML for gzip": ("d.tar.gz", HTML, LOG_IN),
    "HTML for what has no look": ("d.bin", HTML, LOG_IN),
    "XML of an error": ("w.h5", b"<?xml version='1.0'?><Error>AccessDenied</Error>", "web page"),
    "text for weights": ("w.h5", b"temporarily unavailable", "cannot be opened"),
    "nothing for weights": ("w.h5", b"", "cannot be opened"),
    "cut weights": ("w.h5", h5()[:3000], "cannot be opened"),
    "signature only": ("w.h5", b"\x89HDF\r\n\x1a\n", "cannot be opened"),
    "empty weights": ("w.h5", h5(0), "empty"),
    "cut JSON": ("c.json", b'{"0": ["n0', "cannot be opened"),
    "no JSON": ("c.json", b"error", "cannot be opened"),
    "deep JSON": ("c.json", b"[" * 200_000, "cannot be opened"),
    "cut gzip": ("d.tar.gz", gzip.compress(os.urandom(5000))[:3000], "cannot be opened"),
    "text for gzip": ("d.tar.gz", b"temporarily unavailable", "cannot be opened"),
    "text for zip": ("d.npz", b"temporarily unavailable", "no zip"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_not_the_file_is_not_stored(serve, tmp_path, kind):
    name, content, words = WRONG[kind]
    url = f"http://127.0.0.1:{serve(answer_with(content))}/{name}"
    with pytest.raises(MissingSourceError, match=words):
        get_file(Source("models", name, (url,)))
    assert not list((tmp_path / "keras" / "models").iterdir())


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_in_the_cache_of_keras_is_not_taken(serve, tmp_path, kind, no_network):
    name, content, words = WRONG[kind]
    path = tmp_path / "keras" / "models" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    source = Source("models", name, ("http://127.0.0.1:9/x",))
    assert words in damage_of(path, source)
    with pytest.raises(MissingSourceError, match=rf"{name}: this file is damaged .*{words}"):
        get_file(source)


RIGHT_FILES = {"w.h5": h5(), "c.json": b"{}", "d.tar.gz": gzip.compress(b"x")}


@pytest.mark.parametrize(("name", "content"), RIGHT_FILES.items(), ids=RIGHT_FILES)
def test_a_right_file_takes_the_place_of_a_wrong_one(serve, tmp_path, name, content):
    path = tmp_path / "keras" / "models" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(HTML)
    url = f"http://127.0.0.1:{serve(answer_with(content))}/{name}"
    assert get_file(Source("models", name, (url,))) == path and path.read_bytes() == content


def test_a_transfer_that_is_shorter_than_was_said(serve, tmp_path):
    url = f"http://127.0.0.1:{serve(answer_with(b'{}', length=50))}/c.json"
    with pytest.raises(MissingSourceError, match="broke off"):
        get_file(Source("models", "c.json", (url,)))
    assert not list((tmp_path / "keras" / "models").iterdir())


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not give it"),
        (403, "does not give it"),
        (404, "no longer there"),
        (410, "no longer there"),
        (429, "wait"),
        (500, "wait"),
        (503, "wait"),
        (511, "wait"),
    ],
)
def test_each_status_has_its_advice(serve, status, words):
    url = f"http://127.0.0.1:{serve(answer_with(HTML, status))}/w.h5"
    with pytest.raises(MissingSourceError, match=rf"error {status}.*{words}"):
        get_file(Source("models", "w.h5", (url,)))
    assert str(status) in explain_status(status)


def failure_of(url):
    with pytest.raises(MissingSourceError) as caught:
        get_file(Source("models", "w.h5", (url,)))
    with pytest.raises(HubModuleError) as of_hub:
        find_module(url)
    reason = str(caught.value).split("Tried:")[1]
    assert reason.split(f"{url}: ")[1] in str(of_hub.value)
    return reason


def test_a_certificate_that_is_not_trusted(serve, tmp_path):
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key", "-out", tmp_path / "certificate"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    reason = failure_of(f"https://127.0.0.1:{serve(answer_with(h5()), context)}/w.h5")
    assert "certificate is not trusted" in reason and "REQUESTS_CA_BUNDLE" in reason


def test_a_file_of_certificates_that_is_not_there(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    assert "REQUESTS_CA_BUNDLE names is not there" in failure_of("https://127.0.0.1:9/w.h5")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_password(serve, monkeypatch, scheme):
    port = serve(answer_with(b"", 407, headers=[("Proxy-Authenticate", "Basic")]))
    monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{port}")
    reason = failure_of(f"{scheme}://files.example/w.h5")
    assert "wants a password" in reason and "HTTPS_PROXY" in reason


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:9", "http://no.such.proxy.invalid:8080", "http://", "socks5://x:1"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_proxy(monkeypatch, scheme, proxy):
    monkeypatch.setenv(f"{scheme}_proxy", proxy)
    reason = failure_of(f"{scheme}://files.example/w.h5")
    assert "proxy" in reason and "HTTPS_PROXY and HTTP_PROXY" in reason


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9/w.h5", "refuses the connection"),
        ("http://no.such.host.invalid/w.h5", "cannot be looked up"),
    ],
)
def test_no_such_host(url, words):
    assert words in failure_of(url)


def test_no_network_at_all(no_network):
    assert "no connection; connect to the network" in failure_of("https://files.example/w.h5")


@pytest.mark.parametrize("error", [ValueError("odd"), OSError("odd"), RuntimeError()])
def test_an_unknown_error_is_named_too(error):
    assert type(error).__name__ in explain(error)


# A classifier whose files are damaged


@pytest.mark.parametrize("content", [b"half", h5(), h5()[:2000]])
@pytest.mark.parametrize("which", ["weights", "classes"])
def test_a_classifier_with_a_damaged_file(monkeypatch, tmp_path, content, which):
    def files(source):
        path = tmp_path / source.name
        path.write_bytes(content)
        return path

    profile = PROFILES["cifar10-cpu"]
    monkeypatch.setattr(classifiers, "get_file", files)
    if which == "classes":
        built = SimpleNamespace(output=None)
        network = replace(classifiers.BACKBONES[profile.backbone], build=lambda **_: built)
        monkeypatch.setitem(classifiers.BACKBONES, profile.backbone, network)
        monkeypatch.setattr(classifiers.keras, "Model", lambda *_: SimpleNamespace(output_shape=(None, 1000)))
    with pytest.raises(SourceError, match=r"cannot be read \(.*Delete it, and try again"):
        classifiers.load_classifier(profile, size=10)


# Bundles


def entry(content, **others):
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} | others


@pytest.fixture
def small_bundle(tmp_path, monkeypatch):
    """A bundle with two files; a function writes its manifest."""
    folder = tmp_path / "bundle"
    (folder / "models").mkdir(parents=True)
    files = {}
    for name in ("models/a.h5", "models/b.h5"):
        (folder / name).write_bytes(name.encode())
        files[name] = entry(name.encode())
    monkeypatch.setenv("COURSE_BUNDLE", str(folder))

    def write(change=lambda files: files, encode=lambda text: text.encode()):
        text = json.dumps({"files": change(files)})
        (folder / "MANIFEST.json").write_bytes(encode(text))
        return folder

    return write


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("sha256", "sha256").encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
    ],
)
def test_a_manifest_of_another_editor(small_bundle, encode):
    folder = small_bundle(encode=encode)
    assert bundle_file("models/a.h5") == folder / "models" / "a.h5"


def test_capital_digits(small_bundle):
    def capital(files):
        return {name: each | {"sha256": each["sha256"].upper()} for name, each in files.items()}

    folder = small_bundle(capital)
    assert bundle_file("models/a.h5") == folder / "models" / "a.h5"


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../secret",
        "models/../../secret",
        "..",
        ".",
        "",
        "a\0b",
        "models//a.h5",
        "./a",
        "C:/x",
        "a\\b",
        "a/",
    ],
)
def test_a_name_that_leads_out_of_the_bundle(small_bundle, name):
    folder = small_bundle(lambda files: files | {name: entry(b"x")})
    with pytest.raises(SourceError, match="is no path inside the bundle"):
        read_manifest(folder)


@pytest.mark.parametrize("size", [-1, 1.5, "12", None, True, [], float("inf"), float("nan"), 10**400])
def test_a_size_that_is_none(small_bundle, size):
    small_bundle(lambda files: files | {"models/c.h5": entry(b"x", bytes=size)})
    with pytest.raises(SourceError, match=r"no number of bytes|lacks models/c\.h5"):
        bundle_file("models/c.h5")


@pytest.mark.parametrize("digest", ["", "0", "g" * 64, None, 7, "0" * 63, "0" * 65, ["0" * 64]])
def test_a_digest_that_is_none(small_bundle, digest):
    small_bundle(lambda files: files | {"models/c.h5": entry(b"x", sha256=digest)})
    with pytest.raises(SourceError, match="not 64 hexadecimal digits"):
        bundle_file("models/a.h5")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        b'{"files": []}',
        b'{"files": null}',
        b'{"files": {"a": []}}',
        b'{"files": {"a": "b"}}',
        b'{"files": {"a": {}}}',
        b"[" * 200_000,
        b'{"files":' * 100_000,
        b'{"files": {"a": {"bytes": Infinity, "sha256": "0"}}}',
        b"\xff\xfe{\x00}\x00",
        b"\x00" * 20,
        os.urandom(200),
        HTML,
    ],
)
def test_what_is_no_manifest(small_bundle, content):
    folder = small_bundle()
    (folder / "MANIFEST.json").write_bytes(content)
    with pytest.raises(SourceError, match=r"is not a bundle's manifest .*Copy the bundle again"):
        bundle_file("models/a.h5")


def test_a_folder_in_the_place_of_the_manifest(small_bundle):
    folder = small_bundle()
    (folder / "MANIFEST.json").unlink()
    (folder / "MANIFEST.json").mkdir()
    with pytest.raises(SourceError, match=r"MANIFEST\.json cannot be read"):
        bundle_file("models/a.h5")


def test_a_folder_as_entry(small_bundle):
    folder = small_bundle(lambda files: files | {"models/c.h5": entry(b"x")})
    (folder / "models" / "c.h5").mkdir()
    with pytest.raises(SourceError, match="is no file"):
        bundle_file("models/c.h5")


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"c"), Path.read_bytes])
def test_a_damaged_file_stops_only_what_needs_it(small_bundle, damage):
    folder = small_bundle()
    damage(folder / "models" / "b.h5")
    assert bundle_file("models/a.h5") == folder / "models" / "a.h5"
    if (folder / "models" / "b.h5").exists() and (folder / "models" / "b.h5").stat().st_size > 1:
        assert bundle_file("models/b.h5")
    else:
        with pytest.raises(SourceError, match=r"models/b\.h5"):
            bundle_file("models/b.h5")


def test_the_user_folder_in_the_name_of_a_bundle(small_bundle, monkeypatch):
    folder = small_bundle()
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("COURSE_BUNDLE", "~/bundle")
    assert bundle_file("models/a.h5") == folder / "models" / "a.h5"


def test_a_user_who_is_not_there(monkeypatch):
    monkeypatch.setenv("COURSE_BUNDLE", "~nobody-of-this-name/bundle")
    with pytest.raises(SourceError, match="is no bundle"):
        bundle_file("models/a.h5")
