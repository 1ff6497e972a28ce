from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.errors import PipelineError
from stages.families import FAMILIES
from stages.params import load_params, resolve_recipe
from stages.sources import SOURCES

Change = Callable[..., Path]
ABSENT = object()


@pytest.fixture
def change(project) -> Change:
    """params.yaml as delivered, with one parameter changed or (ABSENT) taken out."""

    def write(name: str, value: Any) -> Path:
        file = project.folder / "params.yaml"
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        *sections, key = name.split(".")
        section = content
        for part in sections:
            section = section[part]
        if value is ABSENT:
            del section[key]
        else:
            section[key] = value
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
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
        assert "families: no family is called 'optimised'" in line
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
