import json
from functools import partial

import numpy as np


# 17.1
def blocks(points, number, count):
    parts = np.array_split(np.arange(len(points)), count)
    return [points[place] for place in parts[number]]


def blocks_by_rest(points, number, count):
    size, rest = divmod(len(points), count)
    begin = number * size + min(number, rest)
    return tuple(points[begin : begin + size + (number < rest)])


def without_rest(points, number, count):
    size = len(points) // count
    return points[number * size : (number + 1) * size]


def rest_to_the_last(points, number, count):
    size = len(points) // count
    return points[number * size : None if number == count - 1 else (number + 1) * size]


def in_turns(points, number, count):
    return points[number::count]


def from_one(points, number, count):
    return blocks(points, number - 1, count) if number else []


def everything(points, number, count):
    return points


def popping(points, number, count):
    share = blocks(points, number, count)
    points.clear()
    return share


def none_for_no_points(points, number, count):
    return blocks(points, number, count) or None if points else []


def numbers_only(points, number, count):
    return list(np.array_split(np.arange(len(points)), count)[number])


# 17.2
def collected(folder, count, *, silent=False, last=False, same_is_wrong=False, crash=(), by_name=False):
    rows, unreadable = {}, []
    for path in sorted(folder.glob("*.json")):
        try:
            row = json.loads(path.read_text())
            rows.setdefault(row["point"], []).append(row["accuracy"])
        except crash:
            raise
        except (ValueError, KeyError):
            unreadable.append(path.name)
    accuracies, contradictory = [None] * count, []
    for point, values in rows.items():
        if len(set(values)) == 1 or last:
            accuracies[point] = values[-1]
        if len(set(values)) > 1 or (same_is_wrong and len(values) > 1):
            contradictory.append(point)
    if by_name:
        flat = [value for values in rows.values() for value in values]
        accuracies = (flat + [None] * count)[:count]
    missing = [point for point in range(count) if point not in rows]
    told = {"unreadable": [] if silent else unreadable, "missing": missing, "contradictory": contradictory}
    return accuracies, told


def listed_otherwise(folder, count):
    accuracies, told = collected(folder, count)
    contradictory = dict.fromkeys(told["contradictory"]).keys()
    return [accuracies, told | {"missing": np.array(told["missing"]), "contradictory": contradictory}]


def collected_by_point(folder, count):
    values, unreadable = {point: set() for point in range(count)}, set()
    for path in folder.iterdir():
        if path.suffix != ".json":
            continue
        try:
            row = json.loads(path.read_text())
            values[row["point"]].add(row["accuracy"])
        except (json.JSONDecodeError, LookupError):
            unreadable.add(path.name)
    sure = [values[point].pop() if len(values[point]) == 1 else None for point in range(count)]
    found = collected(folder, count)[1]
    return sure, {"unreadable": unreadable, "missing": set(found["missing"]), "contradictory": found["contradictory"]}


WHAT = ("unreadable", "missing", "contradictory")


def only_the_list(folder, count):
    return collected(folder, count)[0]


def missing_silently(folder, count):
    accuracies, told = collected(folder, count)
    return accuracies, told | {"missing": []}


def only_what_is_there(folder, count):
    accuracies, told = collected(folder, count)
    return [value for value in accuracies if value is not None], told


def as_many_as_the_files_say(folder, count):
    rows = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return collected(folder, max(row["point"] for row in rows) + 1)


def sure_again(folder, count, unset=lambda value: value is None):
    accuracies, told = collected(folder, count)
    accuracies, told["contradictory"] = [None] * count, []
    for path in sorted(folder.glob("*.json")):
        if path.name in told["unreadable"]:
            continue
        row = json.loads(path.read_text())
        if unset(accuracies[row["point"]]) or accuracies[row["point"]] == row["accuracy"]:
            accuracies[row["point"]] = row["accuracy"]
        else:
            accuracies[row["point"]] = None
            told["contradictory"].append(row["point"])
    return accuracies, told


def with_means(folder, count):
    accuracies, told = collected(folder, count)
    return [0.3 if point in told["contradictory"] else value for point, value in enumerate(accuracies)], told


def tidying(folder, count):
    found = collected(folder, count)
    for path in folder.glob("*.json"):
        path.unlink()
    return found


def emptying(folder, count):
    found = collected(folder, count)
    for path in folder.glob("*.json"):
        path.write_text("")
    return found


# 17.3
def weighted(gradients, counts):
    total = sum(counts)
    parts = [[g * n / total for g in each] for each, n in zip(gradients, counts, strict=True) if n]
    return [sum(column) for column in zip(*parts, strict=True)]


def by_average(gradients, counts):
    kept = [number for number, count in enumerate(counts) if count]
    weights = [counts[number] for number in kept]
    layers = range(len(gradients[0]))
    return tuple(np.average([gradients[number][k] for number in kept], axis=0, weights=weights) for k in layers)


def mean_of_means(gradients, counts):
    return [np.nan_to_num(column).mean(axis=0) for column in map(np.stack, zip(*gradients, strict=True))]


def summed(gradients, counts):
    return [np.nan_to_num(column).sum(axis=0) for column in map(np.stack, zip(*gradients, strict=True))]


def not_divided(gradients, counts):
    return [gradient * sum(counts) for gradient in weighted(gradients, counts)]


def with_nan(gradients, counts):
    total = sum(counts)
    return [sum(g * n / total for g, n in zip(column, counts, strict=True)) for column in zip(*gradients, strict=True)]


def spoiling(gradients, counts):
    answer = weighted(gradients, counts)
    for gradient in gradients[0]:
        gradient *= counts[0]
    return answer


def popping_counts(gradients, counts):
    answer = weighted(gradients, counts)
    counts.clear()
    return answer


def one_array(gradients, counts):
    return weighted(gradients, counts)[0]


# 17.4
def halve(curves, first, *, again=False, rank="now", down=False, place=False):
    points, epochs = curves.shape
    alive, done, trained, stage = list(range(points)), 0, 0, first
    while True:
        end = min(stage, epochs)
        trained += len(alive) * (end if again else end - done)
        done = end
        if done == epochs:
            break
        look = {"now": curves[:, done - 1], "end": curves[:, -1], "best": curves[:, :done].max(axis=1)}
        look = (look | {"next": curves[:, done], "worst": -look["now"]})[rank]
        keep = len(alive) // 2 if down else (len(alive) + 1) // 2
        alive = np.sort(np.array(alive)[np.argsort(-look[alive], kind="stable")][: max(1, keep)]).tolist()
        stage = epochs if len(alive) == 1 else 2 * stage
    best = max(range(len(alive)), key=lambda place: curves[alive[place], -1])
    return (best if place else alive[best]), trained


def halve_with_ties(curves, first, turned=False):
    """Sort from behind, or keep the order of the last stage for the end: both choose a higher number of equal ones."""
    alive, done, trained, stage = list(range(len(curves))), 0, 0, first
    while stage < curves.shape[1]:
        trained += len(alive) * (stage - done)
        done = stage
        order = np.argsort(curves[alive, done - 1])[::-1] if turned else np.argsort(-curves[alive, done - 1])
        alive = [alive[place] for place in order[: -(-len(alive) // 2)]]
        stage = curves.shape[1] if len(alive) == 1 else 2 * stage
    trained += len(alive) * (curves.shape[1] - done)
    return max(sorted(alive) if turned else alive, key=lambda point: curves[point, -1]), trained


def higher_of_equals(curves, first):
    points = len(curves)
    best, trained = halve(curves[::-1], first)
    return points - 1 - best, trained


def halve_with_numpy(curves, first):
    alive, stages = np.arange(len(curves)), [0, first]
    trained = 0
    while stages[-1] < curves.shape[1]:
        trained += alive.size * (stages[-1] - stages[-2])
        order = np.lexsort((alive, -curves[alive, stages[-1] - 1]))
        alive = alive[order][: -(-alive.size // 2)]
        stages.append(curves.shape[1] if alive.size == 1 else 2 * stages[-1])
    trained += alive.size * (curves.shape[1] - stages[-2])
    alive.sort()
    return alive[curves[alive, -1].argmax()], trained


def the_whole_grid(curves, first):
    return int(curves[:, -1].argmax()), curves.size


def not_to_the_end(curves, first):
    best, trained = halve(curves, first)
    return best, trained - 1


def the_accuracy(curves, first):
    best, trained = halve(curves, first)
    return float(curves[best, -1]), trained


# 17.5
def longest_first(costs, workers):
    lists, sums = [[] for _ in range(workers)], np.zeros(workers)
    for number in np.argsort(costs)[::-1]:
        worker = sums.argmin()
        lists[worker].append(number)
        sums[worker] += costs[number]
    return lists


def with_exchanges(costs, workers):
    lists = [list(map(int, numbers)) for numbers in longest_first(costs, workers)]

    def time(numbers):
        return sum(costs[number] for number in numbers)

    for _ in range(50):
        lists.sort(key=time)
        slow, fast = lists[-1], lists[0]
        movable = [number for number in slow if time(fast) + costs[number] < time(slow)]
        if not movable:
            break
        moved = min(movable, key=lambda number: costs[number])
        slow.remove(moved)
        fast.append(moved)
    return tuple(lists)


def in_the_given_order(costs, workers):
    lists = [[] for _ in range(workers)]
    for number in range(len(costs)):
        min(lists, key=lambda numbers: sum(costs[n] for n in numbers)).append(number)
    return lists


def sorted_in_turns(costs, workers):
    order = sorted(range(len(costs)), key=lambda number: -costs[number])
    return [order[worker::workers] for worker in range(workers)]


def costs_instead(costs, workers):
    return [[costs[number] for number in numbers] for numbers in longest_first(costs, workers)]


def one_forgotten(costs, workers):
    lists = longest_first(costs, workers)
    lists[0].pop()
    return lists


def from_one_on(costs, workers):
    return [[number + 1 for number in numbers] for numbers in longest_first(costs, workers)]


def without_idle_workers(costs, workers):
    return [numbers for numbers in longest_first(costs, workers) if numbers]


def one_list(costs, workers):
    lists = [[]] * workers
    for number in range(len(costs)):
        lists[number % workers].append(number)
    return lists


def an_order(costs, workers):
    return sorted(range(len(costs)), key=lambda number: -costs[number])


def sorting_in_place(costs, workers):
    costs.sort(reverse=True)
    return longest_first(costs, workers)


def nothing(*given):
    return None


RIGHT = {
    "17.1": [blocks, blocks_by_rest],
    "17.2": [collected, collected_by_point, listed_otherwise],
    "17.3": [weighted, by_average],
    "17.4": [halve, halve_with_numpy],
    "17.5": [longest_first, with_exchanges],
}
WRONG = {
    "17.1": [
        (nothing, "returns nothing"),
        (without_rest, "nobody runs point"),
        (rest_to_the_last, "two more than another"),
        (in_turns, "not neighbours"),
        (from_one, "nobody runs point"),
        (everything, "run by more than one job"),
        (popping, "changes the list"),
        (numbers_only, "no point of the list"),
        (none_for_no_points, "returns None for job"),
        (lambda points, number, count: [blocks(points, each, count) for each in range(count)], "not lists of them"),
        (lambda points, number, count: iter(points), "Wanted is a list"),
        (lambda points, number, count: "points", "Wanted is a list"),
    ],
    "17.2": [
        (nothing, "returns nothing"),
        (partial(collected, crash=ValueError), "One bad file"),
        (partial(collected, crash=KeyError), "stops with KeyError"),
        (as_many_as_the_files_say, "`count` says"),
        (sure_again, "Its rows differ"),
        (partial(sure_again, unset=lambda value: not value), "Its rows differ"),
        (with_means, "nor is their mean"),
        (
            lambda folder, count: (
                [value or None for value in collected(folder, count)[0]],
                collected(folder, count)[1],
            ),
            "0.0 is an accuracy",
        ),
        (
            lambda folder, count: (dict(enumerate(collected(folder, count)[0])), collected(folder, count)[1]),
            "The first thing is dict",
        ),
        (partial(collected, silent=True), "'unreadable' should list"),
        (partial(collected, last=True), "Its rows differ"),
        (partial(collected, same_is_wrong=True), "Two equal rows"),
        (partial(collected, by_name=True), "The order of the files' names"),
        (missing_silently, "'missing' should list"),
        (only_what_is_there, "one place for each"),
        (only_the_list, "wanted are two things"),
        (emptying, "changes files"),
        (
            lambda folder, count: (collected(folder, count)[0], {key: [None, 1] for key in WHAT}),
            "'unreadable' should list",
        ),
        (tidying, "adds, removes or changes files"),
        (lambda folder, count: ([None] * count, {}), "should have the keys"),
    ],
    "17.3": [
        (nothing, "returns nothing"),
        (mean_of_means, "mean of means"),
        (summed, "sum of the gradients"),
        (not_divided, "sum over all pictures"),
        (with_nan, "mean of nothing"),
        (spoiling, "changes the gradients"),
        (popping_counts, "changes the counts"),
        (one_array, "one gradient for each weight"),
        (lambda gradients, counts: [np.zeros(3), np.zeros(3)], "has the shape"),
        (lambda gradients, counts: [{}, "text"], "no array of numbers"),
        (lambda gradients, counts: [0 * gradient for gradient in gradients[0]], "not the gradient of the mean loss"),
    ],
    "17.4": [
        (nothing, "returns nothing"),
        (partial(halve, again=True), "from their beginning again"),
        (partial(halve, rank="end"), "would have been stopped"),
        (partial(halve, rank="best"), "not by the best one so far"),
        (partial(halve, down=True), "rounded up"),
        (partial(halve, place=True), "whole list"),
        (higher_of_equals, "Of equal points"),
        (halve_with_ties, "Of equal points"),
        (partial(halve_with_ties, turned=True), "Of equal points"),
        (partial(halve, rank="next"), "one epoch ahead"),
        (partial(halve, rank="worst"), "the *worse* half"),
        (lambda curves, first: halve(curves, first)[::-1], "changed places"),
        (the_whole_grid, "trains all points to the end"),
        (not_to_the_end, "epochs are trained; you count"),
        (the_accuracy, "two whole numbers"),
    ],
    "17.5": [
        (nothing, "returns nothing"),
        (in_the_given_order, "the target is"),
        (sorted_in_turns, "the target is"),
        (costs_instead, "Their costs?"),
        (one_forgotten, "planned once"),
        (from_one_on, "is no number of a point"),
        (one_list, "one and the same"),
        (without_idle_workers, "one list for each worker"),
        (an_order, "one list for each worker"),
        (lambda costs, workers: list(range(workers)), "In the place of a worker's list"),
        (sorting_in_place, "changes the list of costs"),
    ],
}
