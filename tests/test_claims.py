import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from helpers.notebook.claims import claim
from helpers.notebook.plots import new_figure, show
from helpers.notebook.records import CLAIM_TYPE


@pytest.fixture(scope="module", autouse=True)
def notebook():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def shown(*arguments):
    with capture_output() as captured:
        claim(*arguments)
    (output,) = captured.outputs
    return output.data


def test_a_claim_is_shown_and_recorded():
    data = shown("a beats b", np.bool_(True), {"a": np.float32(0.75), "b": 0.5, "n": np.int64(3)})
    assert data["text/plain"] == "✔ a beats b (a 0.75, b 0.5, n 3)"
    record = {"claim": "a beats b", "held": True, "evidence": {"a": 0.75, "b": 0.5, "n": 3}}
    assert data[CLAIM_TYPE] == record


def test_a_claim_that_does_not_hold_says_so():
    data = shown("a < b", False, {"a": 2})
    assert data["text/plain"].startswith("✘ a < b") and "does not show it" in data["text/plain"]
    assert "a &lt; b" in data["text/html"]
    assert data[CLAIM_TYPE]["held"] is False


@pytest.mark.parametrize(("held", "evidence"), [(1, {"a": 1}), (None, {"a": 1}), (True, {}), (True, "good")])
def test_a_claim_needs_a_truth_value_and_evidence(held, evidence):
    with pytest.raises(TypeError, match=r"True or False|at least one figure"):
        claim("a", held, evidence)


def test_a_figure_carries_its_alt_text():
    figure, _ = new_figure()
    with capture_output() as captured:
        show(figure, "nothing to see")
    assert captured.outputs[0].metadata["image/png"]["alt"] == "nothing to see"
    with pytest.raises(ValueError, match="alt text"):
        show(figure, " ")
