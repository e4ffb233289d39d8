"""What an exercise says to a wrong answer, to a question and to a right answer: asked while the site is built."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path
from unittest.mock import patch

import helpers.quiet  # noqa: F401
from helpers.checks import check, hint

TASK = "3.1"  # its right answer is a cell of lesson 03, so that nothing is given away
WRONG = """\
def make_feature_extractor(backbone_model):
    return keras.Model(backbone_model.input, backbone_model.output)
"""
RIGHT = """\
def make_feature_extractor(backbone_model):
    return keras.Sequential([backbone_model, layers.GlobalAveragePooling2D()])
"""


def conversation() -> list[tuple[str, str]]:
    """Return what a learner types into a cell, and what the course prints, for each of three cells."""
    cells = [f'{WRONG}\n\ncheck("{TASK}", make_feature_extractor)', f'hint("{TASK}")']
    cells.append(f'{RIGHT}\n\ncheck("{TASK}", make_feature_extractor)')
    return [(cell, _printed(cell)) for cell in cells]


def _printed(cell: str) -> str:
    """Run a cell, and return what it prints; the progress of whoever builds the site stays as it is."""
    import keras
    from keras import layers

    names = {"keras": keras, "layers": layers, "check": check, "hint": hint}
    text = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, COURSE_PROGRESS=str(Path(folder) / "done")),
        contextlib.redirect_stdout(text),
        contextlib.redirect_stderr(text),
    ):
        exec(cell, names)
    return text.getvalue().strip()
