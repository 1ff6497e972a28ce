import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.config.reader import load_params
from pipeline.data.image import decode_image
from pipeline.data.image_files import Decoding
from pipeline.models.build import build_model
from tests.tfrecords import make_coloured_split, write_records

pytestmark = pytest.mark.usefixtures("tensorflow")

SIZE, NAMES = 16, ["red", "green", "blue"]
TRAIN, VAL = make_coloured_split(60, SIZE, seed=1), make_coloured_split(40, SIZE, seed=2)
IMAGES = TRAIN[0]
NEIGHBOURS = 10
DECODING = Decoding(image_size=SIZE, resize="stretch", min_side=8, max_megapixels=1.0)
SETTINGS: dict[str, dict[str, Any]] = {  # one of each kind of path to the last layer
    "linear_svm": {},
    "underfit": {},
    "dense_ann": {"width": 0.01},
    "mobilenet": {
        "input_size": 32,
        "width": 0.1,
    },  # on a small backbone: a large one's random weights give features of 1e-13
    "vgg_blocks": {"input_size": 24, "width": 0.1},  # resized by layers in front of the network
}
EVERY_KIND = pytest.mark.parametrize("family", SETTINGS)


@pytest.fixture(autouse=True)
def _records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_records(class_names=NAMES, train=TRAIN, val=VAL)


@cache
def build(family: str = "linear_svm") -> Any:
    import keras

    from tests.small_backbone import build_small

    keras.utils.set_random_seed(1)
    network = {"network": build_small(32)} if family == "mobilenet" else {}
    return build_model(family, image_size=SIZE, num_classes=3, **SETTINGS[family], **network)


@pytest.fixture(scope="module")
def colour_model(tensorflow) -> Any:  # noqa: ARG001 - must be configured before Keras is imported
    """A model that measures colours: the more of one, the more probable its class."""
    model = build_model("linear_svm", image_size=SIZE, num_classes=3)
    kernel = np.tile(np.eye(3, dtype=np.float32), (SIZE * SIZE, 1)) * 0.02
    model.get_layer("probabilities").set_weights([kernel, np.zeros(3, np.float32)])
    return model


def fit_neighbourhood(model: Any) -> Any:
    from pipeline.evaluation.out_of_distribution import fit_neighbourhood

    return fit_neighbourhood(model)


@cache
def fit_once(family: str) -> Any:
    """On the images of `_records`."""
    return fit_neighbourhood(build(family))


@cache
def make_extractor(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    from pipeline.evaluation.out_of_distribution import make_feature_model
    from pipeline.models.inference import freeze

    return freeze(make_feature_model(model))


def extract(model: Any, images: np.ndarray) -> np.ndarray:
    return make_extractor(model)(images)


def distances_to(references: np.ndarray, features: np.ndarray) -> np.ndarray:
    """To the tenth nearest, of features scaled to length 1; computed one by one."""
    a, b = (x.astype(np.float64) / np.linalg.norm(x, axis=1, keepdims=True) for x in (features, references))
    return np.array([np.sort(np.linalg.norm(b - row, axis=1))[NEIGHBOURS - 1] for row in a])


def judge(model: Any, folder: Path, *, temperature: float = 1.0) -> pd.DataFrame:
    from pipeline.evaluation.out_of_distribution import judge_pictures

    return judge_pictures(model, folder, decoding=DECODING, class_names=NAMES, temperature=temperature)


@pytest.fixture
def pictures(tmp_path) -> Callable[..., Path]:
    """A folder of images. files: path to pixels, or to bytes."""

    def write(**files: np.ndarray | bytes) -> Path:
        folder = tmp_path / "outside"
        for name, content in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                file.write_bytes(content)
            else:
                Image.fromarray(content).save(file)
        return folder

    return write


class TestFeatures:
    @EVERY_KIND
    def test_they_are_the_inputs_of_the_last_layer(self, family):
        model = build(family)
        kernel, bias = model.layers[-1].get_weights()[
            -2:
        ]  # of the last layer, also of a network behind layers that resize
        scores = extract(model, IMAGES[:5]) @ kernel + bias
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = model(IMAGES[:5], training=False).numpy()
        np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), probabilities, atol=1e-5)

    @EVERY_KIND
    def test_the_model_is_not_changed(self, family):
        from pipeline.evaluation.layer_table import make_layer_table

        model = build(family)
        before, layers = model(IMAGES[:3], training=False).numpy(), make_layer_table(model)
        make_extractor.__wrapped__(model)(IMAGES[:3])
        np.testing.assert_array_equal(model(IMAGES[:3], training=False).numpy(), before)
        pd.testing.assert_frame_equal(make_layer_table(model), layers)

    def test_of_several_depths_that_a_machine_takes_directly_they_are_the_last(self):
        from pipeline.evaluation.out_of_distribution import make_feature_model
        from tests.small_backbone import NUM_FEATURES, build_small

        settings = {"image_size": SIZE, "num_classes": 3, "input_size": 32, "network": build_small(32)}
        for features, width in ([], NUM_FEATURES), ([1, 2], NUM_FEATURES):
            machine = build_model("mobilenet_svm", **settings, features=features)
            assert make_feature_model(machine).output_shape == (None, width)
        head = build_model("mobilenet", **settings, features=[1, 2], head_units=5)
        assert make_feature_model(head).output_shape == (None, 5)

    def test_a_loaded_model_gives_the_same(self, tmp_path):
        from pipeline.models.artifacts import load_model, save_model

        for family in ("underfit", "vgg_blocks"):
            model = build(family)
            save_model(model, tmp_path / "model.keras")
            loaded = load_model(tmp_path / "model.keras")
            np.testing.assert_allclose(extract(loaded, IMAGES[:3]), extract(model, IMAGES[:3]), atol=1e-6)


class TestDistance:
    @EVERY_KIND
    def test_it_is_the_one_to_the_tenth_nearest_training_image_over_the_threshold(self, family):
        model = build(family)
        train, val = extract(model, TRAIN[0]), extract(model, VAL[0])
        threshold = np.quantile(distances_to(train, val), 0.95)
        neighbourhood = fit_once(family)
        assert neighbourhood.threshold == pytest.approx(threshold, rel=1e-3)
        np.testing.assert_allclose(
            neighbourhood.measure(VAL[0]), distances_to(train, val) / threshold, rtol=1e-2, atol=1e-3
        )

    @EVERY_KIND
    def test_nineteen_of_twenty_validation_images_are_near(self, family):
        assert np.mean(fit_once(family).measure(VAL[0]) <= 1) == 0.95

    @EVERY_KIND
    def test_training_images_are_near(self, family):
        distances = fit_once(family).measure(TRAIN[0])
        assert (distances.shape, distances.dtype) == ((len(IMAGES),), np.float64)
        assert distances.min() >= 0
        assert np.mean(distances <= 1) > 0.85

    def test_it_does_not_depend_on_the_other_images(self):
        neighbourhood = fit_once("underfit")
        alone = np.concatenate([neighbourhood.measure(IMAGES[n : n + 1]) for n in range(5)])
        np.testing.assert_allclose(neighbourhood.measure(IMAGES[:5]), alone, rtol=1e-4, atol=1e-4)

    def test_images_that_look_different_are_far(self):
        """With pixels as features."""
        neighbourhood = fit_once("linear_svm")
        inverted, noise = 255 - IMAGES, np.random.default_rng(0).integers(0, 256, IMAGES.shape, np.uint8)
        assert neighbourhood.measure(inverted).min() > 1.5
        assert neighbourhood.measure(noise).min() > 1.5

    def test_brightness_makes_no_difference(self):
        """Only the direction of the features counts."""
        neighbourhood = fit_once("linear_svm")
        np.testing.assert_allclose(neighbourhood.measure(IMAGES / 2), neighbourhood.measure(IMAGES), rtol=1e-3)

    def test_an_image_whose_features_are_all_zero_is_far(self):
        black = np.zeros((1, SIZE, SIZE, 3), np.uint8)
        (distance,) = fit_once("linear_svm").measure(black)
        assert np.isfinite(distance)
        assert distance > 1


class TestFewImages:
    """Fewer than ten, or all the same."""

    def write(self, train: np.ndarray, val: np.ndarray) -> None:
        for file in Path("data/tfrecords").iterdir():
            file.unlink()
        Path("data/tfrecords").rmdir()
        labels = np.arange(100) % 3
        write_records(class_names=NAMES, train=(train, labels[: len(train)]), val=(val, labels[: len(val)]))

    def test_with_fewer_than_ten_the_furthest_counts(self):
        self.write(IMAGES[:4], VAL[0][:1])
        neighbourhood = fit_neighbourhood(build())
        np.testing.assert_allclose(neighbourhood.measure(VAL[0][:1]), [1.0], rtol=1e-6)

    def test_if_all_images_are_the_same_any_other_is_far(self):
        self.write(np.repeat(IMAGES[:1], 12, axis=0), IMAGES[:1])
        neighbourhood = fit_neighbourhood(build())
        assert np.isfinite(neighbourhood.measure(IMAGES)).all()
        assert neighbourhood.measure(IMAGES[1:]).min() > 1

    def test_only_the_first_of_very_many_are_references(self, monkeypatch):
        monkeypatch.setattr("pipeline.evaluation.out_of_distribution._REFERENCES", 32)
        model = build()
        train, val = extract(model, TRAIN[0][:32]), extract(model, VAL[0][:32])
        threshold = np.quantile(distances_to(train, val), 0.95)
        assert fit_neighbourhood(model).threshold == pytest.approx(threshold, rel=1e-3)


class TestTable:
    def test_it_has_one_row_per_image_named_by_its_path_below_the_folder(self, colour_model, pictures):
        folder = pictures(**{"red/b.png": IMAGES[0], "red/a.png": IMAGES[3], "c.png": IMAGES[1]})
        table = judge(colour_model, folder)
        assert table.columns.tolist() == [
            *["name", "label", "predicted", "confidence", "distance", "is_far", "reason"],
            *["p:red", "p:green", "p:blue"],
        ]
        assert table["name"].tolist() == ["c.png", "red/a.png", "red/b.png"]
        assert table["reason"].tolist() == ["", "", ""]

    def test_the_folder_may_be_a_link_as_dvc_sees_it(self, colour_model, pictures):
        Path("link").symlink_to(pictures(**{"red/a.png": IMAGES[0]}))
        assert judge(colour_model, Path("link"))["name"].tolist() == ["red/a.png"]

    def test_the_label_is_the_class_after_which_a_folder_is_named(self, colour_model, pictures):
        names = {"a.png": "", "emu/a.png": "", "green/b.png": "green", "some/red/c.png": "red"}
        table = judge(colour_model, pictures(**dict.fromkeys(names, IMAGES[2])))
        assert dict(zip(table["name"], table["label"], strict=True)) == names

    def test_folders_above_the_folder_itself_give_no_label(self, colour_model, pictures):
        folder = pictures(**{"red/deep/a.png": IMAGES[2]})
        assert judge(colour_model, folder / "red")["label"].tolist() == [""]

    def test_the_prediction_does_not_depend_on_the_label(self, colour_model, pictures):
        table = judge(colour_model, pictures(**{f"red/{n}.png": IMAGES[n] for n in range(3)}))
        assert table["predicted"].tolist() == ["red", "green", "blue"]

    @pytest.mark.parametrize("temperature", [1.0, 2.5])
    def test_probabilities_are_the_models_at_its_temperature(self, colour_model, pictures, temperature):
        from pipeline.evaluation.temperature import apply_temperature

        table = judge(colour_model, pictures(**{f"{n}.png": IMAGES[n] for n in range(6)}), temperature=temperature)
        expected = apply_temperature(colour_model(IMAGES[:6]).numpy(), temperature)
        np.testing.assert_allclose(table[["p:red", "p:green", "p:blue"]].to_numpy(float), expected, atol=2e-6)
        np.testing.assert_allclose(table["confidence"].to_numpy(float), expected.max(axis=1), atol=2e-6)

    def test_distances_are_those_of_the_same_images_and_far_is_above_1(self, colour_model, pictures):
        files = {f"{n}.png": IMAGES[n] for n in range(3)} | {f"z{n}.png": 255 - IMAGES[n] for n in range(3)}
        table = judge(colour_model, pictures(**files))
        expected = fit_neighbourhood(colour_model).measure(np.stack(list(files.values())))
        np.testing.assert_allclose(table["distance"].to_numpy(float), expected, atol=1e-3)
        assert table["is_far"].tolist() == [False, False, False, True, True, True]

    def test_images_of_another_size_are_decoded_like_the_training_images(self, colour_model, pictures):
        large = np.repeat(np.repeat(IMAGES[0], 4, axis=0), 4, axis=1)
        table = judge(colour_model, pictures(**{"large.png": large, "small.png": IMAGES[0]}))
        assert table["predicted"].tolist() == ["red", "red"]
        decoded = decode_image(Path("outside/large.png").read_bytes(), image_size=SIZE, resize="stretch")
        (expected,) = fit_neighbourhood(colour_model).measure(decoded[None])
        assert table["distance"][0] == pytest.approx(expected, abs=1e-3)

    def test_a_file_that_is_not_an_image_has_a_reason_and_nothing_else(self, colour_model, pictures):
        files = {"red/a.png": IMAGES[0], "red/b.jpg": b"hello", "red/c.png": b"", "red/d.png": IMAGES[3]}
        table = judge(colour_model, pictures(**files))
        assert table["name"].tolist() == list(files)
        assert table["label"].tolist() == ["red"] * 4
        assert table["predicted"].isna().tolist() == [False, True, True, False]
        assert table["predicted"].dropna().tolist() == ["red", "red"]
        assert table["reason"][1] == "not an image: no known format in its first bytes"
        assert table["reason"][2] == "empty: 0 bytes"
        bad = table.loc[[1, 2], ["confidence", "distance", "is_far", "p:red", "p:green", "p:blue"]]
        assert bad.isna().all(axis=None)

    def test_a_folder_of_bad_files_has_reasons_only(self, colour_model, pictures):
        table = judge(colour_model, pictures(**{"a.jpg": b"hello"}))
        assert table["reason"].tolist() == ["not an image: no known format in its first bytes"]

    def test_more_images_than_one_batch(self, colour_model, pictures):
        table = judge(colour_model, pictures(**{f"{n:03d}.png": IMAGES[n % 60] for n in range(70)}))
        assert table["name"].tolist() == [f"{n:03d}.png" for n in range(70)]
        assert table["predicted"].tolist() == [NAMES[n % 60 % 3] for n in range(70)]

    def test_it_can_be_saved_and_loaded(self, colour_model, pictures):
        from pipeline.data.manifest import save_table
        from pipeline.evaluation.results import load_table

        table = judge(colour_model, pictures(**{"red/a, b.png": IMAGES[0], "猫/NA.png": IMAGES[1], "z.jpg": b""}))
        save_table(table, Path("outside.csv"))
        loaded = load_table(Path("outside.csv"))
        assert loaded["name"].tolist() == ["red/a, b.png", "z.jpg", "猫/NA.png"]
        assert loaded["reason"].tolist() == ["", "empty: 0 bytes", ""]
        np.testing.assert_allclose(loaded["confidence"], table["confidence"].astype(float))

    def test_so_can_names_that_are_not_text(self, colour_model, pictures):
        """On Linux, a name may be any bytes; a table holds text."""
        from pipeline.data.manifest import save_table
        from pipeline.evaluation.results import load_table

        folder = pictures(**{"red/a.png": IMAGES[0], "red/two\rlines.png": IMAGES[1]})
        (folder / "red/a.png").rename(os.fsdecode(os.fsencode(folder) + b"/red/caf\xe9.png"))
        save_table(judge(colour_model, folder), Path("outside.csv"))
        unknown = "\N{REPLACEMENT CHARACTER}"
        loaded = load_table(Path("outside.csv"))
        assert loaded["name"].tolist() == [f"red/caf{unknown}.png", f"red/two{unknown}lines.png"]
        assert loaded["label"].tolist() == ["red", "red"]

    def test_an_empty_one_has_the_same_columns(self, colour_model, pictures):
        from pipeline.evaluation.out_of_distribution import make_empty_table

        table = judge(colour_model, pictures(**{"a.png": IMAGES[0]}))
        empty = make_empty_table(NAMES)
        assert len(empty) == 0
        assert empty.columns.tolist() == table.columns.tolist()

    def test_a_folder_without_images_gives_an_empty_one(self, colour_model, pictures):
        table = judge(colour_model, pictures(**{"notes.txt": b"hello"}))
        assert len(table) == 0
        assert table.columns.tolist()[-3:] == ["p:red", "p:green", "p:blue"]

    def test_folders_named_as_before_merging_have_the_label_after_it(self, colour_model, pictures):
        from pipeline.evaluation.out_of_distribution import judge_pictures

        folder = pictures(**{"crimson/a.png": IMAGES[0], "green/b.png": IMAGES[0]})
        table = judge_pictures(
            colour_model, folder, decoding=DECODING, class_names=NAMES, temperature=1.0, renamed={"crimson": "red"}
        )
        assert table["label"].tolist() == ["red", "green"]

    @pytest.mark.parametrize("section", ["prune", "sources__folder"])
    def test_what_was_merged_is_what_prune_merged(self, project, monkeypatch, section):
        from pipeline.evaluation import out_of_distribution

        project.set(data__source="folder", **{f"{section}__merge_classes": {"red": ["crimson", "Ka\u0308fer"]}})
        monkeypatch.setattr(out_of_distribution, "judge_pictures", lambda *_, **options: options["renamed"])
        contract = SimpleNamespace(class_names=NAMES, temperature=1.0, image_size=32, resize="stretch", range="auto")
        found = out_of_distribution.judge_outside(None, contract, load_params())
        assert found == {"crimson": "red", "K\u00e4fer": "red"}

    def test_no_folder_gives_an_empty_one(self, colour_model):
        from pipeline.evaluation.out_of_distribution import judge_pictures, make_empty_table

        table = judge_pictures(colour_model, None, decoding=DECODING, class_names=NAMES, temperature=1.0)
        pd.testing.assert_frame_equal(table, make_empty_table(NAMES))
