"""Real CIFAR-10 with ImageNet weights: a small check always, the whole lessons with ``make test-real``."""

from dataclasses import replace

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import helpers.quiet  # noqa: F401
from course.run.lessons import find_lessons, result_of, run_of
from helpers.data.datasets import load_data
from helpers.execution import Store, run_many
from helpers.models.backbones import build_backbone
from helpers.models.features import extract_features
from helpers.profiles import PROFILES

import keras


@pytest.mark.slow
def test_frozen_features_on_2000_real_pictures(bundle, no_network):
    profile = replace(PROFILES["cifar10-cpu"], train_size=2000, validation_size=500, test_size=1000)
    data = load_data(profile)
    backbone = build_backbone(profile.backbone, profile)
    extractor = keras.Sequential([backbone.model, keras.layers.GlobalAveragePooling2D()])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    model.fit(extract_features(extractor, data.x_train), data.y_train)
    assert model.score(extract_features(extractor, data.x_test), data.y_test) > 0.6


@pytest.mark.real
@pytest.mark.parametrize("lesson", find_lessons(), ids=lambda path: path.stem)
def test_claims_hold_on_real_data(bundle, lesson, tmp_path):
    ((run, outcome),) = run_many([run_of(lesson, "cifar10-cpu", tmp_path)], Store(tmp_path / "store"), jobs=1)
    result = result_of(run, outcome)
    assert result["error"] is None
    assert [claim for claim in result["claims"] if not claim["held"]] == []
    assert result["cpu_seconds"] < 1200  # 10 minutes of 2 cores
