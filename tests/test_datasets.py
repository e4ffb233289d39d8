import io
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from helpers.data import datasets
from helpers.data.datasets import _read_cifar10_archive, load_data, stratified_indices
from helpers.files.bundle import SourceError
from helpers.profiles import PROFILES

CPU = PROFILES["cifar10-cpu"]


def test_stratified_groups_are_balanced_and_disjoint():
    labels = np.arange(200) % 10
    train, validation = stratified_indices(labels, [100, 50], seed=3)
    assert (np.bincount(labels[train]) == 10).all() and (np.bincount(labels[validation]) == 5).all()
    assert not set(train) & set(validation)
    assert np.array_equal(train, stratified_indices(labels, [100, 50], seed=3)[0])


@pytest.mark.parametrize("sizes", [[15], [0], [300], [200, 10]])
def test_impossible_sizes_are_explained(sizes):
    with pytest.raises(ValueError, match=r"multiple|has only"):
        stratified_indices(np.arange(200) % 10, sizes, seed=0)


def test_mini_data_have_an_unseen_artist():
    data = load_data(PROFILES["mini"])
    assert data.x_train.shape == (2000, 32, 32, 3)
    assert set(data.shifted) == {"unseen_artist"}


def test_cifar10_without_bundle_and_network_says_what_to_do(no_network):
    with pytest.raises(SourceError) as error:
        load_data(CPU)
    assert all(word in str(error.value) for word in ("COURSE_BUNDLE", "mini", "cs.toronto.edu"))


def test_cifar10_from_the_bundle(bundle, no_network):
    data = load_data(CPU, seed=1)
    assert data.x_train.shape == (10000, 32, 32, 3) and data.x_train.dtype == np.uint8
    assert (np.bincount(data.y_train) == 1000).all() and (np.bincount(data.y_validation) == 200).all()
    training = {image.tobytes() for image in data.x_train}
    assert not any(image.tobytes() in training for image in data.x_validation)


def test_a_bundle_that_is_too_small_for_the_profile_says_so(bundle):
    with pytest.raises(ValueError, match="has only"):
        load_data(replace(CPU, train_size=60000))  # more than CIFAR-10 has


def test_a_file_that_is_no_npz_says_so(tmp_path, monkeypatch):
    (tmp_path / "cifar10.npz").write_bytes(b"not an archive")
    monkeypatch.setattr(datasets, "bundle_file", lambda name: tmp_path / "cifar10.npz")
    with pytest.raises(SourceError, match="cannot be read"):
        load_data(replace(CPU, train_size=10))


def test_the_official_archive_is_read(tmp_path):
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for number, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
            rows = np.zeros((2, 3072), np.uint8)
            rows[:, :1024] = number  # the red plane
            content = pickle.dumps({b"data": rows, b"labels": [number % 10, 9]})
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    x, y, x_test, y_test = _read_cifar10_archive(path)
    assert x.shape == (10, 32, 32, 3) and x_test.shape == (2, 32, 32, 3)
    assert x[4, 0, 0].tolist() == [2, 0, 0] and y[:4].tolist() == [0, 9, 1, 9]
    assert x_test[0, 5, 5].tolist() == [5, 0, 0] and y_test.tolist() == [5, 9]
