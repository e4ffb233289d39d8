import pytest

from helpers import profiles
from helpers.data.datasets import load_data
from helpers.models.backbones import build_backbone
from helpers.notebook.session import begin
from helpers.profiles import PROFILES, UnknownProfileError, choose_profile


def test_asked_for():
    assert choose_profile("cifar10-cpu")[0].name == "cifar10-cpu"


def test_variable_decides_for_auto(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "cifar10-cpu")
    profile, reason = choose_profile("auto")
    assert profile.name == "cifar10-cpu" and "COURSE_PROFILE" in reason


@pytest.mark.parametrize(("gpu", "name"), [(True, "cifar10-gpu"), (False, "mini")])
def test_device_decides_for_auto(monkeypatch, gpu, name):
    monkeypatch.delenv("COURSE_PROFILE")
    monkeypatch.setattr(profiles, "_gpu_is_visible", lambda: gpu)
    assert choose_profile("auto")[0].name == name


@pytest.mark.parametrize("name", ["maxi", "", "MINI "])
def test_unknown_name_lists_the_names(name):
    with pytest.raises(UnknownProfileError, match="auto, " + ", ".join(PROFILES)):
        choose_profile(name)


def test_unknown_name_in_the_variable(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "maxi")
    with pytest.raises(UnknownProfileError, match="maxi"):
        choose_profile("auto")


@pytest.mark.parametrize(("profile", "seed"), [(3, 0), ("mini", "0"), ("mini", 1.0), ("mini", True), ("mini", -1)])
def test_parameters_of_the_wrong_type(profile, seed):
    with pytest.raises(TypeError, match="must be"):
        begin(profile, seed)


def test_a_name_will_do():
    assert load_data("mini").name == "emoji10"
    assert build_backbone("mobilenet", "mini").name == "mini_mobilenet"
    with pytest.raises(UnknownProfileError):
        load_data("maxi")


def test_begin_says_what_will_run(capsys):
    begin("mini", 7)
    line = capsys.readouterr().out
    assert all(word in line for word in ("mini", "emoji10", "mini_mobilenet", "CPU", "seed 7"))
