import numpy as np
import pandas as pd
import pytest

from pipeline.report.costs import add_ensemble, find_front, make_costs
from tests.pipeline.report.timings import make_readings, make_summary_of

MISSING = float("nan")


class TestCosts:
    def test_speed_and_size_are_in_the_units_of_the_page(self):
        [row] = make_costs(make_readings(one=80.0), make_summary_of(one=0.75)).to_dict("records")
        assert row == {
            "family": "one",
            "accuracy": 0.75,
            "milliseconds": 12.5,
            "images_per_second": 800,
            "train_seconds": 4.5,
            "train_peak_mb": 900,
            "evaluate_peak_mb": 700,
            "model_mb": 2.5,
            "parameters": 1000,
            "trainable_parameters": 900,
            "on_front": True,
        }

    def test_the_most_accurate_comes_first_and_equals_are_sorted_by_name(self):
        table = make_costs(make_readings(a=1.0, c=1.0, b=1.0), make_summary_of(a=0.5, b=0.75, c=0.75))
        assert table["family"].tolist() == ["b", "c", "a"]

    def test_a_family_without_a_reading_has_a_row_but_is_not_on_the_front(self):
        table = make_costs(make_readings(timed=10.0, untimed=None), make_summary_of(timed=0.5, untimed=0.9))
        untimed = table.set_index("family").loc["untimed"]
        assert untimed[["milliseconds", "train_seconds", "train_peak_mb"]].isna().all()
        assert (untimed["model_mb"], untimed["on_front"]) == (2.5, False)
        assert table.set_index("family").loc["timed", "on_front"]

    def test_without_any_reading_there_is_still_a_table(self):
        table = make_costs(make_readings(one=None, other=None), make_summary_of(one=0.5, other=0.5))
        assert table["milliseconds"].isna().all()
        assert not table["on_front"].any()

    def test_an_ensemble_has_no_row_as_it_has_no_timings(self):
        assert make_costs(make_readings(one=10.0), make_summary_of(one=0.5, ensemble=0.9))["family"].tolist() == ["one"]


class TestEnsemble:
    SUMMARY = make_summary_of(a=0.5, b=0.75, c=0.25, ensemble=0.9)

    def add(self, weights: dict[str, float], **rates: float | None) -> pd.DataFrame:
        costs = make_costs(make_readings(**rates), self.SUMMARY)
        return add_ensemble(costs, self.SUMMARY, weights)

    def test_its_times_are_the_sums_of_those_that_have_weight(self):
        table = self.add({"a": 0.25, "b": 0.75, "c": 0.0}, a=10.0, b=40.0, c=1.0)
        assert table["family"].tolist() == ["b", "a", "c", "ensemble"]
        row = table.iloc[-1]
        assert (row["milliseconds"], row["images_per_second"], row["train_seconds"]) == (125, 400, 9)
        assert (row["accuracy"], row["model_mb"], row["parameters"], row["on_front"]) == (0.9, 2.5, 1000, False)
        assert row[["train_peak_mb", "evaluate_peak_mb"]].isna().all()

    def test_the_other_rows_stay_as_they_were(self):
        table = self.add({"a": 0.5, "b": 0.5}, a=10.0, b=40.0)
        pd.testing.assert_frame_equal(table.head(2), self.add({}, a=10.0, b=40.0), check_dtype=False)

    def test_where_one_of_them_was_not_timed_it_has_no_time(self):
        assert self.add({"a": 0.5, "b": 0.5}, a=10.0, b=None).iloc[-1][["milliseconds", "train_seconds"]].isna().all()

    @pytest.mark.parametrize("weights", [{}, {"a": 1.0, "b": 0.0}])
    def test_without_two_members_there_is_none(self, weights):
        assert self.add(weights, a=10.0, b=40.0)["family"].tolist() == ["b", "a"]


class TestFront:
    def front(self, *points: tuple[float, float]) -> list[bool]:
        return find_front(pd.DataFrame(points, columns=["accuracy", "milliseconds"]))

    def test_what_no_other_beats_in_both_is_on_it(self):
        assert self.front((0.9, 50), (0.8, 10), (0.7, 20), (0.95, 60), (0.5, 1)) == [True, True, False, True, True]

    def test_as_accurate_but_slower_is_beaten(self):
        assert self.front((0.8, 10), (0.8, 11)) == [True, False]

    def test_as_fast_but_less_accurate_is_beaten(self):
        assert self.front((0.8, 10), (0.7, 10)) == [True, False]

    def test_equals_in_both_do_not_beat_each_other(self):
        assert self.front((0.8, 10), (0.8, 10), (0.7, 10)) == [True, True, False]

    def test_what_was_not_timed_is_not_on_it_and_beats_no_other(self):
        assert self.front((0.99, MISSING), (0.5, 10)) == [False, True]

    def test_a_single_one_is_on_it(self):
        assert self.front((0.1, 1000)) == [True]

    def test_an_empty_table_has_none(self):
        assert self.front() == []

    def test_on_it_more_time_means_more_accuracy(self):
        points = np.random.default_rng(0).integers(0, 10, (60, 2)).astype(float)
        on_front = points[self.front(*map(tuple, points))]
        ordered = on_front[np.lexsort((on_front[:, 0], on_front[:, 1]))]
        assert (np.diff(ordered[:, 0]) >= 0).all()
        assert len({tuple(point) for point in on_front}) == len(set(on_front[:, 1]))
