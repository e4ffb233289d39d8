"""The rule of lesson 14 that names labels, beside cleanlab, which is no part of the course: where it is installed."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

LESSON = Path(__file__).resolve().parent.parent / "notebooks" / "14_errors_labels_classes.ipynb"


def function_of_the_lesson(name, **values):
    """Return a function that a cell of the lesson defines."""
    for cell in json.loads(LESSON.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code" and f"def {name}(" in (source := "".join(cell["source"])):
            found = [node for node in ast.parse(source).body if getattr(node, "name", "") == name]
            exec(compile(ast.Module(found, []), name, "exec"), values)
            return values[name]
    raise AssertionError(f"no cell defines {name}")


@pytest.mark.parametrize("seed", range(5))
def test_the_lesson_names_what_cleanlab_names(seed):
    cleanlab = pytest.importorskip("cleanlab.filter", reason="cleanlab is not installed: pip install cleanlab")
    random = np.random.default_rng(seed)
    true = random.permutation(np.repeat(range(4), (150, 120, 80, 50)))
    x = random.normal(size=(400, 5)) + 1.5 * np.eye(4, 5)[true]
    labels = np.where(random.random(400) < 0.15, random.integers(0, 4, 400), true)
    given = cross_val_predict(LogisticRegression(), x, labels, cv=5, method="predict_proba")
    ours = function_of_the_lesson("named_by", np=np, class_count=4)(given, labels)
    theirs = cleanlab.find_label_issues(labels, given, filter_by="confident_learning", n_jobs=1)
    assert ours.sum() > 10 and np.array_equal(ours, theirs)
