"""Checks of exercise 17, more than one machine."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from helpers.checks.task import NOTHING, Task, Wrong, expect, things

TARGET = 1.06  # task 17.5: the mean time, as a multiple of the shortest that is possible


def check_share(points_of_job) -> str:
    """Check task 17.1."""
    for size, count in ((12, 3), (10, 4), (7, 1), (3, 5), (23, 6), (0, 2)):
        points = [{"SEED": 10 * number + 3} for number in range(size)]
        shares: list[list] = []
        for number in range(count):
            given = copy.deepcopy(points)
            share = points_of_job(given, number, count)
            expect(share is not None or any(shares), NOTHING)
            expect(
                share is not None,
                f"With {size} points and {count} jobs, your function returns None for job {number}. A job without "
                "points has an empty list.",
            )
            expect(given == points, "Your function changes the list of points. Each job needs the whole list.")
            expect(
                isinstance(share, Sequence) and not isinstance(share, str),
                f"Your function returns {type(share).__name__}. Wanted is a list of points.",
            )
            shares.append(list(share))
        judge_shares(points, shares, f"With {size} points and {count} jobs")
    return "Each point belongs to exactly one job, for any number of jobs."


def judge_shares(points: list, shares: list[list], case: str) -> None:
    """Raise ``Wrong`` unless jobs share the points in blocks of neighbours, of nearly equal sizes."""
    taken = [point for share in shares for point in share]
    odd = [point for point in taken if point not in points]
    expect(
        not odd,
        f"{case}, your function returns {str(odd and odd[0])[:60]}, which is no point of the list. Wanted are the "
        "points themselves: not their positions, and not lists of them.",
    )
    twice = [point for point in points if taken.count(point) > 1]
    expect(not twice, f"{case}, {len(twice)} points are run by more than one job.")
    left = [number for number, point in enumerate(points) if point not in taken]
    expect(
        not left,
        f"{case}, nobody runs point {left[-1] if left else 0} (counted from 0). Jobs are counted from 0, too, and the "
        "number of points need not be a multiple of the number of jobs.",
    )
    sizes = [len(share) for share in shares]
    expect(
        max(sizes) - min(sizes) <= 1,
        f"{case}, the jobs have {sizes} points. No job should have two more than another: all wait for the longest.",
    )
    expect(
        taken == points,
        f"{case}, every point is run once; but the points of a job are not neighbours in the list, or the jobs are not "
        "in its order.",
    )


POINTS = 12
ROWS = {0: 0.5, 1: 0.0, 3: 0.75, 4: 0.375, 10: 0.8125}  # point -> accuracy


def job_folder(folder: Path, repeated: bool, broken: bool, contradictory: bool) -> dict[str, list]:
    """Write what jobs left behind, for 12 points; return what is wrong in it."""
    for point, accuracy in ROWS.items():
        (folder / f"job-{point % 2}-{point}.json").write_text(json.dumps({"point": point, "accuracy": accuracy}))
    (folder / "job-0.log").write_text("begun\n")
    wrong: dict[str, list] = {"unreadable": [], "missing": [2, 5, 6, 7, 8, 9, 11], "contradictory": []}
    if repeated:
        (folder / "job-1-3-again.json").write_text(json.dumps({"point": 3, "accuracy": ROWS[3]}))
    if broken:
        (folder / "job-0-6.json").write_text('{"point": 6, "accur')
        (folder / "job-1-7.json").write_text("")
        (folder / "job-0-8.json").write_text("{}")
        wrong["unreadable"] = ["job-0-6.json", "job-0-8.json", "job-1-7.json"]
    if contradictory:
        (folder / "job-0-4-again.json").write_text(json.dumps({"point": 4, "accuracy": 0.0}))
        for name in ("job-0-0-again.json", "job-1-0.json"):  # by name, before and after the other row
            (folder / name).write_text(json.dumps({"point": 0, "accuracy": 0.25}))
        wrong["contradictory"] = [0, 4]
    return wrong


def check_collect(collect) -> str:
    """Check task 17.2."""
    cases = {
        "Where rows are missing": (False, False, False),
        "Where a job was run again, with the same result": (True, False, False),
        "Where three files hold no row": (False, True, False),
        "Where two points have rows that differ": (False, False, True),
        "Where all of this happens": (True, True, True),
    }
    for case, what in cases.items():
        with tempfile.TemporaryDirectory() as name:
            wrong = job_folder(Path(name), *what)
            before = {path.name: path.read_bytes() for path in Path(name).iterdir()}
            try:
                answer = collect(Path(name), POINTS)
            except (ValueError, LookupError, TypeError) as error:
                raise Wrong(
                    f"{case}, your function stops with {type(error).__name__}: {str(error)[:80]} One bad file must not "
                    "keep the others from being collected."
                ) from error
            kept = {path.name: path.read_bytes() for path in Path(name).iterdir()} == before
            expect(kept, f"{case}, your function adds, removes or changes files.")
        judge_collected(answer, wrong, case)
    return "What is missing, unreadable or contradictory is told; what is sure is kept."


def judge_collected(answer, wrong: dict[str, list], case: str) -> None:
    """Raise ``Wrong`` unless an answer holds the sure accuracies, and says what is wrong."""
    both = "two things: a list of accuracies, and a dict of what is wrong"
    accuracies, told = things(answer, 2, both)
    expect(isinstance(told, dict), f"The second thing is {type(told).__name__}; wanted are {both}.")
    expect(
        isinstance(accuracies, list), f"The first thing is {type(accuracies).__name__}; wanted is a list of accuracies."
    )
    expect(
        len(accuracies) == POINTS,
        f"{case}, your list has {len(accuracies)} places. Wanted is one place for each of the {POINTS} points: "
        "`count` says how many there should be.",
    )
    expect(
        set(told) == set(wrong),
        f"The dict should have the keys {', '.join(wrong)}; yours has {', '.join(map(str, told)) or 'none'}.",
    )
    sure = {point: value for point, value in ROWS.items() if point not in wrong["contradictory"]}
    for point in range(POINTS):
        value = accuracies[point]
        if point in wrong["contradictory"]:
            expect(
                value is None,
                f"{case}, point {point} has the accuracy {value}. Its rows differ, and none is sure, nor is their "
                "mean: wanted is None.",
            )
        elif point in sure:
            advice = "The order of the files' names is not that of the points."
            if value is None:
                advice = "Two equal rows are no contradiction, and 0.0 is an accuracy."
            expect(
                isinstance(value, Real) and value == sure[point],
                f"{case}, point {point} has the accuracy {value}; its row says {sure[point]}. ({advice})",
            )
        else:
            expect(value is None, f"{case}, point {point} has no row that can be read, but the accuracy {value}.")
    for key, wanted in wrong.items():
        listed = isinstance(told[key], Iterable) and not isinstance(told[key], str)
        given = sorted(told[key], key=str) if listed else told[key]
        advice = " Two equal rows of a point are no contradiction." if key == "contradictory" else ""
        expect(
            given == sorted(wanted, key=str),
            f"{case}, {key!r} should list {wanted}; yours is {given}.{advice}",
        )


def check_combine(combine) -> str:
    """Check task 17.3."""
    random = np.random.default_rng(173)
    for counts in ((8, 8), (3, 2), (5, 1, 6), (4, 0, 3)):
        each = [random.normal(size=(sum(counts), *shape)).astype("float32") for shape in ((4, 3), (3,))]
        places = np.cumsum(counts)[:-1]
        shards = [np.split(gradient, places) for gradient in each]
        means = [[mean_of(part[replica]) for part in shards] for replica in range(len(counts))]
        kept = copy.deepcopy(means)
        given = list(counts)
        answer = combine(means, given)
        expect(answer is not None, NOTHING)
        expect(same_with_nan(kept, means), "Your function changes the gradients that it was given.")
        expect(given == list(counts), "Your function changes the counts that it was given.")
        judge_combined(answer, each, kept, counts)
    return "The combined gradient is that of one device, however unequal the shares are."


def mean_of(part: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis; of no pictures it is nan, as TensorFlow says."""
    return part.mean(axis=0) if len(part) else np.full(part.shape[1:], np.nan, part.dtype)


def same_with_nan(some: list[list[np.ndarray]], others: list[list[np.ndarray]]) -> bool:
    """Tell whether the gradients of all replicas are equal to the last bit, nan included."""
    pairs = [pair for both in zip(some, others, strict=True) for pair in zip(*both, strict=True)]
    return all(np.array_equal(one, other, equal_nan=True) for one, other in pairs)


def judge_combined(answer, each: list[np.ndarray], means: list[list[np.ndarray]], counts: Sequence[int]) -> None:
    """Raise ``Wrong`` unless an answer is the mean over all pictures, for each weight."""
    case = f"With shares of {', '.join(map(str, counts))} pictures"
    returned = f"a list of length {len(answer)}" if isinstance(answer, list | tuple) else type(answer).__name__
    expect(
        isinstance(answer, list | tuple) and len(answer) == len(each),
        f"{case}, your function returns {returned}. Wanted is a list with one gradient for each weight.",
    )
    try:
        given = [np.asarray(gradient, float) for gradient in answer]
    except (TypeError, ValueError) as error:
        raise Wrong(f"{case}, your list holds something that is no array of numbers: {error}.") from error
    for gradient, wanted in zip(given, each, strict=True):
        expect(
            gradient.shape == wanted.shape[1:],
            f"{case}, a gradient has the shape {gradient.shape}; its weight has {wanted.shape[1:]}.",
        )
    expect(
        all(np.isfinite(gradient).all() for gradient in given),
        f"{case}, your gradient is nan. A replica without pictures has the mean of nothing, which is nan, and "
        "0 times nan is nan.",
    )
    filled = [[np.nan_to_num(gradient) for gradient in some] for some in means]
    columns = [np.stack(column).astype(float) for column in zip(*filled, strict=True)]

    def are(wanted: list[np.ndarray]) -> bool:
        return all(np.allclose(a, b, atol=1e-5) for a, b in zip(given, wanted, strict=True))

    right = are([gradient.mean(axis=0) for gradient in each])
    expect(
        right or not are([column.sum(axis=0) for column in columns]),
        f"{case}, yours is the sum of the gradients: the steps grow with the number of replicas.",
    )
    expect(
        right or not are([column.mean(axis=0) for column in columns]),
        f"{case}, yours is the mean of means: a picture in a small share counts more than one in a large share.",
    )
    expect(
        right or not are([gradient.sum(axis=0) for gradient in each]),
        f"{case}, yours is the sum over all pictures. Wanted is the mean.",
    )
    expect(right, f"{case}, yours is not the gradient of the mean loss of all {sum(counts)} pictures.")


def scripted_curves(seed: int, points: int, epochs: int) -> np.ndarray:
    """Return curves ``(points, epochs)`` that cross, and that are not always highest at their end."""
    random = np.random.default_rng(seed)
    ends = random.permutation(np.linspace(0.5, 0.9, points))
    speeds = random.uniform(0.1, 1.2, points)
    times = np.arange(1, epochs + 1)
    curves = ends[:, None] * (1 - np.exp(-speeds[:, None] * times)) + random.normal(0, 0.03, (points, epochs))
    return curves.round(4)


def halved(curves: np.ndarray, first: int, *, rank: str = "now", again: bool = False, down: bool = False) -> tuple:
    """Return the best point and the epochs trained, by the rule of task 17.4 or with one typical mistake."""
    length, alive, done, spent, stage = curves.shape[1], list(range(len(curves))), 0, 0, first
    while stage < length:
        spent += len(alive) * (stage if again else stage - done)
        done = stage
        values = {
            "now": curves[:, done - 1],
            "next": curves[:, done],
            "end": curves[:, -1],
            "best": curves[:, :done].max(axis=1),
            "worst": -curves[:, done - 1],
        }
        keep = max(1, len(alive) // 2 if down else -(-len(alive) // 2))
        alive = sorted(sorted(alive, key=lambda point: (-values[rank][point], point))[:keep])
        stage = length if keep == 1 else 2 * stage
    spent += len(alive) * (length if again else length - done)
    final = {point: curves[point, -1] for point in alive}
    return max(final, key=final.__getitem__), spent


def check_halving(halving) -> str:
    """Check task 17.4."""
    cases = ((1, 8, 8, 1), (127, 7, 12, 2), (3, 16, 16, 2), (4, 11, 20, 3), (6, 5, 9, 4), (88, 16, 16, 2))
    exact = [(scripted_curves(seed, points, epochs), first) for seed, points, epochs, first in cases]
    with_equal_points = [(scripted_curves(2, 8, 8).round(1), 1), (scripted_curves(0, 16, 16).round(1), 2)]
    for curves, first in [*exact, *with_equal_points]:
        given = curves.copy()
        answer = halving(given, first)
        expect(np.array_equal(curves, given), "Your function changes the curves.")
        wanted = "two whole numbers: the number of the best point, and the epochs trained"
        point, trained = things(answer, 2, wanted)
        whole = all(isinstance(each, Integral) and not isinstance(each, bool) for each in (point, trained))
        expect(whole, f"Your function returns {point!r} and {trained!r}; wanted are {wanted}.")
        judge_halving((int(point), int(trained)), curves, first)
    return "It finds what successive halving finds, and counts each epoch once."


def judge_halving(answer: tuple[int, int], curves: np.ndarray, first: int) -> None:
    """Raise ``Wrong`` unless an answer is the best point and the epochs of successive halving."""
    wanted = halved(curves, first)
    case = f"With {len(curves)} points, {curves.shape[1]} epochs and first={first}"
    if answer == wanted:
        return
    expect(answer[::-1] != wanted, f"{case}, your two numbers have changed places: first the point, then the epochs.")
    expect(
        answer[1] != curves.size,
        f"{case}, yours trains all points to the end: {curves.size} epochs.",
    )
    expect(
        answer[1] != halved(curves, first, again=True)[1],
        f"{case}, you count {answer[1]} epochs: those that went on are counted from their beginning again. They go on "
        "where they were.",
    )
    expect(
        answer[1] == wanted[1] or answer[1] != halved(curves, first, down=True)[1],
        f"{case}, you count {answer[1]} epochs: with an odd number of points, the half is rounded up.",
    )
    expect(
        answer[1] == wanted[1],
        f"{case}, {wanted[1]} epochs are trained; you count {answer[1]}. After how many epochs is it decided who goes "
        "on, and how far are the last ones trained?",
    )
    expect(
        answer[0] != halved(curves, first, rank="end")[0],
        f"{case}, your best point is {answer[0]}: it would have been stopped. Who goes on is decided by the accuracy "
        "of that moment; the end is not known yet.",
    )
    expect(
        answer[0] != halved(curves, first, rank="next")[0],
        f"{case}, your best point is {answer[0]}: it looks one epoch ahead. After e epochs, the newest accuracy is in "
        "column e - 1.",
    )
    expect(
        answer[0] != halved(curves, first, rank="best")[0],
        f"{case}, your best point is {answer[0]}. Who goes on is decided by the accuracy of that moment, not by the "
        "best one so far.",
    )
    expect(
        answer[0] != halved(curves, first, rank="worst")[0],
        f"{case}, your best point is {answer[0]}: the *worse* half goes on.",
    )
    raise Wrong(
        f"{case}, your best point is {answer[0]}; wanted is {wanted[0]}. Is it a number of a point of the whole list, "
        "the better half that goes on, and the accuracy at the end that chooses? Of equal points, the lower number is "
        "the better one."
    )


def sweeps() -> Iterator[tuple[list[float], int]]:
    """Yield the costs of the points of 40 sweeps, a few of them long, and the number of workers."""
    random = np.random.default_rng(175)
    for _ in range(40):
        short, long = random.uniform(1, 3, int(random.integers(8, 26))), random.uniform(4, 9, 4)
        yield random.permutation(np.concatenate([short, long])).round(3).tolist(), int(random.integers(3, 7))


def check_schedule(schedule) -> str:
    """Check task 17.5."""
    ratios = []
    for costs, workers in [([1.0, 2.0], 4), *sweeps()]:
        given = list(costs)
        answer = schedule(given, workers)
        expect(answer is not None, NOTHING)
        expect(given == costs, "Your function changes the list of costs.")
        expect(
            isinstance(answer, list | tuple) and len(answer) == workers,
            f"For {workers} workers your function returns "
            f"{f'{len(answer)} things' if isinstance(answer, list | tuple) else type(answer).__name__}. Wanted is a "
            "list with one list for each worker.",
        )
        for numbers in answer:
            expect(
                isinstance(numbers, list | tuple | np.ndarray),
                f"In the place of a worker's list your function has {type(numbers).__name__} {str(numbers)[:40]}.",
            )
        lists = [list(numbers) for numbers in answer]
        planned = [number for numbers in lists for number in numbers]
        expect(
            all(isinstance(number, Integral) and not isinstance(number, bool) for number in planned),
            "The lists should hold the numbers of points, counted from 0; yours hold something else. Their costs?",
        )
        beyond = sorted(set(planned) - set(range(len(costs))))
        expect(
            not beyond,
            f"{beyond and beyond[0]} is no number of a point: of {len(costs)} points, they go from 0 to "
            f"{len(costs) - 1}.",
        )
        same = "Are all lists one and the same, as [[]] * n makes them?" if len(set(map(id, answer))) == 1 else ""
        expect(
            sorted(planned) == list(range(len(costs))),
            f"Of {len(costs)} points, {len(set(planned))} are planned, in {len(planned)} places. Each should be "
            f"planned once. {same}",
        )
        times = [sum(costs[number] for number in numbers) for numbers in lists]
        ratios.append(max(times) / max(sum(costs) / workers, *costs))
    ratio = float(np.mean(ratios[1:]))  # without the first: it has more workers than points
    expect(
        ratio <= TARGET,
        f"In the mean of 40 sweeps, yours takes {ratio:.3f} times the bound below which no plan comes; the target "
        f"is {TARGET}. {'Close. ' if ratio < 1.1 else ''}Which points should not be left for the end? And who "
        "gets the next one: the worker with the fewest seconds so far? (The numbers are those of the list as given.)",
    )
    return f"In the mean of 40 sweeps, {ratio:.3f} times the bound below which no plan comes; the target was {TARGET}."


TASKS = {
    "17.1": Task(
        "share the points of a sweep among the jobs of an array",
        check_share,
        (
            "Take 10 points and 4 jobs, with a pencil. Where does the block of job 0 end, and where that of job 3?",
            "Job k begins where k of `count` parts of the list end. Read about integer division, //, and slices.",
            "A block goes from k * n // count to (k + 1) * n // count, for n points.",
        ),
    ),
    "17.2": Task(
        "collect what jobs left behind, and say what is wrong",
        check_collect,
        (
            "What should happen to the other files if one cannot be read? And who knows which points there should be?",
            "Read about json.loads and the ValueError that it raises, pathlib.Path.glob, and dict.setdefault.",
            "First gather for each point a set of its accuracies. No set: missing. One value: sure. More: not sure.",
        ),
    ),
    "17.3": Task(
        "combine the gradients of replicas with unequal shares",
        check_combine,
        (
            "Each replica has divided by the number of its own pictures. By which number would one device divide?",
            "A mean times its number is a sum. Read about zip(*lists), which turns rows into columns.",
            "For each weight: the sum over replicas with pictures of gradient times count, divided by all pictures.",
        ),
    ),
    "17.4": Task(
        "find the best point by successive halving",
        check_halving,
        (
            "Keep three things: which points are left, how many epochs they have, and how many were trained in all.",
            "Read about sorted with key=. At each stage only the epochs since the stage before are new.",
            "While the stage lies before the end: count len(left) times the new epochs, sort by the accuracy of now, "
            "keep the better half, double the stage. Then count what is left to the end.",
        ),
    ),
    "17.5": Task(
        "plan a sweep so that no worker waits long",
        check_schedule,
        (
            "Draw the workers as bars. Which point makes a bar stick out, if it comes last?",
            "Read about heapq, or use min over the workers with key=. In which order should the points be given out?",
            "Give out the points by falling cost, each to the worker that has the least so far.",
        ),
    ),
}
