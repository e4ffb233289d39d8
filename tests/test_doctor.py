import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import venv
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import psutil
import pytest

from course.__main__ import main
from course.doctor import examine as doctor
from course.offline.needs import IMAGES, needs_of, training_images_of
from helpers.files.hub_modules import _EMBEDDED_MODULES, cached_folder
from helpers.profiles import PROFILES

ROOT = Path(__file__).resolve().parent.parent
NO_FILE = {"bytes": 1, "sha256": "0" * 64}  # an entry of a manifest
NO_GPU = json.dumps(["2.21.0", "3.15.1", []])
Process = namedtuple("Process", "returncode stdout stderr", defaults=["", ""])
Memory = namedtuple("Memory", "available total")
CPU_DOWNLOADS, GPU_DOWNLOADS = (len(needs_of(PROFILES[name])) for name in ("cifar10-cpu", "cifar10-gpu"))


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A machine on which TensorFlow starts, all addresses answer, and all caches are empty."""
    for name in ("COURSE_CACHE", "KERAS_HOME", "TFHUB_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: Process(0, NO_GPU))
    monkeypatch.setattr(doctor, "ask_all", lambda addresses, seconds: {})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(9e9, 16e9))
    return tmp_path


@pytest.fixture
def page(capsys):
    """Run the doctor; return its exit status and, for each line with a ✘, that line and its fix."""

    def run():
        status = main(["doctor"])
        lines = capsys.readouterr().out.splitlines()
        problems, text = {}, ""
        for line in lines:
            if line.startswith("    fix: "):
                problems[text] = line
            elif line.startswith("    "):
                text += " " + line.strip()
            else:
                text = line.strip()
        assert sum(line.startswith("  ✘") for line in lines) == len(problems), lines  # each problem has a fix
        return status, problems, "\n".join(lines)

    return run


def fix_of(problems, words):
    (fix,) = [fix for text, fix in problems.items() if words in text]
    return fix


def test_a_sound_machine(page):
    status, problems, text = page()
    assert status == 0
    assert list(problems) == [
        f"✘ cifar10-gpu: can run, with {GPU_DOWNLOADS} downloads; but it is made for a GPU, and none is visible"
    ]
    assert "✔ mini: can run" in text and f"✔ cifar10-cpu: can run, with {CPU_DOWNLOADS} downloads" in text
    assert not any(Path(os.environ[name]).exists() for name in ("COURSE_CACHE", "KERAS_HOME", "TFHUB_CACHE_DIR"))


@pytest.mark.slow
def test_the_real_machine_without_network(monkeypatch, capsys, machine):
    monkeypatch.undo()
    monkeypatch.setenv("COURSE_CACHE", str(machine / "COURSE_CACHE"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(doctor, "TENSORFLOW_SECONDS", 600)  # on a busy machine
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "TensorFlow 2." in text and "✔ mini: can run" in text
    assert re.search(r"no network: none of \d+ addresses answers", text)


def add_package(folder, name, version):
    metadata = folder / f"{name}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.mark.parametrize(("name", "version"), [("tensorflow", "2.12.0"), ("keras", "2.15.0"), ("setuptools", "99.0")])
def test_a_version_that_does_not_fit(page, machine, monkeypatch, name, version):
    add_package(machine / "packages", name, version)
    monkeypatch.syspath_prepend(machine / "packages")
    status, problems, _ = page()
    assert status == 1
    assert f'"{name}' in fix_of(problems, f"{name} {version}, but the course needs")
    assert "see Packages" in fix_of(problems, "mini: cannot run")


def test_an_old_tool_for_tests_stops_no_lesson(page, machine, monkeypatch):
    add_package(machine / "packages", "pytest", "5.0")
    monkeypatch.syspath_prepend(machine / "packages")
    status, problems, _ = page()
    assert status == 0 and fix_of(problems, "pytest 5.0, but the course needs")


def test_a_python_without_any_package(monkeypatch, machine):
    monkeypatch.undo()
    venv.create(machine / "bare", symlinks=os.name != "nt")
    python = machine / "bare" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    command = [python, "-m", "course", "doctor"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1 and not result.stderr
    assert "not installed: tensorflow, keras" in result.stdout and "TensorFlow cannot be imported" in result.stdout
    assert result.stdout.count("✘") == result.stdout.count("fix: ")


def test_tensorflow_that_crashes(page, monkeypatch):
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: Process(-4))
    status, problems, _ = page()
    assert status == 1 and fix_of(problems, "status -4")


def test_tensorflow_that_hangs(page, monkeypatch):
    def hang(*_, **__):
        raise subprocess.TimeoutExpired("python", 60)

    monkeypatch.setattr(doctor.subprocess, "run", hang)
    status, problems, _ = page()
    assert status == 1 and fix_of(problems, "not ready after 60 seconds")


def test_a_gpu(page, monkeypatch):
    seen = json.dumps(["2.21.0", "3.15.1", ["NVIDIA T4"]])
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: Process(0, seen))
    status, problems, text = page()
    assert status == 0 and not problems and "NVIDIA T4" in text


def test_a_gpu_that_tensorflow_does_not_see(page, monkeypatch):
    def run(command, **_):
        return Process(0, "GPU 0: NVIDIA T4" if command[0] == "nvidia-smi" else NO_GPU)

    monkeypatch.setattr(doctor.subprocess, "run", run)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: name)
    assert "and-cuda" in fix_of(page()[1], "TensorFlow does not see it")


@pytest.mark.parametrize(("free", "words"), [(4e9, "enough for mini"), (1e9, "lessons take up to 3.0 GB")])
def test_little_memory(page, monkeypatch, free, words):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(free, 4e9))
    assert "JOBS=1" in fix_of(page()[1], words)


def test_a_full_disk(page, monkeypatch):
    usage = namedtuple("Usage", "free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: usage(1e8))
    assert len([text for text in page()[1] if "0.1 GB are free: too little" in text]) == 3


@pytest.mark.parametrize("name", ["COURSE_CACHE", "KERAS_HOME", "TFHUB_CACHE_DIR"])
def test_a_cache_that_cannot_be_written(page, machine, name):
    (machine / name).touch()  # a file in the place of the folder: no one can write there, root neither
    status, problems, _ = page()
    assert f"set {name}" in fix_of(problems, "It cannot be written")
    assert status == (name == "COURSE_CACHE")
    if name == "KERAS_HOME":
        assert fix_of(problems, "falls back to a temporary folder")
        assert fix_of(problems, "cifar10-cpu: cannot run, it lacks datasets/cifar10.npz")


@pytest.mark.parametrize(
    "path",
    [
        "COURSE_CACHE/features/cut.npz",
        "COURSE_CACHE/features/.half-123-456.npz",
        "KERAS_HOME/models/mobilenet_2_5_224_tf_no_top.h5",
        "KERAS_HOME/models/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "KERAS_HOME/datasets/cifar-10-python.tar.gz",
        "KERAS_HOME/datasets/tmpab12_xyz",
        "TFHUB_CACHE_DIR/0123456789.lock",
        "TFHUB_CACHE_DIR/0123456789/assets",
    ],
)
def test_a_broken_file_in_a_cache(page, machine, path):
    broken = machine / path
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"\x89HDF\r\n\x1a\n half")
    named = broken.parent if broken.name == "assets" else broken
    status, problems, _ = page()
    assert status == 0 and f"delete {named} " in fix_of(problems, str(named))


def test_a_changed_byte_in_cached_features(page, machine):
    path = machine / "COURSE_CACHE" / "features" / "changed.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, features=np.zeros(1000))
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    assert "delete" in fix_of(page()[1], "damaged (features.npy)")


def test_sound_caches(page, machine):
    np.savez(machine / "features.npz", features=np.zeros(3))
    (machine / "COURSE_CACHE" / "features").mkdir(parents=True)
    shutil.move(machine / "features.npz", machine / "COURSE_CACHE" / "features")
    shutil.copytree(_EMBEDDED_MODULES / "mini_mobilenet_hub", cached_folder(PROFILES["cifar10-cpu"].hub_modules[1]))
    (machine / "KERAS_HOME" / "models").mkdir(parents=True)
    weights = machine / "KERAS_HOME" / "models" / "mobilenet_2_5_224_tf_no_top.h5"
    shutil.copy(_EMBEDDED_MODULES / "mini_vgg.weights.h5", weights)
    _, problems, text = page()
    assert "KERAS" not in "".join(problems)
    assert f"✔ cifar10-cpu: can run, with {CPU_DOWNLOADS - 2} downloads" in text


def test_no_network(page, monkeypatch):
    monkeypatch.setattr(doctor, "ask_all", lambda addresses, seconds: dict.fromkeys(addresses, "ConnectionError"))
    status, problems, _ = page()
    assert status == 0
    assert "COURSE_BUNDLE" in fix_of(problems, "no network: none of ")
    assert "COURSE_BUNDLE" in fix_of(problems, "cifar10-cpu: cannot run, it lacks datasets/cifar10.npz, models/")


def test_one_blocked_host(page, monkeypatch):
    monkeypatch.setattr(
        doctor, "ask_all", lambda addresses, seconds: {name: "error 403" for name in addresses if "storage" in name}
    )
    _, problems, _ = page()
    needed = {address for profile in PROFILES.values() for need in needs_of(profile) for address in need.addresses}
    blocked = {text.removeprefix("✘ "): fix for text, fix in problems.items() if "error 403" in text}
    assert set(blocked) == {f"{address}: error 403" for address in needed if "storage" in address}
    assert all("let storage.googleapis.com through" in fix for fix in blocked.values())
    assert fix_of(problems, "cifar10-cpu: cannot run, it lacks models/")


class Handler(BaseHTTPRequestHandler):
    """Answers HEAD with the status that the path names, when all have asked; /slow is answered after ``released``."""

    all_have_asked = threading.Barrier(3, timeout=300)
    released = threading.Event()

    def do_HEAD(self):
        if self.path == "/slow":
            self.released.wait(300)
        else:
            self.all_have_asked.wait()
        self.send_response(200 if self.path == "/slow" else int(self.path[1:]))
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.undo()
    Handler.released.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        Handler.released.set()
        running.shutdown()


def test_addresses_are_asked_at_the_same_time(server):
    failures = doctor.ask_all([f"{server}/200", f"{server}/405", f"{server}/403"], 300)
    assert list(failures) == [f"{server}/403"] and "error 403: " in failures[f"{server}/403"]


def test_addresses_are_asked_for_a_limited_time(server):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = [f"http://127.0.0.1:{mute.getsockname()[1]}/{number}" for number in range(5)]
        failures = doctor.ask_all([f"{server}/slow", *silent], 1)
        assert not Handler.released.is_set()  # nobody waited for the slow answer
    assert set(failures) == {f"{server}/slow", *silent}


def write_bundle(folder, profile):
    """A bundle that meets all needs of a profile but the optional ones: labels without images, files of a few bytes."""
    for need in needs_of(profile):
        path = folder / need.packed[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        if need.packed[0] == IMAGES:
            train, test = np.arange(training_images_of(profile)), np.arange(profile.test_size)
            np.savez(path, y_train=train % 10, y_test=test % 10)
        elif not need.optional:
            path.write_text(need.packed[0])
    files = {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in folder.rglob("*")
        if path.is_file()
    }
    (folder / "MANIFEST.json").write_text(json.dumps({"files": files}))


def test_the_bundle_serves(page, machine, monkeypatch):
    write_bundle(machine / "bundle", PROFILES["cifar10-cpu"])
    monkeypatch.setenv("COURSE_BUNDLE", str(machine / "bundle"))
    monkeypatch.setattr(doctor, "ask_all", lambda addresses, seconds: dict.fromkeys(addresses, "ConnectionError"))
    _, problems, text = page()
    assert "files, all as the manifest says" in text
    assert "✔ cifar10-cpu: can run" in text and "lesson 11 takes another network" in " ".join(text.split())
    assert "a sound bundle takes its place" in " ".join(text.split()) and "no network" not in "".join(problems)
    assert "unset COURSE_BUNDLE" in fix_of(problems, "cifar10-gpu: cannot run, the bundle does not have 5,000 training")


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (None, "MANIFEST.json cannot be read"),
        ("{", "is not a bundle's manifest"),
        (json.dumps({"files": {"models/mobilenet_2_5_224_tf.h5": NO_FILE}}), "lacks models/mobilenet_2_5_224_tf.h5"),
    ],
)
def test_a_damaged_bundle(page, machine, monkeypatch, manifest, words):
    (machine / "bundle").mkdir()
    if manifest:
        (machine / "bundle" / "MANIFEST.json").write_text(manifest)
    monkeypatch.setenv("COURSE_BUNDLE", str(machine / "bundle"))
    status, problems, _ = page()
    assert status == 0 and "copy the bundle again" in fix_of(problems, words)
    assert fix_of(problems, "cifar10-cpu: cannot run, a file of the bundle is damaged")


@pytest.mark.parametrize("where", ["optional", "not needed"])
def test_a_damaged_file_stops_only_what_needs_it(page, machine, monkeypatch, where):
    profile = PROFILES["cifar10-cpu"]
    optional = next(need.packed[0] for need in needs_of(profile) if need.optional)
    damaged = machine / "bundle" / (optional if where == "optional" else "models/unused.h5")
    damaged.parent.mkdir(parents=True)
    damaged.write_text("whole")
    write_bundle(machine / "bundle", profile)
    damaged.write_text("cut")
    monkeypatch.setenv("COURSE_BUNDLE", str(machine / "bundle"))
    _, problems, text = page()
    assert fix_of(problems, "it was cut while copying")
    text = " ".join(text.split())
    assert "✔ cifar10-cpu: can run" in text
    assert ("but without" in text.split("✔ cifar10-cpu")[1].split("cifar10-gpu")[0]) == (where == "optional")
    assert main(["check-bundle", str(machine / "bundle")]) == 1  # what is damaged is said


def test_the_user_folder_in_the_name_of_the_bundle(page, machine, monkeypatch):
    write_bundle(machine / "bundle", PROFILES["cifar10-cpu"])
    monkeypatch.setenv("HOME", str(machine))
    monkeypatch.setenv("COURSE_BUNDLE", "~/bundle")
    assert "files, all as the manifest says" in " ".join(page()[2].split())  # lines are broken anywhere


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("image_data_format", "channels_first", '"channels_last"'),
        ("floatx", "float16", '"float32"'),
        ("floatx", "bfloat16", '"float32"'),
        ("epsilon", 1e-3, "1e-07"),
        ("backend", "jax", '"tensorflow"'),
        ("backend", "torch", '"tensorflow"'),
        ("dtype_policy", "mixed_float16", '"float32"'),
    ],
)
def test_settings_of_keras_that_change_results(page, machine, name, value, advice):
    (machine / "KERAS_HOME").mkdir()
    usual = {"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_last"}
    (machine / "KERAS_HOME" / "keras.json").write_text(json.dumps(usual))
    assert "keras.json" not in "".join(page()[1])
    (machine / "KERAS_HOME" / "keras.json").write_text(json.dumps(usual | {name: value}))
    status, problems, _ = page()
    fix = fix_of(problems, f'keras.json: "{name}" is {json.dumps(value)}')
    assert status == 0 and f'write "{name}": {advice}' in fix


@pytest.mark.parametrize("content", ["{", "", "[]", "3", "[" * 100_000, "\x00"])
def test_settings_of_keras_that_cannot_be_read(page, machine, content):
    (machine / "KERAS_HOME").mkdir()
    (machine / "KERAS_HOME" / "keras.json").write_text(content)
    assert "delete" in fix_of(page()[1], "keras.json ")


def test_a_profile_that_is_none(page, monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "maxi")
    status, problems, _ = page()
    assert status == 1 and "or unset it" in fix_of(problems, "'maxi'")


def test_a_bundle_that_is_nowhere(page, machine, monkeypatch):
    monkeypatch.setenv("COURSE_BUNDLE", str(machine / "nowhere"))
    assert fix_of(page()[1], "There is no folder")


def test_an_error_in_a_check_does_not_stop_the_page(page, monkeypatch):
    def fail():
        raise RuntimeError("a surprise")

    monkeypatch.setattr(psutil, "virtual_memory", fail)
    status, problems, text = page()
    assert status == 0 and fix_of(problems, "RuntimeError: a surprise") and "✔ mini: can run" in text


def test_a_python_that_is_too_new(page, monkeypatch):
    monkeypatch.setattr(doctor.sys, "version_info", (3, 15, 0))
    status, problems, _ = page()
    assert status == 1 and "PYTHON=" in fix_of(problems, "the course needs 3.11, 3.12 or 3.13")
