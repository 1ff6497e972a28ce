import json

import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import SETTINGS
from stages.check import check


def settings(purpose: str, family: str) -> bytes:
    return (SETTINGS / purpose / f"{family}.json").read_bytes()


@pytest.fixture
def checked(project):
    project.set(families=["linear_svm", "optimized", "efficientnet_lite0", "efficientnet_lite0_svm"])
    check()
    return project


def changed(project, **values) -> set[str]:
    """Files below data/settings whose bytes differ once parameters have other values."""
    before = {file: file.read_bytes() for file in SETTINGS.rglob("*") if file.is_file()}
    project.set(**values)
    check()
    return {str(file.relative_to(SETTINGS)) for file, content in before.items() if file.read_bytes() != content}


@pytest.mark.usefixtures("checked")
def test_each_family_has_its_settings():
    recipe = json.loads(settings("train", "optimized"))["recipe"]
    assert recipe["optimizer"] == "adam"
    assert "train/linear_svm.json" in {str(file.relative_to(SETTINGS)) for file in SETTINGS.rglob("*.json")}


def test_checking_twice_gives_the_same_bytes(checked):
    assert changed(checked) == set()


def test_a_parameter_of_no_recipe_changes_nothing(checked):
    assert changed(checked, preprocess__num_shards=7, evaluate__outside_path=None) == set()


def test_a_dropout_for_all_changes_what_has_a_dropout(checked):
    assert changed(checked, train__dropout=0.25) == {"train/optimized.json", "train/efficientnet_lite0.json"}


def test_a_recipe_changes_its_family_only(checked):
    assert changed(checked, recipes__optimized__batch_size=8) == {"train/optimized.json"}


def test_a_backbone_changes_the_machine_on_its_features_too(checked):
    assert changed(checked, recipes__efficientnet_lite0__input_size=96) == {
        f"{purpose}/{family}.json"
        for purpose in ("embed", "train")
        for family in ("efficientnet_lite0", "efficientnet_lite0_svm")
    }


def test_a_seed_of_training_embeds_nothing_anew(checked):
    assert not {name for name in changed(checked, train__seed=7) if name.startswith("embed")}


def test_what_other_stages_wait_for_is_always_the_same(checked):
    before = (SETTINGS / "checked").read_bytes()
    changed(checked, train__dropout=0.25)
    assert (SETTINGS / "checked").read_bytes() == before


@pytest.mark.parametrize(("name", "value"), [("train__dropout", 1.5), ("split__seed", "x"), ("search__trials", 0)])
def test_one_wrong_value_anywhere_refuses_all_and_leaves_what_was_there(checked, name, value):
    before = settings("train", "optimized")
    checked.set(**{name: value})
    with pytest.raises(PipelineError, match=name.replace("__", ".")):
        check()
    assert settings("train", "optimized") == before
