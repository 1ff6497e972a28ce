import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation.familiarity import (
    DIRECTIONS,
    MOST_FEATURES,
    compute_separation,
    decode_directions,
    find_limit,
    fit_directions,
    fit_familiarity,
    load_limit,
    measure_distances,
    score_confidence,
)
from pipeline.models.contract import Contract
from pipeline.runtime.errors import PipelineError

FILE = Path("models/underfit.keras")


def draw(images: int, features: int, seed: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Features of images that lie around their class, in some directions much more than in others."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    centres = np.random.default_rng(99).normal(size=(classes, features)) * 5
    return centres[labels] + rng.normal(size=(images, features)) * np.linspace(3, 0.1, features), labels


class TestDistance:
    @pytest.mark.parametrize("features", [4, 100])
    def test_images_like_those_of_training_are_near_and_others_far(self, features):
        directions = fit_directions(*draw(300, features, seed=1), 3)
        assert directions.axes.shape == (features, min(features, DIRECTIONS))
        near = measure_distances(draw(200, features, seed=2)[0], directions)
        far = measure_distances(np.random.default_rng(3).normal(size=(200, features)) * 30, directions)
        assert compute_separation(near, far) > 0.99

    def test_what_lies_outside_the_directions_counts(self):
        features, labels = draw(300, 100, seed=1)
        directions = fit_directions(features, labels, 3)
        moved = features + 50 * np.eye(100)[-1]  # in which training images hardly differ
        assert (measure_distances(moved, directions) > measure_distances(features, directions).max()).mean() > 0.9

    def test_it_does_not_depend_on_units(self):
        features, labels = draw(300, 20, seed=1)
        one, other = (measure_distances(x, fit_directions(x, labels, 3)) for x in (features, features * 1000 + 7))
        np.testing.assert_allclose(one, other, rtol=1e-3)

    def test_a_class_without_images_is_no_fault(self):
        features, labels = draw(30, 5, seed=1)
        assert np.isfinite(measure_distances(features, fit_directions(features, labels, 5))).all()

    @pytest.mark.parametrize(
        "features",
        [np.zeros((9, 4)), np.repeat(np.eye(3), 3, axis=0)[:, :2] * 0, np.ones((9, MOST_FEATURES + 1))],
        ids=["nothing", "constant", "too many"],
    )
    def test_where_there_is_nothing_to_measure_there_is_no_distance(self, features):
        assert fit_directions(features, np.arange(9) % 3, 3) is None

    def test_a_contract_holds_it(self):
        directions = fit_directions(*draw(50, 6, seed=1), 3)
        read = decode_directions(fit_familiarity(np.ones(5), directions, by_distance=True), 3)
        features = draw(20, 6, seed=2)[0]
        np.testing.assert_allclose(
            measure_distances(features, read), measure_distances(features, directions), rtol=1e-5
        )

    def test_one_of_other_classes_is_refused(self):
        made = fit_familiarity(np.ones(5), fit_directions(*draw(50, 6, seed=1), 3), by_distance=True)
        with pytest.raises(ValueError, match="numbers instead of"):
            decode_directions(made, 4)


class TestLimit:
    @pytest.mark.parametrize("false_alarms", [0.01, 0.05, 0.2])
    @pytest.mark.parametrize("images", [150, 3000])
    def test_no_more_images_of_the_same_kind_are_refused_than_asked(self, false_alarms, images):
        """On average over validation splits, here 40; the spread of that mean is about 0.005 at worst."""
        refused = []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            limit = find_limit(fit_familiarity(rng.gamma(2, size=images), None, by_distance=False), false_alarms)
            refused.append((rng.gamma(2, size=2000) > limit).mean())
        assert np.mean(refused) < false_alarms + 0.01
        assert np.mean(refused) > 0.6 * false_alarms - 0.002

    def test_with_too_few_images_none_is_refused(self):
        scores = np.arange(18.0)
        assert find_limit(fit_familiarity(scores, None, by_distance=False), 0.05) == math.inf
        assert find_limit(fit_familiarity(np.arange(19.0), None, by_distance=False), 0.05) == 18

    def test_a_model_of_an_older_version_is_refused_in_one_line(self):
        content = {"family": "underfit", "class_names": ["a"], "image_size": 16, "resize": "stretch", "range": "auto"}
        contract = Contract.model_validate(content | {"temperature": 1.0, "data": "d", "settings": "s"})
        with pytest.raises(PipelineError) as caught:
            load_limit(contract, 0.05, FILE)
        assert str(caught.value) == (
            "models/underfit.keras can't tell what is none of its classes, as an older version wrote it: train it again with "
            "`dvc repro -f train@underfit`"
        )


def test_confidence_is_one_minus_the_highest_probability():
    assert score_confidence(np.array([[0.7, 0.3], [0.5, 0.5]])).tolist() == [pytest.approx(0.3), 0.5]


def test_separation_is_the_area_under_the_roc_curve():
    assert compute_separation(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1
    assert compute_separation(np.array([1.0, 2.0]), np.array([2.0, 0.0])) == 0.375
    assert compute_separation(np.ones(3), np.ones(4)) == 0.5
