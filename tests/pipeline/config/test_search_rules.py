from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides

from pipeline.config.reader import load_params
from pipeline.config.search_rules import list_dimensions
from tests.pipeline.config.conftest import refusal

SPACE = {"train": {"dropout": [0.1, 0.2]}}


def nest(name: str, leaf: Any) -> dict[str, Any]:
    """A space of one parameter."""
    for part in reversed(name.split(".")):
        leaf = {part: leaf}
    return leaf


@pytest.fixture
def searched(project):
    """Sets families to search, what they may vary, and other parameters of search. beside: another family."""

    def write(
        space: Any = SPACE, *, families: tuple[str, ...] = ("underfit",), beside: str = "overfit", **others: Any
    ) -> Path:
        settings = {"families": list(families), "space": space} | others
        project.set(families=[*families, beside], train__width=None, **{f"search__{k}": v for k, v in settings.items()})
        return project.folder / "params.yaml"

    return write


def test_a_linear_machine_needs_a_space_of_its_own(searched):
    assert refusal(searched(families=("linear_svm",))) == (
        "search.space: there is nothing in it that linear_svm can vary: expected parameters such as recipes.linear_svm.C"
    )
    space = SPACE | {"recipes": {"linear_svm": {"C": {"low": 0.001, "high": 10.0, "log": True}}}}
    params = load_params(searched(space, families=("linear_svm",)))
    assert [dimension.name for dimension in list_dimensions(params, "linear_svm")] == ["recipes.linear_svm.C"]


def test_of_train_a_linear_machine_varies_the_weights_of_classes(searched, project):
    path = searched({"train": {"class_weight": ["none", "balanced"], "l2": [0.0, 0.1]}}, families=("linear_svm",))
    assert [dimension.name for dimension in list_dimensions(load_params(path), "linear_svm")] == ["train.class_weight"]
    path = searched({"recipes": {"linear_svm": {"class_weight": ["none", "balanced"]}}}, families=("linear_svm",))
    project.set(train__class_weight="balanced")
    assert "train.class_weight is 'balanced' and overrides it" in refusal(path)


@pytest.mark.parametrize("space", [{}, {"train": {}}, {"recipes": {"overfit": {"l2": [0.0, 0.1]}}}])
def test_an_empty_space_is_refused(searched, space):
    assert refusal(searched(space)) == (
        "search.space: there is nothing in it that underfit can vary: expected parameters such as train.learning_rate"
    )


def test_a_wrong_dimension_is_refused_before_any_work(searched):
    line = refusal(searched({"train": {"dropout": {"low": 0.5, "high": 0.1}}}))
    assert line == "search.space.train.dropout: expected low below high, received low 0.5 and high 0.1"


@pytest.mark.parametrize(
    ("section", "leaf", "words"),
    [
        ("dropout", {"low": 0.5, "high": 1.5}, "expected less than or equal to 0.9, received 1.5"),
        ("dropout", {"low": -0.1, "high": 0.5}, "expected greater than or equal to 0, received -0.1"),
        ("dropout", [0.1, "much"], "expected a valid number, received 'much'"),
        ("batch_size", {"low": 0, "high": 64}, "expected greater than or equal to 1, received 0"),
        ("batch_size", {"low": 8, "high": 64.5}, "expected a valid integer, received 64.5"),
        (
            "optimizer",
            ["adam", "adagrad"],
            "expected 'adam', 'adamw', 'rmsprop', 'sgd' or 'nesterov', received 'adagrad'",
        ),
        ("learning_rate", [0.0, 0.1], "expected greater than 0, received 0.0"),
    ],
)
def test_a_value_that_the_parameter_does_not_take_is_named_before_any_work(searched, section, leaf, words):
    assert refusal(searched({"train": {section: leaf}})) == f"search.space: train.{section}: {words}"


def test_so_is_a_wrong_size_of_the_familys_own(searched):
    space = {"recipes": {"searched_cnn": {"blocks": {"low": 0, "high": 3}}}}
    assert refusal(searched(space, families=("searched_cnn",))) == (
        "search.space: recipes.searched_cnn.blocks: expected greater than or equal to 1, received 0"
    )


def test_an_image_size_that_is_too_small_for_the_family_is_refused(searched):
    line = refusal(searched({"recipes": {"underfit": {"input_size": [15, 32]}}}))
    assert line.startswith(
        "search.space: underfit downsamples its images too often for this size: expected images of 16 px or more"
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("train.drop_out", "did you mean dropout?"),
        ("train.augment.turn", "expected one of brightness, contrast, crop, cutmix, erase, flip, "),
        ("recipes.searched_cn.blocks", "did you mean searched_cnn?"),
        ("recipes.underfit.blocks", "expected one of augment, "),
        ("recipes.defaults.network.dropout", "expected one of animals_cnn, "),
    ],
)
def test_a_parameter_that_does_not_exist_is_named(searched, name, hint):
    section = name.partition(".")[0]
    space = nest(name, [0.1])
    if section == "train":
        space["train"] |= SPACE["train"]
    assert refusal(searched(SPACE | space)).startswith(f"{name} is unknown: {hint}")


@pytest.mark.parametrize(
    ("family", "name"), [("underfit", "recipes.underfit.l2"), ("mobilenet_svm", "recipes.mobilenet_svm.C")]
)
def test_a_recipe_need_not_list_what_is_varied(searched, project, family, name):
    project.set(preprocess__image_size=64)
    params = load_params(searched(nest(name, [0.01, 0.1]), families=(family,)))
    assert [dimension.name for dimension in list_dimensions(params, family)] == [name]


@pytest.mark.parametrize(
    ("space", "name"),
    [
        ({"train": {"seed": [1, 2]}}, "train.seed"),
        ({"split": {"seed": [1, 2]}}, "split.seed"),
        ({"preprocess": {"image_size": [32, 64]}}, "preprocess.image_size"),
        ({"embed": {"views": [0, 1]}}, "embed.views"),
        ({"families": [1, 2]}, "families"),
        ({"train": [1, 2]}, "train"),
        ({"recipes": {"underfit": [1, 2]}}, "recipes.underfit"),
    ],
)
def test_what_a_trial_can_not_change_is_refused(searched, space, name):
    assert refusal(searched(space)) == (
        f"search.space.{name}: expected parameters under train (except train.seed) or recipes, which a trial can "
        f"change; try others with `dvc exp run --queue -S '{name}=…,…'`"
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [("l2", 0.01), ("l2", 0.0), ("augment.zoom", 0.1), ("schedule.kind", "constant"), ("epochs", 3)],
)
def test_a_recipes_value_that_train_overrides_can_not_vary(searched, project, path, value):
    file = searched(nest(f"recipes.underfit.{path}", [value]))
    load_params(file)
    project.set(**{f"train__{path.replace('.', '__')}": value})
    assert refusal(file) == (
        f"search.space.recipes.underfit.{path}: train.{path} is {value!r} and overrides it: expected null there, or "
        f"search.space.train.{path} instead"
    )


def test_nor_can_one_that_train_varies_too(searched):
    line = refusal(searched(SPACE | {"recipes": {"underfit": {"dropout": [0.3, 0.4]}}}))
    assert line.startswith("search.space.recipes.underfit.dropout: ")


def test_nor_can_epochs_beyond_the_cap(searched, project):
    project.set(train__max_epochs=16)
    assert "train.max_epochs" in refusal(searched({"recipes": {"underfit": {"epochs": [10, 20, 50]}}}))


@pytest.mark.parametrize(
    ("leaf", "what"),
    [
        ({"dropout": {"low": 0.1, "high": 0.5}}, "train.dropout is continuous: give choices or a step"),
        (
            {"batch_size": {"low": 1, "high": 1000}, "epochs": {"low": 1, "high": 1000}},
            "it has too many points",
        ),
    ],
)
def test_a_grid_must_be_finite(searched, leaf, what):
    line = refusal(searched({"train": leaf}, sampler="grid"))
    assert line == f"search.space: expected a finite list of points, as search.sampler is grid; {what}"
    load_params(searched({"train": leaf}, sampler="random"))
    load_params(searched(SPACE, sampler="grid"))


def test_a_value_that_another_family_can_not_take_is_refused_with_its_name(searched):
    """The winner's command trains all families."""
    choices = ["constant", "cosine"]
    load_params(searched(nest("recipes.underfit.schedule.kind", choices), beside="cifar_elu"))
    assert "cifar_elu" in refusal(searched(nest("train.schedule.kind", choices), beside="cifar_elu"))


def test_on_a_backbone_what_its_features_depend_on_does_not_vary(searched):
    space = {
        "train": {"dropout": [0.1], "augment": {"zoom": [0.0, 0.1]}},
        "recipes": {
            "mobilenet": {"head_units": [0, 8], "input_size": [96, 128], "backbone": {"weights": ["imagenet"]}}
        },
    }
    params = load_params(searched(space, families=("mobilenet", "underfit")))
    names = {
        family: sorted(dimension.name for dimension in list_dimensions(params, family)) for family in params.families
    }
    assert names["mobilenet"] == ["recipes.mobilenet.head_units", "train.dropout"]
    assert names["underfit"] == ["train.augment.zoom", "train.dropout"]


class TestPoints:
    """sampler points: a list of points instead of a space."""

    POINTS = (
        {"train.learning_rate": 0.01, "train.batch_size": 32},
        {"train.learning_rate": 0.001, "train.batch_size": 64},
    )

    @pytest.fixture
    def listed(self, searched):
        def write(*points: Any, sampler: str = "points", **others: Any) -> Path:
            return searched({"train": {"dropout": [0.1]}}, sampler=sampler, points=list(points), **others)

        return write

    def test_their_parameters_are_varied_and_the_space_is_not_used(self, listed):
        params = load_params(listed(*self.POINTS))
        assert {d.name: d.values for d in list_dimensions(params, "underfit")} == {
            "train.learning_rate": (0.01, 0.001),
            "train.batch_size": (32, 64),
        }

    def test_names_may_be_nested_and_numbers_have_exponents(self, listed):
        params = load_params(listed({"train": {"l2": "1e-05", "augment": {"zoom": 0.1}}}))
        assert {d.name: d.values for d in list_dimensions(params, "underfit")} == {
            "train.l2": (1e-5,),
            "train.augment.zoom": (0.1,),
        }

    def test_of_other_families_parameters_none_is_varied(self, listed):
        path = listed(
            {"train.l2": 0.1, "recipes.overfit.batch_size": 8}, families=("underfit", "overfit"), beside="optimized"
        )
        params = load_params(path)
        assert [d.name for d in list_dimensions(params, "underfit")] == ["train.l2"]
        assert {d.name for d in list_dimensions(params, "overfit")} == {"train.l2", "recipes.overfit.batch_size"}

    @pytest.mark.parametrize(
        ("points", "line"),
        [
            ([{"train.dropuot": 0.1}], "train.dropuot is unknown: did you mean dropout?"),
            ([{"train.dropout": 0.1}, {"train.dropout": 3}], "search.points, point 2: train.dropout: expected "),
            (
                [{"train.dropout": [0.1]}],
                "search.points, point 1: train.dropout: expected a number, a word, true, false or null, ",
            ),
            ([{}], "search.points, point 1: expected parameters, as in {train.dropout: 0.1}, received none"),
            (
                [{"train.dropout": 0.1}, {"train.l2": 0.1}],
                "search.points, point 2: expected the same parameters as in point 1, train.dropout; train.dropout is in one of",
            ),
            (
                [{"train.l2": 0.1}, {"train.l2": 0.2}, {"train.l2": 0.1}],
                "search.points, point 3: expected each point once, received point 1 again",
            ),
            (
                [{"data.path": "x"}],
                "search.points.data.path: expected parameters under train (except train.seed) or recipes",
            ),
            ([{"recipes.overfit.l2": 0.1}], "search.points: there is nothing in it that underfit can vary"),
            (
                [{"train.schedule.kind": "cosine", "train.reduce_lr.patience": 2}],
                "search.points, point 1: underfit: schedule.kind cosine sets the learning rate of every step",
            ),
            ([], "search.points is empty, but search.sampler is points: expected a list such as "),
            ([3], "search.points.0: expected a mapping, received 3"),
            (["train.dropout=0.1"], "search.points.0: expected a mapping, received 'train.dropout=0.1'"),
        ],
    )
    def test_what_is_wrong_is_said_in_one_line(self, listed, points, line):
        assert refusal(listed(*points)).startswith(line)

    def test_points_that_the_sampler_does_not_try_are_refused(self, listed):
        assert refusal(listed(*self.POINTS, sampler="random")) == (
            "search.points lists 2 points, which search.sampler random does not try: expected search.sampler points, or "
            "search.points empty"
        )

    def test_dvc_takes_them_on_the_command_line(self, searched):
        searched({"train": {"dropout": [0.1]}})
        words = ["search.sampler=points", "search.points=[{train.learning_rate: 0.01, train.optimizer: rmsprop}]"]
        apply_overrides("params.yaml", words)
        assert load_params().search.points == [{"train.learning_rate": 0.01, "train.optimizer": "rmsprop"}]
