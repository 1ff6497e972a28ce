from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.evaluation.results import Results
from pipeline.report.ensemble import Ensemble
from pipeline.report.sections.models import describe_ensemble, describe_models
from tests.pipeline.report.families import NAMES, find, make_family
from tests.results import guess, make_results


class TestEnsemble:
    TOGETHER = Ensemble({"one": 0.3, "small": 0.004, "other": 0.696}, {"test_accuracy": 0.75}, np.eye(2))

    @pytest.mark.parametrize(
        ("distinguishable", "difference", "verdict"),
        [(True, 0.2, "better"), (True, -0.2, "worse"), (False, 0.2, "tied"), (False, -0.2, "tied"), (False, 0, "tied")],
    )
    def test_it_is_better_or_worse_only_if_that_is_significant(self, distinguishable, difference, verdict):
        versus = {"distinguishable": distinguishable, "difference": difference, "p_corrected": 0.25}
        said = describe_ensemble(self.TOGETHER, versus)
        assert (said["verdict"], said["accuracy"], said["p_corrected"]) == (verdict, 0.75, 0.25)

    def test_the_largest_weight_comes_first_and_those_that_round_to_nothing_are_left_out(self):
        said = describe_ensemble(self.TOGETHER, {"distinguishable": False, "difference": 0})
        assert list(said["weights"].items()) == [("other", 0.696), ("one", 0.3)]

    def test_without_an_ensemble_nothing_is_said(self):
        assert describe_ensemble(None, None) is None


class TestDescription:
    def describe(self, results: dict[str, Results]) -> dict:
        return describe_models(find(results), results, NAMES)

    def test_ties_and_what_beat_the_chosen_family_are_named(self):
        results = {
            "chosen": make_family(wrong=0.4, val_wrong=0.0),
            "alike": make_family(wrong=0.42, val_wrong=0.1),
            "lucky": make_family(wrong=0.0, val_wrong=0.5),
            "poor": make_family(wrong=1.0, val_wrong=1.0),
        }
        said = self.describe(results)
        assert said["chosen"]["family"] == "chosen"
        assert said["metrics"] == results["chosen"].metrics
        assert (said["as_good"], said["ties"], said["beaten_by"]) == (["alike"], [], ["lucky"])
        assert set(said["versus"]) == {"alike", "lucky", "poor", ENSEMBLE}
        assert [row["family"] for row in said["calibrations"]] == list(said["architectures"])

    def test_the_best_on_test_comes_first_among_those_it_is_compared_with(self):
        rates = {"poor": 1.0, "chosen": 0.1, "middle": 0.5}
        said = self.describe({name: make_family(wrong=rate) for name, rate in rates.items()})
        assert [name for name in said["versus"] if name != ENSEMBLE] == ["middle", "poor"]

    def test_what_is_undefined_is_none(self):
        said = self.describe({"one": make_family(wrong=0.1, best_epoch=None), "other": make_family(wrong=0.3)})
        rows = {row["family"]: row for row in said["rows"]}
        assert rows[ENSEMBLE]["train_accuracy"] is None
        assert rows[ENSEMBLE]["verdict"] is None
        assert rows["one"]["best_epoch"] is None
        values = [value for row in rows.values() for value in row.values() if value is not None]
        assert not any(pd.isna(value) for value in values)

    def test_families_that_were_given_up_are_named(self):
        said = {"epoch": 9, "epochs": 50, "highest": 0.5, "bar": 0.9}
        found = self.describe({"one": make_family(wrong=0.1), "other": make_family(wrong=0.3, given_up=said)})
        assert found["given_up"] == {"other": said}

    def test_a_single_family_is_beaten_by_none(self):
        said = self.describe({"only": make_family(wrong=0.1)})
        assert (said["as_good"], said["ties"], said["beaten_by"], said["versus"], said["ensemble"]) == (
            [],
            [],
            [],
            {},
            None,
        )

    def test_who_may_be_worse_is_no_less_for_all_that_few_images_can_tell(self):
        """60 test images: 12 wrong, and 15 others."""
        results = {
            "chosen": make_family(wrong=0.2, val_wrong=0.0),
            "other": make_family(wrong=0.25, val_wrong=0.1, seed=5),
        }
        said = self.describe(results)
        assert (said["chosen"]["family"], said["as_good"], said["ties"]) == ("chosen", [], ["other"])

    def test_who_is_no_better_than_guessing_is_nobodys_equal(self):
        results = {"chosen": make_family(wrong=0.5, val_wrong=0.0), "guesser": make_family(wrong=0.66, val_wrong=0.66)}
        said = self.describe(results)
        assert not said["versus"]["guesser"]["distinguishable"] or not said["guessing"]["versus"]["guesser"]
        assert "guesser" not in said["as_good"] + said["ties"]

    def test_all_others_are_worse_only_if_each_is_significantly(self):
        rates = {"chosen": 0.0, "poor": 0.9, "also poor": 0.8}
        assert self.describe({name: make_family(wrong=rate) for name, rate in rates.items()})["all_worse"]
        rates |= {"near": 0.02}
        assert not self.describe({name: make_family(wrong=rate) for name, rate in rates.items()})["all_worse"]

    def test_sets_need_as_many_validation_images_as_their_coverage_says(self):
        assert self.describe({"only": make_family(wrong=0.1)})["least_for_sets"] == 19  # RULE's 95 %

    def test_a_class_without_images_has_no_area_under_a_curve(self):
        labels = np.arange(60) % 2
        alone = make_results(NAMES, (labels, guess(labels, 3, wrong=0.2)))
        rows = self.describe({"only": alone})["classes"]
        assert [row["roc_auc"] is None for row in rows] == [False, False, True]

    def test_an_undefined_curve_is_not_drawn(self):
        family = make_family(wrong=0.1)
        said = self.describe({"only": replace(family, roc=family.roc.head(0), pr=family.pr.head(0))})
        assert (said["roc"], said["pr"]) == (None, None)
