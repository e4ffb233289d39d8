"""The page "Teach it yourself": its JavaScript against Keras and scikit-learn, and what its file holds."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from course import TEMPLATES, CourseError
from course.site.teach import (
    EXAMPLES,
    HELD,
    accuracy_of,
    describe_network,
    features_of,
    gallery,
    write_teach_page,
)

CODE = TEMPLATES / "teach"
CURVE = """(({ examples, held }) => {
  let count = 0;
  const places = (lists) => lists.map((vectors) => vectors.map(() => count++));
  const curve = code.learningCurve(code.productsOf([...examples, ...held].flat()), places(examples), places(held));
  return Object.fromEntries(Array.from(curve, (point) => [point.count, point.accuracy]));
})(given)"""
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@pytest.fixture
def site(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "03_a_lesson.html").touch()
    return tmp_path


def run_in_node(file, expression, given):
    """Return the value of an expression that uses ``code``, what a file exports, and ``given``."""
    script = f"""
      const code = require({json.dumps(str(CODE / file))});
      const given = JSON.parse(require("fs").readFileSync(0));
      console.log(JSON.stringify({expression}));"""
    command = ["node", "--eval", script]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_node
def test_the_features_of_the_page_are_those_of_keras():
    images = gallery().reshape(-1, 32, 32, 3)[:50]
    given = {"network": describe_network(), "pictures": images.reshape(50, -1).tolist()}
    forward = "Array.from(code.forward(network, picture).features)"
    expression = f"((network) => given.pictures.map((picture) => {forward}))(code.makeNetwork(given.network))"
    assert np.abs(np.array(run_in_node("network.js", expression, given)) - features_of(images)).max() < 1e-4


@needs_node
def test_a_random_network_is_the_same_each_time():
    given = {"network": describe_network() | {"weights": None}, "picture": gallery()[0, 0].ravel().tolist()}
    twice = "[1, 1, 2].map((seed) => code.forward(code.makeNetwork(given.network, seed), given.picture).features[0])"
    first, again, other = run_in_node("network.js", twice, given)
    assert first == again != other


@needs_node
@pytest.mark.parametrize(("classes", "counts"), [((0, 2, 5), range(1, 6)), ((1, 3, 4, 7, 9), (1, 12))], ids=str)
def test_the_curve_is_that_of_scikit_learn(classes, counts):
    pictures = gallery()[list(classes)]
    vectors = features_of(pictures.reshape(-1, 32, 32, 3)).reshape(*pictures.shape[:2], -1)
    given = {"examples": vectors[:, : max(counts)].tolist(), "held": vectors[:, EXAMPLES:].tolist()}
    curve = run_in_node("learning.js", CURVE, given)
    assert list(curve) == [str(count) for count in (1, 2, 3, 4, 5, 7, 10, 12) if count <= max(counts)]
    for count in counts:
        assert abs(curve[str(count)] - accuracy_of(vectors.astype("float64"), count)) < 0.02


@needs_node
def test_classes_without_held_out_pictures_are_judged_by_leaving_one_of_each_out():
    near = [[[0, 1], [0, 1.1], [0.1, 1]], [[1, 0], [1.1, 0], [0, 1.05]]]  # the last one lies among the others
    curve = run_in_node("learning.js", CURVE, {"examples": near, "held": [[], []]})
    assert list(curve) == ["1", "2"] and curve["2"] == pytest.approx(5 / 6)


@needs_node
def test_classes_that_cannot_be_told_apart_get_what_guessing_gets():
    noise = np.random.default_rng(0).normal(size=(2, 20, 300)).tolist()
    curve = run_in_node("learning.js", CURVE, {"examples": noise, "held": [[], []]})
    assert curve["19"] == pytest.approx(0.5, abs=0.25)
    same = [[[1, 2]] * 4] * 4
    curve = run_in_node("learning.js", CURVE, {"examples": same, "held": [[], [], [], []]})
    assert curve == {"1": 0.25, "2": 0.25, "3": 0.25}


@needs_node
def test_classes_count_alike_whatever_judges_them():
    examples = [[[0, 1], [0, 1.1]], [[1, 0], [1.1, 0]]]
    held = [[[0, 1.2], [0, 1.3], [1, 0], [1, 0.1]], []]  # half of them look like the other class
    given = {"examples": examples, "held": held}
    assert run_in_node("learning.js", CURVE, given) == {"1": 0.75}


@needs_node
def test_own_classes_with_one_example_are_not_judged():
    assert run_in_node("learning.js", CURVE, {"examples": [[[0, 1]], [[1, 0]]], "held": [[], []]}) == {}


def test_the_page_is_one_file_that_asks_nobody(site):
    page = write_teach_page(site).read_text(encoding="utf-8")
    assert page.count("</script>") == page.count("<script") == 5
    assert not re.findall(r"""(?:src|href)=["']?https?:""", page) and "import(" not in page and "fetch(" not in page
    assert gallery().shape == (10, EXAMPLES + HELD, 32, 32, 3)
    assert len(page) < 2e6


def test_a_site_without_the_lesson_is_refused(tmp_path):
    with pytest.raises(CourseError, match=r"teach\.html links to lessons that the site lacks: 03_"):
        write_teach_page(tmp_path)
