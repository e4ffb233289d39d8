"""Every claim of every lesson holds on mini: the sentences of the course are tests."""

import pytest

from course.lessons import find_lessons, run_lesson

# With more than one seed only where a claim rests on training.
RUNS = [(lesson, 0) for lesson in find_lessons()] + [
    (lesson, seed) for lesson in find_lessons(["03"]) for seed in (1, 2)
]


@pytest.mark.parametrize(("lesson", "seed"), RUNS, ids=lambda value: getattr(value, "stem", str(value)))
def test_claims_hold(lesson, seed, tmp_path):
    result = run_lesson(lesson, {"PROFILE": "mini", "SEED": seed}, tmp_path)
    assert result["error"] is None
    assert result["claims"], "a lesson without claims"
    assert [claim for claim in result["claims"] if not claim["held"]] == []
