"""Banks of answers, a file for each exercise: right answers of several kinds pass, typical wrong ones are told why.

The answers are in ``tests/answers``.
"""

import importlib

import pytest

from helpers.checks import check
from helpers.checks.progress import read_done


def bank_of(exercise):
    """Return two test functions for an exercise, such as "03": of its right answers, and of its wrong ones."""
    bank = importlib.import_module(f"tests.answers.exercise_{exercise}")
    right = [(number, answer) for number, answers in bank.RIGHT.items() for answer in answers]
    wrong = [(number, *case) for number, cases in bank.WRONG.items() for case in cases]

    @pytest.mark.slow
    @pytest.mark.parametrize(("number", "answer"), right)
    def test_right_answers_pass(number, answer, capsys):
        check(number, *given(answer))
        output = capsys.readouterr()
        assert f"✔ {number} " in output.out and "✘" not in output.err, output
        assert number in read_done(), read_done()

    @pytest.mark.slow
    @pytest.mark.parametrize(("number", "answer", "message"), wrong)
    def test_wrong_answers_are_told_what_is_wrong(number, answer, message, capsys):
        check(number, *given(answer))
        output = capsys.readouterr()
        assert f"✘ {number} " in output.err and message in output.err and "✔" not in output.out, output
        assert number not in read_done(), read_done()

    return test_right_answers_pass, test_wrong_answers_are_told_what_is_wrong


def given(answer):
    return answer if isinstance(answer, tuple) else (answer,)
