"""The errors page shows what the helpers really raise: each example on it is run."""

import ast
import doctest
import hashlib
import json
import os
import re
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```pycon\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def make_bundle(folder, content, size=4):
    """A bundle of one file, b"data" as its manifest says, which holds ``content``; None leaves it out."""
    (folder / "datasets").mkdir(parents=True)
    entry = {"bytes": size, "sha256": hashlib.sha256(b"data").hexdigest()}
    (folder / "MANIFEST.json").write_text(json.dumps({"files": {"datasets/cifar10.npz": entry}}))
    if content is not None:
        (folder / "datasets" / "cifar10.npz").write_bytes(content)


def make_notebook(path, tags):
    cell = nbformat.v4.new_code_cell("LEARNING_RATE = 1e-3\nSEED = 0", metadata={"tags": tags})
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


@pytest.fixture
def surroundings_of_the_page(tmp_path, monkeypatch, no_network):
    """The files that the examples name, and a working folder that holds them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "modules"))
    monkeypatch.setattr("helpers.execution.engine.SECONDS_TO_ANSWER", 1)
    Path("file.txt").write_text("no folder")
    make_bundle(Path("incomplete"), None)
    make_bundle(Path("cut"), b"da")
    make_bundle(Path("changed"), b"DATA")
    make_notebook("notebook.ipynb", ["parameters"])
    make_notebook("bare.ipynb", [])
    for folder in ("one_class/cat", "split/train", "split/test", "twice/old/cat", "few/cat", "few/dog"):
        Path(folder).mkdir(parents=True)
    Path("pets").mkdir()
    for name in ("old/dog", "new/cat", "new/dog"):
        Path("twice", name).mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("few/cat/1.png")


def test_every_message_is_raised(surroundings_of_the_page):
    names, found, raised = {}, [], 0
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for number, text in enumerate(EXAMPLES):
        test = doctest.DocTestParser().get_doctest(text, names, f"example {number}", "docs/errors.md", 0)
        raised += sum(example.exc_msg is not None for example in test.examples)
        with mock.patch.dict(os.environ):  # an example may set variables, for itself
            runner.run(test, out=found.append, clear_globs=False)
        names = test.globs
    assert not found, "".join(found)
    assert raised > 30


SHOWN_AS = {"SchedulerError": "SweepError"}  # what the reader sees instead


def test_every_error_class_of_the_helpers_has_an_example():
    classes = {
        node.name
        for path in (ROOT / "helpers").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
    }
    raised = set(re.findall(r"^(?:\w+\.)*(\w+Error):", PAGE, re.MULTILINE))
    assert "SourceError" in classes and {SHOWN_AS.get(name, name) for name in classes} <= raised


def test_every_example_has_a_cause_and_a_fix():
    for section in PAGE.split("\n### ")[1:]:
        assert "**Cause.**" in section and "**Fix.**" in section, section.splitlines()[0]
