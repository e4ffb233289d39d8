"""Settings for all notebooks that the tests execute."""

import os
from pathlib import Path


def pytest_configure(config):
    os.environ["COURSE_PROFILE"] = "mini"
    os.environ["COURSE_CACHE"] = str(Path(__file__).parent / "build" / "test-cache")
