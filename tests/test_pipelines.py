import numpy as np
import pytest

import helpers.quiet  # noqa: F401
from helpers.data.pipelines import make_dataset

import keras

IMAGES = np.arange(10 * 4 * 4 * 3, dtype=np.int64).reshape(10, 4, 4, 3).astype(np.uint8)
LABELS = np.arange(10)


def test_pictures_and_labels_stay_together():
    for seed in (0, 1):
        for images, labels in make_dataset(IMAGES, LABELS, image_size=4, batch_size=3, shuffle=True, seed=seed):
            np.testing.assert_array_equal(images, IMAGES[labels.numpy()])


def test_resized_float_pixels():
    (batch,) = make_dataset(IMAGES, image_size=8, batch_size=32)
    assert batch.shape == (10, 8, 8, 3) and batch.dtype == "float32"
    assert batch.numpy().max() <= 255 and batch.numpy().max() > 1


def order(dataset):
    return np.concatenate([labels for _, labels in dataset]).tolist()


def test_shuffling_is_seeded_and_differs_between_epochs():
    first, again = (make_dataset(IMAGES, LABELS, image_size=4, shuffle=True, seed=1) for _ in range(2))
    epochs = [order(first), order(first)]
    assert epochs[0] != epochs[1] and sorted(epochs[0]) == sorted(epochs[1]) == LABELS.tolist()
    keras.utils.set_random_seed(0)
    assert order(again) == epochs[0]


def test_augmentation_differs_between_epochs():
    noise = keras.layers.RandomBrightness(0.5, seed=0)
    dataset = make_dataset(IMAGES, image_size=4, batch_size=10, augment=lambda x: noise(x, training=True))
    first, second = (next(iter(dataset)).numpy() for _ in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("images", [IMAGES / 255.0, IMAGES[0], IMAGES[..., :1]])
def test_other_arrays_are_refused(images):
    with pytest.raises(ValueError, match="uint8"):
        make_dataset(images, image_size=4)


def test_a_missing_label_is_noticed():
    with pytest.raises(ValueError, match="10 pictures but 9 labels"):
        make_dataset(IMAGES, LABELS[:9], image_size=4)
