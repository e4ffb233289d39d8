"""The rule for differences, and the lines and tables that show it: paired, with its error, at least two of them."""

import json

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from helpers.files import seeds_tables
from helpers.notebook import claim, paired_difference, report_training, session, standard_error
from helpers.notebook.records import CLAIM_TYPE, TRAINING_TYPE
from helpers.profiles import PROFILES


@pytest.fixture(autouse=True)
def notebook():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def right(only_first, only_second, both=500, none=400):
    """Answers of two models, by what they have in common."""
    counts = (only_first, only_second, both, none)
    return np.repeat([True, False, True, False], counts), np.repeat([False, True, True, False], counts)


@pytest.mark.parametrize(
    ("only_first", "only_second", "verb"),
    [(40, 10, "beats"), (10, 40, "loses to"), (30, 25, "ties with"), (0, 0, "ties with"), (300, 300, "ties with")],
)
def test_only_pictures_with_one_right_answer_decide(only_first, only_second, verb):
    difference = paired_difference(*right(only_first, only_second))
    assert (difference.first_only, difference.second_only) == (only_first, only_second)
    assert difference.mean == pytest.approx((only_first - only_second) / difference.pairs)
    assert difference.verdict("a", "b").startswith(f"a {verb} b: ")
    assert (difference.beats(), difference.loses(), difference.ties()).count(True) == 1


def test_the_error_is_nearly_that_of_mcnemars_test():
    difference = paired_difference(*right(25, 10))
    assert difference.mean / difference.error == pytest.approx((25 - 10) / (25 + 10) ** 0.5, rel=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_the_rule_errs_in_about_one_of_twenty_draws(seed):
    """Of two equally good models, about 5 % of the draws of pictures call one better, and no more with few pairs."""
    rng = np.random.default_rng(seed)
    for pairs in (5, 20, 1000):
        clear = [not paired_difference(*rng.normal(0, 1, (2, pairs))).ties() for _ in range(400)]
        assert 0.01 < np.mean(clear) < 0.10


def test_a_margin_counts_against_the_lead():
    difference = paired_difference(*right(100, 10))
    assert difference.beats() and difference.beats(by=0.05) and not difference.beats(by=0.08)
    other = paired_difference(*right(10, 100))
    assert other.loses(by=0.05) and not other.loses(by=0.08)


def test_few_pairs_need_more_than_two_errors():
    accuracies = np.array([0.70, 0.71, 0.72, 0.69, 0.70])
    assert paired_difference(accuracies, accuracies[::-1]).limit == pytest.approx(2.776, abs=0.01)
    assert paired_difference(*right(25, 10)).limit == 2


@pytest.mark.parametrize("pair", [(0.8, 0.7), ([0.8], [0.7]), ([1, 0, 1], [1, 0]), (np.ones((3, 2)), np.ones((3, 2)))])
def test_what_is_not_paired_is_refused(pair):
    with pytest.raises(ValueError, match=r"same length.*argmax"):
        paired_difference(*pair)


def test_the_error_of_one_accuracy():
    assert standard_error(0.5, 100) == pytest.approx(0.05)


def shown(function, *arguments):
    with capture_output() as captured:
        function(*arguments)
    return captured.outputs[0].data


def test_a_claim_shows_its_difference_in_points_and_records_it():
    lead = paired_difference(*right(40, 10))
    data = shown(claim, "a beats b", lead.beats(), {"lead": lead})
    assert "(lead +3.2 ± 0.7 points)" in data["text/plain"]
    assert data[CLAIM_TYPE]["evidence"] == {"lead": {"difference": round(lead.mean, 5), "error": round(lead.error, 5)}}


def test_a_claim_shows_what_many_seeds_gave(monkeypatch, tmp_path):
    values = [{"difference": mean, "error": 0.01} for mean in (0.01, 0.02, 0.06)]
    entry = {"claim": "a beats b", "held": [True, True, False], "evidence": {"lead": [*values], "b": [0.5, 0.6, 0.7]}}
    table = {"profile": "mini", "lessons": {"03_a": {"key": "", "seeds": [0, 1, 2], "claims": [entry]}}}
    (tmp_path / "seeds-mini.json").write_text(json.dumps(table))
    monkeypatch.setattr(seeds_tables, "SEEDS_TABLES", tmp_path)
    monkeypatch.setattr(session, "chosen_profile", PROFILES["mini"])
    text = shown(claim, "a beats b", True, {"b": 0.5})["text/plain"]
    assert "Recorded, with 3 seeds: held in 2 of 3; lead +3.0 ± 1.5 points, from +1.0 to +6.0." in text
    assert "Recorded" not in shown(claim, "b beats a", True, {"b": 0.5})["text/plain"]
    monkeypatch.setattr(session, "chosen_profile", PROFILES["cifar10-cpu"])
    assert "Recorded" not in shown(claim, "a beats b", True, {"b": 0.5})["text/plain"]


def test_a_training_says_when_it_was_best_and_why_it_stopped():
    metrics = {"val_loss": [1.0, 0.8, 0.9], "val_accuracy": [0.5, 0.61, 0.62]}
    data = shown(report_training, "small", metrics, "early stopping, patience 1")
    assert data["text/plain"] == (
        "small: 3 epochs, validation loss lowest after epoch 2 (0.800, accuracy 0.610); "
        "stopped by: early stopping, patience 1"
    )
    assert data[TRAINING_TYPE]["val_loss"] == [1.0, 0.8, 0.9]
    with pytest.raises(ValueError, match="validation_data"):
        report_training("small", {"loss": [1.0]}, "schedule: falls to 0")
