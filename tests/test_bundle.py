import hashlib
import json

import pytest

from helpers.files import bundle as bundle_module
from helpers.files.bundle import SourceError, bundle_file, bundle_folder


@pytest.fixture
def small_bundle(tmp_path, monkeypatch):
    folder = tmp_path / "bundle"
    files = {}
    for name in ("datasets/a.bin", "models/b.bin"):
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(name.encode() * 100)
        files[name] = {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (folder / "MANIFEST.json").write_text(json.dumps({"files": files}))
    monkeypatch.setenv("COURSE_BUNDLE", str(folder))
    return folder


def test_only_files_of_the_manifest_are_found(small_bundle):
    (small_bundle / "models" / "c.bin").write_text("unchecked")
    assert bundle_file("models/b.bin") == small_bundle / "models" / "b.bin"
    assert bundle_file("models/c.bin") is None


def test_no_bundle():
    assert bundle_file("models/b.bin") is None


def test_missing_file(small_bundle):
    (small_bundle / "models" / "b.bin").unlink()
    with pytest.raises(SourceError, match=r"lacks models/b\.bin"):
        bundle_file("models/b.bin")


def test_truncated_file_even_after_it_was_right_once(small_bundle):
    bundle_file("models/b.bin")
    (small_bundle / "models" / "b.bin").write_bytes(b"half")
    with pytest.raises(SourceError, match="4 bytes, the manifest says 1200"):
        bundle_file("models/b.bin")


def test_wrong_hash(small_bundle):
    path = small_bundle / "models" / "b.bin"
    path.write_bytes(b"x" * path.stat().st_size)
    for _ in range(2):  # a failed check is never remembered
        with pytest.raises(SourceError, match="sha256"):
            bundle_file("models/b.bin")


def test_a_file_that_is_not_asked_for_is_not_read(small_bundle):
    (small_bundle / "datasets" / "a.bin").write_bytes(b"cut")
    assert bundle_file("models/b.bin") is not None and bundle_folder("models") == small_bundle / "models"
    with pytest.raises(SourceError, match="3 bytes"):
        bundle_file("datasets/a.bin")


def test_all_files_of_a_folder_are_checked(small_bundle):
    assert bundle_folder("hub") is None
    (small_bundle / "models" / "b.bin").write_bytes(b"x" * 1200)
    with pytest.raises(SourceError, match="sha256"):
        bundle_folder("models")


def test_hashes_are_computed_once(small_bundle, monkeypatch):
    bundle_file("models/b.bin")
    monkeypatch.setattr(bundle_module, "digest_of", lambda path: pytest.fail("computed again"))
    assert bundle_file("models/b.bin") is not None


@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"files": {"a": 1}}'])
def test_no_manifest_or_a_bad_one(small_bundle, manifest):
    path = small_bundle / "MANIFEST.json"
    path.unlink()
    if manifest is not None:
        path.write_text(manifest)
    with pytest.raises(SourceError, match=r"MANIFEST\.json"):
        bundle_file("models/b.bin")


def test_the_bundle_is_a_file(tmp_path, monkeypatch):
    (tmp_path / "bundle.zip").write_bytes(b"")
    monkeypatch.setenv("COURSE_BUNDLE", str(tmp_path / "bundle.zip"))
    with pytest.raises(SourceError, match="Name the folder"):
        bundle_file("models/b.bin")
