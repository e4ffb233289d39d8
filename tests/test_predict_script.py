"""The prediction script of lesson 16 runs where there is no course."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import helpers.quiet  # noqa: F401

import keras

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "16_ship_it.ipynb"


def script():
    """Return the text of predict.py: the cell that writes it, without its magic line."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    (cell,) = [cell for cell in cells if cell["id"] == "predict-script"]
    magic, *lines = "".join(cell["source"]).splitlines()
    assert magic.startswith("%%writefile") and magic.endswith('predict.py"')
    return "\n".join(lines) + "\n"


def test_it_is_short_and_knows_no_course():
    assert len(script().splitlines()) <= 40
    assert "helpers" not in script()


@pytest.mark.slow
def test_it_names_pictures_in_a_process_without_the_course(tmp_path):
    pixels = keras.Input((8, 8, 3), dtype="uint8")
    maps = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(pixels))
    keras.Model(pixels, keras.layers.Softmax()(9.0 * maps)).save(tmp_path / "model.keras")
    (tmp_path / "model.json").write_text(json.dumps(["red", "green", "blue"]))
    (tmp_path / "predict.py").write_text(script(), encoding="utf-8")
    upright = np.zeros((30, 40, 3), "uint8")
    upright[..., 2] = 250
    Image.fromarray(upright).save(tmp_path / "blue one.jpg")
    Image.new("RGBA", (8, 8), (250, 0, 0, 255)).save(tmp_path / "red.png")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    alone = "import runpy, sys; sys.modules['helpers'] = None; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"
    command = [sys.executable, "-I", "-c", alone, "../predict.py", "../model.keras", "../blue one.jpg", "../red.png"]
    finished = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    lines = [line.split("\t") for line in finished.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["blue one.jpg", "blue"], ["red.png", "red"]]
    assert all(float(line[2]) > 0.9 for line in lines)
