import json

import pytest
import yaml

from pipeline.config.families import FAMILIES
from pipeline.config.nested import walk
from pipeline.config.reader import load_params, read_file, read_params
from pipeline.config.recipe_sections import FeatureLinearRecipe, Recipe, Train, Training
from pipeline.config.recipes import (
    describe_settings,
    expand_recipes,
    list_ignored,
    list_notes,
    resolve_family,
    resolve_recipe,
    trace_origins,
    without_augment,
)
from tests.conftest import ROOT
from tests.pipeline.config.conftest import ABSENT, refusal

ON_FEATURES = [name for name, family in FAMILIES.items() if family.kind == "linear" and family.backbone]
CHANGES = (
    "rotation",
    "zoom",
    "contrast",
    "brightness",
    "shift",
    "crop",
    "translate",
    "erase",
    "randaugment",
    "mixup",
    "cutmix",
)
NO_AUGMENT = {"flip": "none"} | dict.fromkeys(CHANGES, 0.0)


def expand(family: str, **entries) -> dict:
    """A family's whole recipe with other entries than those delivered."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["recipes"] |= entries
    return expand_recipes(content)["recipes"][family]


class TestExpand:
    @pytest.mark.parametrize(
        ("family", "kind"), [("overfit", "network"), ("vgg16", "transfer"), ("linear_svm", "linear")]
    )
    def test_an_empty_entry_is_the_default_of_its_kind(self, family, kind):
        defaults = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["recipes"]["defaults"]
        assert expand(family, **{family: {}}) == defaults[kind]

    def test_an_entry_changes_its_own_values_alone(self):
        recipe = expand("overfit", overfit={"epochs": 3, "augment": {"zoom": 0.2}})
        expected = expand("overfit", overfit={})
        expected["epochs"], expected["augment"]["zoom"] = 3, 0.2
        assert recipe == expected

    @pytest.mark.parametrize("family", ON_FEATURES)
    def test_a_machine_on_features_takes_what_decides_them_from_the_family_with_the_same_backbone(self, family):
        entry = {"backbone": {"weights": "mine.keras"}, "input_size": 96, "augment": {"zoom": 0.5}}
        base = str(FAMILIES[family].backbone)
        recipe, other = expand(family, **{base: entry}), expand(base, **{base: entry})
        names = ("backbone", "features", "standardize", "input_size", "augment")
        assert {name: recipe[name] for name in names} == {name: other[name] for name in names}
        assert set(recipe) == {*names, "solver", "C", "max_iterations", "max_gb", "class_weight"}

    def test_it_may_override_them(self):
        recipe = expand("mobilenet_svm", mobilenet_svm={"input_size": 96, "augment": {"zoom": 0.0}})
        assert recipe["input_size"] == 96
        assert recipe["augment"] == expand("mobilenet")["augment"] | {"zoom": 0.0}

    def test_null_is_a_value(self):
        assert expand("mobilenetv3", mobilenetv3={"input_size": None})["input_size"] is None

    def test_what_was_read_stays_as_it_was(self):
        content = read_file(ROOT / "params.yaml")
        expand_recipes(content)
        assert content == read_file(ROOT / "params.yaml")


class TestTrain:
    """`train` overrides every recipe; null keeps the recipe's value."""

    def test_each_setting_of_training_may_be_null_or_a_value_of_its_type(self, change):
        everything = load_params().recipes["optimized"].model_dump(include=set(Training.model_fields))
        nothing = {**everything, **{key: None for key, value in everything.items() if not isinstance(value, dict)}}
        nothing |= {key: dict.fromkeys(value) for key, value in everything.items() if isinstance(value, dict)}
        assert {*everything, "seed", "max_epochs", "cache_gb", "shuffle_buffer"} == set(Train.model_fields)
        for settings in (everything, nothing):
            changes = [part for key, value in settings.items() for part in (f"train.{key}", value)]
            train = load_params(change(*changes)).train
            assert train.model_dump(include=set(settings)) == settings

    def test_null_everywhere_keeps_the_recipe(self, change):
        params = load_params(change("train.width", None, "train.max_epochs", None))
        for family, recipe in params.recipes.items():
            assert resolve_family(params, family) == recipe

    @pytest.mark.parametrize(
        ("name", "value"),
        [("dropout", 0.0), ("batch_size", 7), ("augment.zoom", 0.5), ("early_stopping.patience", 3), ("l2", 0.25)],
    )
    @pytest.mark.parametrize("family", ["optimized", "searched_cnn", "mobilenet"])
    def test_a_value_overrides_and_nothing_else_changes(self, change, family, name, value):
        params = load_params(change("train.width", None, "train.max_epochs", None, f"train.{name}", value))
        recipe = params.recipes[family]
        expected = dict(walk(recipe.model_dump())) | {tuple(name.split(".")): value}
        assert isinstance(recipe, Recipe)
        assert dict(walk(resolve_recipe(params.train, recipe).model_dump())) == expected

    def test_max_epochs_caps_the_recipe_but_not_what_train_asks_for(self, change):
        params = load_params(change("train.max_epochs", 2))
        assert resolve_family(params, "overfit").epochs == 2
        params = load_params(change("train.epochs", 5))
        assert resolve_family(params, "overfit").epochs == 5

    def test_max_epochs_does_not_lengthen_a_recipe(self, change):
        params = load_params(change("train.max_epochs", 1000))
        assert resolve_family(params, "underfit").epochs == params.recipes["underfit"].epochs

    def test_two_rules_for_the_learning_rate_are_refused(self, change):
        line = refusal(change("train.schedule.kind", "cosine", "train.reduce_lr.patience", 2))
        assert line.startswith("underfit: schedule.kind cosine sets the learning rate of every step: expected ")
        assert "expected reduce_lr.patience null beside it, received 2" in line

    def test_a_value_reaches_only_the_views_of_a_machine_on_features_and_the_weights_of_classes(self, change):
        params = load_params(change("train.augment.zoom", 0.5, "train.class_weight", "balanced"))
        recipe = params.recipes["mobilenet_svm"]
        assert isinstance(recipe, FeatureLinearRecipe)
        augment = recipe.augment.model_copy(update={"zoom": 0.5})
        changes = {"augment": augment, "class_weight": "balanced"}
        assert resolve_family(params, "mobilenet_svm") == recipe.model_copy(update=changes)
        changes = {"class_weight": "balanced"}
        assert resolve_family(params, "linear_svm") == params.recipes["linear_svm"].model_copy(update=changes)

    def test_so_it_is_for_the_other_schedule_of_every_step(self, change):
        line = refusal(change("train.schedule.kind", "one_cycle", "train.reduce_lr.patience", 2))
        assert line.startswith("underfit: schedule.kind one_cycle sets the learning rate of every step: expected ")

    def test_so_it_is_for_one_that_fine_tuning_has_from_the_head(self, change):
        recipe = "recipes.efficientnet_lite0_fine_tuned"
        rules = (f"{recipe}.schedule.kind", "cosine", f"{recipe}.reduce_lr.patience", None)
        rules += ("families", ["efficientnet_lite0_fine_tuned"])
        tuning = (f"{recipe}.fine_tune.schedule", None, f"{recipe}.fine_tune.reduce_lr.patience", 3)
        line = refusal(change(*rules, *tuning))
        assert "fine_tune.schedule.kind cosine sets the learning rate of every step" in line
        params = load_params(change(*rules, *tuning[:2], f"{recipe}.fine_tune.reduce_lr.patience", None))
        assert resolve_family(params, "efficientnet_lite0_fine_tuned").schedule.kind == "cosine"

    @pytest.mark.parametrize(
        "names", [("train", "train"), ("recipes.optimized", "train"), ("train", "recipes.optimized")]
    )
    def test_rare_classes_are_made_up_for_in_one_way(self, change, names):
        file = change(f"{names[0]}.class_weight", "balanced", f"{names[1]}.oversample", "balanced")
        line = refusal(file)
        assert "oversample balanced shows all classes equally often already: expected class_weight none" in line

    def test_a_linear_machine_does_not_oversample(self, change):
        change("train.width", None, "train.max_epochs", None)
        params = load_params(change("train.oversample", "balanced"))
        assert list_ignored(params, "linear_svm") == list_ignored(params, "mobilenet_svm") == ["train.oversample"]

    def test_what_a_linear_machine_does_not_have_is_listed(self, change):
        change("train.width", None, "train.max_epochs", 3, "train.dropout", 0.1, "train.seed", 7)
        params = load_params(change("train.augment.flip", "none", "train.class_weight", "balanced"))
        assert list_ignored(params, "linear_svm") == ["train.max_epochs", "train.dropout", "train.augment.flip"]
        assert list_ignored(params, "mobilenet_svm") == ["train.max_epochs", "train.dropout"]
        assert list_ignored(params, "optimized") == list_ignored(params, "mobilenet") == []

    def test_what_trains_on_cached_features_mixes_no_images_and_says_so(self, change):
        change("train.width", None, "train.max_epochs", None)
        params = load_params(
            change("train.augment.mixup", 0.2, "train.augment.cutmix", 1.0, "train.augment.erase", 0.1)
        )
        for family in ("mobilenet", "mobilenet_fine_tuned", "mobilenet_svm"):
            augment = resolve_family(params, family).augment
            assert (augment.mixup, augment.cutmix, augment.erase) == (0.0, 0.0, 0.1)
            assert list_ignored(params, family) == ["train.augment.mixup", "train.augment.cutmix"]
        for family in ("optimized", "inceptionv3_fine_tuned"):
            assert (resolve_family(params, family).augment.mixup, list_ignored(params, family)) == (0.2, [])
        assert resolve_family(params, "optimized").has_soft_labels

    @pytest.mark.parametrize("family", ["efficientnet_lite0", "efficientnet_lite0_svm"])
    def test_where_its_own_recipe_asks_for_that_it_is_refused(self, change, family):
        change("families", [family])
        line = refusal(change("recipes.efficientnet_lite0.augment.cutmix", 1.0))
        assert line.startswith(
            f"{family}: augment.mixup and augment.cutmix mix images, and this family trains on features that"
        )
        assert "expected 0 for both, received 0 and 1" in line

    @pytest.mark.usefixtures("project")
    def test_without_augmentation_there_is_none_whatever_recipe_and_train_ask_for(self):
        params = load_params(overrides={"train.augment.zoom": 0.5})
        without = without_augment(params)
        for family in ("optimized", "mobilenet", "mobilenet_svm"):
            assert resolve_family(without, family).augment.model_dump() == NO_AUGMENT
        assert params.train.augment.zoom == 0.5
        assert without.recipes == params.recipes

    @pytest.mark.parametrize("family", ["optimized", "mobilenet", "mobilenet_svm"])
    def test_one_word_turns_augmentation_off_for_all(self, change, family):
        params = load_params(change("train.augment", "none"))
        assert resolve_family(params, family).augment.model_dump() == NO_AUGMENT
        assert describe_settings(params, family) == describe_settings(without_augment(params), family)

    def test_it_is_the_same_as_all_settings_off(self, change):
        word = read_params(change("train.augment", "none"))
        assert word == read_params(change("train.augment", NO_AUGMENT))

    def test_the_word_is_not_listed_for_a_machine_that_never_augments(self, change):
        params = load_params(change("train.width", None, "train.max_epochs", None, "train.augment", "none"))
        assert list_ignored(params, "linear_svm") == list_ignored(params, "mobilenet_svm") == []

    @pytest.mark.parametrize("family", ["optimized", "mobilenet", "mobilenet_svm"])
    def test_a_recipe_takes_the_word_too(self, change, family):
        recipe = load_params(change(f"recipes.{family}.augment", "none")).recipes[family]
        assert recipe.augment.model_dump() == NO_AUGMENT
        origins = trace_origins(read_file()["recipes"], load_params(), family)
        assert {origins["augment", name] for name in NO_AUGMENT} == {"study"}

    @pytest.mark.parametrize("name", ["train.augment", "recipes.optimized.augment"])
    def test_no_other_word_is_taken(self, change, name):
        line = refusal(change(name, "of"))
        assert line == f"{name}: expected a mapping, or none, received 'of'"

    def test_a_search_may_vary_it_where_the_word_stands(self, change):
        file = change("train.augment", "none", "search.space.train", {"augment": {"zoom": [0.0, 0.1]}})
        assert load_params(file, {"train.augment.zoom": 0.1}).train.augment.zoom == 0.1

    def test_what_an_older_file_does_not_have_is_off(self, change):
        params = load_params(change("train.augment.crop", ABSENT, "recipes.defaults.network.augment.crop", ABSENT))
        assert resolve_family(params, "optimized").augment.crop == 0.0


class TestOrigins:
    def trace(self, family: str) -> dict[str, str]:
        origins = trace_origins(read_file()["recipes"], load_params(), family)
        return {".".join(path): origin for path, origin in origins.items()}

    @pytest.mark.usefixtures("project")
    @pytest.mark.parametrize("family", FAMILIES)
    def test_every_value_of_a_recipe_has_one(self, family):
        paths = {path for path, _ in walk(resolve_family(load_params(), family).model_dump())}
        assert set(trace_origins(read_file()["recipes"], load_params(), family)) == paths

    def test_it_is_the_study_or_the_default_of_its_kind(self, change):
        change("train.width", None, "train.max_epochs", None)
        overfit = self.trace("overfit")
        assert {name for name, origin in overfit.items() if origin == "study"} == {
            "epochs",
            "batch_size",
            "head_units",
            "early_stopping.restore",
        }
        assert {origin for origin in overfit.values() if origin != "study"} == {"default of network"}
        assert self.trace("vgg16")["fine_tune.epochs"] == "default of transfer"
        assert self.trace("linear_svm") | {"C": "study"} == self.trace("linear_svm")

    def test_it_is_the_family_on_the_same_backbone(self, change):
        change("recipes.mobilenet_svm.augment.zoom", 0.0)
        origins = self.trace("mobilenet_svm")
        inherited = {f"augment.{name}" for name in NO_AUGMENT if name != "zoom"}
        inherited |= {"backbone.weights", "backbone.preset", "features", "standardize", "input_size"}
        assert {name for name, origin in origins.items() if origin == "from mobilenet"} == inherited
        assert (origins["augment.zoom"], origins["C"]) == ("study", "default of linear")

    def test_it_is_train_where_that_overrides(self, change):
        change("train.width", None, "train.max_epochs", 40, "train.augment.flip", "both", "train.dropout", 0.0)
        for family, expected in {
            "overfit": {"epochs": "train.max_epochs", "augment.flip": "train", "dropout": "train"},
            "underfit": {"augment.flip": "train", "dropout": "train"},
            "mobilenet_svm": {"augment.flip": "train"},
            "linear_svm": {},
        }.items():
            assert {name: origin for name, origin in self.trace(family).items() if "train" in origin} == expected
        change("train.epochs", 3)
        assert self.trace("overfit")["epochs"] == "train"


class TestSettings:
    """What a family's stages depend on."""

    FAMILIES = ("linear_svm", "optimized", "mobilenet", "mobilenet_svm")

    def describe(self) -> dict[str, str]:
        """As JSON, by family and purpose."""
        params = load_params()
        return {
            f"{family} {purpose}": json.dumps(settings)
            for family in self.FAMILIES
            for purpose, settings in describe_settings(params, family).items()
        }

    @pytest.mark.usefixtures("project")
    def test_they_are_what_a_family_embeds_and_trains_with(self):
        params = load_params()
        settings = describe_settings(params, "mobilenet")
        recipe = settings["train"]["recipe"]
        assert recipe == resolve_family(params, "mobilenet").model_dump()
        assert settings["embed"] == {name: recipe[name] for name in ("backbone", "features", "input_size", "augment")}
        assert settings["train"] == {"seed": 42, "cache_gb": 4.0, "shuffle_buffer": 8192, "recipe": recipe}
        linear = describe_settings(params, "linear_svm")
        assert linear == {"embed": {}, "train": {"recipe": params.recipes["linear_svm"].model_dump()}}

    def test_those_of_a_network_with_a_teacher_have_the_teachers(self, change):
        params = load_params(change("recipes.optimized.distill.teacher", "mobilenet"))
        settings, taught = describe_settings(params, "optimized"), describe_settings(params, "mobilenet")
        assert settings["embed"] == taught["embed"]
        assert settings["train"]["teacher"] == {"mobilenet": taught["train"]}
        distill = {"teacher": "mobilenet", "weight": 0.5, "temperature": 2.0}
        assert settings["train"]["recipe"]["distill"] == distill

    @pytest.mark.usefixtures("project")
    @pytest.mark.parametrize("family", FAMILIES)
    def test_they_are_the_same_after_json(self, family):
        settings = describe_settings(load_params(), family)
        assert json.loads(json.dumps(settings)) == settings

    @pytest.mark.parametrize(
        ("name", "value", "changed"),
        [
            ("train.dropout", 0.25, {"optimized train", "mobilenet train"}),
            ("train.seed", 1, {"optimized train", "mobilenet train"}),
            ("train.cache_gb", 1.0, {"optimized train", "mobilenet train"}),
            (
                "train.augment.zoom",
                0.5,
                {"optimized train", *(f"mobilenet{x} {y}" for x in ("", "_svm") for y in ("embed", "train"))},
            ),
            ("train.max_epochs", 1000, {"optimized train", "mobilenet train"}),
            ("recipes.linear_svm.C", 2.0, {"linear_svm train"}),
            ("recipes.defaults.linear.max_gb", 1.0, {"linear_svm train", "mobilenet_svm train"}),
            ("recipes.defaults.network.schedule.decay", 0.1, {"optimized train"}),
            (
                "recipes.mobilenet.input_size",
                96,
                {f"mobilenet{x} {y}" for x in ("", "_svm") for y in ("embed", "train")},
            ),
            ("recipes.mobilenet.dropout", 0.1, {"mobilenet train"}),
            ("recipes.overfit.dropout", 0.1, set()),
            ("recipes.defaults.network.distill.weight", 0.9, set()),  # without a teacher
            (
                "recipes.optimized.distill.teacher",
                "mobilenet",
                {"optimized embed", "optimized train"},
            ),
            ("embed.views", 2, set()),
            ("split.seed", 1, set()),
        ],
    )
    def test_a_parameter_changes_those_of_the_families_that_it_reaches(self, change, name, value, changed):
        before = self.describe()
        change(name, value)
        after = self.describe()
        assert {key for key in before if before[key] != after[key]} == changed


class TestMirrors:
    """What a family that averages mirror images trains and embeds with."""

    def test_what_does_not_average_them_has_the_settings_that_it_had(self, change):
        before, after = load_params(), load_params(change("evaluate.tta", "flip"))
        for family in ("underfit", "linear_svm"):
            assert describe_settings(after, family) == describe_settings(before, family)

    def test_the_others_say_so_and_a_frozen_backbone_is_applied_to_them(self, change):
        before, after = load_params(), load_params(change("evaluate.tta", "flip"))
        says = {
            "optimized": ["train"],
            "efficientnet_lite0": ["embed", "train"],
            "efficientnet_lite0_fine_tuned": ["embed", "train"],  # from a cut on
            "mobilenet_fine_tuned": ["train"],  # through pixels
        }
        for family, purposes in says.items():
            old, new = describe_settings(before, family), describe_settings(after, family)
            for purpose in ("embed", "train"):
                assert new[purpose] == old[purpose] | ({"tta": "flip"} if purpose in purposes else {})

    def test_families_to_which_it_does_not_apply_are_named(self, change):
        params = load_params(change("evaluate.tta", "flip"))
        notes = [
            f"{family} does not train on mirror images: evaluate.tta does not apply to it"
            for family in ("linear_svm", "underfit", "overfit")
        ]
        assert [note for note in list_notes(params) if "evaluate.tta" in note] == notes
        assert not [note for note in list_notes(load_params(change("evaluate.tta", "none"))) if "evaluate.tta" in note]
