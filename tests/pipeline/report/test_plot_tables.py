from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.calibration import make_reliability_table
from pipeline.evaluation.metrics import make_class_table
from pipeline.evaluation.roc_pr import make_pr_table, make_roc_table
from pipeline.report.plot_tables import join_curves, join_tables
from pipeline.report.tables import CURVE_COLUMNS


class TestCurves:
    def curve(self, epochs: int) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "split": "val",
                "epoch": range(1, epochs + 1),
                "accuracy": 0.5,
                "loss": [1 / e for e in range(1, epochs + 1)],
            }
        )

    def test_curves_of_all_families_are_in_one_table(self):
        table = join_curves({"short": self.curve(1), "long": self.curve(3)})
        assert list(table.columns) == CURVE_COLUMNS
        assert table["family"].tolist() == ["short", "long", "long", "long"]
        assert table["epoch"].tolist() == [1, 1, 2, 3]


class TestJoining:
    LABELS, PROBABILITIES = np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]])
    AFTER = 0.5 + (PROBABILITIES - 0.5) / 2  # as if calibrated

    def results(self, *families: str, labels: np.ndarray = LABELS) -> dict[str, SimpleNamespace]:
        """The tables that are joined, as each family has them."""
        pair, names = (labels, self.PROBABILITIES), ["NA", "007"]
        before, after = (make_reliability_table(labels, table) for table in (self.PROBABILITIES, self.AFTER))
        tables = {
            "roc": make_roc_table(*pair, names),
            "pr": make_pr_table(*pair, names),
            "classes": make_class_table(*pair, names),
            "reliability": pd.concat([before.assign(state="before"), after.assign(state="after")]),
        }
        return {family: SimpleNamespace(**tables) for family in families}

    def test_tables_of_all_families_are_joined(self):
        results = self.results("two", "one")
        table, single = join_tables(results, "classes"), results["one"].classes
        assert list(table.columns) == ["family", *single.columns]
        assert table.index.is_unique
        for family in ("two", "one"):
            single_family = table[table["family"] == family].drop(columns="family").reset_index(drop=True)
            pd.testing.assert_frame_equal(single_family, single)

    def test_reliability_is_that_after_calibration(self):
        table = join_tables(self.results("two", "one"), "reliability")
        after = make_reliability_table(self.LABELS, self.AFTER)
        assert list(table.columns) == ["family", *after.columns]
        for family in ("two", "one"):
            single_family = table[table["family"] == family].drop(columns="family").reset_index(drop=True)
            pd.testing.assert_frame_equal(single_family, after)

    @pytest.mark.parametrize(
        ("name", "columns"),
        [("roc", ["false_positive_rate", "true_positive_rate"]), ("pr", ["recall", "precision"])],
    )
    def test_operating_curves_are_the_mean_over_classes(self, name, columns):
        results = self.results("two", "one")
        table, single = join_tables(results, name), getattr(results["one"], name)
        mean = single[single["label"] == ""]
        assert list(table.columns) == ["family", *columns]
        assert table["family"].tolist() == ["two"] * len(mean) + ["one"] * len(mean)
        assert table[columns].to_numpy().tolist() == mean[columns].to_numpy().tolist() * 2

    @pytest.mark.parametrize("name", ["roc", "pr", "classes", "reliability"])
    @pytest.mark.parametrize("families", [["one"], ["one", "two"]])
    def test_test_images_of_one_class_have_no_curves(self, name, families):
        table = join_tables(self.results(*families, labels=np.zeros(4, int)), name)
        assert table.columns[0] == "family"
        assert table.empty == (name in ("roc", "pr"))

    def test_tables_are_left_as_they_are(self):
        results = self.results("one")
        join_tables(results, "classes")
        assert "family" not in results["one"].classes
