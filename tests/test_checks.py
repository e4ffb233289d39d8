"""The checks of the exercises as a whole; their banks of right and wrong answers are in ``tests/banks``."""

import importlib
import json
import os
import subprocess
import sys
import time

import pytest

import helpers.quiet  # noqa: F401
from helpers.checks import check, hint, progress
from helpers.checks.answers import EXERCISES, UnknownTaskError, tasks_of
from helpers.checks.progress import mark_done, progress_file, read_done

BANKS = {exercise: importlib.import_module(f"tests.answers.exercise_{exercise}") for exercise in EXERCISES}


@pytest.fixture(autouse=True)
def own_progress(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))


@pytest.mark.parametrize("exercise", EXERCISES)
def test_each_task_has_a_bank_and_three_hints(exercise, capsys):
    tasks, bank = tasks_of(exercise), BANKS[exercise]
    assert 4 <= len(tasks) <= 6
    for number, task in tasks.items():
        assert len(bank.RIGHT[number]) >= 2 and len(bank.WRONG[number]) >= 3, number
        assert len(set(task.hints)) == 3
        for step in (1, 2, 3, 1):
            hint(number)
            assert f"Hint {step} of 3 for {number}: {task.hints[step - 1]}" in capsys.readouterr().out


def test_an_answer_that_crashes_gets_the_exercises_words_and_its_own_last_line(capsys):
    def crashing(base):
        return base.no_such_thing

    check("3.1", crashing)
    message = capsys.readouterr().err
    assert "cut off the top" in message and "base.no_such_thing" in message and "AttributeError: " in message
    assert "Traceback" not in message and len(message.splitlines()) == 1


def test_the_line_is_the_learners_not_pythons(capsys):
    import random

    check("8.1", lambda low, high, count: random.sample([low, high], 5))
    said = capsys.readouterr().err
    assert "random.sample([low, high], 5)" in said and "raise" not in said


def test_the_reason_of_keras_is_not_lost_in_what_it_puts_around(capsys):
    import keras

    class Stops(keras.layers.Layer):
        def call(self, x):
            raise ValueError("of another size")

    def rates(low, high, count):
        return keras.Sequential([keras.Input((3,)), Stops()])

    check("8.1", rates)
    assert "ValueError: of another size" in capsys.readouterr().err


def test_a_bad_try_does_not_spoil_the_next(capsys):
    def in_place(model, images):
        images //= 128
        return model.predict(images, verbose=0).argmax(axis=1)

    check("1.3", in_place)
    assert "changes the pictures" in capsys.readouterr().err
    check("1.3", lambda model, images: model.predict(images, verbose=0).argmax(axis=1))
    assert "✔ 1.3" in capsys.readouterr().out


def test_an_untouched_task_says_so(capsys):
    def untouched(base):
        raise NotImplementedError("Exercise 3.1: cut off the top and pool the feature maps")

    check("3.1", untouched)
    assert "✘ 3.1 Not done yet: cut off the top" in capsys.readouterr().err
    check("3.2", lambda extractor, images: untouched(extractor))
    assert "✘ 3.2 Your code uses another task, which is not done yet. Exercise 3.1: cut off" in capsys.readouterr().err


def test_an_error_of_keras_is_not_taken_for_an_untouched_task(capsys):
    def model_without_call(base):
        raise NotImplementedError("Model NoCall does not have a `call()` method implemented.")

    check("3.1", model_without_call)
    assert "stopped with an error" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["3.9", "99.1", "three", 3.1])
def test_an_unknown_task_lists_the_known_ones(number):
    with pytest.raises(UnknownTaskError, match=r"known: .*\.1"):
        check(number, None)


def test_progress_counts_over_all_exercises(capsys):
    mark_done("3.1")
    mark_done("3.1")
    progress()
    output = capsys.readouterr().out
    assert "✔ 3.1  · 3.2" in output and "1 of " in output


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b'{"done": 3}', b"\xff\xfe\x00", b'{"done": [1, "3.2"]}'])
def test_a_file_of_garbage_is_no_problem(garbage, capsys):
    progress_file().write_bytes(garbage)
    progress()
    mark_done("3.1")
    assert "3.1" in read_done()
    assert "3.1" in json.loads(progress_file().read_text())["done"]


def test_a_folder_that_cannot_be_written_is_said_and_that_is_all(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "missing" / "progress.json"))
    mark_done("3.1")
    assert "cannot be kept" in capsys.readouterr().out


def test_progress_survives_being_killed_while_writing():
    code = "from helpers.checks.progress import mark_done\nimport itertools\nmark_done('3.1')\n"
    code += "for i in itertools.count(): mark_done(f'9.{i}')"
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
    deadline = time.monotonic() + 60  # for the imports, on a busy machine
    while not progress_file().exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.kill()
    process.wait(timeout=60)
    assert "3.1" in read_done()
