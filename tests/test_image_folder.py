"""A folder of pictures of all kinds becomes a data set; what cannot be used is named."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from helpers.data.folder import ImageFolderError, load_image_folder
from helpers.data.folder.group_split import split
from helpers.data.folder.near_duplicates import group_numbers, near_duplicates
from helpers.data.folder.reading import read_image
from helpers.data.folder.stored_images import ImageFile
from helpers.data.pipelines import make_dataset
from helpers.models.features import extract_features

import keras

PHOTOGRAPHS = load_sample_images().images
ENDINGS = (".jpg", ".JPEG", ".png", ".webp", ".gif")


def photograph(random, which):
    """Return a part of a photograph; no two parts are alike."""
    whole = PHOTOGRAPHS[which]
    height, width = random.integers(60, 200, 2)
    top, left = random.integers(0, whole.shape[0] - height), random.integers(0, whole.shape[1] - width)
    turned = np.rot90(whole[top : top + height, left : left + width], random.integers(4))
    return Image.fromarray(turned[:, :, random.permutation(3)])


def write_folder(root, count, classes=("china", "flower")):
    """Write ``count`` pictures a class, in all formats; return their number."""
    random = np.random.default_rng(0)
    for which, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(count):
            photograph(random, which % 2).save(root / name / f"{number:03}{ENDINGS[number % len(ENDINGS)]}")
    return count * len(classes)


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "pets", 20)
    return tmp_path / "pets"


def load(path, side=24, **options):
    """Load a folder; return the data and what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load_image_folder(path, side, **options)
    return data, "\n".join(str(warning.message) for warning in caught)


def test_pictures_are_split_by_class_and_keep_their_files(folder):
    data, warned = load(folder)
    assert warned == "" and data.skipped == {} and data.class_names == ("china", "flower")
    for part, size in (("train", 28), ("validation", 6), ("test", 6)):
        x, y, files = getattr(data, f"x_{part}"), getattr(data, f"y_{part}"), data.files[part]
        assert x.shape == (size, 24, 24, 3) and x.dtype == np.uint8 and np.bincount(y).tolist() == [size // 2] * 2
        for image, label, file in zip(x[:], y, files, strict=True):
            assert data.class_names[label] == file.parent.name
            assert np.array_equal(image, read_image(file, 24))
    assert len({file for files in data.files.values() for file in files}) == 40


def test_the_seed_decides_the_split(folder):
    first, again, other = (load(folder, seed=seed)[0].files["test"] for seed in (0, 0, 1))
    assert first == again and set(first) != set(other)


def test_a_second_call_reads_no_picture_file_again(folder, monkeypatch):
    first, _ = load(folder)
    monkeypatch.setattr("helpers.data.folder.storing._read_or_explain", lambda *_: pytest.fail("read again"))
    again, _ = load(folder)
    assert np.array_equal(first.x_test[:], again.x_test[:])
    monkeypatch.setattr("helpers.data.folder.storing._FORMAT", 0)  # the files of another format are not read
    with pytest.raises(pytest.fail.Exception, match="read again"):
        load(folder)


def test_every_file_that_cannot_be_used_is_named_once(folder):
    whole = (folder / "china" / "000.jpg").read_bytes()
    (folder / "china" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "china" / "empty.png").touch()
    (folder / "flower" / "text.jpg").write_text("no picture")
    (folder / "flower" / "notes.txt").write_text("notes")
    (folder / "flower" / "named_wrongly.png").write_bytes(b"")
    (folder / "flower" / ".hidden.jpg").write_text("hidden")
    (folder / ".git").mkdir()
    (folder / ".git" / "a.jpg").write_text("hidden")
    for _ in range(2):  # the second time from the cache
        data, warned = load(folder)
        assert "5 of 45 files are skipped" in warned and "hidden" not in warned
        for name in ("cut.jpg", "empty.png", "text.jpg", "notes.txt", "named_wrongly.png"):
            assert warned.count(name) == 1, warned
        assert len(data.skipped) == 5 and data.skipped[folder / "china" / "empty.png"] == "the file is empty"
        assert sum(len(files) for files in data.files.values()) == 40


def test_each_kind_of_picture_gives_its_own_colours(tmp_path):
    red = Image.new("RGB", (40, 20), (250, 10, 10))
    cases = {
        "grey.png": (Image.new("L", (30, 30), 77), (77, 77, 77)),
        "grey16.png": (Image.fromarray(np.full((30, 30), 77 * 257, np.uint16)), (77, 77, 77)),
        "cmyk.jpg": (red.convert("CMYK"), (250, 10, 10)),
        "palette.gif": (red.quantize(4), (250, 10, 10)),
        "transparent.png": (Image.new("RGBA", (30, 30), (9, 9, 9, 0)), (255, 255, 255)),
        "half.webp": (Image.new("RGBA", (30, 30), (0, 0, 0, 128)), (127, 127, 127)),
        "grey_alpha.png": (Image.new("LA", (30, 30), (50, 255)), (50, 50, 50)),
        "one_bit.png": (Image.new("1", (30, 30), 1), (255, 255, 255)),
    }
    for name, (image, colour) in cases.items():
        image.save(tmp_path / name, **({"quality": 100, "lossless": True} if name.endswith("webp") else {}))
        image = read_image(tmp_path / name, 8)
        assert image.shape == (8, 8, 3) and image.dtype == np.uint8
        assert np.abs(image.astype(int) - colour).max() <= 4, name


def test_of_a_camera_s_file_with_two_pictures_the_first_counts(tmp_path):
    first, second = Image.new("RGB", (40, 20), (250, 10, 10)), Image.new("RGB", (20, 10), (9, 9, 200))
    first.save(tmp_path / "camera.jpg", format="MPO", save_all=True, append_images=[second])
    assert np.abs(read_image(tmp_path / "camera.jpg", 8).astype(int) - (250, 10, 10)).max() <= 4


def test_exif_orientation_and_middle_cut(tmp_path):
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:20] = 255  # the upper half is white
    exif = Image.Exif()
    exif[274] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif)
    turned = read_image(tmp_path / "turned.jpg", 16)
    assert turned[:6].max() < 30 and turned[10:].min() > 220
    pixels[:, :20], pixels[:, 60:] = 99, 99
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    middle = read_image(tmp_path / "wide.png", 40)
    assert np.array_equal(middle, pixels[:, 20:60])


def test_near_duplicates_are_found_reported_and_kept_together(folder):
    for number in (1, 3, 6):
        original = next(folder.glob(f"china/{number:03}.*"))
        with Image.open(original) as image:
            copy = image.convert("RGB")
        copy.resize((copy.width * 2, copy.height * 2)).save(folder / "china" / f"copy_{number}.jpg", quality=60)
    with Image.open(folder / "china" / "000.jpg") as image:
        image.save(folder / "flower" / "wrong_label.jpg", quality=90)
    for seed in range(5):
        data, warned = load(folder, seed=seed)
        names = {frozenset((a.stem, b.stem)) for a, b in data.near_duplicates}
        assert names == {frozenset(pair) for pair in (("001", "copy_1"), ("003", "copy_3"), ("006", "copy_6"))} | {
            frozenset(("000", "wrong_label"))
        }
        assert "4 pairs" in warned and "1 have two different labels" in warned and "copy_1.jpg" in warned
        for a, b in data.near_duplicates:
            assert [a in files for files in data.files.values()] == [b in files for files in data.files.values()]


def test_clear_skies_are_no_duplicates():
    level = np.linspace(0, 40, 12)[:, None, None]
    skies = [np.broadcast_to(base + level, (12, 12, 3)) for base in (100, 150, 200)]
    assert len(near_duplicates(np.array(skies, np.uint8))) == 0
    assert near_duplicates(np.array([skies[0], skies[1], skies[0] + 2], np.uint8)).tolist() == [[0, 2]]
    assert len(near_duplicates(np.full((3, 12, 12, 3), 255, np.uint8))) == 0
    assert len(set(group_numbers(np.array([[0, 2], [2, 4]]), 5))) == 3


def test_a_common_colour_makes_no_duplicates():
    noise = np.random.default_rng(0).integers(-20, 21, (30, 12, 12, 3))
    assert len(near_duplicates((np.array([220, 60, 60]) + noise).astype(np.uint8))) == 0


def test_many_copies_are_joined_by_few_pairs():
    random = np.random.default_rng(0)
    originals = random.integers(0, 256, (3, 12, 12, 3))
    copies = np.clip(originals[np.arange(900) % 3] + random.integers(-2, 3, (900, 12, 12, 3)), 0, 255).astype(np.uint8)
    pairs = near_duplicates(copies)
    groups = group_numbers(pairs, 900)
    assert len(pairs) == 897 and (pairs[:, 0] < pairs[:, 1]).all()
    assert np.array_equal(groups, groups[np.arange(900) % 3]) and len(set(groups)) == 3


@pytest.mark.parametrize("seed", range(20))
def test_large_groups_become_training_pictures(seed):
    labels = np.repeat([0, 1], 20)
    groups = np.array([0] * 15 + list(range(1, 26)))  # 15 shots of one thing, and 5 other pictures, in class 0
    split_of = split(labels, groups, 0.15, 0.15, seed)
    assert [np.bincount(labels[split_of == part]).tolist() for part in range(3)] == [[18, 14], [1, 3], [1, 3]]
    assert not split_of[:15].any()


def test_three_groups_fill_three_splits():
    for validation, test in ((0.15, 0.15), (0.6, 0.39), (0.05, 0.9)):
        for sizes in ([1, 1, 1], [4, 3, 2], [9, 9, 9], [1, 1, 50]):
            counts = np.bincount(split(np.zeros(sum(sizes), int), np.repeat(range(3), sizes), validation, test, 0))
            assert sorted(counts) == sorted(sizes) and counts[0] == max(sizes)
    assert sorted(split(np.zeros(3, int), np.array([0, 0, 0]), 0.15, 0.15, 0)) == [0, 1, 2]


def test_a_class_of_copies_is_divided_and_that_is_said(tmp_path):
    write_folder(tmp_path / "pets", 20)
    for number in range(20):
        photograph(np.random.default_rng(1), 0).save(tmp_path / "pets" / "china" / f"{number:03}{ENDINGS[number % 5]}")
    data, warned = load(tmp_path / "pets")
    assert [np.bincount(y).tolist() for y in (data.y_train, data.y_validation, data.y_test)] == [
        [14] * 2,
        [3] * 2,
        [3] * 2,
    ]
    assert len(data.near_duplicates) == 19 and "pairs are in two splits" in warned


def test_what_is_no_usable_file_is_named_and_not_fatal(folder):
    (folder / "loose.jpg").write_bytes((folder / "china" / "000.jpg").read_bytes())
    (folder / "labels.csv").touch()
    (folder / "china" / "to_nothing.png").symlink_to("/nonexistent/x.png")
    (folder / "china" / "to_itself.png").symlink_to("to_itself.png")
    (folder / "flower" / "more").symlink_to(folder / "china", target_is_directory=True)
    data, warned = load(folder)
    assert {file.name for file in data.skipped} == {"loose.jpg", "to_nothing.png", "to_itself.png", "more"}
    assert "4 of 44 files are skipped" in warned and "link to a folder" in warned


def test_a_file_that_may_not_be_read_is_read_once_it_may(folder, monkeypatch):
    closed = folder / "china" / "000.jpg"
    real = open
    monkeypatch.setattr(
        "builtins.open",
        lambda file, *rest, **more: (
            real("/nonexistent") if Path(str(file)) == closed and rest == ("rb",) else real(file, *rest, **more)
        ),
    )
    data, _ = load(folder)
    assert data.skipped == {closed: "it cannot be opened (No such file or directory)"}
    monkeypatch.undo()
    assert load(folder)[0].skipped == {}


def test_a_disk_that_fails_leaves_nothing_and_is_no_damage(folder, monkeypatch):
    def fail(file, side, white):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("helpers.data.folder.storing.read_or_measure", fail)
    with pytest.raises(ImageFolderError, match=r"Input/output error .*000\.jpg"):
        load(folder)
    monkeypatch.undo()
    assert load(folder)[0].skipped == {}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "There is no folder"),
        (lambda root: root.write_text(""), "is a file, not a folder"),
        (lambda root: root.mkdir(), "is empty"),
        (lambda root: (root.mkdir(), (root / "notes.txt").touch()), "has no folders"),
        (lambda root: write_folder(root, 4, ("cat",)), "one class only, cat"),
        (lambda root: write_folder(root, 4, ("train", "test")), "split already"),
        (lambda root: (root.mkdir(), Image.new("RGB", (9, 9)).save(root / "a.jpg")), "1 pictures, but no folders"),
        (lambda root: (write_folder(root, 4), (root / "cow").mkdir()), "cow has 0"),
        (lambda root: (write_folder(root / "a", 4), write_folder(root / "b", 1, ("x",))), "b has 1"),
    ],
)
def test_bad_folders_get_one_clear_error(tmp_path, make, message):
    make(tmp_path / "pets")
    with pytest.raises(ImageFolderError, match=message):
        load(tmp_path / "pets")


@pytest.mark.parametrize(
    "parts", [{"test": 0.0}, {"validation": 0.6, "test": 0.5}, {"test": -1}, {"validation": "0.2"}, {"test": None}]
)
def test_parts_that_leave_nothing_are_refused(folder, parts):
    with pytest.raises(ImageFolderError, match="leave no training pictures"):
        load(folder, **parts)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        *(({"side": side}, "no number of pixels") for side in (0, -5, 32.0, "32", None, (32, 32), True)),
        *(({"seed": seed}, "no seed") for seed in (-1, "x", 1.5, None)),
        *(({"path": path}, "no path") for path in ("", None, b"pets", 3)),
    ],
)
def test_senseless_arguments_are_refused_before_anything_is_read(folder, monkeypatch, given, message):
    monkeypatch.setattr("helpers.data.folder.storing._read_or_explain", lambda *_: pytest.fail("read"))
    with pytest.raises(ImageFolderError, match=message):
        load(**{"path": folder, **given})


def test_numbers_of_numpy_serve_as_arguments(folder):
    data, _ = load(folder, side=np.int64(24), seed=np.int32(0), validation=np.float32(0.15))
    assert data.x_train.shape == (28, 24, 24, 3)


def test_a_picture_file_is_read_as_an_array_is(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 4, 3), np.uint8)
    (tmp_path / "a.pixels").write_bytes(images.tobytes())
    rows = np.array([5, 0, 6, 3])
    file, expected = ImageFile(tmp_path / "a.pixels", 4, rows), images[rows]
    assert len(file) == 4 and file.shape == expected.shape and file.dtype == expected.dtype
    for which in (0, -1, slice(1, 3), [3, 0], np.array([2, 2]), np.array([], int), slice(None)):
        assert np.array_equal(file[which], expected[which])
    with pytest.raises(ValueError, match="whole pictures of 5 x 5"):
        ImageFile(tmp_path / "a.pixels", 5)


def test_pipelines_and_features_take_the_folder_as_they_take_arrays(folder):
    data, _ = load(folder)
    in_memory = data.x_train[:]
    extractor = keras.Sequential([keras.Input((24, 24, 3)), keras.layers.AveragePooling2D(8), keras.layers.Flatten()])
    assert np.array_equal(
        extract_features(extractor, data.x_train), extract_features(extractor, in_memory, cache=False)
    )
    batches = [batch.numpy() for batch, _ in make_dataset(data.x_train, data.y_train, image_size=24, batch_size=10)]
    assert np.array_equal(np.concatenate(batches), in_memory)
    assert isinstance(data.files["train"][0], Path)


def test_a_home_that_nobody_has_is_a_folder_that_is_not_there():
    with pytest.raises(ImageFolderError, match="There is no folder"):
        load_image_folder("~nobody-has-this-name/pictures", 32)
