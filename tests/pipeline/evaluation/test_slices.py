import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

from pipeline.evaluation.slices import COLUMNS, LEAST, compute_slice_p, measure_slices

ALIKE = {"brightness": 100.0, "contrast": 50.0, "width": 64, "height": 64, "mode": "RGB"}


def make(hits: np.ndarray, labels: list[str] | str = "cat", **facts) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions of test images that are alike but for `facts`, and what examine says of them, in another order."""
    count = len(hits)
    labels = [labels] * count if isinstance(labels, str) else labels
    images = pd.DataFrame({"name": [f"{label}/{i}.png" for i, label in enumerate(labels)]} | ALIKE | facts)
    predicted = np.where(hits, labels, "other")
    predictions = pd.DataFrame({"name": images["name"], "label": labels, "predicted": predicted})
    return predictions, images.sample(frac=1, random_state=1)


def list_groups(table: pd.DataFrame) -> dict[str, list[str]]:
    return table.groupby("property")["group"].apply(sorted).to_dict()


class TestGroups:
    def test_pictures_that_are_all_alike_have_none(self):
        table, groups = measure_slices(*make(np.ones(100, bool)))
        assert (table.columns.tolist(), len(table), groups) == (COLUMNS, 0, [])

    def test_light_contrast_and_size_are_cut_at_their_outer_quarters(self):
        values = np.arange(100)
        table, groups = measure_slices(
            *make(values >= 0, brightness=values + 0.25, contrast=values * 2.0, width=values + 10, height=values + 10)
        )
        assert list_groups(table) == {
            "light": ["brightest: 74 or more", "darkest: 25 or less"],
            "contrast": ["least contrast: 50 or less", "most contrast: 148 or more"],
            "size": ["largest: 84 px or more", "smallest: 35 px or less"],
        }
        assert {int(group.inside.sum()) for group in groups} == {25}

    def test_shapes_and_colour_modes_are_groups(self):
        wide, grey = np.arange(60) < 20, np.arange(60) >= 45
        facts = {"width": np.where(wide, 128, 64), "height": np.where(wide, 32, 64), "mode": np.where(grey, "L", "RGB")}
        table, _ = measure_slices(*make(np.ones(60, bool), **facts))
        assert list_groups(table) == {"shape": ["landscape", "square"], "colour mode": ["L", "RGB"]}

    def test_folders_are_where_pictures_came_from_not_their_class(self):
        names = [f"site{i % 2}/{'cat' if i < 20 else 'dog'}/{i}.png" for i in range(40)]
        labels = ["cat"] * 20 + ["dog"] * 20
        predictions, images = make(np.ones(40, bool), labels)
        renamed = dict(zip(predictions["name"], names, strict=True))
        table, _ = measure_slices(predictions.assign(name=names), images.assign(name=images["name"].map(renamed)))
        assert list_groups(table) == {"folder": ["site0", "site1"]}

    def test_images_that_look_alike_are_groups_with_the_name_of_the_one_in_the_middle(self):
        predictions, images = make(np.ones(60, bool))
        middle = np.where(np.arange(60) < 20, "cat/3.png", "cat/40.png")
        alike = pd.DataFrame({"name": predictions["name"], "alike": middle})
        table, groups = measure_slices(predictions, images, alike)
        assert list_groups(table) == {"look-alikes": ["like cat/3.png", "like cat/40.png"]}
        assert {group.name: int(group.inside.sum()) for group in groups} == {
            "like cat/3.png": 20,
            "like cat/40.png": 40,
        }

    def test_where_no_look_is_known_there_is_no_such_group(self):
        predictions, images = make(np.ones(60, bool))
        table, _ = measure_slices(predictions, images, pd.DataFrame(columns=["name", "alike"]))
        assert len(table) == 0

    def test_a_group_needs_ten_images_and_one_outside_it(self):
        few = np.arange(60) < LEAST - 1
        table, _ = measure_slices(*make(np.ones(60, bool), mode=np.where(few, "L", "RGB")))
        assert list_groups(table) == {"colour mode": ["RGB"]}


class TestWeakness:
    def test_a_group_with_most_of_the_mistakes_is_weak_and_comes_first(self):
        values = np.arange(400)
        hits = (values >= 40) | (values % 4 == 0)  # three in four of the darkest forty are wrong
        table, groups = measure_slices(*make(hits, brightness=values * 0.5, mode=["L", "RGB"] * 200))
        first = table.iloc[0]
        assert (first["property"], first["group"], first["images"]) == ("light", "darkest: 50 or less", 100)
        assert (first["accuracy"], first["expected"]) == (0.7, 0.925)
        assert first["low"] < 0.7 < first["high"]
        assert table["is_weak"].tolist() == [True] + [False] * (len(table) - 1)
        assert groups[0].inside.tolist() == (values < 100).tolist()

    def test_a_group_of_the_hard_class_is_not(self):
        """Dogs are hard in any light, and most of them are dark."""
        generator = np.random.default_rng(0)
        is_dog = np.arange(2000) % 2 == 0
        hits = generator.random(2000) < np.where(is_dog, 0.6, 0.98)
        dark = generator.random(2000) < np.where(is_dog, 0.5, 0.05)
        table, _ = measure_slices(*make(hits, np.where(is_dog, "dog", "cat").tolist(), mode=np.where(dark, "L", "RGB")))
        grey = table[table["group"] == "L"].iloc[0]
        assert grey["accuracy"] < hits.mean() - 0.1
        assert grey["expected"] == pytest.approx(grey["accuracy"], abs=0.05)
        assert not table["is_weak"].any()

    def test_where_nothing_matters_one_run_in_twenty_finds_a_group_at_most(self):
        found = 0
        for seed in range(60):
            generator = np.random.default_rng(seed)
            facts = {name: generator.random(200) * 100 for name in ("brightness", "contrast")}
            table, _ = measure_slices(*make(generator.random(200) < 0.8, **facts))
            found += table["is_weak"].any()
        assert found <= 7  # 60 × 0.05 = 3; more than 7 has a chance of 1 %


class TestP:
    def test_of_one_class_it_is_fishers_exact_one(self):
        generator = np.random.default_rng(3)
        hits, inside = generator.random(80) < 0.7, generator.random(80) < 0.3
        table = [
            [int((~hits & inside).sum()), int((hits & inside).sum())],
            [int((~hits & ~inside).sum()), int((hits & ~inside).sum())],
        ]
        expected = fisher_exact(table, alternative="greater").pvalue
        assert compute_slice_p(hits, inside, np.zeros(80, int)) == pytest.approx(expected, rel=1e-9)

    def test_of_several_it_is_what_shuffling_within_classes_gives(self):
        generator = np.random.default_rng(4)
        labels = np.repeat([0, 1, 2], [30, 50, 20])
        hits, inside = generator.random(100) < 0.7, generator.random(100) < 0.4
        observed, as_many, rounds = (~hits & inside).sum(), 0, 20_000
        for _ in range(rounds):
            order = np.lexsort((generator.random(100), labels))  # labels are sorted: a shuffle within each
            as_many += (~hits[order] & inside).sum() >= observed
        assert compute_slice_p(hits, inside, labels) == pytest.approx(as_many / rounds, abs=0.02)

    def test_without_mistakes_it_is_one(self):
        assert compute_slice_p(np.ones(20, bool), np.arange(20) < 10, np.zeros(20, int)) == 1.0
