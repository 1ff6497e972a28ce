import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from pipeline.evaluation.cv_summary import (
    average_curves,
    compare_settings,
    describe_folds,
    join_fold_curves,
    load_folds,
)


def make_metrics(*accuracy: float) -> pd.DataFrame:
    """One fold per accuracy."""
    return pd.DataFrame(
        {
            "fold": range(1, len(accuracy) + 1),
            "accuracy": accuracy,
            "loss": [2 * value for value in accuracy],
            "macro_f1": [value / 2 for value in accuracy],
        }
    )


def make_curve(fold: int, *accuracy: float, split: str = "val") -> pd.DataFrame:
    """One epoch per accuracy."""
    table = pd.DataFrame({"fold": fold, "split": split, "epoch": range(1, len(accuracy) + 1), "accuracy": accuracy})
    return table.assign(loss=1 - table["accuracy"])


class TestDescription:
    def test_an_example_by_hand(self):
        # Distances from the mean are 0.1, 0 and 0.1: the variance is 0.02 / 2.
        assert describe_folds(make_metrics(0.7, 0.8, 0.9)) == {
            "folds": 3,
            "accuracy_mean": 0.8,
            "accuracy_sd": 0.1,
            "loss_mean": 1.6,
            "loss_sd": 0.2,
            "macro_f1_mean": 0.4,
            "macro_f1_sd": 0.05,
        }

    def test_one_fold_has_no_spread(self):
        described = describe_folds(make_metrics(0.7))
        assert (described["folds"], described["accuracy_mean"], described["accuracy_sd"]) == (1, 0.7, 0.0)

    def test_equal_folds_have_no_spread_either(self):
        assert describe_folds(make_metrics(0.7, 0.7, 0.7))["accuracy_sd"] == 0

    def test_it_can_be_written_as_json_with_six_digits(self):
        described = describe_folds(make_metrics(1 / 3, 2 / 3, 0.5))
        assert json.loads(json.dumps(described)) == described
        assert described["accuracy_sd"] == 0.166667


class TestCurves:
    def test_they_are_means_over_the_folds_by_split_and_epoch(self):
        parts = [make_curve(1, 0.2, 0.4), make_curve(2, 0.4, 0.8), make_curve(1, 0.5, 0.6, split="train")]
        assert average_curves(pd.concat(parts)).to_dict("records") == [
            {"split": "train", "epoch": 1, "accuracy": 0.5, "loss": 0.5, "folds": 1},
            {"split": "train", "epoch": 2, "accuracy": 0.6, "loss": 0.4, "folds": 1},
            {"split": "val", "epoch": 1, "accuracy": 0.3, "loss": 0.7, "folds": 2},
            {"split": "val", "epoch": 2, "accuracy": 0.6, "loss": 0.4, "folds": 2},
        ]

    def test_folds_that_stopped_early_count_in_the_epochs_that_they_have(self):
        parts = [make_curve(7, 0.2, 0.5, 0.9), make_curve(3, 0.4, 0.7), make_curve(5, 0.6)]
        mean = average_curves(pd.concat(parts))
        assert mean["epoch"].tolist() == [1, 2, 3]
        assert mean["folds"].tolist() == [3, 2, 1]
        assert mean["accuracy"].tolist() == [0.4, 0.6, 0.9]

    def test_the_order_of_the_folds_does_not_matter(self):
        parts = [make_curve(1, 0.1, 0.2), make_curve(2, 0.4), make_curve(3, 0.7, 0.9)]
        pd.testing.assert_frame_equal(average_curves(pd.concat(parts)), average_curves(pd.concat(parts[::-1])))


class TestComparison:
    FIRST = pd.Series([0.92, 0.84, 0.75, 0.96, 0.83])
    SECOND = pd.Series([0.90, 0.80, 0.75, 0.90, 0.80])

    def test_an_example_by_hand(self):
        # The differences 0.02, 0.04, 0, 0.06, 0.03 have the mean 0.03 and the variance 0.002 / 4. With a quarter as many
        # test images as training images, that of the mean is (1/5 + 1/4) of it: 0.015², and t = 0.03 / 0.015.
        found = compare_settings(self.FIRST, self.SECOND, test_share=1 / 4)
        assert found["difference"] == pytest.approx(0.03)
        assert found["t"] == pytest.approx(2)
        # The distribution of t with four degrees of freedom is 1/2 + 3/8 · u (1 - u² / 12), where u = t / √(1 + t²/4).
        u = 2 / math.sqrt(2)
        assert found["p"] == pytest.approx(2 * (1 / 2 - 3 / 8 * u * (1 - u**2 / 12)))
        # 95 % of it are within ± 2.776445.
        assert found["low"] == pytest.approx(0.03 - 2.776445 * 0.015, abs=1e-8)
        assert found["high"] == pytest.approx(0.03 + 2.776445 * 0.015, abs=1e-8)

    @pytest.mark.parametrize("folds", [2, 5, 10, 30])
    def test_with_disjoint_training_sets_it_is_the_plain_paired_test(self, folds):
        rng = np.random.default_rng(folds)
        first, second = (pd.Series(rng.uniform(0.5, 0.9, folds)) for _ in range(2))
        found, theirs = compare_settings(first, second, test_share=0), ttest_rel(first, second)
        assert found["t"] == pytest.approx(theirs.statistic)
        assert found["p"] == pytest.approx(theirs.pvalue)
        interval = theirs.confidence_interval(0.95)
        assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))

    def test_the_more_training_sets_overlap_the_less_is_certain(self):
        found = [compare_settings(self.FIRST, self.SECOND, test_share=share) for share in (0, 0.1, 0.25, 1)]
        assert [result["p"] for result in found] == sorted(result["p"] for result in found)
        widths = [result["high"] - result["low"] for result in found]
        assert widths == sorted(widths)
        assert {round(result["difference"], 9) for result in found} == {0.03}

    def test_in_reverse_only_the_signs_change(self):
        there = compare_settings(self.FIRST, self.SECOND, test_share=0.25)
        back = compare_settings(self.SECOND, self.FIRST, test_share=0.25)
        assert back["difference"] == -there["difference"]
        assert back["t"] == -there["t"]
        assert back["p"] == there["p"]
        assert (back["low"], back["high"]) == (-there["high"], -there["low"])

    def test_equal_settings_do_not_differ(self):
        found = compare_settings(self.FIRST, self.FIRST.copy(), test_share=0.25)
        assert (found["difference"], found["p"], found["low"], found["high"]) == (0, 1, 0, 0)
        assert math.isnan(found["t"])

    @pytest.mark.parametrize(
        ("first", "second"),
        [([0.75, 0.5], [0.5, 0.25]), ([0.9, 0.8, 0.7], [0.8, 0.7, 0.6]), ([0.3, 0.2, 0.1], [0.4, 0.3, 0.2])],
    )
    def test_where_every_fold_differs_by_the_same_the_test_is_not_defined(self, first, second):
        """Even where floating point makes it 0.1 in one fold and 0.10000000000000009 in another."""
        found = compare_settings(pd.Series(first), pd.Series(second), test_share=0.25)
        assert math.isnan(found["t"])
        assert math.isnan(found["p"])
        assert found["low"] == found["high"] == found["difference"] == pytest.approx(first[0] - second[0])

    def test_a_single_fold_has_no_p(self):
        found = compare_settings(pd.Series([0.9]), pd.Series([0.8]), test_share=0.25)
        assert found["difference"] == pytest.approx(0.1)
        assert math.isnan(found["p"])

    def test_it_consists_of_plain_numbers(self):
        found = compare_settings(self.FIRST, self.SECOND, test_share=0.25)
        assert list(found) == ["difference", "t", "p", "low", "high"]
        assert {type(value) for value in found.values()} == {float}


class TestLoading:
    def write(self, folder, fold: int, best_epoch: int | None) -> None:
        metrics = {"accuracy": fold / 10, "loss": 1.5, "macro_f1": 0.5, "images": 7, "training_images": 28}
        (folder / str(fold)).mkdir(parents=True)
        (folder / str(fold) / "metrics.json").write_text(json.dumps(metrics | {"best_epoch": best_epoch}))
        make_curve(fold, 0.5, 0.6).drop(columns="fold").to_csv(folder / str(fold) / "curves.csv", index=False)

    def test_metrics_have_one_row_per_fold_in_the_order_given(self, tmp_path):
        for fold in (1, 2, 3):
            self.write(tmp_path, fold, best_epoch=fold)
        metrics = load_folds(tmp_path, [3, 1]).metrics
        columns = ["fold", "accuracy", "loss", "macro_f1", "images", "training_images", "best_epoch"]
        assert metrics[columns].to_numpy().tolist() == [[3, 0.3, 1.5, 0.5, 7, 28, 3], [1, 0.1, 1.5, 0.5, 7, 28, 1]]

    def test_curves_are_one_table_per_fold(self, tmp_path):
        self.write(tmp_path, 4, best_epoch=2)
        curves = load_folds(tmp_path, [4]).curves
        assert list(curves) == [4]
        assert curves[4].columns.tolist() == ["split", "epoch", "accuracy", "loss"]
        assert curves[4]["accuracy"].tolist() == [0.5, 0.6]

    @pytest.mark.parametrize(("best_epochs", "written"), [((2, 1), "2\n1\n"), ((None, None), '""\n""\n')])
    def test_a_best_epoch_is_an_integer_or_missing(self, tmp_path, best_epochs, written):
        for fold, best_epoch in enumerate(best_epochs):
            self.write(tmp_path, fold, best_epoch)
        metrics = load_folds(tmp_path, range(len(best_epochs))).metrics
        assert metrics[["best_epoch"]].to_csv(index=False, header=False) == written

    def test_a_missing_fold_is_named(self, tmp_path):
        self.write(tmp_path, 1, best_epoch=1)
        with pytest.raises(FileNotFoundError) as caught:
            load_folds(tmp_path, [1, 2])
        assert caught.value.filename == str(tmp_path / "2/metrics.json")

    def test_curves_of_all_folds_can_be_joined(self):
        curves = {fold: make_curve(fold, 0.5, 0.6).drop(columns="fold") for fold in (7, 3)}
        table = join_fold_curves(curves)
        assert table[["fold", "epoch", "accuracy"]].to_numpy().tolist() == [
            [7, 1, 0.5], [7, 2, 0.6], [3, 1, 0.5], [3, 2, 0.6],
        ]  # fmt: skip
