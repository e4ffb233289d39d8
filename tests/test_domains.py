"""Domains and corruptions: shapes, balance, seeds, and clear errors."""

import numpy as np
import pytest

from helpers.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from helpers.data.datasets import load_data
from helpers.data.domains import gratings, make_domains
from helpers.data.emoji10 import load_split


@pytest.fixture(scope="module")
def domains():
    return make_domains(load_data("mini"), train_size=200, test_size=100)


@pytest.fixture(scope="module")
def images():
    return load_split("test", 40)[0]


def test_four_domains_of_the_same_shapes(domains):
    assert len({domain.name for domain in domains}) == len(domains) == 4
    assert [domain.name for domain in domains[1:]] == ["digits", "gratings", "noise"]
    for domain in domains:
        for x, y, size in ((domain.x_train, domain.y_train, 200), (domain.x_test, domain.y_test, 100)):
            assert x.shape == (size, 32, 32, 3) and x.dtype == np.uint8, domain.name
            counts = np.bincount(y, minlength=10)
            assert y.shape == (size,) and len(counts) == 10, domain.name
            assert np.ptp(counts) == 0, (domain.name, counts)


def test_no_picture_is_for_training_and_for_testing(domains):
    for domain in domains:
        assert not {x.tobytes() for x in domain.x_train} & {x.tobytes() for x in domain.x_test}, domain.name


def test_the_seed_decides_the_pictures(domains):
    data = load_data("mini")
    for seed, same in ((0, True), (1, False)):
        for first, again in zip(domains, make_domains(data, 200, 100, seed), strict=True):
            assert np.array_equal(first.x_train, again.x_train) == same, first.name
            assert np.array_equal(first.x_test, again.x_test) == same, first.name


def test_a_grating_has_the_width_of_its_class():
    labels = np.repeat([0, 5], 50)  # upright stripes, 5 and 8 pixels wide
    rows = gratings(labels, np.random.default_rng(0))[..., 0].mean(axis=1)
    power = np.abs(np.fft.rfft(rows - rows.mean(axis=1, keepdims=True)))
    narrow, wide = power[:50].mean(axis=0), power[50:].mean(axis=0)
    assert narrow.argmax() in (6, 7) and wide.argmax() == 4  # 32 / 5 and 32 / 8 stripes


@pytest.mark.parametrize(("train_size", "test_size"), [(1000, 20_000), (15, 10)])
def test_sizes_that_cannot_be_had_are_refused(train_size, test_size):
    with pytest.raises(ValueError, match="pictures"):
        make_domains(load_data("mini"), train_size, test_size)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_stronger_corruptions_lie_further_from_the_original(kind, images):
    kept = images.copy()
    distances = []
    for severity in SEVERITIES:
        spoilt = corrupt(images, kind, severity)
        assert spoilt.shape == images.shape and spoilt.dtype == np.uint8
        distances.append(np.abs(spoilt.astype(float) - images).mean())
    assert np.array_equal(images, kept)
    assert distances[0] > 0 and (np.diff(distances) > 0).all(), distances


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_the_seed_decides_what_is_random(kind, images):
    first, again, other = (corrupt(images, kind, 3, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) == (kind in ("blur", "contrast"))  # nothing is random in these two


@pytest.mark.parametrize(
    ("kind", "severity"), [("rain", 1), ("blur", 0), ("blur", 6), ("noise", 2.5), ("noise", "2"), (None, 1)]
)
def test_an_unknown_kind_or_strength_is_refused(kind, severity, images):
    with pytest.raises(ValueError, match=r"There is no corruption .*blur, noise, contrast, occlusion.* 1 to 5"):
        corrupt(images, kind, severity)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 32, 32, 3), "float32"), np.zeros((32, 32, 3), np.uint8), np.zeros((4, 32, 32), np.uint8)]
)
def test_pictures_of_another_kind_are_refused(wrong):
    with pytest.raises(ValueError, match="uint8"):
        corrupt(wrong, "blur", 1)
