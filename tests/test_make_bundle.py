import ast
import hashlib
import io
import json
import pickle
import shutil
import tarfile
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import h5py
import numpy as np
import pytest

from course import ROOT
from course.__main__ import main
from course.offline import make_bundle
from course.offline.needs import needs_of, training_images_of
from helpers.files.downloads import SOURCES
from helpers.files.hub_modules import _EMBEDDED_MODULES, cached_folder
from helpers.files.weights import WEIGHTS, weights_source
from helpers.profiles import PROFILES

CPU = PROFILES["cifar10-cpu"]
MODULE = "mobilenet_v2_035_224_feature_vector"
MODULE_FILES = {f"hub/{MODULE}/saved_model.pb", f"hub/{MODULE}/variables/variables.index"}
SMALL_V2 = "models/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
WEIGHTS_FILES = {"models/mobilenet_2_5_224_tf_no_top.h5", "models/mobilenet_2_5_224_tf.h5", SMALL_V2}
FILES = {"datasets/cifar10.npz", "models/imagenet_class_index.json"} | MODULE_FILES | WEIGHTS_FILES
VGG16 = "models/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
LABELS = np.tile([*range(10), 0], 4)  # 8 of class 0, 4 of each other one


@pytest.fixture(autouse=True)
def small_profile(monkeypatch, tmp_path):
    """The profile needs 20 training, 10 validation and 40 test pictures; all caches are empty."""
    monkeypatch.setitem(PROFILES, "cifar10-cpu", replace(CPU, train_size=20, validation_size=10, test_size=40))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))
    monkeypatch.setattr("helpers.files.downloads._CONNECT_SECONDS", 60)  # on a busy machine


def images(count):
    return np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)


def write_weights(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["weights"] = np.arange(1000)


def write_manifest(folder):
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "MANIFEST.json":
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            files[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": digest}
    what = {"models/mobilenet_2_5_224_tf.h5": "made by hand"}
    (folder / "MANIFEST.json").write_text(json.dumps({"what": what, "files": files}))


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A bundle with small files, set as COURSE_BUNDLE."""
    folder = tmp_path / "source"
    for name in WEIGHTS_FILES:
        write_weights(folder / name)
    for name in MODULE_FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "models" / "imagenet_class_index.json").write_text("{}")
    (folder / "datasets").mkdir()
    arrays = {"x_train": images(len(LABELS)), "y_train": LABELS.astype(np.uint8)[:, None]}
    arrays |= {"x_test": images(50), "y_test": np.arange(50, dtype=np.uint8) % 10}
    np.savez_compressed(folder / "datasets" / "cifar10.npz", **arrays)
    write_manifest(folder)
    monkeypatch.setenv("COURSE_BUNDLE", str(folder))
    return folder


@pytest.fixture
def made(source, tmp_path, no_network):
    """A bundle, made from ``source``."""
    assert main(["bundle", str(tmp_path / "made")]) == 0
    return tmp_path / "made"


def failure(capsys, *arguments):
    assert main(["bundle", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_a_bundle_from_a_bundle(made, source, capsys):
    manifest = json.loads((made / "MANIFEST.json").read_text())
    assert set(manifest["files"]) == FILES
    assert manifest["what"]["models/mobilenet_2_5_224_tf.h5"] == "made by hand"
    for name in FILES - {"datasets/cifar10.npz"}:
        assert (made / name).read_bytes() == (source / name).read_bytes()
    with np.load(made / "datasets" / "cifar10.npz") as new, np.load(source / "datasets" / "cifar10.npz") as old:
        for name in old:
            np.testing.assert_array_equal(new[name], old[name].reshape(new[name].shape))
    assert sorted(path.name for path in made.parent.iterdir()) == ["made", "source"]
    assert main(["check-bundle", str(made)]) == 0
    page = capsys.readouterr().out
    assert f"✔ cifar10-cpu: enough, but without {VGG16}: lesson 11 takes another" in page
    assert "✘ cifar10-gpu: not enough. Missing: 5,000 training pictures of each class" in page


def test_the_same_bytes_twice(made, tmp_path, capsys):
    assert main(["bundle", str(tmp_path / "again")]) == 0
    assert f"left out: {VGG16}" in capsys.readouterr().out
    assert (made / "MANIFEST.json").read_bytes() == (tmp_path / "again" / "MANIFEST.json").read_bytes()


def test_fewer_training_pictures_are_balanced_and_all_test_pictures_stay(source, tmp_path, no_network):
    (tmp_path / "few").mkdir()  # an empty folder will do
    assert main(["bundle", str(tmp_path / "few"), "--train-images", "30"]) == 0
    with np.load(tmp_path / "few" / "datasets" / "cifar10.npz") as arrays:
        assert np.bincount(arrays["y_train"]).tolist() == [3] * 10
        kept = np.flatnonzero(LABELS == 9)[:3]
        np.testing.assert_array_equal(arrays["x_train"][arrays["y_train"] == 9], images(len(LABELS))[kept])
        np.testing.assert_array_equal(arrays["x_test"], images(50))


def fill_caches(folder, monkeypatch):
    """Put what cifar10-cpu needs into the caches, all but the weights with top; return Keras' folder."""
    keras = folder / "keras"
    for name in WEIGHTS_FILES - {"models/mobilenet_2_5_224_tf.h5"}:
        write_weights(keras / name)
    (keras / "models" / "imagenet_class_index.json").write_text("{}")
    (keras / "datasets").mkdir()
    archive = keras / "datasets" / SOURCES["cifar10"].name
    with tarfile.open(archive, "w:gz") as file:
        for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
            flat = images(len(LABELS)).transpose(0, 3, 1, 2).reshape(-1, 3072)
            content = pickle.dumps({b"data": flat, b"labels": LABELS.tolist()})
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    digest = f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"
    monkeypatch.setitem(SOURCES, "cifar10", replace(SOURCES["cifar10"], digest=digest, bytes=None))
    monkeypatch.setitem(SOURCES, "imagenet_classes", replace(SOURCES["imagenet_classes"], digest=None, bytes=None))
    module = cached_folder(PROFILES["cifar10-cpu"].hub_modules[1])
    shutil.copytree(_EMBEDDED_MODULES / "mini_mobilenet_hub", module)
    return keras


def test_a_bundle_from_the_caches_and_the_network(tmp_path, monkeypatch):
    fill_caches(tmp_path, monkeypatch)
    write_weights(tmp_path / "served" / "mobilenet_2_5_224_tf.h5")
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/mobilenet_{{alpha_text}}_224_tf_no_top.h5"
        monkeypatch.setitem(WEIGHTS, "mobilenet", replace(WEIGHTS["mobilenet"], address=address))
        monkeypatch.setitem(WEIGHTS, "vgg16", replace(WEIGHTS["vgg16"], address=address.replace("mobilenet", "none")))
        assert main(["bundle", str(tmp_path / "made")]) == 0
        server.shutdown()
    assert main(["check-bundle", str(tmp_path / "made")]) == 0
    with np.load(tmp_path / "made" / "datasets" / "cifar10.npz") as arrays:
        np.testing.assert_array_equal(arrays["x_train"], np.tile(images(len(LABELS)), (5, 1, 1, 1)))
    assert (tmp_path / "made" / "hub" / MODULE / "saved_model.pb").exists()
    assert (tmp_path / "keras" / "models" / "mobilenet_2_5_224_tf.h5").exists()


def test_all_that_is_missing_is_named_at_once(tmp_path, no_network, capsys):
    message = failure(capsys, tmp_path / "made")
    for name in ("datasets/cifar10.npz", *WEIGHTS_FILES, "models/imagenet_class_index.json", MODULE):
        assert name in message
    assert "No bundle was made" in message and "vgg16" not in message
    assert not list(tmp_path.iterdir())


def test_damaged_weights_in_a_cache(tmp_path, monkeypatch, no_network, capsys):
    keras = fill_caches(tmp_path, monkeypatch)
    path = keras / "models" / "mobilenet_2_5_224_tf_no_top.h5"
    path.write_bytes(path.read_bytes()[:1000])
    shutil.copy(path, keras / "models" / "mobilenet_2_5_224_tf.h5")
    message = failure(capsys, tmp_path / "made")
    assert message.count("is damaged") == 2 and str(path) in message


def test_damaged_source_bundle(source, tmp_path, capsys):
    (source / "models" / "mobilenet_2_5_224_tf.h5").write_bytes(b"half")
    assert "mobilenet_2_5_224_tf.h5 has 4 bytes" in failure(capsys, tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_exists_is_never_overwritten(tmp_path, capsys, what):
    taken = tmp_path / "taken"
    if what == "folder":
        taken.mkdir()
        (taken / "thesis.txt").touch()
    else:
        taken.touch()
    assert "does not exist yet" in failure(capsys, taken)
    assert taken.exists()


@pytest.mark.parametrize(
    ("count", "words"), [(35, "a multiple of 10 from 30"), (20, "a multiple"), (50, "at most 40 can be chosen")]
)
def test_a_number_of_pictures_that_does_not_fit(source, tmp_path, capsys, count, words):
    assert words in failure(capsys, tmp_path / "made", "--train-images", count)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(("field", "words"), [("train_size", "5 training"), ("test_size", "6 test")])
def test_a_source_with_too_few_pictures(source, tmp_path, capsys, monkeypatch, field, words):
    profile = replace(PROFILES["cifar10-cpu"], **{field: 60 if field == "test_size" else 40})
    monkeypatch.setitem(PROFILES, "cifar10-cpu", profile)
    assert f"needs {words} pictures of each class" in failure(capsys, tmp_path / "made")


def test_mini_needs_no_bundle(tmp_path, capsys):
    assert "mini needs no bundle" in failure(capsys, tmp_path / "made", "--profile", "mini")


def test_a_place_that_cannot_be_written(source, tmp_path, no_network, capsys):
    (tmp_path / "file").touch()
    assert "cannot be written" in failure(capsys, tmp_path / "file" / "made")


def test_a_full_disk_leaves_nothing_behind(source, tmp_path, no_network, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(make_bundle.shutil, "copyfile", full)
    assert "No space left on device" in failure(capsys, tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def change(path):
    path.write_bytes(path.read_bytes()[::-1])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "lacks models/mobilenet_2_5_224_tf.h5"),
        (lambda path: path.write_bytes(b"half"), "has 4 bytes"),
        (change, "not the sha256"),
    ],
)
def test_a_damaged_bundle_is_named(made, capsys, damage, words):
    damage(made / "models" / "mobilenet_2_5_224_tf.h5")
    assert main(["check-bundle", str(made)]) == 1
    page = capsys.readouterr().out
    assert words in page and "6 files are right" in page
    assert "✘ cifar10-cpu: not enough. Missing: models/mobilenet_2_5_224_tf.h5 (damaged)" in page
    assert "✔ cifar10-cpu" not in page


def test_all_damage_is_listed(made, capsys):
    change(made / "models" / "mobilenet_2_5_224_tf.h5")
    (made / "datasets" / "cifar10.npz").unlink()
    (made / "models" / "virus.exe").touch()
    assert main(["check-bundle", str(made)]) == 1
    assert capsys.readouterr().out.count("✘") == 3 + 2  # and two profiles


def test_a_file_that_is_not_listed(made, capsys):
    (made / "models" / "virus.exe").touch()
    assert main(["check-bundle", str(made)]) == 1
    page = capsys.readouterr().out
    assert "does not name" in page and "virus.exe" in page and "✔ cifar10-cpu" in page


def test_what_macos_and_windows_leave_in_a_folder_is_no_fault(made, capsys):
    for name in (".DS_Store", "models/._mobilenet_2_5_224_tf.h5", "hub/Thumbs.db", "desktop.ini"):
        (made / name).write_text("x")
    assert main(["check-bundle", str(made)]) == 0
    assert "✘ The manifest" not in capsys.readouterr().out


def test_pictures_that_are_listed_but_unreadable(made, capsys):
    (made / "datasets" / "cifar10.npz").write_bytes(b"no archive")
    write_manifest(made)
    assert main(["check-bundle", str(made)]) == 1  # it serves no profile
    assert "✘ cifar10-cpu: not enough. Missing: datasets/cifar10.npz cannot be read" in capsys.readouterr().out


def test_no_such_folder(tmp_path, capsys):
    assert main(["check-bundle", str(tmp_path / "nowhere")]) == 2
    assert "There is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("manifest", [None, "{", "[]"])
def test_no_manifest_or_a_bad_one(tmp_path, capsys, manifest):
    if manifest:
        (tmp_path / "MANIFEST.json").write_text(manifest)
    assert main(["check-bundle", str(tmp_path)]) == 2
    assert "MANIFEST.json" in capsys.readouterr().err


def test_needs_are_what_a_bundle_serves():
    assert needs_of(PROFILES["mini"]) == []
    for name in ("cifar10-cpu", "cifar10-gpu"):
        needs = needs_of(PROFILES[name])
        assert [need.packed[0] for need in needs if need.optional] == [VGG16]
        assert len(needs) == 7 and all(need.addresses for need in needs)


def listing(folder):
    return [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.rglob("*"))]


def test_a_read_only_bundle_without_network_and_with_empty_caches(bundle, tmp_path, monkeypatch, no_network):
    """All that cifar10-cpu loads comes from a bundle made here, and nothing is written to it."""
    from helpers.data.datasets import load_data
    from helpers.hub.layer import KerasLayer
    from helpers.models.backbones import build_backbone
    from helpers.models.classifiers import load_classifier

    share, profile = tmp_path / "share", CPU
    monkeypatch.setitem(PROFILES, "cifar10-cpu", CPU)
    for name in ("HOME", "KERAS_HOME", "TFHUB_CACHE_DIR", "COURSE_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    assert main(["bundle", str(share)]) == 0
    monkeypatch.setenv("COURSE_BUNDLE", str(share))
    everything = sorted(share.rglob("*"), reverse=True)
    for path in (*everything, share):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = listing(share)
    try:
        assert len(load_data(profile).x_train) == profile.train_size
        assert build_backbone(profile.backbone, profile).feature_size == 256
        assert len(load_classifier(profile, size=10).class_names) == 1000
        assert KerasLayer(profile.hub_modules[0]).weights
        assert listing(share) == before
        assert not any((tmp_path / name).exists() for name in ("KERAS_HOME", "TFHUB_CACHE_DIR", "COURSE_CACHE"))
    finally:
        for path in (share, *everything[::-1]):
            path.chmod(0o755)


def test_a_bundle_is_large_enough_for_lesson_09():
    cells = json.loads((ROOT / "notebooks" / "09_how_much_data.ipynb").read_text(encoding="utf-8"))["cells"]
    pool = next("".join(cell["source"]) for cell in cells if cell["id"] == "pool")
    lines = pool.split("from helpers.data import load_data, stratified_indices")[1].split("test_size =")[0]
    for profile in (CPU, PROFILES["cifar10-gpu"]):
        values = {"profile": profile}
        exec(lines, values)
        assert training_images_of(profile) >= values["pool_size"] + profile.validation_size


def test_a_bundle_has_the_networks_of_lesson_18():
    cells = json.loads((ROOT / "notebooks" / "18_other_sources.ipynb").read_text(encoding="utf-8"))["cells"]
    data = next("".join(cell["source"]) for cell in cells if cell["id"] == "data")
    real = ast.literal_eval(data.split("real = ")[1].split("\n")[0])
    for profile in (CPU, PROFILES["cifar10-gpu"]):
        packed = [need.packed[0] for need in needs_of(profile)]
        for name in real:
            alpha = profile.alphas.get(name, next(iter(WEIGHTS[name].alphas), None))
            assert f"models/{weights_source(name, alpha).name}" in packed
