"""Folders of pictures as people have them: no layout becomes a wrong data set, no readable picture is lost."""

import itertools
import warnings

import numpy as np
import pytest
from PIL import Image, features

from helpers.data import ImageFolderError, load_image_folder, read_image
from helpers.data.folder.layout import split_of_name

SIDE = 8
_random = np.random.default_rng(0)


def write(*files, size=(12, 10)):
    """Write pictures of noise; no two are alike."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_random.integers(0, 256, (*size, 3), np.uint8)).save(file)


def write_classes(root, classes, count=4):
    for name in classes:
        write(*(root / name / f"{root.name}_{name}_{number}.png" for number in range(count)))


def load(path, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load_image_folder(path, SIDE, **options)
    return data, "\n".join(str(each.message) for each in caught)


def folders_of(data, part, path):
    return {file.relative_to(path).parts[0] for file in data.files[part]}


TRAIN, TEST = (
    ("train", "Training", "seg_train", "TRAIN", "training_set", "train_images"),
    (*("test", "Testing", "seg_test", "TEST", "test_set", "test-images"),),
)
VALIDATION = ("val", "valid", "Validation", "seg_val", "VALID", "dev")


@pytest.mark.parametrize(
    ("train", "test"), [*zip(TRAIN, TEST, strict=True), ("trainSet", "testSet"), ("1_train", "2_test")]
)
def test_a_split_of_two_is_used_as_it_is(tmp_path, train, test):
    write_classes(tmp_path / train, ("cat", "dog"), 10)
    write_classes(tmp_path / test, ("cat", "dog"), 5)
    data, _ = load(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert folders_of(data, "test", tmp_path) == {test} and len(data.x_test) == 10
    assert folders_of(data, "train", tmp_path) == folders_of(data, "validation", tmp_path) == {train}
    assert len(data.x_train) + len(data.x_validation) == 20 and len(data.x_validation) == 4
    assert all(
        data.class_names[y] == f.parent.name
        for p in data.files
        for y, f in zip(getattr(data, f"y_{p}"), data.files[p], strict=True)
    )


@pytest.mark.parametrize("names", zip(TRAIN, VALIDATION, TEST, strict=True))
def test_a_split_of_three_is_used_as_it_is(tmp_path, names):
    for name, count in zip(names, (6, 3, 2), strict=True):
        write_classes(tmp_path / name, ("a", "b", "c"), count)
    data, _ = load(tmp_path)
    for part, name, count in zip(("train", "validation", "test"), names, (6, 3, 2), strict=True):
        assert folders_of(data, part, tmp_path) == {name}
        assert np.bincount(getattr(data, f"y_{part}")).tolist() == [count] * 3


@pytest.mark.parametrize("extra", ["chest_xray", "seg_pred", "__MACOSX", "backup", "all"])
def test_what_else_lies_beside_a_split_is_no_class(tmp_path, extra):
    for name in ("train", "test", "val"):
        write_classes(tmp_path / name, ("NORMAL", "PNEUMONIA"))
    write_classes(tmp_path / extra / "train", ("NORMAL", "PNEUMONIA"))
    write(tmp_path / extra / "loose.png")
    data, warned = load(tmp_path)
    assert data.class_names == ("NORMAL", "PNEUMONIA") and sum(map(len, data.files.values())) == 24
    assert (extra in warned) == (extra != "__MACOSX")


def test_a_split_packed_twice_and_one_inside_the_classes(tmp_path):
    write_classes(tmp_path / "a" / "seg_train" / "seg_train", ("sea", "street"))
    write_classes(tmp_path / "a" / "seg_test" / "seg_test", ("sea", "street"))
    data, _ = load(tmp_path / "a")
    assert data.class_names == ("sea", "street") and folders_of(data, "test", tmp_path / "a") == {"seg_test"}
    for name, part in itertools.product(("cat", "dog"), ("train", "test")):
        write(*(tmp_path / "b" / name / part / f"{number}.png" for number in range(4)))
    data, _ = load(tmp_path / "b")
    assert data.class_names == ("cat", "dog") and {file.parent.name for file in data.files["test"]} == {"test"}


def test_an_unlabelled_test_folder_is_left_out_and_said(tmp_path):
    write_classes(tmp_path / "train", ("cat", "dog"), 10)
    write(*(tmp_path / "test" / f"{number}.png" for number in range(5)))
    data, warned = load(tmp_path)
    assert folders_of(data, "test", tmp_path) == {"train"} and "it has no label" in warned and "5 of 25" in warned


@pytest.mark.parametrize(
    "names", [("first", "second"), ("folder1", "folder2", "folder3"), ("old", "new"), ("train", "more")]
)
def test_folders_of_the_same_names_are_not_guessed(tmp_path, names):
    for name in names:
        write_classes(tmp_path / name, ("cat", "dog"))
    with pytest.raises(ImageFolderError, match="cannot be told which folders are classes"):
        load(tmp_path)
    data, _ = load(tmp_path, classes=names)
    assert data.class_names == names and sum(map(len, data.files.values())) == 8 * len(names)


@pytest.mark.parametrize("names", [("train", "bus", "car"), ("test", "quiz"), ("validation", "no")])
def test_a_class_may_be_called_like_a_split(tmp_path, names):
    write_classes(tmp_path, names)
    assert load(tmp_path)[0].class_names == tuple(sorted(names))


def test_names_of_splits_are_words_not_letters():
    assert [split_of_name(name) for name in ("training", "Test Set", "seg_val", "trainTest")] == [
        *("train", "test", "validation"),
        None,
    ]
    assert not any(map(split_of_name, ("contest", "strain", "valley", "latest", "cat", "restrained", "attestation")))


def test_a_class_that_a_split_lacks_and_names_that_differ_in_capitals(tmp_path):
    write_classes(tmp_path / "a" / "train", ("cat", "dog", "cow"))
    write_classes(tmp_path / "a" / "test", ("cat", "dog"))
    _, warned = load(tmp_path / "a")
    assert "without a picture in a split: cow (test)" in warned
    write_classes(tmp_path / "b" / "train", ("cat", "dog"))
    write_classes(tmp_path / "b" / "test", ("Cat", "dog"))
    with pytest.raises(ImageFolderError, match="'Cat' and 'cat' look like one class"):
        load(tmp_path / "b")


@pytest.mark.parametrize("seed", range(3))
def test_unequal_and_tiny_classes_are_named(tmp_path, capsys, seed):
    counts = np.random.default_rng(seed).permutation([60, 4, 25])
    for name, count in zip("abc", counts, strict=True):
        write_classes(tmp_path, (name,), count)
    data, warned = load(tmp_path, seed=seed)
    few, many = "abc"[counts.argmin()], "abc"[counts.argmax()]
    assert f"{many} has 60 pictures, {few} 4" in warned and "67.4%" in warned and f"Few pictures: {few} (4)" in warned
    assert f"{many} 60" in capsys.readouterr().out
    weights = eval(warned.split("class_weight=")[1].split(")")[0])
    assert {label: 1 / weight for label, weight in weights.items()} == pytest.approx(
        {label: 3 * count / len(data.y_train) for label, count in enumerate(data.counts["train"].values())}, rel=0.05
    )


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("named", ["path", "name", "stem"])
def test_labels_from_a_table(tmp_path, separator, named):
    files = [tmp_path / ("x", "y")[number % 2] / f"{number}.png" for number in range(12)]
    write(*files)
    lines = [separator.join(("image", "width", "breed"))]
    for number, file in enumerate(files[:-1]):
        name = {"path": file.relative_to(tmp_path).as_posix(), "name": file.name, "stem": file.stem}[named]
        lines.append(separator.join((name, "12", "NA" if number % 3 else "pug")))
    lines.append(separator.join(("gone.png", "12", "pug")))
    (tmp_path / "labels.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    data, warned = load(tmp_path, labels="labels.csv")
    assert data.class_names == ("NA", "pug") and sum(map(len, data.files.values())) == 11
    for part, files in data.files.items():
        assert [data.class_names[y] for y in getattr(data, f"y_{part}")] == [
            "NA" if int(file.stem) % 3 else "pug" for file in files
        ]
    assert "gone.png: labels.csv names it" in warned and "11.png: labels.csv has no row" in warned


def test_a_table_with_a_split(tmp_path):
    write(*(tmp_path / f"{number}.png" for number in range(20)))
    rows = [f"{number},{'ab'[number % 2]},{'test' if number >= 14 else 'Train'}" for number in range(20)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label,split", *rows]))
    data, _ = load(tmp_path, labels=tmp_path / "labels.csv")
    assert sorted(int(file.stem) for file in data.files["test"]) == list(range(14, 20))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "cannot be read"),
        ("file\n0.png", "two columns"),
        ("file,label\nno.png,a", "names files in"),
        ("file,label\n0.png,a\n0.png,b", "two labels"),
        ("file,label\n0.png,a\n1.png,a", "one class only"),
        ("file,cat,dog\n0.png,0,1\n1.png,1,0", "which one is the label"),
        ("file,label,split\n0.png,a,first\n1.png,b,first", "is no split"),
        ('file,label\n"0.png,a', "cannot be read|names files|two columns"),
    ],
)
def test_tables_that_say_nothing_clear(tmp_path, table, message):
    write(*(tmp_path / f"{number}.png" for number in range(6)))
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(ImageFolderError, match=message):
        load(tmp_path, labels="labels.csv")


FORMATS = {
    **{"a.bmp": "BMP", "a.dib": "BMP", "a.tif": "TIFF", "a.tiff": "TIFF", "a.jfif": "JPEG", "a.jpe": "JPEG"},
    **{"a.ppm": "PPM", "a.tga": "TGA", "a.jp2": "JPEG2000", "a.gif": "GIF", "a.ico": "ICO", "a": "PNG"},
    **{"bmp.jpg": "BMP", "png.JPG": "PNG", "webp.png": "WEBP", "a.avif": "AVIF", "avif.jpg": "AVIF", "a.apng": "PNG"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_what_pillow_reads_is_read_whatever_its_name(tmp_path, name):
    if FORMATS[name] == "AVIF" and not features.check("avif"):
        pytest.skip("Pillow reads no AVIF here")
    write_classes(tmp_path, ("cat", "dog"))
    Image.new("RGB", (32, 32), (200, 100, 50)).save(tmp_path / "cat" / name, format=FORMATS[name])
    data, _ = load(tmp_path)
    part = next(part for part, files in data.files.items() if tmp_path / "cat" / name in files)
    image = data.__dict__[f"x_{part}"][data.files[part].index(tmp_path / "cat" / name)]
    assert data.skipped == {} and np.abs(image.astype(int) - (200, 100, 50)).max() < 12


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jpg", HEIC, "HEIC file, as iPhones"),
        ("a.heic", HEIC, "HEIC file, as iPhones"),
        ("a.png", b"<!DOCTYPE html><html>", "a web page"),
        ("a.jpg", b"\n <HTML>", "a web page"),
        ("a.jpg", b"%PDF-1.7", "PDF"),
        ("a.png", b"<svg xmlns=", "SVG"),
        ("a.png", b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        ("a.png", b"\0" * 50, "no picture, or its beginning"),
        ("a.mp4", b"x", "not a picture file"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0", "not a picture file"),
        ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0", "no picture"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_reason(tmp_path, name, content, reason):
    write_classes(tmp_path, ("cat", "dog"))
    (tmp_path / "cat" / name).write_bytes(content)
    data, _ = load(tmp_path)
    assert reason in data.skipped[tmp_path / "cat" / name]


def test_large_photographs_are_read_and_bombs_are_not(tmp_path):
    write_classes(tmp_path, ("cat", "dog"))
    Image.new("RGB", (12_000, 9_000), (10, 200, 10)).save(tmp_path / "cat" / "phone.jpg")
    Image.new("1", (30_000, 20_000)).save(tmp_path / "cat" / "bomb.png")
    before = Image.MAX_IMAGE_PIXELS
    data, _ = load(tmp_path)
    assert list(data.skipped) == [tmp_path / "cat" / "bomb.png"] and "600 million pixels" in data.skipped.popitem()[1]
    assert before == Image.MAX_IMAGE_PIXELS
    assert np.abs(read_image(tmp_path / "cat" / "phone.jpg", 8).astype(int) - (10, 200, 10)).max() < 4


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_more_than_8_bits_follow_one_rule_for_the_folder(tmp_path, bits, ending):
    for place, (name, part) in enumerate(itertools.product(("cat", "dog"), (0.25, 0.5, 0.75, 1.0))):
        value = round(part * (2**bits - 1))
        pixels = np.full((10, 10), value, np.uint16)
        pixels[0, place] //= 2
        (tmp_path / name).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name / f"{round(100 * part)}.{ending}")
    data, _ = load(tmp_path)
    assert data.white == 2**bits - 1
    for part, files in data.files.items():
        for image, file in zip(getattr(data, f"x_{part}")[:], files, strict=True):
            assert abs(int(image[4, 4, 0]) - 2.55 * int(file.stem)) <= 1.5
            assert np.array_equal(image, read_image(file, SIDE, data.white))


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        (np.float32([[0.5]]), 128),
        (np.float32([[200]]), 200),
        (np.float32([[-3]]), "below 0"),
        (np.float32([[np.nan]]), "no numbers"),
        (np.int32([[-1000]]), "below 0"),
        (np.int32([[70000]]), "more than 16 bits"),
        (np.int32([[2048]]), 128),
    ],
)
def test_floats_and_signed_values(tmp_path, values, seen):
    write_classes(tmp_path, ("cat", "dog"))
    file = tmp_path / "cat" / "a.tif"
    Image.fromarray(np.tile(values, (9, 9))).save(file)
    data, _ = load(tmp_path)
    if isinstance(seen, str):
        assert seen in data.skipped[file]
    else:
        assert abs(int(read_image(file, SIDE, data.white)[0, 0, 0]) - seen) <= 1


@pytest.fixture
def images(tmp_path):
    write_classes(tmp_path, ("cat", "dog"), 10)
    return load(tmp_path)[0].x_train


@pytest.mark.parametrize(
    "use",
    [
        np.asarray,
        lambda x: x / 255,
        lambda x: 255 - x,
        lambda x: x.astype("float32"),
        lambda x: x.reshape(len(x), -1),
        lambda x: x.mean(axis=(0, 1, 2)),
        lambda x: np.transpose(x, (0, 3, 1, 2)),
        lambda x: np.concatenate([x, x]),
        lambda x: x[..., 0],
        lambda x: x[:, :4],
        lambda x: x[2, 1, 0],
        lambda x: x[x[:, 0, 0, 0] > 100],
        lambda x: x[np.arange(4).reshape(2, 2)],
        lambda x: x[None],
        lambda x: np.array(x, "float64"),
        lambda x: x == x[0],
        lambda x: (*x.shape, x.ndim, x.size, x.nbytes),
        lambda x: np.stack(list(x)),
    ],
)
def test_own_images_behave_as_arrays_do(images, use):
    whole = np.stack([images[number] for number in range(len(images))])
    assert np.array_equal(use(images), use(whole)) and type(use(images)) is type(use(whole))


def test_own_images_train_a_model(images):
    import helpers.quiet  # noqa: F401

    import keras

    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert len(model.fit(images, np.zeros(len(images)), verbose=0).history["loss"]) == 1
    assert model.predict(images, verbose=0).shape == (len(images), 2)


@pytest.mark.parametrize("damage", ["cut", "empty", "changed", "notes cut", "notes gone", "folder", "longer"])
def test_a_damaged_store_of_pictures_is_made_again(tmp_path, monkeypatch, capsys, damage):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    write_classes(tmp_path / "pets", ("cat", "dog"))
    right = load(tmp_path / "pets")[0].x_train[:]
    stored = next((tmp_path / "cache" / "folders").glob("*.pixels"))
    content, notes = stored.read_bytes(), stored.with_suffix(".npz")
    if damage == "folder":
        stored.unlink()
        stored.mkdir()
    elif damage.startswith("notes"):
        notes.unlink() if damage == "notes gone" else notes.write_bytes(notes.read_bytes()[:100])
    else:
        half = len(content) // 2
        bad = {"cut": content[:half], "empty": b"", "changed": content[:half] + b"x" + content[half + 1 :]}
        stored.write_bytes(bad.get(damage, content + content[:192]))
    capsys.readouterr()
    data, _ = load(tmp_path / "pets")
    assert np.array_equal(data.x_train[:], right)
    assert "damaged; the files are read again" in capsys.readouterr().out
    stored.write_bytes(content[:100])
    with pytest.raises(OSError, match="was cut or deleted"):
        data.x_train[:]
