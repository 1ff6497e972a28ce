import itertools
import logging
import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation.conformal import (
    SetRule,
    count_images_needed,
    find_threshold,
    fit_conformal,
    load_asked_rule,
    load_rule,
    make_sets,
    measure_sets,
    measure_sets_by_class,
)
from pipeline.models.contract import Conformal, Contract
from pipeline.runtime.errors import PipelineError

FILE = Path("models/underfit.keras")


def draw(images: int, seed: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Labels that are drawn by the probabilities beside them."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.5), images)
    labels = (rng.random((images, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    return np.minimum(labels, classes - 1), probabilities


def make_contract(conformal: Conformal | None) -> Contract:
    content = {"family": "underfit", "class_names": ["a", "b"], "image_size": 16, "resize": "stretch", "range": "auto"}
    return Contract.model_validate(content | {"temperature": 1.0, "data": "d", "settings": "s", "conformal": conformal})


def with_scores(*scores: float) -> Conformal:
    """Of images whose true class had these probabilities less than 1."""
    labels = np.zeros(len(scores), int)
    return fit_conformal(labels, np.array([[1 - score, score] for score in scores]))


class TestPromise:
    @pytest.mark.parametrize("coverage", [0.6, 0.8, 0.9, 0.95])
    @pytest.mark.parametrize("images", [100, 3000])
    def test_new_images_of_the_same_kind_are_covered_as_often_as_asked(self, coverage, images):
        """On average over validation splits: here 40 of them. The spread of that mean is about 0.005 at worst."""
        covered = []
        for seed in range(40):
            rule = SetRule(coverage, find_threshold(fit_conformal(*draw(images, seed)), coverage))
            labels, probabilities = draw(2000, 1000 + seed)
            covered.append(measure_sets(labels, make_sets(probabilities, rule))["test_set_coverage"])
        # The most probable class is in any case: small coverages are exceeded where it alone is right more often.
        assert np.mean(covered) > coverage - 0.015
        if coverage >= 0.9:
            assert np.mean(covered) < coverage + 0.015

    def test_a_larger_coverage_never_takes_a_class_out(self):
        conformal = fit_conformal(*draw(500, seed=1))
        _, probabilities = draw(50, seed=2)
        sets = [make_sets(probabilities, SetRule(c, find_threshold(conformal, c))) for c in (0.5, 0.8, 0.9, 0.99)]
        assert all((wider >= narrower).all() for narrower, wider in itertools.pairwise(sets))

    def test_no_set_is_empty(self):
        assert make_sets(np.array([[0.4, 0.35, 0.25]]), SetRule(0.5, threshold=0.9)).tolist() == [[True, False, False]]


class TestThreshold:
    def test_it_is_the_score_of_the_rank_that_the_published_method_says(self):
        # ceil((9 + 1) × 0.8) = 8th of nine scores
        conformal = with_scores(*(n / 10 for n in range(1, 10)))
        assert find_threshold(conformal, 0.8) == pytest.approx(1 - 0.8)
        assert find_threshold(conformal, 0.9) == pytest.approx(1 - 0.9)

    def test_an_image_whose_score_it_is_has_its_class_in_the_set(self):
        labels, probabilities = draw(400, seed=3)
        sets = make_sets(probabilities, SetRule(0.9, find_threshold(fit_conformal(labels, probabilities), 0.9)))
        assert measure_sets(labels, sets)["test_set_coverage"] >= math.ceil(401 * 0.9) / 400

    @pytest.mark.parametrize(("coverage", "needed"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
    def test_with_too_few_images_every_class_is_in(self, coverage, needed):
        assert count_images_needed(coverage) == needed
        for images in {needed, max(1, needed - 1)}:
            threshold = find_threshold(with_scores(*[0.25] * images), coverage)
            assert threshold == (pytest.approx(0.75) if images == needed else 0.0)

    def test_that_is_said(self, caplog):
        load_asked_rule(make_contract(with_scores(*[0.1] * 10)), 0.95, FILE)
        assert (
            "prediction sets hold all classes: a coverage of 0.95 needs 19 validation images or more, "
            "models/underfit.keras was trained with 10"
        ) in [record.message for record in caplog.records if record.levelno == logging.WARNING]

    def test_nobody_who_asks_for_none_gets_any(self):
        assert load_asked_rule(make_contract(None), None, FILE) is None

    def test_a_model_without_scores_is_refused_in_one_line(self):
        with pytest.raises(PipelineError) as caught:
            load_rule(make_contract(None), 0.95, FILE)
        assert str(caught.value) == (
            "models/underfit.keras has no scores for prediction sets, as an older version wrote it: train it again with "
            "`dvc repro -f train@underfit`"
        )


class TestScores:
    def test_a_file_holds_a_thousand_at_most_and_thresholds_get_lower_by_that_never_higher(self):
        labels, probabilities = draw(5003, seed=4)
        conformal = fit_conformal(labels, probabilities)
        assert conformal.images == 5003
        assert len(conformal.scores) == 1000
        scores = np.sort(1 - probabilities[np.arange(5003), labels])
        for coverage in (0.1, 0.5, 0.9, 0.95, 0.999):
            exact = 1 - scores[math.ceil(5004 * coverage) - 1]
            assert exact - 0.02 < find_threshold(conformal, coverage) <= exact

    def test_they_are_shares_whatever_rounding_does(self):
        conformal = fit_conformal(np.array([0, 1]), np.array([[1.0000000002, 0.0], [1.0, 0.0]]))
        assert conformal.scores == [0.0, 1.0]


class TestMeasures:
    SETS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 1, 0]], bool)
    LABELS = np.array([0, 0, 1, 0])

    def test_coverage_and_size_are_means_over_images(self):
        assert measure_sets(self.LABELS, self.SETS) == {
            "test_set_coverage": 0.75,
            "test_set_size": 1.5,
            "test_set_single": 0.5,
        }

    def test_by_class_a_class_without_images_has_none(self):
        table = measure_sets_by_class(self.LABELS, self.SETS)
        assert table["set_coverage"].round(3).tolist()[:2] == [0.667, 1.0]
        assert table["set_size"].round(3).tolist()[:2] == [1.333, 2.0]
        assert table.iloc[2].isna().all()
