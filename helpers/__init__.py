"""The small module that the lessons import. Every file holds one idea; all of it may be read."""

import sys
from pathlib import Path

__version__ = "0.1.0"
ASSETS = Path(__file__).with_name("assets")  # embedded data and networks

if sys.version_info < (3, 11):  # noqa: UP036, a notebook may run without the course having been installed
    raise ImportError(
        f"The course needs Python 3.11, 3.12 or 3.13 (for others, Keras or TensorFlow has no package), but this is "
        f"{sys.version.split()[0]}. Install a newer Python, and set the course up again."
    )
