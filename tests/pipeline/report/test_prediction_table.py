import hashlib

import numpy as np
import pandas as pd
import pytest

from pipeline.report.prediction_table import get_hits, get_labels, get_probabilities, pick_predictions
from tests.results import tabulate


class TestColumns:
    @pytest.mark.parametrize(
        "names", [["cat", "dog", "emu"], ["NA", "1", "p:", "predicted"], ["a,b", "p:p:cat", "confidence"]]
    )
    def test_labels_probabilities_and_hits_are_those_that_were_tabulated(self, names):
        probabilities = np.random.default_rng(0).dirichlet(np.ones(len(names)), 12)
        labels = np.arange(12) % len(names)
        table = tabulate("test", labels, probabilities, names)
        assert get_labels(table).tolist() == labels.tolist()
        np.testing.assert_allclose(get_probabilities(table), probabilities, atol=1e-6)
        assert get_hits(table).tolist() == (probabilities.argmax(axis=1) == labels).tolist()


def make_predictions(correct: int, wrong: int) -> pd.DataFrame:
    ids = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(correct + wrong)]
    predicted = ["cat"] * correct + ["dog"] * wrong
    return pd.DataFrame({"image_id": ids, "label": "cat", "predicted": predicted})


def count_mistakes(picked: pd.DataFrame) -> int:
    return int((picked["label"] != picked["predicted"]).sum())


class TestPredictions:
    @pytest.mark.parametrize(
        ("correct", "wrong", "mistakes"),
        [(50, 50, 6), (50, 2, 2), (50, 0, 0), (6, 50, 6), (3, 50, 9), (0, 50, 12)],
    )
    def test_half_of_the_rows_are_mistakes_unless_one_kind_is_rare(self, correct, wrong, mistakes):
        picked = pick_predictions(make_predictions(correct, wrong), 12, seed=1)
        assert len(picked) == 12
        assert count_mistakes(picked) == mistakes

    def test_mistakes_come_first(self):
        picked = pick_predictions(make_predictions(50, 50), 12, seed=1)
        assert (picked["label"] != picked["predicted"]).tolist() == [True] * 6 + [False] * 6

    def test_no_image_is_picked_twice(self):
        assert pick_predictions(make_predictions(50, 50), 12, seed=1)["image_id"].is_unique

    def test_where_there_are_fewer_all_are_picked(self):
        assert len(pick_predictions(make_predictions(3, 2), 12, seed=1)) == 5

    def test_the_choice_does_not_depend_on_the_order_of_the_rows(self):
        table = make_predictions(50, 50)
        picked = pick_predictions(table.iloc[::-1], 12, seed=1)
        assert picked["image_id"].tolist() == pick_predictions(table, 12, seed=1)["image_id"].tolist()

    def test_another_seed_draws_other_images(self):
        one, other = (set(pick_predictions(make_predictions(50, 50), 12, seed=seed)["image_id"]) for seed in (1, 2))
        assert one != other

    def test_it_is_not_simply_the_first_rows(self):
        picked = pick_predictions(make_predictions(100, 0), 12, seed=1)
        assert sorted(picked.index) != list(range(12))
