"""Which family a network learns from."""

import pytest

from pipeline.config.reader import load_params
from pipeline.config.search_rules import list_dimensions
from pipeline.config.teachers import find_embedded, find_teacher, list_trained
from tests.pipeline.config.conftest import ABSENT, refusal

DISTILL = "recipes.overfit.distill"


def test_as_delivered_one_family_has_a_teacher_which_is_else_as_that_without(project):
    params = load_params(project.folder / "params.yaml")
    taught = {name: find_teacher(recipe) for name, recipe in params.recipes.items() if find_teacher(recipe)}
    assert taught == {"resnet_fast_distilled": "efficientnet_lite0"}
    both = [params.recipes[name].model_dump(exclude={"distill"}) for name in ("resnet_fast", "resnet_fast_distilled")]
    assert both[0] == both[1]
    assert find_embedded(params, "overfit") == "overfit"
    assert list_trained(params) == params.families


def test_a_network_may_learn_from_any_family_on_a_backbone(change):
    params = load_params(change(f"{DISTILL}.teacher", "mobilenet_svm"))
    assert find_teacher(params.recipes["overfit"]) == find_embedded(params, "overfit") == "mobilenet_svm"
    assert list_trained(params) == [*params.families, "mobilenet_svm"]


def test_a_params_yaml_from_before_them_has_none(change):
    params = load_params(change("recipes.defaults.network.distill", ABSENT, "recipes.resnet_fast_distilled", ABSENT))
    assert find_teacher(params.recipes["overfit"]) is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"teacher": "mobilnet"}, f"{DISTILL}.teacher: no family is called 'mobilnet': did you mean mobilenet or"),
        ({"teacher": "overfit"},
         f"{DISTILL}.teacher: overfit can't be its own teacher: expected a family on a backbone, such as efficientnet_lite0, "
         "or null, received overfit"),
        ({"teacher": "linear_svm"},
         f"{DISTILL}.teacher: linear_svm has no backbone, whose features would be cached: expected a family on a backbone, "
         "such as efficientnet_lite0, or null, received linear_svm"),
        ({"weight": 1.5}, f"{DISTILL}.weight: expected less than or equal to 1, received 1.5"),
        ({"weight": -0.1}, f"{DISTILL}.weight: expected greater than or equal to 0, received -0.1"),
        ({"temperature": 0}, f"{DISTILL}.temperature: expected greater than 0, received 0"),
    ],
)  # fmt: skip
def test_others_are_refused(change, changes, line):
    assert refusal(
        change(*(part for key, value in changes.items() for part in (f"{DISTILL}.{key}", value)))
    ).startswith(line)


def test_what_is_wrong_with_a_teacher_is_found_though_it_is_not_trained_for_itself(change):
    file = change(f"{DISTILL}.teacher", "mobilenet", "recipes.mobilenet.features", [99])
    assert refusal(file).startswith("recipes.mobilenet.features: mobilenet has no block 99")


def test_a_family_on_a_backbone_learns_from_labels_alone(change):
    line = refusal(change("recipes.mobilenet.distill.teacher", "vgg16"))
    assert line.startswith("recipes.mobilenet.distill")


def test_a_search_varies_weight_and_temperature_and_nothing_that_the_teachers_features_depend_on(change):
    space = {
        "recipes": {"overfit": {"distill": {"weight": [0.3, 0.7], "teacher": ["vgg16", "mobilenet"]}}},
        "train": {"learning_rate": [0.1, 0.2], "augment": {"zoom": [0.0, 0.1]}},
    }
    params = load_params(change(f"{DISTILL}.teacher", "mobilenet", "search.space", space))
    names = {dimension.name for dimension in list_dimensions(params, "overfit")}
    assert names == {"recipes.overfit.distill.weight", "train.learning_rate"}
