"""nbgrader hands out and grades the exercises from the sources that the course writes for it."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from course.authoring.exercises import ROOT, write_nbgrader_sources

nbgrader = pytest.importorskip("nbgrader", reason="pip install .[instructor]")
NAME = "03_feature_extraction.ipynb"


@pytest.mark.slow
def test_generate_and_autograde(tmp_path, monkeypatch):
    from nbgrader.api import Gradebook
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    folder = Path(sys.executable).parent  # nbgrader calls alembic by its name
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "helpers").symlink_to(ROOT / "helpers")  # the set-up cell looks for it above the notebook
    source = tmp_path / "source" / "exercise_03" / NAME
    assert source in write_nbgrader_sources(tmp_path / "source")

    config = Config()
    config.CourseDirectory.root = str(tmp_path)
    config.CourseDirectory.course_id = "course"
    config.CourseDirectory.db_url = f"sqlite:///{tmp_path / 'gradebook.db'}"
    config.Exchange.root = str(tmp_path / "exchange")
    config.ExecutePreprocessor.timeout = 1200
    api = NbGraderAPI(config=config)
    assert api.generate_assignment("exercise_03")["success"]
    release = tmp_path / "release" / "exercise_03" / NAME
    handed_out = release.read_text()
    assert "NotImplementedError" in handed_out and "GlobalAveragePooling2D()(" not in handed_out
    assert "**Why.**" not in handed_out

    for student, answer in (("untouched", release), ("right", source)):
        handed_in = tmp_path / "submitted" / student / "exercise_03" / NAME
        handed_in.parent.mkdir(parents=True)
        shutil.copy(answer, handed_in)
        result = api.autograde("exercise_03", student)
        assert result["success"], result.get("log")
    with Gradebook(config.CourseDirectory.db_url) as gradebook:
        points = {
            student: gradebook.find_submission("exercise_03", student).score for student in ("untouched", "right")
        }
    assert points == {"untouched": 0, "right": 6}
