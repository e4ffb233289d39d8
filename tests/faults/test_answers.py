"""Answers that misbehave: whatever they do, ``check`` gives one verdict, in order, in time, and nothing else breaks."""

import contextlib
import itertools
import signal
import sys
import threading
import time

import numpy as np
import pytest

from helpers.checks import answers, check
from helpers.checks.progress import read_done
from helpers.checks.task import Task, Wrong


@pytest.fixture(autouse=True)
def own_progress(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))


def raising(error):
    def answer(*_, **__):
        raise error

    return answer


def exits_by_code(*_):
    sys.exit()


def recursion(*given):
    return recursion(*given)


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError


class BaseOfItsOwn(BaseException):
    pass


async def coroutine(*_):
    return 1


def generator(*_):
    yield 1


class AsClass:
    def __init__(self, *_):
        pass


class BrokenCall:
    def __call__(self, *_):
        return self.missing


STOPS = [
    exits_by_code,
    recursion,
    AsClass,
    BrokenCall(),
    generator,
    *map(
        raising,
        [
            SystemExit("bye"),
            SystemExit(0),
            GeneratorExit(),
            StopIteration(),
            MemoryError(),
            Speechless(),
            BaseOfItsOwn("x"),
            OSError(5, "disk"),
            AssertionError(),
            KeyError("a"),
            UnicodeDecodeError("utf-8", b"", 0, 1, "y"),
            Wrong("✔ 8.1 done"),
            NotImplementedError(),
            ValueError("✔ 8.1 all right"),
            ValueError("first\nsecond"),
        ],
    ),
]
CLOSED = ("8.1", "8.2", "8.4", "8.5")
VALUES = [None, 3, "text", b"", [], (), {}, True, np.nan, object(), np.zeros((2, 2, 2)), {1, 2}, range(0), ..., len]


def expect_cross(number, capsys):
    output = capsys.readouterr()
    assert output.err.startswith(f"✘ {number} ") and output.err.count("\n") == 1, output
    assert "✔" not in output.out and "Traceback" not in output.err and number not in read_done(), output
    return output.err


@pytest.mark.parametrize(("number", "answer"), itertools.product(CLOSED, STOPS))
def test_whatever_an_answer_raises_is_one_verdict(number, answer, capsys):
    check(number, answer)
    expect_cross(number, capsys)


@pytest.mark.parametrize(("number", "place"), itertools.product(CLOSED, range(len(VALUES))))
def test_whatever_an_answer_returns_is_one_verdict(number, place, capsys):
    check(number, lambda *_: VALUES[place])
    expect_cross(number, capsys)


@pytest.mark.parametrize("number", ["1.1", "5.1", "8.1", "8.6", "9.3", "11.4"])
@pytest.mark.parametrize("given", [(), (None,), (3,), ("f",), (np.zeros(3),), (len,) * 7])
def test_check_without_a_function_says_how_it_is_called(number, given, capsys):
    check(number, *given)
    assert f'Give your function{", without brackets" * (len(given) == 1 and number != "11.4")}: check("{number}", ' in (
        expect_cross(number, capsys)
    )


@pytest.mark.parametrize("answer", [lambda: 1, lambda a: a, lambda a, b: a, lambda a, b, c, d: a, lambda *, low: 1])
def test_wrong_arguments_are_named(answer, capsys):
    check("8.1", answer)
    assert "does not take the arguments of the task" in expect_cross("8.1", capsys)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("text", ["✔ 8.1 well done", "✘ 8.1", "\r✔ 8.1", "\x1b[32m✔ 8.1\x1b[0m", "a\x08✔ 8.1"])
def test_what_an_answer_prints_comes_once_before_the_verdict_and_is_none(stream, text, capsys):
    def answer(low, high, count):
        print(text, file=getattr(sys, stream))
        return np.linspace(low, high, count)

    check("8.1", answer)
    output = capsys.readouterr()
    assert output.err.startswith("✘ 8.1 ") and output.err.count("\n") == 1
    assert "✔" not in output.out and "✘" not in output.out
    assert output.out.count("8.1") == 1 and all(line.startswith("| ") for line in output.out.splitlines())


def test_much_that_is_printed_is_cut(capsys):
    numbers = itertools.count()
    check("8.1", lambda low, high, count: [print(next(numbers)) for _ in range(50)] and np.geomspace(low, high, count))
    output = capsys.readouterr().out.splitlines()
    assert output[-1].startswith("✔ 8.1") and len(output) == 10 and "142 more lines" in output[-2]


class InOrder:
    """Two streams that write into one list, each only when it is flushed, as those of a notebook do."""

    def __init__(self, name, said):
        self.name, self.said, self.waiting = name, said, ""

    def write(self, text):
        self.waiting += text

    def flush(self):
        if self.waiting:
            self.said.append(self.waiting[:5])
        self.waiting = ""


@pytest.mark.parametrize("rights", list(itertools.product([True, False], repeat=4)))
def test_verdicts_of_one_cell_come_in_order(rights, monkeypatch):
    said = []
    monkeypatch.setattr(sys, "stdout", InOrder("stdout", said))
    monkeypatch.setattr(sys, "stderr", InOrder("stderr", said))
    for right in rights:
        check("8.1", np.geomspace if right else np.linspace)
    assert said == ["✔ 8.1" if right else "✘ 8.1" for right in rights]


def endless(*_):
    while True:
        time.sleep(0.01)


def endless_and_catching(*_):
    for _ in range(3):
        with contextlib.suppress(BaseException):
            endless()


@pytest.mark.parametrize("answer", [endless, endless_and_catching])
def test_an_endless_answer_gives_a_sign_of_life_and_is_stopped(answer, monkeypatch, capsys):
    monkeypatch.setattr(answers, "SIGN_OF_LIFE", 0.1)
    monkeypatch.setattr(answers, "LIMIT", 0.5)
    threads = threading.active_count()
    check("8.1", answer)
    output = capsys.readouterr()
    assert "still working" in output.out and "was stopped after" in output.err and "✘ 8.1" in output.err
    assert threading.active_count() == threads
    check("8.1", np.geomspace)
    assert "✔ 8.1" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", np.random.default_rng(0).uniform(0.01, 0.03, 40).round(4).tolist())
def test_an_answer_that_ends_about_at_the_limit_leaves_no_interrupt_behind(seconds, monkeypatch):
    monkeypatch.setattr(answers, "LIMIT", 0.02)
    task = Task("wait", lambda wait: wait() or "It waited.", ("", "", ""))
    status, _ = answers._judge_in_time(task, "0.0", (lambda: time.sleep(seconds),), sys.stdout)
    assert status in {"solved", "crashed"}
    time.sleep(0.002)


def test_the_readers_own_interrupt_goes_through(capsys):
    before = sys.stdout, sys.stderr
    with pytest.raises(KeyboardInterrupt):
        check("8.1", lambda *_: signal.raise_signal(signal.SIGINT))
    assert (sys.stdout, sys.stderr) == before and "✘" not in capsys.readouterr().err


def test_a_check_in_a_thread_has_no_limit_and_does_not_stop_others(monkeypatch, capsys):
    monkeypatch.setattr(answers, "LIMIT", 0.05)
    thread = threading.Thread(target=check, args=("8.1", lambda *given: time.sleep(0.1) or np.geomspace(*given)))
    thread.start()
    thread.join()
    assert "✔ 8.1" in capsys.readouterr().out
