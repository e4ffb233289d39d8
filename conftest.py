"""Settings for all tests: which files are tests, in which order they run, and which worker gets which."""

import functools
import os
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

from course.run.cores import share_cores, usual_jobs

pytest_plugins = ["tests.support.remembered", "tests.support.fault_summary"]

ROOT = Path(__file__).parent

# CPU seconds of what takes long, measured on 2 cores: the longest begin first, so that all workers are busy to the
# end. Only the order depends on these numbers.
SECONDS = {
    "banks/test_bank_07.py": 100,
    "banks/test_bank_11.py": 70,
    "banks/test_bank_06.py": 55,
    "banks/test_bank_05.py": 50,
    "banks/test_bank_09.py": 35,
    "banks/test_bank_04.py": 25,
    "banks/test_bank_02.py": 25,
    "banks/test_bank_03.py": 20,
    "banks/test_bank_08.py": 18,
    "faults/test_grading.py": 80,
    "faults/test_hub_and_downloads.py": 40,
    "faults/test_machines.py": 40,
    "faults/test_caches.py": 20,
    "faults/test_folders.py": 20,
    "faults/test_restart.py": 20,
    "faults/test_lessons_surroundings.py": 20,
    "test_sweep.py": 60,
    "test_grade.py": 55,
    "test_hub.py": 50,
    "test_nbgrader.py": 45,
    "test_execution.py": 45,
    "test_freezing.py": 40,
    "test_splitting.py": 40,
    "test_site.py": 25,
    "test_exercises.py": 15,
}


def pytest_configure(config):
    os.environ["COURSE_PROFILE"] = "mini"
    os.environ["COURSE_CACHE"] = str(ROOT / "build" / "test-cache")
    os.environ["COURSE_PROGRESS"] = str(ROOT / "build" / "test-progress.json")  # solutions pass all checks
    share_cores(usual_jobs())


def pytest_xdist_auto_num_workers(config):
    return usual_jobs()


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".ipynb" and file_path.is_relative_to(ROOT / "notebooks"):
        from tests.support.stored_notebooks import StoredNotebook

        return StoredNotebook.from_parent(parent, path=file_path)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: -seconds_of(scope_of(item.nodeid)))  # stable: a file's own tests keep their order


def scope_of(nodeid):
    """Return what one worker runs as a whole: a file, or a single test that runs a notebook."""
    file, _, test = nodeid.partition("::")
    return nodeid if file == "tests/test_exercises.py" and ".ipynb]" in test else file


@functools.cache
def seconds_of(scope):
    from course.run.runner import usual_seconds

    return SECONDS.get(scope.removeprefix("tests/")) or usual_seconds().get(Path(scope).stem, 5)


class Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid):
        return scope_of(nodeid)


def pytest_xdist_make_scheduler(config, log):
    return Scheduling(config, log)
