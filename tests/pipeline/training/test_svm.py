import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from pipeline.config.reader import load_params
from pipeline.config.recipe_sections import LinearRecipe
from tests.conftest import ROOT
from tests.tfrecords import make_coloured_split, make_noise, write_records

SIZE, NAMES = 8, ["red", "green", "blue"]


@pytest.fixture(scope="module")
def linear(tensorflow):  # noqa: ARG001 - must be configured before the module imports it
    from pipeline.training import svm as linear

    return linear


class TestPool:
    @pytest.mark.parametrize(
        ("num_images", "image_size", "max_gb", "pool"),
        [
            (1_000, 64, 2.0, 1),
            (100_000, 150, 2.0, 4),  # 37² × 12 bytes × 100,000 = 1.64 GB; 50² would be 3 GB
            (1, 10, 1200e-9, 1),  # exactly fits
            (1, 10, 1199e-9, 2),
            (10, 8, 1e-12, 8),  # nothing fits: one value per channel is the minimum
        ],
    )
    def test_it_is_the_smallest_pool_that_fits(self, linear, num_images, image_size, max_gb, pool):
        assert linear.choose_pool(num_images, image_size, max_gb) == pool


class TestFeatures:
    IMAGES = make_noise(7, SIZE)

    @pytest.fixture(autouse=True)
    def _records(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        write_records(class_names=NAMES, train=(self.IMAGES, np.arange(7) % 3))

    def test_without_pooling_they_are_the_pixels_from_0_to_1(self, linear):
        features, labels = linear.load_features("train", 1)
        np.testing.assert_allclose(features, self.IMAGES.reshape(7, -1) / 255, atol=1e-6)
        assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
        assert (features.dtype, labels.dtype) == (np.float32, np.int64)

    def test_they_are_averaged_over_squares(self, linear):
        features, _ = linear.load_features("train", 4)
        squares = [self.IMAGES[:, y : y + 4, x : x + 4].mean(axis=(1, 2)) for y in (0, 4) for x in (0, 4)]
        np.testing.assert_allclose(features, np.concatenate(squares, axis=1) / 255, atol=1e-6)

    def test_pixels_outside_whole_squares_are_left_out(self, linear):
        features, _ = linear.load_features("train", 3)
        assert features.shape == (7, 2 * 2 * 3)
        np.testing.assert_allclose(features[:, -3:], self.IMAGES[:, 3:6, 3:6].mean(axis=(1, 2)) / 255, atol=1e-6)


class TestScale:
    @pytest.mark.parametrize("scale", [0.2, 1.0, 8.0])
    def test_it_recovers_the_one_that_generated_the_labels(self, linear, scale):
        rng = np.random.default_rng(0)
        scores = rng.normal(0, 1, (20_000, 3)).astype(np.float32)
        chances = softmax(scale * scores.astype(np.float64), axis=1).cumsum(axis=1)
        labels = (rng.random((20_000, 1)) > chances).sum(axis=1).clip(max=2)
        assert linear.fit_scale(scores, labels) == pytest.approx(scale, rel=0.1)

    @pytest.mark.parametrize("num_images", [8, 40, 400])
    def test_of_images_that_are_all_right_it_makes_one_more_mistake_likely_not_certainty(self, linear, num_images):
        labels = np.arange(num_images) % 2
        scores = np.eye(2, dtype=np.float32)[labels]
        sure = softmax(linear.fit_scale(scores, labels) * scores.astype(float), axis=1).max(axis=1)
        np.testing.assert_allclose(1 - sure, 1 / (num_images + 2), rtol=0.01)

    def test_scores_that_are_always_wrong_have_a_tiny_scale(self, linear):
        assert 0 < linear.fit_scale(np.eye(3, dtype=np.float32), np.array([1, 2, 0])) < 0.01


class TestTraining:
    @pytest.fixture(autouse=True)
    def _records(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        self.write(tmp_path)

    def write(self, tmp_path, **options) -> None:
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        splits = {
            "train": make_coloured_split(60, SIZE, **options),
            "val": make_coloured_split(12, SIZE, seed=1, **options),
        }
        write_records(class_names=NAMES, **splits)

    def train(self, linear, tmp_path, **changes):
        none = dict.fromkeys(("backbone", "input_size", "augment"))
        settings = {
            **none,
            "solver": "fast",
            "C": 1.0,
            "max_iterations": 1000,
            "max_gb": 1.0,
            "class_weight": "none",
        } | changes
        return linear.train_linear("linear_svm", LinearRecipe(**settings), record=tmp_path / "record")

    def best(self, tmp_path) -> dict[str, float]:
        return json.loads((tmp_path / "record" / "metrics.json").read_text())["best"]

    # 60 images of 12 bytes per pixel; weak colours, so that probabilities are neither 0 nor 1.
    @pytest.mark.parametrize(("max_gb", "pool"), [(1.0, 1), (12_000e-9, 2), (3_000e-9, 3), (1e-12, 8)])
    def test_the_model_on_pixels_gives_the_softmax_of_the_scaled_scores(self, linear, tmp_path, max_gb, pool):
        self.write(tmp_path, strength=2)
        model = self.train(linear, tmp_path, max_gb=max_gb)
        features, labels = linear.load_features("train", pool)
        planes = linear.fit_hyperplanes(
            features, labels, num_classes=3, penalties=np.ones(len(labels)), max_iterations=5000
        )
        expected = softmax(self.best(tmp_path)["scale"] * (features @ planes.kernel + planes.bias), axis=1)
        images, _ = make_coloured_split(60, SIZE, strength=2)
        assert 0.01 < np.median(expected) < 0.99
        np.testing.assert_allclose(model.predict_on_batch(images), expected, atol=1e-3)

    def test_an_easy_problem_is_solved(self, linear, tmp_path):
        images, labels = make_coloured_split(12, SIZE, seed=1)
        assert (self.train(linear, tmp_path).predict_on_batch(images).argmax(axis=1) == labels).all()

    def test_the_record_has_one_point_where_networks_have_a_curve(self, linear, tmp_path):
        self.train(linear, tmp_path)
        for split in ("train", "eval"):
            for metric in ("accuracy", "loss"):
                table = pd.read_csv(tmp_path / f"record/plots/metrics/{split}/{metric}.tsv", sep="\t")
                assert len(table) == 1
        assert self.best(tmp_path).keys() == {"iterations", "scale"}

    def test_class_weights_change_the_machine(self, linear, tmp_path):
        images, labels = make_coloured_split(60, SIZE, seed=2)
        kept = (labels != 2) | (np.arange(60) < 6)
        shutil.rmtree(tmp_path / "data")
        write_records(class_names=NAMES, train=(images[kept], labels[kept]), val=(images, labels))
        plain, balanced = (self.train(linear, tmp_path, class_weight=how).get_weights() for how in ("none", "balanced"))
        assert np.abs(plain[0] - balanced[0]).max() > 1e-3

    @pytest.mark.usefixtures("linear")
    def test_the_weights_that_train_asks_for_are_used(self, tmp_path, caplog):
        from pipeline.training.dispatch import train_family

        images, labels = make_coloured_split(60, SIZE, seed=2)
        kept = (labels != 2) | (np.arange(60) < 6)
        shutil.rmtree(tmp_path / "data")
        write_records(class_names=NAMES, train=(images[kept], labels[kept]), val=(images, labels))
        caplog.set_level("INFO")
        plain, balanced = (
            train_family(
                "linear_svm", load_params(ROOT / "params.yaml", {"train.class_weight": how}), record=tmp_path / "record"
            ).get_weights()
            for how in (None, "balanced")
        )
        assert np.abs(plain[0] - balanced[0]).max() > 1e-3
        assert "linear_svm: trained with class_weight balanced instead of none" in caplog.text

    def test_too_few_iterations_are_logged_with_the_parameter_to_raise(self, linear, tmp_path, caplog):
        self.train(linear, tmp_path, max_iterations=1)
        assert caplog.messages == ["linear_svm: not converged after 1 passes; see recipes.linear_svm.max_iterations"]
