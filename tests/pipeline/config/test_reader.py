import pytest
import yaml

from pipeline.config.families import FAMILIES
from pipeline.config.reader import load_params, load_published_recipe, parse_yaml, read_file, read_params
from pipeline.config.recipe_sections import Augment
from pipeline.config.recipes import averages_mirrors, find_cut, list_features
from pipeline.config.sources import SOURCES
from pipeline.runtime.errors import PipelineError
from tests.conftest import ROOT
from tests.pipeline.config.conftest import ABSENT, refusal


@pytest.mark.usefixtures("project")
def test_the_delivered_file_has_settings_for_every_source_and_family():
    params = load_params()
    assert list(params.sources) == list(SOURCES)
    assert list(params.recipes) == list(FAMILIES)


@pytest.mark.usefixtures("project")
def test_values_once_read_can_not_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load_params().split.seed = 1


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("datas", "data"),
            ("data.sourse", "source"),
            ("train.epoch", "epochs"),
            ("train.augment.flips", "flip"),
            ("sources.scenes.images_size", "image_size"),
            ("sources.folders", "folder"),
            ("recipes.optimised", "optimized"),
            ("recipes.optimized.epoch", "epochs"),
            ("recipes.optimized.schedule.kinds", "kind"),
            ("recipes.defaults.network.dropuot", "dropout"),
            ("recipes.defaults.networks", "network"),
            ("search.trial", "trials"),
        ],
    )
    def test_each_is_named_with_the_nearest_that_exists(self, change, name, near):
        assert refusal(change(name, 3)) == f"{name} is unknown: did you mean {near}?"

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("train.augment.shear", list(Augment.model_fields)),
            ("train.schedule.int", ["kind", "hold_epochs", "decay", "warmup_epochs", "step_decay"]),
            ("sources.imagenet", list(SOURCES)),
            ("recipes.xyz", list(FAMILIES)),
        ],
    )
    def test_where_none_is_near_all_are_named(self, change, name, expected):
        line = refusal(change(name, 3))
        assert line.startswith(f"{name} is unknown: expected one of ")
        assert set(line.partition("one of ")[2].split(", ")) == set(expected)

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("recipes.overfit.C", "class_weight"),
            ("recipes.overfit.fine_tune", "dropout"),
            ("recipes.overfit.blocks", "epochs"),
            ("recipes.mobilenet.max_gb", "fine_tune"),
            ("recipes.linear_svm.dropout", "C"),
            ("recipes.mobilenet_svm.epochs", "input_size"),
        ],
    )
    def test_a_key_of_another_kind_of_family_is_unknown(self, change, name, expected):
        line = refusal(change(name, 3))
        assert line.startswith(f"{name} is unknown: expected one of ")
        assert expected in line.partition("one of ")[2].split(", ")

    def test_a_misspelt_key_is_named_although_the_right_one_is_missing(self, change):
        line = refusal(change("train.dropuot", 0.1, "train.dropout", ABSENT))
        assert line == "train.dropuot is unknown: did you mean dropout? (and 1 more)"

    def test_a_key_that_is_no_word_is_named_too(self, project):
        file = project.folder / "params.yaml"
        content = file.read_text(encoding="utf-8")
        file.write_text(content.replace("  underfit:", "  7: {}\n  underfit:"), encoding="utf-8")
        assert refusal(file).startswith("recipes.7 is unknown: expected one of linear_svm, underfit")


@pytest.mark.parametrize(
    "name",
    [
        "data",
        "data.path",
        "train.augment",
        "train.augment.zoom",
        "sources.cifar10",
        "sources.cifar10.url",
        "recipes",
        "recipes.defaults",
        "recipes.defaults.linear",
        "recipes.defaults.linear.C",
        "recipes.defaults.network.schedule.kind",
        "recipes.optimized",
        "recipes.mobilenet",
        "recipes.searched_cnn.blocks",
        "crossval.folds",
        "search.pruning.min_trials",
    ],
)
def test_a_missing_key_is_named(change, name):
    assert refusal(change(name, ABSENT)).startswith(f"{name} is missing: params.yaml must have it")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data", "scenes"),  # a section
        ("sources", ["scenes"]),
        ("sources.scenes", 3),
        ("train.augment", "flip"),
        ("recipes", []),
        ("recipes.defaults", []),
        ("recipes.defaults.linear", 1),
        ("recipes.optimized", [50]),
        ("recipes.optimized.augment", "flip"),
        ("search.space", ["train"]),
        ("families", "optimized"),  # a list
        ("prune.drop_classes", "street"),
        ("crossval.folds", 5),
        ("export.formats", "onnx"),
        ("prune.merge_classes", ["street"]),  # a dict
        ("data.path", 5),  # a text
        ("evaluate.outside_path", ["pictures"]),
        ("evaluate.outside_path", False),
        ("data.source", "imagenet"),  # one of a few texts
        ("data.source", 1),
        ("preprocess.resize", "fit"),
        ("train.optimizer", "Adam"),
        ("train.weight_decay", -0.1),
        ("train.label_smoothing", 1.0),
        ("train.ema", 1.0),
        ("train.augment.erase", 1.0),
        ("train.augment.randaugment", 1.5),
        ("train.augment.mixup", -0.2),
        ("train.augment.cutmix", "half"),
        ("train.augment.flip", True),
        ("recipes.linear_svm.class_weight", "even"),
        ("data.sha256", "abc"),  # a checksum
        ("data.sha256", "g" * 64),
        ("split.seed", 1.5),  # an integer
        ("evaluate.label_folds", 1),  # none, or at least two
        ("evaluate.label_folds", 21),
        ("preprocess.image_size", "64"),
        ("preprocess.image_size", 64.0),
        ("train.epochs", "1e1"),
        ("train.epochs", True),
        ("recipes.searched_cnn.kernel", "3"),
        ("recipes.searched_cnn.kernel", 1.5),
        ("train.learning_rate", "abc"),  # a number
        ("train.learning_rate", "e-5"),
        ("train.learning_rate", "0.1"),
        ("train.learning_rate", ""),
        ("train.learning_rate", True),
        ("recipes.defaults.network.dropout", "0.1"),
        ("runtime.onednn", 1),  # true or false
        ("runtime.onednn", "on"),
        ("runtime.devices", 0),
        ("runtime.devices", "two"),
        ("runtime.devices", 65),
        ("runtime.cluster", "spark"),
        ("runtime.ray_address", "http://10.0.0.1:6379"),  # host:port or auto
        ("runtime.ray_address", "10.0.0.1"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_what_was_expected_and_received(change, name, value):
    line = refusal(change(name, value))
    assert line.startswith(f"{name}: expected ")
    assert line.endswith(f", received {value!r}")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("prune.max_images_per_class", 0, "greater than or equal to 1"),
        ("crossval.seed", -1, "greater than or equal to 0"),
        ("split.seed", 2**32, "less than 4294967296"),
        ("split.test_fraction", 0, "greater than 0"),
        ("split.test_fraction", 1.0, "less than 1"),
        ("prune.max_megapixels", 0.0, "greater than 0"),
        ("preprocess.image_size", 7, "greater than or equal to 8"),
        ("preprocess.image_size", 5000, "less than or equal to 4096"),
        ("preprocess.num_shards", 10_001, "less than or equal to 10000"),
        ("train.dropout", 0.95, "less than or equal to 0.9"),
        ("train.learning_rate", float("inf"), "a finite number"),
        ("train.learning_rate", float("nan"), "a finite number"),
        ("train.l2", "-1e-05", "greater than or equal to 0"),
        ("train.augment.rotation", 0.6, "less than or equal to 0.5"),
        ("train.reduce_lr.factor", 1.0, "less than 1"),
        ("examine.near_duplicate", 1.01, "less than or equal to 1"),
        ("embed.views", -1, "greater than or equal to 0"),
        ("search.minutes", 0.0, "greater than 0"),
        ("export.max_drop", 1.0, "less than 1"),
        ("export.calibration_images", 0, "greater than or equal to 1"),
        ("families", [], "at least 1 item"),
        ("crossval.folds", [1], "at least 2 items"),
        ("crossval.folds", [], "at least 2 items"),
        ("sources.scenes.images_per_class", 0, "greater than or equal to 1"),
        ("recipes.overfit.width", 0.0, "greater than 0"),
        ("recipes.searched_cnn.kernel", 0, "greater than or equal to 1"),
        ("recipes.defaults.linear.C", 0.0, "greater than 0"),
    ],
)
def test_a_value_out_of_range_is_refused(change, name, value, expected):
    assert refusal(change(name, value)).startswith(f"{name}: expected {expected}, received ")


@pytest.mark.parametrize(
    "name",
    [
        "data",
        "data.source",
        "sources.scenes",
        "sources.scenes.image_size",
        "split.test_fraction",
        "split.seed",
        "preprocess.resize",
        "families",
        "train.seed",
        "train.augment",
        "recipes.defaults.network.epochs",
        "recipes.optimized",
        "recipes.optimized.epochs",
        "recipes.optimized.augment",
        "recipes.mobilenet.fine_tune",
        "recipes.mobilenet_svm.backbone",
        "recipes.mobilenet_svm.backbone.weights",
        "runtime.onednn",
        "crossval.augment",
        "search.space",
    ],
)
def test_null_where_a_value_must_be_is_refused(change, name):
    line = refusal(change(name, None))
    assert line.startswith(f"{name}: expected ")
    assert line.partition(" (and ")[0].endswith("received None")  # more where X_fine_tuned has it from X


@pytest.mark.parametrize("fold", [-1, 1.5, "one", None, True])
def test_a_wrong_item_of_a_list_is_refused_with_its_position(change, fold):
    line = refusal(change("crossval.folds", [1, fold]))
    assert line.startswith("crossval.folds.1: expected ")
    assert line.endswith(f", received {fold!r}")


@pytest.mark.parametrize("text", ["1e-05", "1E-05", "+1e-05", "0.01e-3", "10.e-6"])
@pytest.mark.parametrize("name", ["train.learning_rate", "recipes.optimized.learning_rate"])
def test_an_exponent_that_yaml_reads_as_text_is_a_number(change, name, text):
    params = load_params(change(name, text))
    section = params.train if name.startswith("train") else params.recipes["optimized"]
    assert section.learning_rate == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("recipes.optimized.width", 2),  # an integer where a fraction is possible
        ("examine.near_duplicate", 1),
        ("evaluate.outside_path", "/srv/Käfer, 猫"),
        ("search.minutes", None),
        ("search.pruning.min_trials", None),
        ("crossval.folds", [7, 0, 5]),
        ("recipes.mobilenet.input_size", None),
    ],
)
def test_what_looks_odd_but_is_meant_is_taken(change, name, value):
    load_params(change(name, value))


@pytest.mark.parametrize("value", ["all", 1, 40, "1 block", "2 blocks", "20 layers"])
def test_what_may_be_unfrozen(change, value):
    params = load_params(change("recipes.mobilenet.fine_tune.unfreeze", value))
    assert params.recipes["mobilenet"].fine_tune.unfreeze == value


@pytest.mark.parametrize("value", ["none", 0, -1, True, "two blocks", "0 blocks", None, 1.5])
def test_what_may_not_be_unfrozen(change, value):
    line = refusal(change("recipes.mobilenet.fine_tune.unfreeze", value))
    assert line.startswith("recipes.mobilenet.fine_tune.unfreeze: expected ")


@pytest.mark.parametrize("name", ["recipes.overfit.backbone", "recipes.linear_svm.backbone"])
def test_a_family_on_pixels_has_no_backbone(change, name):
    assert refusal(change(name, {"weights": "imagenet"})).startswith(f"{name}: expected None, received")


def test_a_cap_may_be_a_map_whose_classes_may_be_numbers(change):
    params = load_params(change("prune.max_images_per_class", {"cat": 5, 7: 9}))
    assert params.max_images_per_class == {"cat": 5, "7": 9}
    assert params.caps_name == "prune.max_images_per_class"


def test_the_sources_cap_counts_where_prune_has_none(change):
    params = load_params(change("sources.scenes.max_images_per_class", {"sea": 5}))
    assert params.max_images_per_class == {"sea": 5}
    assert params.caps_name == "sources.scenes.max_images_per_class"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"cat": 0}, "max_images_per_class.cat: expected greater than or equal to 1, received 0"),
        ({"cat": "many"}, "max_images_per_class.cat: expected a valid integer, received 'many'"),
        ([5], "max_images_per_class: expected a valid integer, received [5]"),
    ],
)
def test_a_cap_that_is_neither_is_refused(change, value, said):
    assert refusal(change("prune.max_images_per_class", value)) == f"prune.{said}"


class TestGroupPattern:
    def test_it_goes_with_its_rule(self, change):
        params = load_params(change("split.group", "pattern", "split.group_pattern", "patient_[0-9]+"))
        assert params.split.group_pattern == "patient_[0-9]+"

    def test_the_rule_without_one_is_refused(self, change):
        assert refusal(change("split.group", "pattern")).startswith("split.group_pattern is null: expected a regular")

    def test_one_without_the_rule_is_refused(self, change):
        line = refusal(change("split.group_pattern", "p"))
        assert line.startswith("split.group_pattern is 'p', which split.group=exact does not use: expected null, or")

    def test_what_is_no_expression_is_refused(self, change):
        line = refusal(change("split.group", "pattern", "split.group_pattern", "(p"))
        assert line.startswith("split.group_pattern: expected a regular expression (missing )")
        assert line.endswith("received '(p'")


def test_the_first_of_several_faults_is_named_and_the_others_are_counted(change):
    line = refusal(change("split.seed", None, "split.test_fraction", 2))
    assert line == "split.test_fraction: expected less than 1, received 2 (and 1 more)"


class TestFamilies:
    """families, and its parts crossval.families, search.families and export.families."""

    EVERY_LIST = pytest.mark.parametrize(
        "name", ["families", "crossval.families", "search.families", "export.families"]
    )

    @EVERY_LIST
    @pytest.mark.parametrize(
        ("wrong", "near"), [("optimised", "optimized"), ("linear-svm", "linear_svm"), ("over", "overfit")]
    )
    def test_an_unknown_one_suggests_the_nearest(self, change, name, wrong, near):
        line = refusal(change(name, ["underfit", wrong]))
        assert line.startswith(f"{name}: no family is called {wrong!r}: did you mean ")
        assert near in line

    def test_one_like_no_other_lists_all(self, change):
        line = refusal(change("families", ["xyz"]))
        assert line == f"families: no family is called 'xyz': expected one of {', '.join(FAMILIES)}"

    @EVERY_LIST
    def test_one_that_is_listed_twice_is_refused(self, change, name):
        line = refusal(change(name, ["overfit", "underfit", "overfit"]))
        assert line == f"{name}: overfit is listed twice: expected each once"

    @pytest.mark.parametrize("name", ["crossval.families", "search.families"])
    def test_a_part_has_no_other_families(self, change, name):
        assert refusal(change("families", ["underfit", "overfit"], name, ["overfit", "optimized"])) == (
            f"{name}: optimized is not in families, for which features are cached: expected it there too, "
            "received families underfit, overfit"
        )

    def test_a_part_of_families_is_taken(self, change):
        params = load_params(change("crossval.families", ["overfit", "linear_svm"]))
        assert params.crossval.families == ["overfit", "linear_svm"]

    def test_those_of_export_may_be_words(self, change):
        for word in ("chosen", "all"):
            assert load_params(change("export.families", word)).export.families == word
        assert refusal(change("export.families", "best")).startswith(
            "export.families: expected 'chosen' or 'all', received 'best'"
        )

    def test_those_of_export_are_trained(self, change):
        assert refusal(change("families", ["underfit"], "export.families", ["overfit"])) == (
            "export.families: overfit is not in families, which are trained: expected it there too, received families underfit"
        )


def test_a_format_that_does_not_exist_is_refused_with_those_that_do(change):
    assert refusal(change("export.formats", ["onnx", "tflite"])) == (
        "export.formats.1: expected 'savedmodel', 'onnx', 'onnx_float16', 'openvino', 'litert', 'litert_float16', "
        "'litert_int8_weights' or 'litert_int8', received 'tflite'"
    )


def test_a_fold_that_is_listed_twice_is_refused(change):
    line = refusal(change("crossval.folds", [1, 2, 3, 2]))
    assert line == "crossval.folds: expected different numbers, received [1, 2, 3, 2]"


class TestImageSizes:
    @pytest.mark.parametrize(("source", "size"), [("cifar10", 32), ("folder", 150), ("archive", 150)])
    def test_null_is_the_size_of_the_source(self, change, source, size):
        assert load_params(change("preprocess.image_size", None, "data.source", source)).image_size == size

    def test_a_size_that_is_set_wins(self, change):
        assert load_params(change("preprocess.image_size", 96)).image_size == 96

    @pytest.mark.parametrize(
        ("changes", "line"),
        [
            (
                ("preprocess.image_size", 24),
                "overfit downsamples its images too often for this size: expected images of 32 px or more, received 24 px; "
                "raise preprocess.image_size or leave the family out of families",
            ),
            (
                ("recipes.efficientnet_lite0.input_size", 16),
                "efficientnet_lite0 downsamples its images too often for this size: expected images of 32 px or more, received "
                "16 px; raise recipes.efficientnet_lite0.input_size or leave the family out of families",
            ),
            (
                ("families", ["inceptionv3"], "preprocess.image_size", 64),
                "inceptionv3 downsamples its images too often for this size: expected images of 75 px or more, received 64 px; "
                "raise recipes.inceptionv3.input_size or leave the family out of families",
            ),
        ],
    )
    def test_one_that_is_too_small_for_a_family_is_refused_with_its_parameter(self, change, changes, line):
        assert refusal(change(*changes)) == line

    def test_a_backbone_may_enlarge_small_images(self, change):
        params = load_params(change("families", ["efficientnet_lite0", "cifar_elu"], "preprocess.image_size", 16))
        assert (params.input_size("efficientnet_lite0"), params.input_size("cifar_elu")) == (160, 16)


class TestFeatures:
    """Blocks of a backbone."""

    LITE, MORE = "recipes.efficientnet_lite0.features", " (and 2 more)"  # families, which take them from this one

    def test_they_are_the_backbones_own_and_those_of_its_other_families(self, change):
        lite = ["efficientnet_lite0", "efficientnet_lite0_svm", "efficientnet_lite0_fine_tuned"]
        params = load_params(change("families", lite, self.LITE, [1, 16]))
        assert [list_features(params.recipes[family]) for family in lite] == [[1, 16]] * 3
        assert list_features(params.recipes["mobilenet"]) == list_features(params.recipes["optimized"]) == []

    @pytest.mark.parametrize(
        ("value", "line"),
        [
            (
                [11, 17],
                "efficientnet_lite0 has no block 17: expected numbers from 1, the first, to 16, received 11, 17",
            ),
            ([11, 11], "expected numbers of blocks, each once, in ascending order, received [11, 11]"),
            ([12, 11], "expected numbers of blocks, each once, in ascending order, received [12, 11]"),
            (11, "expected a list in brackets, such as [11], received 11"),
        ],
    )
    def test_others_are_refused(self, change, value, line):
        assert refusal(change(self.LITE, value)).removesuffix(self.MORE) == f"{self.LITE}: {line}"

    def test_zero_is_no_block(self, change):
        line = refusal(change(self.LITE, [0])).removesuffix(self.MORE)
        assert line == f"{self.LITE}.0: expected greater than or equal to 1, received 0"

    def test_a_params_yaml_from_before_them_has_none(self, change):
        names = [f"recipes.defaults.{kind}.features" for kind in ("transfer", "linear")]
        params = load_params(change(*(part for name in names for part in (name, ABSENT))))
        for family in ("mobilenet", "mobilenet_svm", "linear_svm"):
            assert list_features(params.recipes[family]) == []


class TestCuts:
    """The block after which fine-tuning begins."""

    TUNED = "recipes.efficientnet_lite0_fine_tuned.fine_tune"

    def test_one_is_found_where_there_is_fine_tuning(self, change):
        file = change("families", ["efficientnet_lite0_fine_tuned"], f"{self.TUNED}.from", "block 16")
        assert find_cut(load_params(file).recipes["efficientnet_lite0_fine_tuned"]) == 16
        assert find_cut(load_params(change(f"{self.TUNED}.epochs", 0)).recipes["efficientnet_lite0_fine_tuned"]) is None

    @pytest.mark.parametrize(
        "family", ["efficientnet_lite0", "mobilenet_fine_tuned", "efficientnet_lite0_svm", "optimized"]
    )
    def test_others_have_none(self, change, family):
        assert find_cut(load_params(change(f"{self.TUNED}.from", "block 13")).recipes[family]) is None

    @pytest.mark.parametrize(
        ("changes", "line"),
        [
            ({"from": "block 17"}, "{0}.from: efficientnet_lite0 has no block 17: expected numbers from 1, the first, to 16, "
                                   "received 17"),
            ({"from": 12}, "{0}.from: expected a text such as 'block 12', or null, received 12"),
            ({"from": "12 blocks"}, "{0}.from: expected a text such as 'block 12', or null, received '12 blocks'"),
            ({"from": "block 13", "start": "fresh"},
             "efficientnet_lite0_fine_tuned: fine_tune.from keeps what a frozen part of the backbone gives: expected "
             "fine_tune.start head beside it, received fresh; set fine_tune.from to null to train the whole network"),
            ({"schedule": {"kind": "cosine", "hold_epochs": 0, "decay": 0.0, "warmup_epochs": 0, "step_decay": 0.0},
              "reduce_lr": {"patience": 3}},
             "efficientnet_lite0_fine_tuned: fine_tune.schedule.kind cosine sets the learning rate of every step: expected "
             "fine_tune.reduce_lr.patience null beside it, received 3; use one of the two"),
            ({"label_smoothing": 1.0}, "{0}.label_smoothing: expected less than 1, received 1.0"),
            ({"layer_decay": 0.0}, "{0}.layer_decay: expected greater than 0, received 0.0"),
        ],
    )  # fmt: skip
    def test_others_are_refused(self, change, changes, line):
        names = [part for key, value in changes.items() for part in (f"{self.TUNED}.{key}", value)]
        assert refusal(change("families", ["efficientnet_lite0_fine_tuned"], *names)) == line.format(self.TUNED)

    def test_a_params_yaml_from_before_them_has_none(self, change):
        names = ("from", "batch_size", "schedule", "layer_decay", "label_smoothing", "ema")
        changes = [part for name in names for part in (f"recipes.defaults.transfer.fine_tune.{name}", ABSENT)]
        assert find_cut(load_params(change(*changes)).recipes["mobilenet_fine_tuned"]) is None


class TestPrompts:
    """evaluate.prompts: in what words a preset's tower for text sees a class."""

    def test_there_is_one_by_default_and_none_in_a_file_from_before_them(self, change):
        assert load_params().evaluate.prompts == ["a photo of a CLASS."]
        assert load_params(change("evaluate.prompts", ABSENT)).evaluate.prompts == []

    def test_several_and_none_are_taken(self, change):
        assert load_params(change("evaluate.prompts", ["CLASS", "a CLASS, a toy"])).evaluate.prompts[0] == "CLASS"
        assert load_params(change("evaluate.prompts", [])).evaluate.prompts == []

    def test_one_without_the_name_of_the_class_is_refused(self, change):
        assert refusal(change("evaluate.prompts", ["CLASS", "a photo of a {}."])) == (
            "evaluate.prompts.1: expected a text with the word CLASS, where the name of a class stands, such as 'a photo of a "
            "CLASS.', received 'a photo of a {}.'"
        )

    def test_a_text_alone_is_refused(self, change):
        assert refusal(change("evaluate.prompts", "a CLASS")) == (
            "evaluate.prompts: expected a list in brackets, such as [a CLASS], received 'a CLASS'"
        )


class TestFiles:
    def test_a_missing_one_says_where_to_go(self, tmp_path):
        assert "run from the project's folder" in refusal(tmp_path / "params.yaml")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("data: [", "is not valid YAML"), ("", "expected sections"), ("- 1", "expected sections")],
    )
    def test_one_without_sections_is_refused(self, tmp_path, text, expected):
        (tmp_path / "params.yaml").write_text(text)
        with pytest.raises(PipelineError, match=expected):
            load_params(tmp_path / "params.yaml")

    def test_both_sides_of_a_merge_are_said_with_what_to_do_and_nothing_is_thrown_away(self, tmp_path):
        sides = "train:\n  dropout: 0.2\n<<<<<<< HEAD\n  seed: 15\n=======\n  seed: 16\n>>>>>>> x2\n"
        (tmp_path / "params.yaml").write_text(sides)
        line = refusal(tmp_path / "params.yaml")
        assert "has both sides of a git merge, at 1 place(s), the first in line 3: expected one" in line
        assert "`git add params.yaml`" in line
        assert "restore" not in line

    @pytest.mark.usefixtures("project")
    def test_what_is_read_has_whole_recipes(self):
        recipes = read_params()["recipes"]
        assert "defaults" not in recipes
        assert recipes["overfit"]["dropout"] == 0.0

    def test_published_recipes_are_those_of_the_project_wherever_it_is_called(self, change):
        change("recipes.overfit.epochs", 3, "recipes.overfit.dropout", 0.7)
        assert load_published_recipe("overfit") == load_params(ROOT / "params.yaml").recipes["overfit"]


class TestOverrides:
    @pytest.mark.usefixtures("project")
    def test_they_replace_what_is_written(self):
        values = {"train.dropout": 0.25, "recipes.searched_cnn.blocks": 4, "train.augment.flip": "both"}
        params = load_params(overrides=values)
        assert (params.train.dropout, params.train.augment.flip) == (0.25, "both")
        assert params.recipes["searched_cnn"].model_dump()["blocks"] == 4

    @pytest.mark.usefixtures("project")
    def test_a_recipe_need_not_list_them(self):
        assert load_params(overrides={"recipes.overfit.dropout": 0.1}).recipes["overfit"].dropout == 0.1

    @pytest.mark.usefixtures("project")
    def test_null_is_a_value_and_none_at_all_changes_nothing(self):
        assert load_params(overrides={"train.width": None}).train.width is None
        assert load_params(overrides={}) == load_params()

    @pytest.mark.usefixtures("project")
    @pytest.mark.parametrize(
        ("name", "value", "line"),
        [
            ("train.dropout", 1.5, "train.dropout: expected less than or equal to 0.9, received 1.5"),
            ("train.drop", 0.1, "train.drop is unknown: did you mean dropout?"),
        ],
    )
    def test_they_are_checked_like_what_is_written(self, name, value, line):
        with pytest.raises(PipelineError) as caught:
            load_params(overrides={name: value})
        assert str(caught.value) == line


class TestWords:
    """What a plain word in params.yaml is: a class may have any name."""

    @pytest.mark.parametrize(
        "name",
        ["16:9", "12:30", "1:30.5", "07", "010", "1_000", "+1", "0x10", "0b11", "-0", "1_0.5", "no", "2021-05-01"],
    )
    def test_what_is_not_written_as_numbers_are_is_a_name(self, name):
        assert parse_yaml(f"a: [{name}]\n{name}: 1") == {"a": [name], name: 1}

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("0", 0),
            ("7", 7),
            ("-12", -12),
            ("1000", 1000),
            ("0.5", 0.5),
            (".5", 0.5),
            ("3.", 3.0),
            ("1.5e+3", 1500.0),
        ],
    )
    def test_numbers_are_numbers(self, text, number):
        found = parse_yaml(f"a: {text}")["a"]
        assert found == number
        assert type(found) is type(number)

    def test_the_delivered_file_is_read_as_any_yaml_reader_reads_it(self):
        text = (ROOT / "params.yaml").read_text(encoding="utf-8")
        assert parse_yaml(text) == yaml.safe_load(text)

    def test_classes_that_differ_as_text_only_are_told_apart(self, project):
        file = project.folder / "params.yaml"
        before, mark, prune = file.read_text().partition("\nprune:")
        prune = prune.replace("  drop_classes: null", "  drop_classes: [010, 16:9, 8]", 1)
        prune = prune.replace("  max_images_per_class: null", "  max_images_per_class: {010: 5, 8: 6}", 1)
        file.write_text(before + mark + prune)
        prune = load_params().prune
        assert prune.drop_classes == ["010", "16:9", "8"]
        assert prune.max_images_per_class == {"010": 5, "8": 6}


class TestReading:
    """The part of `data` that says what folders and files mean."""

    def test_names_of_folders_may_look_like_numbers(self, project):
        project.set(data__splits={2019: "train", "0": "test", "b c": "ignore"})
        assert load_params().data.splits == {"2019": "train", "0": "test", "b c": "ignore"}

    def test_names_of_folders_may_look_like_answers_and_dates(self, project):
        """DVC writes YAML 1.2, in which these are text."""
        file = project.folder / "params.yaml"
        text = file.read_text().replace("  root: null", "  root: 2019")
        file.write_text(text.replace("  splits: {}", "  splits: {no: ignore, on: test, 2021-05-01: train}"))
        data = load_params().data
        assert data.root == "2019"
        assert data.splits == {"no": "ignore", "on": "test", "2021-05-01": "train"}

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("splits", {"a": "training"}),
            ("splits", ["a"]),
            ("splits", {1.5: "train"}),
            ("layout", "deep"),
            ("classes", "folder"),
            ("label_columns", {"path": "p", "label": "l", "split": None}),
            ("label_columns", {"path": None, "label": "l", "split": None, "group": None}),
        ],
    )
    def test_a_wrong_value_is_refused_by_name(self, project, key, value):
        project.set(**{f"data__{key}": value})
        with pytest.raises(PipelineError, match=rf"^data\.{key}"):
            load_params()


def test_only_a_folders_pictures_can_stay_where_they_are(project):
    project.set(data__keep="reference", data__source="folder", data__path="pictures")
    assert load_params().data.keep == "reference"
    project.set(data__source="archive")
    with pytest.raises(PipelineError, match=r"^data\.keep: got reference, but data\.source is archive: expected copy"):
        load_params()


class TestPresets:
    def test_families_that_are_places_for_one_have_one(self, change):
        names = ["dinov2", "siglip_svm"]
        params = load_params(change("families", names, "recipes.siglip.backbone.preset", "/srv/mine"))
        assert [params.recipes[name].backbone.preset for name in names] == ["dinov2_small", "/srv/mine"]

    def test_others_are_refused(self, change):
        file = change("families", ["vgg16"], "recipes.vgg16", {"backbone": {"preset": "dinov2_small"}})
        assert refusal(file) == (
            "recipes.vgg16.backbone.preset: vgg16 is no place for a preset: expected null, received dinov2_small; set it for "
            "one of dinov2, siglip"
        )

    def test_there_must_be_one(self, change):
        line = refusal(change("families", ["dinov2"], "recipes.dinov2.backbone.preset", None))
        assert line.startswith("recipes.dinov2.backbone.preset is null: expected a preset of KerasHub, ")

    def test_its_blocks_have_no_numbers(self, change):
        line = refusal(change("families", ["dinov2"], "recipes.dinov2.features", [3]))
        assert line.startswith(
            "recipes.dinov2.features: dinov2 is a preset of KerasHub, whose blocks have no numbers: "
        )


class TestMirrors:
    """evaluate.tta: flip, where mirror images are as good as the images themselves."""

    def test_families_that_train_on_mirror_images_average_them(self, change):
        params = load_params(change("evaluate.tta", "flip"))
        assert [name for name in params.families if averages_mirrors(params, name)] == [
            "optimized",
            "efficientnet_lite0",
        ]
        assert not averages_mirrors(load_params(change("evaluate.tta", "none")), "optimized")

    @pytest.mark.parametrize("flip", ["none", "vertical"])
    def test_where_training_is_told_that_mirror_images_are_wrong_it_is_refused(self, change, flip):
        line = refusal(change("evaluate.tta", "flip", "train.augment.flip", flip))
        assert line.startswith(f"evaluate.tta flip averages mirror images, but train.augment.flip is {flip}: ")

    def test_where_no_family_trains_on_them_it_is_refused(self, change):
        line = refusal(change("evaluate.tta", "flip", "families", ["underfit", "linear_svm"]))
        assert (
            "expected a family that trains on them, received only underfit, linear_svm, whose augment.flip is" in line
        )

    def test_training_may_be_told_to_mirror_all(self, change):
        names = ["underfit", "efficientnet_lite0_svm"]
        params = load_params(change("evaluate.tta", "flip", "train.augment.flip", "both", "families", names))
        assert all(averages_mirrors(params, name) for name in names)

    def test_a_file_that_does_not_know_of_it_averages_nothing(self, change):
        assert load_params(change("evaluate.tta", ABSENT)).evaluate.tta == "none"


@pytest.mark.parametrize(("name", "value"), [("runtime.precision", "mixed_bfloat16"), ("runtime.xla", True)])
def test_arithmetic_that_rounds_as_the_processor_does_is_refused_where_bits_are_to_be_the_same(change, name, value):
    line = refusal(change(name, value))
    assert line.startswith(
        f"{name} {str(value).lower()} rounds as the processor does: expected runtime.portable false "
    )
    load_params(change(name, value, "runtime.portable", False))


class TestDevices:
    def test_compiled_steps_are_for_one_device(self, change):
        values = ("runtime.portable", False, "runtime.xla", True)
        line = refusal(change("runtime.devices", 2, *values))
        assert line.startswith(
            "runtime.xla true compiles for one device: expected runtime.devices 1 beside it, received 2"
        )
        assert "received all" in refusal(change("runtime.devices", "all", *values))

    def test_a_loss_is_scaled_by_one_device(self, change):
        values = ("runtime.portable", False, "runtime.precision", "mixed_float16", "runtime.devices", 2)
        line = refusal(change(*values))
        assert line.startswith(
            "runtime.precision mixed_float16 scales the loss by what one device sees: expected runtime."
        )
        load_params(change("runtime.precision", "mixed_bfloat16", *values[:2], *values[4:]))

    def test_each_gets_an_image_of_a_batch(self, change):
        line = refusal(change("runtime.devices", 8, "train.batch_size", 4))
        assert line.startswith(
            "runtime.devices 8 share each batch: expected a batch_size of 8 or more, received 4 for "
        )
        load_params(change("runtime.devices", 8, "train.batch_size", 8))

    def test_heads_and_linear_machines_are_of_one_device(self, change):
        names = ["linear_svm", "efficientnet_lite0"]
        load_params(change("families", names, "runtime.devices", 8, "train.batch_size", 4))

    def test_what_is_fine_tuned_is_shared(self, change):
        names, size = ["efficientnet_lite0_fine_tuned"], "recipes.efficientnet_lite0_fine_tuned.fine_tune.batch_size"
        assert "received 4 for efficientnet" in refusal(change("families", names, "runtime.devices", 8, size, 4))

    def test_one_is_in_no_digest_of_settings(self, change):
        """So that features, checkpoints and trials of before there was more than one stay valid."""
        assert "devices" not in load_params().runtime.model_dump()
        several = load_params(change("runtime.devices", 2)).runtime
        assert several.model_dump()["devices"] == 2
        assert "devices" not in several.arithmetic


def test_no_digest_of_settings_depends_on_where_the_work_is_done(change):
    """As the bytes don't: features, checkpoints and trials stay valid."""
    here, there = load_params(), load_params(change("runtime.cluster", "ray"))
    assert there.runtime.cluster == "ray"
    digested = there.runtime.model_dump()
    assert digested == here.runtime.model_dump()
    assert not {"cluster", "ray_address"} & set(digested)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_file_that_is_not_utf_8_is_refused_with_the_line(tmp_path, encoding):
    file = tmp_path / "params.yaml"
    file.write_bytes("data:\n  path: Bücher\n".encode(encoding))
    with pytest.raises(
        PipelineError, match=r"params\.yaml is not UTF-8: line [12] has the byte 0xf[cf]; save it as UTF-8"
    ):
        read_file(file)
