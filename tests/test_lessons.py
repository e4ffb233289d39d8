"""Every claim of every lesson holds on mini: the sentences of the course are tests."""

import pytest

from course.lessons import find_lessons, run_lesson

# With a second seed only where claims rest most on training.
RUNS = [(lesson, 0) for lesson in find_lessons()] + [(lesson, 1) for lesson in find_lessons(["03", "06"])]


@pytest.mark.parametrize(("lesson", "seed"), RUNS, ids=lambda value: getattr(value, "stem", str(value)))
def test_claims_hold(lesson, seed, tmp_path):
    result = run_lesson(lesson, {"PROFILE": "mini", "SEED": seed}, tmp_path)
    assert result["error"] is None
    assert result["claims"], "a lesson without claims"
    assert [claim for claim in result["claims"] if not claim["held"]] == []
