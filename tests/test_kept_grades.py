"""What is graded is not graded again, a large course does not fill the scheduler, and capacity says what it needs."""

import heapq
import math
import shutil

import pytest

from course.authoring.exercises import EXERCISES
from course.grading import grade as grading
from course.grading import kept
from course.grading.capacity import capacity, hours_for, machines_for, places_of
from course.grading.grade import GradingError, Limits, grade, make_table, run_all
from course.grading.kept import Graded, figures_in
from course.grading.sandbox import HOME, Attempt, environment
from course.grading.submissions import Submission, Unread
from helpers.execution.engine import CORES
from tests.test_grade import NAME, RIGHT_1, WRONG_1, hand_in

LIMITS = Limits(minutes=1, step_seconds=1, memory=1)


@pytest.fixture
def graded(monkeypatch):
    """The students that were graded, in the place of grading them; "slow" needs too much time."""
    students = []

    def run(submissions, *_):
        for submission in submissions:
            students.append(submission.student)
            status = "time limit" if submission.student == "slow" else "solved"
            yield (
                submission,
                Graded(*submission[:3], {"8.1": (status, "x")}, [("cell", "y")], 1.0, 0.5, 2.0, "not apart"),
            )

    monkeypatch.setattr(grading, "run_all", run)
    return students


def grades(tmp_path, **options):
    table, _ = grade(tmp_path / "in", tmp_path / "out", 1, LIMITS, unprotected=True, **options)
    return table


def test_only_what_is_new_or_changed_is_graded_again(tmp_path, graded, capsys):
    for student in ("ann", "ben", "slow"):
        hand_in(tmp_path / "in" / student / NAME, task_8_1=f"{WRONG_1}\n{student} = 1")
    first = grades(tmp_path)
    assert graded == ["ann", "ben", "slow"]
    assert grades(tmp_path).equals(first) and graded[3:] == ["slow"]  # what a limit stopped gets another try
    assert "2 of 3 were graded before" in capsys.readouterr().out
    hand_in(tmp_path / "in" / "ben" / NAME, task_8_1=RIGHT_1)
    hand_in(tmp_path / "in" / "cem" / NAME)
    assert grades(tmp_path).index.tolist() == ["ann", "ben", "cem", "slow"]
    assert graded[4:] == ["ben", "cem", "slow"]
    grades(tmp_path, fresh=True)
    assert graded[7:] == ["ann", "ben", "cem", "slow"]


def test_a_kept_grade_is_that_of_the_student_who_hands_in_the_same(tmp_path, graded):
    hand_in(tmp_path / "in" / "ann" / NAME, task_8_1=RIGHT_1)
    grades(tmp_path)
    hand_in(tmp_path / "in" / "ben" / NAME, task_8_1=RIGHT_1)
    assert grades(tmp_path)["solved"].to_dict() == {"ann": 1, "ben": 1} and graded == ["ann"]


def test_the_profile_is_asked_for_and_a_grade_of_another_does_not_count(tmp_path, graded, monkeypatch):
    hand_in(tmp_path / "in" / "ann" / NAME)
    grades(tmp_path)
    monkeypatch.setenv("COURSE_PROFILE", "cifar10-cpu")  # as in a room; it does not decide
    grades(tmp_path)
    assert graded == ["ann"] and "Profile: mini." in (tmp_path / "out" / "grades.html").read_text()
    grade(tmp_path / "in", tmp_path / "out", 1, LIMITS._replace(profile="cifar10-cpu"), unprotected=True)
    assert graded == ["ann", "ann"] and "Profile: cifar10-cpu." in (tmp_path / "out" / "grades.html").read_text()


def test_a_mended_bundle_is_another(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_BUNDLE", str(tmp_path))
    seen = set()
    for manifest in (None, "{}", '{"files": []}'):
        if manifest:
            (tmp_path / "MANIFEST.json").write_text(manifest)
        kept.surroundings.cache_clear()
        seen.add(kept.surroundings())
    kept.surroundings.cache_clear()
    assert len(seen) == 3


@pytest.mark.parametrize("change", ["course", "damaged", "empty", "other"])
def test_a_grade_of_another_course_or_a_damaged_one_does_not_count(tmp_path, graded, monkeypatch, change):
    hand_in(tmp_path / "in" / "ann" / NAME)
    grades(tmp_path)
    (entry,) = (tmp_path / "out" / grading.KEPT).iterdir()
    if change == "course":
        monkeypatch.setattr(kept, "surroundings", lambda: "checks that were mended")
    else:
        entry.write_text({"damaged": entry.read_text()[:40], "empty": "", "other": '{"tasks": []}'}[change])
    grades(tmp_path)
    assert graded == ["ann", "ann"]


def test_what_was_graded_is_kept_when_grading_is_stopped(tmp_path, graded, monkeypatch):
    for student in ("ann", "ben"):
        hand_in(tmp_path / "in" / student / NAME, task_8_1=f"{student} = 1")
    everything = grading.run_all

    def stopped(submissions, *_):
        yield next(everything(submissions))
        raise KeyboardInterrupt

    monkeypatch.setattr(grading, "run_all", stopped)
    with pytest.raises(GradingError, match="1 of 2 notebooks were not graded"):
        grades(tmp_path)
    monkeypatch.setattr(grading, "run_all", everything)
    assert grades(tmp_path)["solved"].to_dict() == {"ann": 1, "ben": 1} and graded == ["ann", "ben"]


def test_a_scheduler_gets_the_next_submission_when_one_is_graded(monkeypatch):
    most = 0

    def one(submission, *_):
        if submission.student == "3":
            raise OSError("the course did not start")
        return Graded(*submission[:3], {}, [], 0.0, 0.0, 0.0, "")

    monkeypatch.setattr(grading, "grade_one", one)
    monkeypatch.setattr(grading, "AT_A_TIME", 3)
    submissions = [Submission(str(number), f"{number}.ipynb", NAME, []) for number in range(20)]
    handed_out = 0

    def counted():
        nonlocal handed_out
        for submission in submissions:
            handed_out += 1
            yield submission

    class Counted(list):
        def __iter__(self):
            return counted()

    results = {}
    for number, (submission, result) in enumerate(run_all(Counted(submissions), 2, LIMITS, None, True)):
        most = max(most, handed_out - number)
        results[submission.student] = result
    assert len(results) == 20 and most <= 5
    assert [student for student, result in results.items() if not isinstance(result, Graded)] == ["3"]
    assert "the course did not start" in results["3"].reason


@pytest.mark.slow
def test_workers_are_told_the_threads_of_the_machine_that_asks(monkeypatch, scheduler):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # of which the workers, which run already, know nothing
    monkeypatch.setattr(grading, "grade_one", lambda submission, limits, unprotected, threads: threads)
    submission = Submission("ann", "ann.ipynb", NAME, [])
    (_, threads), *_ = run_all([submission], 1, LIMITS, scheduler, True)
    assert threads["OMP_NUM_THREADS"] == "3"
    (_, here), *_ = run_all([submission], 1, LIMITS, None, True)
    assert here is None


def test_a_submission_runs_with_the_threads_that_were_asked_for(monkeypatch):
    seen = []

    def run(*_):
        seen.append({name: value for name, value in environment(HOME).items() if name in CORES})
        return Attempt([], None, "", 0, 0.0)

    monkeypatch.setattr(grading, "run_sandboxed", run)
    for name in CORES:
        monkeypatch.setenv(name, "1")
    grading.grade_one(Submission("ann", "ann.ipynb", NAME, []), LIMITS, True, {"OMP_NUM_THREADS": "3"})
    assert seen == [{"OMP_NUM_THREADS": "3"}]


def test_a_refused_notebook_is_no_zero_beside_one_that_counts(tmp_path, graded):
    hand_in(tmp_path / "in" / "ann" / NAME)
    other = shutil.copy(EXERCISES / "03_feature_extraction.ipynb", tmp_path / "in" / "ann")
    shutil.copy(other, tmp_path / "in" / "ann" / "03_copy.ipynb")
    hand_in(tmp_path / "in" / "ben" / NAME)
    shutil.copy(tmp_path / "in" / "ben" / NAME, tmp_path / "in" / "ben" / "again.ipynb")
    hand_in(tmp_path / "in" / "cem" / NAME)
    table = grades(tmp_path)
    assert table["solved"].to_dict() == {"ann": 1, "ben": "not graded", "cem": 1}
    exercise_3 = Graded("ann", "b", "03_x.ipynb", {"3.1": ("wrong", "")}, [], 1.0, 0.5, 2.0, "")
    exercise_8 = exercise_3._replace(student="ben", exercise=NAME, tasks={"8.1": ("solved", "")})
    unread = [Unread("ben", "c", "twice", "03_x.ipynb"), Unread("ann", "notes.txt", "no notebook")]
    mixed = make_table([exercise_3, exercise_8], unread)
    assert mixed.loc["ben"].tolist() == [1, "not graded", "✔"] and mixed.loc["ann"].tolist() == [0, "✘", ""]


def test_each_student_has_a_page_without_the_others(tmp_path, graded):
    for student in ("ann", "=ben & co"):
        hand_in(tmp_path / "in" / student / NAME)
    (tmp_path / "in" / "ann" / "notes.txt").write_text("no notebook")
    grades(tmp_path)
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "out" / "students").iterdir()}
    assert set(pages) == {"ann", "=ben & co"}
    assert "notes.txt" in pages["ann"] and "ben" not in pages["ann"] and "ann" not in pages["=ben & co"]


def simulated_hours(submissions, seconds, places):
    """Let each place take the next submission when it is free; return when the last one has ended."""
    free = [0.0] * places
    for _ in range(submissions):
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free) / 3600


@pytest.mark.parametrize(("submissions", "seconds", "places"), [(30, 25, 2), (1000, 40.5, 8), (999, 7, 64), (1, 60, 4)])
def test_hours_are_those_of_a_simulation(submissions, seconds, places):
    assert hours_for(submissions, seconds, places, scheduling=0) == pytest.approx(
        simulated_hours(submissions, seconds, places)
    )


@pytest.mark.parametrize(("submissions", "hours"), [(30, 1), (1000, 1), (1000, 0.5), (100_000, 2)])
def test_as_many_machines_as_needed_and_not_one_more(submissions, hours):
    machines = machines_for(submissions, hours, 40.0, 4)
    assert hours_for(submissions, 40.0, 4 * machines) <= hours
    assert machines == 1 or hours_for(submissions, 40.0, 4 * (machines - 1)) > hours


def test_what_no_number_of_machines_can_do():
    assert machines_for(10, 0.01, 40.0, 4) == math.inf  # one submission takes longer
    assert machines_for(10**6, 0.1, 1.0, 4, scheduling=0.01) == math.inf  # handing them out does


def test_memory_and_cores_limit_the_places():
    assert places_of(8, 16, [1.0, 1.1, 0.9]) == 8
    assert places_of(8, 5.5, [1.0, 1.1, 0.9]) == 3
    assert places_of(8, 0.5, [1.0]) == 1


def test_capacity_reads_what_was_graded(tmp_path, graded):
    with pytest.raises(GradingError, match="Grade some submissions first"):
        capacity(tmp_path / "out", [30], 1, 2, 8)
    hand_in(tmp_path / "in" / "ann" / NAME)
    grades(tmp_path)
    assert figures_in(tmp_path / "out" / grading.KEPT) == [(2.0, 0.5)]
    table, line = capacity(tmp_path / "out", [30, 7200], 1, 2, 8)
    assert table["hours on one machine"].tolist() == [0.01, 2.0]
    assert table["machines to end in 1 h"].tolist() == [1, 2]
    assert "2 s each" in line and "2 at the same time" in line
