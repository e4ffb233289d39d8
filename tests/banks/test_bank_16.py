from helpers.checks import check
from tests.answers.exercise_16 import converted
from tests.banks import bank_of

test_right, test_wrong = bank_of("16")


def test_an_answer_that_changes_the_model_leaves_it_as_it_was_for_the_next(capsys):
    def spoiling(model, pictures):
        model.set_weights([0 * weight for weight in model.get_weights()])
        return converted(model, pictures)

    check("16.5", spoiling)
    assert "guesses" in capsys.readouterr().err
    check("16.5", converted)
    assert "✔ 16.5" in capsys.readouterr().out
