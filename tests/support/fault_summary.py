"""A pytest plugin: how many faults of ``tests/faults`` were tried and survived, by kind, at the end of the tests."""

from collections import Counter

# What a failed test of a file means, where it means more than a wrong message.
COSTS = {
    "caches": "wrong or lost data",
    "folders": "wrong or lost data",
    "hub_and_downloads": "wrong or lost data",
    "restart": "wrong or lost data",
    "lessons_surroundings": "wrong or lost data",
    "grading": "undeserved or lost marks",
    "answers": "wrong verdicts",
}


def pytest_terminal_summary(terminalreporter):
    tried, survived = Counter(), Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            place, _, name = report.nodeid.partition("::")[0].rpartition("test_")
            if place == "tests/faults/" and (report.when == "call" or outcome == "failed"):
                kind = name.removesuffix(".py")
                tried[kind] += 1
                survived[kind] += outcome == "passed"
    if not tried:
        return
    lost = Counter()
    for kind, count in tried.items():
        if kind in COSTS:
            lost[COSTS[kind]] += count - survived[kind]
    terminalreporter.section("faults of use and hostile submissions")
    for kind in sorted(tried):
        terminalreporter.write_line(f"{kind.replace('_', ' '):24}{survived[kind]:5} of {tried[kind]} survived")
    costs = ", ".join(f"{what} {count}" for what, count in lost.items())
    costs = f"; {costs}" if costs else ""
    terminalreporter.write_line(f"{'all':24}{survived.total():5} of {tried.total()} survived{costs}")
