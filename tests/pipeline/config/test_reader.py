from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.families import FAMILIES
from pipeline.config.reader import load_params
from pipeline.config.recipes import resolve_recipe, without_augment
from pipeline.config.search_rules import list_dimensions
from pipeline.config.sections import Recipe
from pipeline.config.sources import SOURCES
from pipeline.runtime.errors import PipelineError

Change = Callable[..., Path]
ABSENT = object()


@pytest.fixture
def change(project) -> Change:
    """params.yaml as delivered, with one parameter changed or (ABSENT) taken out."""

    def write(name: str, value: Any) -> Path:
        file = project.folder / "params.yaml"
        content = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
        *sections, key = name.split(".")
        section = content
        for part in sections:
            section = section[part]
        if value is ABSENT:
            del section[key]
        else:
            section[key] = value
        file.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper), encoding="utf-8")
        return file

    return write


def refusal(file: Path) -> str:
    with pytest.raises(PipelineError) as caught:
        load_params(file)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.usefixtures("project")
def test_the_delivered_file_is_valid_and_has_settings_for_every_source_and_family():
    params = load_params()
    assert params.data.source == "scenes"
    assert set(params.sources) == set(SOURCES)
    assert set(params.recipes) == set(FAMILIES)


@pytest.mark.usefixtures("project")
def test_values_once_read_can_not_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load_params().split.seed = 1


@pytest.mark.parametrize(
    "name",
    [
        "epochs",
        "data.sourse",
        "train.epoch",
        "train.augment.flips",
        "recipes.optimized.epoch",
        "sources.scenes.size",
        "examine.near_duplicates",
        "evaluate.outside",
    ],
)
def test_an_unknown_key_is_named(change, name):
    assert refusal(change(name, 3)).startswith(f"{name} is unknown")


@pytest.mark.parametrize("name", ["sources.imagenet", "recipes.resnet"])
def test_settings_of_an_unknown_source_or_family_are_named(change, name):
    section = name.partition(".")[0]
    expected = SOURCES if section == "sources" else FAMILIES
    line = refusal(change(name, {}))
    assert line.startswith(f"{name} is unknown")
    assert all(known in line for known in expected)


@pytest.mark.parametrize(
    "name",
    [
        "data",
        "data.path",
        "split.seed",
        "train.augment",
        "train.augment.zoom",
        "recipes.optimized",
        "recipes.linear_svm.C",
        "sources.cifar10",
        "sources.cifar10.url",
        "examine",
        "examine.near_duplicate",
        "evaluate",
        "evaluate.outside_path",
    ],
)
def test_a_missing_key_is_named(change, name):
    assert refusal(change(name, ABSENT)).startswith(f"{name} is missing")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data", "scenes"),
        ("data.source", "imagenet"),
        ("data.source", 1),
        ("data.path", 5),
        ("data.sha256", "abc"),
        ("data.sha256", "g" * 64),
        ("prune.drop_classes", "street"),
        ("prune.merge_classes", ["street"]),
        ("prune.max_images_per_class", True),
        ("split.seed", 1.5),
        ("split.val_fraction", "abc"),
        ("preprocess.image_size", "64"),
        ("preprocess.image_size", 64.0),
        ("preprocess.resize", "fit"),
        ("preprocess.num_workers", False),
        ("families", "optimized"),
        ("train.epochs", "ten"),
        ("train.epochs", "1e1"),
        ("train.epochs", True),
        ("train.learning_rate", "abc"),
        ("train.learning_rate", "e-5"),
        ("train.learning_rate", "0.1"),
        ("train.learning_rate", ""),
        ("train.learning_rate", True),
        ("train.optimizer", "Adam"),
        ("train.augment.flip", "diagonal"),
        ("train.augment.flip", True),
        ("train.early_stopping.monitor", "loss"),
        ("recipes.optimized.batch_size", "16"),
        ("recipes.linear_svm.class_weight", "even"),
        ("sources.scenes.images_per_class", "many"),
        ("sources.archive.max_ratio", "abc"),
        ("runtime.onednn", 1),
        ("runtime.onednn", "on"),
        ("examine.near_duplicate", "0.9"),
        ("examine.near_duplicate", True),
        ("evaluate.outside_path", 5),
        ("evaluate.outside_path", ["pictures"]),
        ("evaluate.outside_path", False),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_what_was_expected_and_received(change, name, value):
    line = refusal(change(name, value))
    assert line.startswith(f"{name}: expected ")
    assert line.endswith(f", received {value!r}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prune.max_images_per_class", 0),
        ("prune.max_megapixels", 0.0),
        ("split.test_fraction", 0),
        ("split.test_fraction", 1.0),
        ("split.val_fraction", -0.1),
        ("split.seed", -1),
        ("split.seed", 2**32),
        ("preprocess.image_size", 7),
        ("preprocess.image_size", 5000),
        ("preprocess.num_shards", 0),
        ("preprocess.num_workers", 0),
        ("train.epochs", 0),
        ("train.dropout", 0.95),
        ("train.learning_rate", 0.0),
        ("train.learning_rate", -1e-3),
        ("train.learning_rate", float("inf")),
        ("train.learning_rate", float("nan")),
        ("train.l2", "-1e-05"),
        ("train.augment.rotation", 0.6),
        ("train.reduce_lr.factor", 1.0),
        ("recipes.overfit.width", 0.0),
        ("sources.scenes.images_per_class", 0),
        ("examine.near_duplicate", 0.0),
        ("examine.near_duplicate", 1.01),
        ("examine.near_duplicate", float("nan")),
    ],
)
def test_a_value_out_of_range_is_refused(change, name, value):
    assert refusal(change(name, value)).startswith(f"{name}: expected ")


@pytest.mark.parametrize(
    "name",
    [
        "data",
        "data.source",
        "sources",
        "sources.scenes",
        "sources.scenes.image_size",
        "prune.seed",
        "prune.min_side",
        "split.test_fraction",
        "split.seed",
        "preprocess.resize",
        "preprocess.num_shards",
        "families",
        "train.seed",
        "train.augment",
        "recipes.optimized",
        "recipes.optimized.epochs",
        "recipes.optimized.learning_rate",
        "recipes.linear_svm.C",
        "runtime.onednn",
        "examine.near_duplicate",
        "evaluate",
    ],
)
def test_null_where_a_value_must_be_is_refused(change, name):
    line = refusal(change(name, None))
    assert line.startswith(f"{name}: expected ")
    assert line.endswith("received None")


@pytest.mark.parametrize("text", ["1e-05", "1E-05", "+1e-05", "0.01e-3", "10.e-6"])
@pytest.mark.parametrize("name", ["train.learning_rate", "train.l2", "recipes.optimized.learning_rate"])
def test_an_exponent_that_yaml_reads_as_text_is_a_number(change, name, text):
    params = load_params(change(name, text))
    section, _, key = name.rpartition(".")
    holder = params.train if section == "train" else params.recipes["optimized"]
    assert getattr(holder, key) == pytest.approx(1e-5)


def test_a_whole_number_will_do_where_a_fraction_may_stand(change):
    assert load_params(change("recipes.optimized.width", 2)).recipes["optimized"].width == 2.0


@pytest.mark.parametrize(
    ("wrong", "near"), [("optimised", "optimized"), ("linear-svm", "linear_svm"), ("over", "overfit")]
)
def test_an_unknown_family_suggests_the_nearest(change, wrong, near):
    line = refusal(change("families", ["underfit", wrong]))
    assert line.startswith("families: ")
    assert repr(wrong) in line
    assert near in line


def test_a_family_like_no_other_lists_all(change):
    line = refusal(change("families", ["xyz"]))
    assert all(name in line for name in FAMILIES)


def test_a_family_listed_twice_is_refused(change):
    assert "overfit is listed twice" in refusal(change("families", ["overfit", "underfit", "overfit"]))


def test_no_family_at_all_is_refused(change):
    assert refusal(change("families", [])).startswith("families: expected at least 1 item")


def test_the_first_of_several_faults_is_told_and_the_others_counted(change):
    change("split.seed", None)
    line = refusal(change("split.test_fraction", 2))
    assert line.startswith("split.test_fraction: expected ")
    assert line.endswith("(and 1 more)")


def test_no_file_here_says_where_to_go(tmp_path):
    assert "run from the project's folder" in refusal(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("text", "expected"), [("data: [", "is not valid YAML"), ("", "expected sections"), ("- 1", "expected sections")]
)
def test_a_file_that_holds_no_sections_is_refused(tmp_path, text, expected):
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(PipelineError, match=expected):
        load_params(file)


@pytest.mark.parametrize(("source", "size"), [("cifar10", 32), ("folder", 150), ("archive", 150)])
def test_the_image_size_is_the_sources_own_where_null(change, source, size):
    change("preprocess.image_size", None)
    assert load_params(change("data.source", source)).image_size == size


def test_an_image_size_that_is_set_wins(change):
    assert load_params(change("preprocess.image_size", 96)).image_size == 96


@pytest.mark.parametrize("path", [None, "pictures", "~/pictures", "/srv/Käfer, 猫"])
def test_outside_pictures_are_a_path_or_null(change, path):
    assert load_params(change("evaluate.outside_path", path)).evaluate.outside_path == path


@pytest.mark.parametrize("value", [1, 1.0, 0.5, "9e-1", 1e-6])
def test_a_similarity_is_above_0_and_at_most_1(change, value):
    assert load_params(change("examine.near_duplicate", value)).examine.near_duplicate == float(value)


class TestResolveRecipe:
    """`train` overrides every family; null keeps the family's own."""

    def test_null_everywhere_keeps_the_recipe(self, change):
        change("train.width", None)
        params = load_params(change("train.max_epochs", None))
        for name in ("underfit", "overfit", "optimized"):
            assert resolve_recipe(params.train, params.recipes[name]) == params.recipes[name]

    @pytest.mark.parametrize(
        ("name", "value"),
        [("dropout", 0.0), ("batch_size", 7), ("augment.zoom", 0.5), ("early_stopping.patience", 3), ("l2", 0.25)],
    )
    def test_a_value_in_train_overrides_and_nothing_else_changes(self, change, name, value):
        change("train.width", None)
        params = load_params(change(f"train.{name}", value))
        own = params.recipes["optimized"]
        resolved = resolve_recipe(params.train, own).model_dump()
        section, _, key = name.rpartition(".")
        assert (resolved[section] if section else resolved)[key] == value
        (resolved[section] if section else resolved)[key] = (
            own.model_dump()[section] if section else own.model_dump()
        )[key]
        resolved["epochs"] = own.epochs
        assert resolved == own.model_dump()

    def test_max_epochs_caps_the_recipe_but_not_what_train_asks_for(self, change):
        params = load_params(change("train.max_epochs", 2))
        assert resolve_recipe(params.train, params.recipes["overfit"]).epochs == 2
        params = load_params(change("train.epochs", 5))
        assert resolve_recipe(params.train, params.recipes["overfit"]).epochs == 5

    def test_max_epochs_does_not_lengthen_a_recipe(self, change):
        params = load_params(change("train.max_epochs", 1000))
        assert resolve_recipe(params.train, params.recipes["underfit"]).epochs == params.recipes["underfit"].epochs


def test_images_too_small_for_a_family_are_refused_with_the_parameters(change):
    file = change("preprocess.image_size", 24)
    with pytest.raises(PipelineError, match=r"overfit .* expected images of 32 px or more, received 24 px"):
        load_params(file)


class TestBackbones:
    @pytest.mark.parametrize(
        ("size", "words"),
        [(16, "efficientnet_lite0 .* 32 px or more, received 16 px; raise recipes.efficientnet_lite0.input_size")],
    )
    def test_an_input_size_below_the_least_is_refused(self, change, size, words):
        file = change("recipes.efficientnet_lite0.input_size", size)
        with pytest.raises(PipelineError, match=words):
            load_params(file)

    def test_small_pictures_will_do_where_the_model_enlarges_them(self, change):
        change("families", ["efficientnet_lite0", "cifar_elu"])
        assert load_params(change("preprocess.image_size", 16)).input_size("efficientnet_lite0") == 160

    def test_without_a_size_of_its_own_a_backbone_gets_the_pictures_size(self, change):
        change("families", ["inceptionv3"])
        with pytest.raises(PipelineError, match=r"inceptionv3 .* 75 px or more, received 64 px"):
            load_params(change("preprocess.image_size", 64))

    @pytest.mark.parametrize("value", ["all", 1, 40, "1 block", "2 blocks", "20 layers"])
    def test_what_may_be_unfrozen(self, change, value):
        params = load_params(change("recipes.mobilenet.fine_tune.unfreeze", value))
        assert params.recipes["mobilenet"].fine_tune.unfreeze == value

    @pytest.mark.parametrize("value", ["none", 0, -1, True, "two blocks", "0 blocks", None, 1.5])
    def test_what_may_not(self, change, value):
        with pytest.raises(PipelineError, match=r"^recipes.mobilenet.fine_tune.unfreeze: expected"):
            load_params(change("recipes.mobilenet.fine_tune.unfreeze", value))

    @pytest.mark.parametrize("name", ["recipes.overfit.backbone", "recipes.linear_svm.backbone"])
    def test_a_family_that_trains_on_pixels_has_none(self, change, name):
        with pytest.raises(PipelineError, match=rf"^{name}: expected"):
            load_params(change(name, {"weights": "imagenet"}))

    def test_a_backbone_needs_weights_or_the_word_none(self, change):
        with pytest.raises(PipelineError, match=r"^recipes.mobilenet.backbone"):
            load_params(change("recipes.mobilenet.backbone.weights", None))

    @pytest.mark.parametrize(("name", "value"), [("views", -1), ("dtype", "int8"), ("batch_size", 0), ("views", 1.5)])
    def test_embed_is_checked(self, change, name, value):
        with pytest.raises(PipelineError, match=rf"^embed.{name}: expected"):
            load_params(change(f"embed.{name}", value))


class TestCrossval:
    @pytest.mark.usefixtures("project")
    def test_it_is_off_in_the_delivered_file(self):
        assert load_params().crossval.families == []

    def test_a_family_that_is_trained_may_be_cross_validated(self, change):
        assert load_params(change("crossval.families", ["overfit", "linear_svm"])).crossval.families == [
            "overfit",
            "linear_svm",
        ]

    def test_one_that_is_not_in_families_is_refused_with_those_that_are(self, change):
        change("families", ["underfit", "overfit"])
        assert refusal(change("crossval.families", ["overfit", "optimized"])) == (
            "crossval.families: optimized is not in families, for which features are cached: expected it there too, "
            "received families underfit, overfit"
        )

    def test_one_that_does_not_exist_suggests_the_nearest(self, change):
        line = refusal(change("crossval.families", ["optimised"]))
        assert line.startswith("crossval.families: no family is called 'optimised'")
        assert "optimized" in line

    def test_one_that_is_listed_twice_is_refused(self, change):
        line = refusal(change("crossval.families", ["overfit", "underfit", "overfit"]))
        assert line == "crossval.families: overfit is listed twice: expected each once"

    @pytest.mark.parametrize("folds", [[1, 2], [0, 1], [7, 3, 5], list(range(20))])
    def test_folds_are_two_or_more_different_numbers(self, change, folds):
        assert load_params(change("crossval.folds", folds)).crossval.folds == folds

    @pytest.mark.parametrize("folds", [[1], []])
    def test_one_fold_or_none_leaves_nothing_to_train_on(self, change, folds):
        assert refusal(change("crossval.folds", folds)).startswith("crossval.folds: expected at least 2 items")

    def test_a_fold_that_is_listed_twice_is_refused(self, change):
        line = refusal(change("crossval.folds", [1, 2, 3, 2]))
        assert line == "crossval.folds: expected different numbers, received [1, 2, 3, 2]"

    @pytest.mark.parametrize("fold", [-1, 1.5, "one", None, True])
    def test_what_is_no_number_of_a_fold_is_refused_with_its_place(self, change, fold):
        line = refusal(change("crossval.folds", [1, fold]))
        assert line.startswith("crossval.folds.1: expected ")
        assert line.endswith(f", received {fold!r}")

    @pytest.mark.parametrize(
        ("key", "value"), [("folds", 5), ("families", "overfit"), ("seed", -1), ("augment", "no"), ("augment", None)]
    )
    def test_a_value_of_the_wrong_kind_is_refused(self, change, key, value):
        line = refusal(change(f"crossval.{key}", value))
        assert line.startswith(f"crossval.{key}: expected ")
        assert line.endswith(f", received {value!r}")

    @pytest.mark.parametrize("key", ["families", "folds", "seed", "augment"])
    def test_nothing_may_be_missing(self, change, key):
        assert refusal(change(f"crossval.{key}", ABSENT)).startswith(f"crossval.{key} is missing")

    def test_an_unknown_key_is_named(self, change):
        assert refusal(change("crossval.fold", 5)).startswith("crossval.fold is unknown")


SPACE = {"train": {"dropout": [0.1, 0.2]}}


def nest(name: str, leaf: Any) -> dict[str, Any]:
    """A space of one parameter."""
    for part in reversed(name.split(".")):
        leaf = {part: leaf}
    return leaf


class TestSearch:
    @pytest.fixture
    def searched(self, project):
        """Sets families to search, what they may vary, and other parameters of search. beside: another family."""

        def write(
            space: Any = SPACE, *, families: tuple[str, ...] = ("underfit",), beside: str = "overfit", **others: Any
        ) -> Path:
            settings = {"families": list(families), "space": space} | others
            project.set(
                families=[*families, beside], train__width=None, **{f"search__{k}": v for k, v in settings.items()}
            )
            return project.folder / "params.yaml"

        return write

    @pytest.mark.usefixtures("project")
    def test_it_is_off_in_the_delivered_file(self):
        assert load_params().search.families == []

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("families", "overfit"),
            ("sampler", "tpe"),
            ("trials", 1.5),
            ("trials", 0),
            ("trials", None),
            ("minutes", 0.0),
            ("minutes", "60"),
            ("score", "test"),
            ("seed", -1),
            ("max_parameters", 0),
            ("pruning.min_trials", 0),
            ("pruning.min_epochs", 0),
            ("pruning.min_epochs", None),
            ("space", None),
            ("space", ["train"]),
        ],
    )
    def test_a_value_of_the_wrong_kind_is_refused(self, change, key, value):
        line = refusal(change(f"search.{key}", value))
        assert line.startswith(f"search.{key}: expected ")
        assert line.endswith(f", received {value!r}")

    @pytest.mark.parametrize(
        "key",
        [
            *("families", "sampler", "trials", "minutes", "score", "seed", "max_parameters", "pruning", "space"),
            *("pruning.min_trials", "pruning.min_epochs"),
        ],
    )
    def test_nothing_may_be_missing(self, change, key):
        assert refusal(change(f"search.{key}", ABSENT)).startswith(f"search.{key} is missing")

    @pytest.mark.parametrize(("key", "value"), [("minutes", None), ("minutes", 1), ("pruning.min_trials", None)])
    def test_null_where_there_is_no_limit(self, change, key, value):
        load_params(change(f"search.{key}", value))

    def test_an_unknown_key_is_named(self, change):
        assert refusal(change("search.trial", 5)).startswith("search.trial is unknown")

    def test_a_family_that_is_not_in_families_is_refused_with_those_that_are(self, change):
        change("families", ["underfit", "overfit"])
        assert refusal(change("search.families", ["optimized"])) == (
            "search.families: optimized is not in families, for which features are cached: expected it there too, "
            "received families underfit, overfit"
        )

    def test_one_that_does_not_exist_suggests_the_nearest(self, change):
        line = refusal(change("search.families", ["optimised"]))
        assert line.startswith("search.families: no family is called 'optimised'")
        assert "optimized" in line

    def test_one_that_is_listed_twice_is_refused(self, change):
        line = refusal(change("search.families", ["overfit", "overfit"]))
        assert line == "search.families: overfit is listed twice: expected each once"

    @pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.kind != "linear"])
    def test_every_network_has_something_to_vary_in_the_delivered_space(self, project, family):
        # where pictures are large enough for all
        project.set(families=[family], search__families=[family], preprocess__image_size=96)
        params = load_params()
        names = [dimension.name for dimension in list_dimensions(params, family)]
        sizes = [f"recipes.searched_cnn.{name}" for name in ("blocks", "layers", "filters", "kernel", "head_units")]
        assert sorted(names) == sorted(
            ["train.learning_rate", "train.dropout", *(sizes if family == "searched_cnn" else [])]
        )

    def test_a_linear_machine_needs_a_space_of_its_own(self, searched):
        assert refusal(searched(families=("linear_svm",))) == (
            "search.space: there is nothing in it that linear_svm can vary: expected parameters such as recipes.linear_svm.C"
        )
        space = SPACE | {"recipes": {"linear_svm": {"C": {"low": 0.001, "high": 10.0, "log": True}}}}
        params = load_params(searched(space, families=("linear_svm",)))
        assert [dimension.name for dimension in list_dimensions(params, "linear_svm")] == ["recipes.linear_svm.C"]

    @pytest.mark.parametrize("space", [{}, {"train": {}}, {"recipes": {"overfit": {"l2": [0.0, 0.1]}}}])
    def test_a_space_in_which_there_is_nothing_is_refused(self, searched, space):
        assert refusal(searched(space)) == (
            "search.space: there is nothing in it that underfit can vary: expected parameters such as train.learning_rate"
        )

    @pytest.mark.parametrize(
        ("leaf", "words"),
        [
            ({"low": 0.5, "high": 0.1}, "expected low below high, received low 0.5 and high 0.1"),
            ({"low": 0, "high": 0.5, "log": True}, "expected low above 0, as log is true, received 0"),
            (
                {"low": 0.1, "high": 0.5, "step": 0.5},
                "expected a step of at most high - low, received step 0.5 from 0.1 to 0.5",
            ),
            ([], "expected one choice or more, received an empty list"),
        ],
    )
    def test_a_dimension_that_is_none_is_refused_before_any_work(self, searched, leaf, words):
        assert refusal(searched({"train": {"dropout": leaf}})) == f"search.space.train.dropout: {words}"

    @pytest.mark.parametrize(
        ("section", "leaf", "words"),
        [
            ("dropout", {"low": 0.5, "high": 1.5}, "expected less than or equal to 0.9, received 1.5"),
            ("dropout", {"low": -0.1, "high": 0.5}, "expected greater than or equal to 0, received -0.1"),
            ("dropout", [0.1, "much"], "expected a valid number, received 'much'"),
            ("batch_size", {"low": 0, "high": 64}, "expected greater than or equal to 1, received 0"),
            ("batch_size", {"low": 8, "high": 64.5}, "expected a valid integer, received 64.5"),
            ("optimizer", ["adam", "adagrad"], "expected 'adam', 'adamw', 'rmsprop' or 'sgd', received 'adagrad'"),
            ("learning_rate", [0.0, 0.1], "expected greater than 0, received 0.0"),
        ],
    )
    def test_a_value_that_the_parameter_does_not_take_is_named_before_any_work(self, searched, section, leaf, words):
        assert refusal(searched({"train": {section: leaf}})) == f"search.space: train.{section}: {words}"

    def test_so_is_one_of_the_familys_own(self, searched):
        space = {"recipes": {"searched_cnn": {"blocks": {"low": 0, "high": 3}}}}
        assert refusal(searched(space, families=("searched_cnn",))) == (
            "search.space: recipes.searched_cnn.blocks: expected greater than or equal to 1, received 0"
        )

    def test_a_size_that_is_too_small_for_the_family_is_refused(self, searched):
        line = refusal(searched({"recipes": {"underfit": {"input_size": [15, 32]}}}))
        assert line.startswith(
            "search.space: underfit halves its images again and again: expected images of 16 px or more"
        )

    @pytest.mark.parametrize(
        "name", ["train.drop_out", "train.augment.turn", "recipes.searched_cn.blocks", "recipes.underfit.blocks"]
    )
    def test_a_parameter_that_does_not_exist_is_named(self, searched, name):
        section = name.partition(".")[0]
        space = nest(name, [0.1])
        if section == "train":
            space["train"] |= SPACE["train"]
        line = refusal(searched(SPACE | space))
        assert line == f"{name} is unknown: expected the name of a parameter in params.yaml, as train.dropout"

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
    def test_what_one_trial_can_not_change_is_refused(self, searched, space, name):
        assert refusal(searched(space)) == (
            f"search.space.{name}: expected parameters under train (but for train.seed) or recipes, that one trial can change; "
            f"try others with `dvc exp run --queue -S '{name}=…,…'`"
        )

    @pytest.mark.parametrize(
        ("path", "value"),
        [("l2", 0.01), ("l2", 0.0), ("augment.zoom", 0.1), ("schedule.kind", "constant"), ("epochs", 3)],
    )
    def test_a_recipes_value_that_train_overrides_can_not_vary(self, searched, project, path, value):
        file = searched(nest(f"recipes.underfit.{path}", [value]))
        load_params(file)
        project.set(**{f"train__{path.replace('.', '__')}": value})
        assert refusal(file) == (
            f"search.space.recipes.underfit.{path}: train.{path} is {value!r} and overrides it: expected null there, or "
            f"search.space.train.{path} instead"
        )

    def test_nor_can_one_that_train_varies_too(self, searched):
        line = refusal(searched(SPACE | {"recipes": {"underfit": {"dropout": [0.3, 0.4]}}}))
        assert line.startswith("search.space.recipes.underfit.dropout: ")

    def test_nor_can_epochs_beyond_the_cap(self, searched, project):
        project.set(train__max_epochs=16)
        assert "train.max_epochs" in refusal(searched({"recipes": {"underfit": {"epochs": [10, 20, 50]}}}))

    @pytest.mark.parametrize(
        ("leaf", "what"),
        [
            ({"dropout": {"low": 0.1, "high": 0.5}}, "train.dropout has no end of values: give choices or a step"),
            (
                {"batch_size": {"low": 1, "high": 1000}, "epochs": {"low": 1, "high": 1000}},
                "it has too many points",
            ),
        ],
    )
    def test_a_grid_must_have_an_end(self, searched, leaf, what):
        line = refusal(searched({"train": leaf}, sampler="grid"))
        assert line == f"search.space: expected values that can be counted, as search.sampler is grid; {what}"
        load_params(searched({"train": leaf}, sampler="random"))
        load_params(searched(SPACE, sampler="grid"))

    def test_a_value_that_another_family_can_not_take_is_refused_with_its_name(self, searched):
        """The winner's command trains all families."""
        choices = ["constant", "cosine"]
        load_params(searched(nest("recipes.underfit.schedule.kind", choices), beside="cifar_elu"))
        assert "cifar_elu" in refusal(searched(nest("train.schedule.kind", choices), beside="cifar_elu"))

    def test_on_a_backbone_what_its_features_were_made_with_does_not_vary(self, searched):
        space = {
            "train": {"dropout": [0.1], "augment": {"zoom": [0.0, 0.1]}},
            "recipes": {
                "mobilenet": {"head_units": [0, 8], "input_size": [96, 128], "backbone": {"weights": ["imagenet"]}}
            },
        }
        params = load_params(searched(space, families=("mobilenet", "underfit")))
        names = {
            family: sorted(dimension.name for dimension in list_dimensions(params, family))
            for family in params.families
        }
        assert names["mobilenet"] == ["recipes.mobilenet.head_units", "train.dropout"]
        assert names["underfit"] == ["train.augment.zoom", "train.dropout"]


class TestOverrides:
    @pytest.mark.usefixtures("project")
    def test_they_take_the_place_of_what_is_written(self):
        params = load_params(
            overrides={"train.dropout": 0.25, "recipes.searched_cnn.blocks": 4, "train.augment.flip": "both"}
        )
        assert (params.train.dropout, params.train.augment.flip) == (0.25, "both")
        assert params.recipes["searched_cnn"].model_dump()["blocks"] == 4

    @pytest.mark.usefixtures("project")
    def test_null_is_a_value_and_none_at_all_changes_nothing(self):
        assert load_params(overrides={"train.width": None}).train.width is None
        assert load_params(overrides={}).train == load_params().train

    @pytest.mark.usefixtures("project")
    @pytest.mark.parametrize(
        ("name", "value", "line"),
        [
            ("train.dropout", 1.5, "train.dropout: expected less than or equal to 0.9, received 1.5"),
            (
                "train.drop",
                0.1,
                "train.drop is unknown: expected the name of a parameter in params.yaml, as train.dropout",
            ),
        ],
    )
    def test_they_are_checked_as_what_is_written(self, name, value, line):
        with pytest.raises(PipelineError) as caught:
            load_params(overrides={name: value})
        assert str(caught.value) == line

    @pytest.mark.usefixtures("project")
    def test_the_same_file_says_the_same_twice(self):
        assert load_params() == load_params()


class TestSizes:
    """What a family's recipe has besides what all networks have."""

    @pytest.mark.parametrize("name", ["blocks", "layers", "filters", "kernel"])
    def test_the_searched_network_must_have_them(self, change, name):
        assert refusal(change(f"recipes.searched_cnn.{name}", ABSENT)).startswith(
            f"recipes.searched_cnn.{name} is missing"
        )

    @pytest.mark.parametrize("value", [0, -1, 1.5, None, "3", True])
    def test_they_are_whole_numbers_from_one(self, change, value):
        line = refusal(change("recipes.searched_cnn.kernel", value))
        assert line.startswith("recipes.searched_cnn.kernel: expected ")
        assert line.endswith(f", received {value!r}")

    @pytest.mark.parametrize("family", ["underfit", "deep_cnn", "mobilenet", "linear_svm"])
    def test_no_other_family_has_them(self, change, family):
        assert refusal(change(f"recipes.{family}.blocks", 3)).startswith(f"recipes.{family}.blocks is unknown")

    @pytest.mark.parametrize("value", [-1, 1.5, "none", True])
    def test_units_of_the_head_are_a_whole_number_from_zero(self, change, value):
        for name in ("train.head_units", "recipes.underfit.head_units"):
            line = refusal(change(name, value))
            assert line.startswith(f"{name}: expected ")
            assert line.endswith(f", received {value!r}")
            change(name, 0)

    @pytest.mark.parametrize("head_units", [0, 7])
    def test_train_overrides_them_for_every_network(self, change, head_units):
        params = load_params(change("train.head_units", head_units))
        for family in ("underfit", "overfit", "searched_cnn", "mobilenet"):
            recipe = params.recipes[family]
            assert isinstance(recipe, Recipe)
            assert resolve_recipe(params.train, recipe).head_units == head_units

    def test_a_recipe_keeps_its_sizes_when_train_overrides_it(self, change):
        params = load_params(change("train.l2", 0.5))
        own = params.recipes["searched_cnn"]
        assert isinstance(own, Recipe)
        resolved = resolve_recipe(params.train, own).model_dump()
        sizes = {"blocks": 3, "layers": 1, "filters": 32, "kernel": 3, "head_units": 128, "l2": 0.5}
        assert {name: resolved[name] for name in sizes} == sizes


@pytest.mark.usefixtures("project")
def test_without_augmentation_nothing_is_changed_whatever_recipe_and_train_ask_for() -> None:
    params = load_params(overrides={"train.augment.zoom": 0.5})
    without = without_augment(params)
    for family in ("optimized", "mobilenet"):
        recipe = params.recipes[family]
        assert isinstance(recipe, Recipe)
        none = {"flip": "none", "rotation": 0.0, "zoom": 0.0, "contrast": 0.0}
        assert resolve_recipe(without.train, recipe).augment.model_dump() == none
    assert params.train.augment.zoom == 0.5
    assert without.recipes == params.recipes


def test_two_rules_for_the_learning_rate_are_refused(change):
    change("train.schedule.kind", "cosine")
    with pytest.raises(PipelineError, match=r"cosine .* expected reduce_lr.patience null beside it, received 2"):
        load_params(change("train.reduce_lr.patience", 2))


# What systems.md says of each, where it says it: (family, key, value).
PUBLISHED = [
    *[(family, "batch_size", 16) for family in ("underfit", "overfit", "optimized")],
    *[(family, "optimizer", "adam") for family in ("underfit", "overfit", "optimized", "vgg_blocks", "deep_cnn")],
    ("underfit", "epochs", 30),
    ("overfit", "epochs", 50),
    ("optimized", "epochs", 50),
    ("optimized", "width", 2.0),
    ("optimized", "dropout", 0.3),
    ("optimized", "augment", {"flip": "horizontal", "rotation": 0.1, "zoom": 0.1, "contrast": 0.0}),
    ("linear_svm", "C", 1.0),
    ("vgg_blocks", "epochs", 9),
    ("vgg_blocks", "l2", 0.001),
    ("deep_cnn", "batch_size", 32),
    ("deep_cnn", "learning_rate", 0.001),
    ("deep_cnn", "augment", {"flip": "horizontal", "rotation": 0.2, "zoom": 0.3, "contrast": 0.0}),
    *[
        (family, key, value)
        for family in ("mobilenet", "vgg16", "resnet50v2")
        for key, value in {
            "learning_rate": 0.001,
            "optimizer": "adam",
            "batch_size": 32,
            "head_units": 0,
            "augment": {"flip": "horizontal", "rotation": 0.1, "zoom": 0.2, "contrast": 0.0},
            "reduce_lr": {"factor": 0.4, "patience": 2, "min_lr": 0.0},
            "backbone": {"weights": "imagenet"},
        }.items()
    ],
    *[(family, "head_units", 256) for family in ("overfit", "optimized")],
    *[(family, "head_units", 0) for family in ("underfit", "cifar_elu")],
    *[(family, "head_units", 64) for family in ("cifar_small", "cifar_dropout", "animals_cnn", "animals_cnn_wide")],
    *[(family, "head_units", units) for family, units in (("vgg_blocks", 128), ("deep_cnn", 512), ("dense_ann", 1024))],
    ("cifar_small", "epochs", 25),
    ("cifar_dropout", "epochs", 15),
    ("cifar_elu", "epochs", 50),
    ("cifar_elu", "batch_size", 64),
    ("cifar_elu", "optimizer", "rmsprop"),
    ("cifar_elu", "learning_rate", 0.001),
    ("cifar_elu", "l2", 0.0001),
    ("cifar_elu", "early_stopping", {"monitor": "val_accuracy", "patience": 5}),
    ("cifar_elu", "reduce_lr", {"factor": 0.2, "patience": 2, "min_lr": 0.0}),
    *[(family, "batch_size", 64) for family in ("dense_ann", "animals_cnn", "animals_cnn_augmented", "inceptionv3")],
    ("dense_ann", "learning_rate", 0.0001),
    ("animals_cnn", "learning_rate", 0.0001),
    ("animals_cnn", "reduce_lr", {"factor": 0.2, "patience": 5, "min_lr": 1e-6}),
    ("animals_cnn_augmented", "learning_rate", 0.001),
    ("animals_cnn_augmented", "augment", {"flip": "horizontal", "rotation": 0.1, "zoom": 0.0, "contrast": 0.0}),
    ("animals_cnn_wide", "batch_size", 32),
    ("animals_cnn_wide", "augment", {"flip": "horizontal", "rotation": 0.1, "zoom": 0.1, "contrast": 0.1}),
    ("inceptionv3", "optimizer", "rmsprop"),
    ("inceptionv3", "learning_rate", 0.0001),
    ("inceptionv3", "head_units", 1024),
    ("inceptionv3", "early_stopping", {"monitor": "val_accuracy", "patience": 5}),
    ("inceptionv3", "fine_tune", {"epochs": 10, "learning_rate": 1e-5, "optimizer": "adam", "unfreeze": "all"}),
]


@pytest.mark.parametrize(("family", "key", "value"), PUBLISHED)
def test_the_recipes_are_the_published_ones(family, key, value):
    assert load_params().recipes[family].model_dump()[key] == value
