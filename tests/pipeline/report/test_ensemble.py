import pytest

from pipeline.evaluation.ensemble import ENSEMBLE
from pipeline.evaluation.intervals import compute_accuracy_interval, correct_holm
from pipeline.evaluation.metrics import compute_basic_metrics, compute_classification_metrics
from pipeline.evaluation.temperature import apply_temperature
from pipeline.report.ensemble import combine, compare_with_chosen
from pipeline.report.prediction_table import get_hits, get_probabilities
from pipeline.report.tables import make_summary
from tests.pipeline.report.families import LABELS, make_family, make_half_blind

RATES = {"solid": 0.1, "poor": 0.9, "like": 0.12}


class TestCombining:
    def test_a_single_family_is_no_ensemble(self):
        assert combine({"only": make_family(wrong=0.2)}) is None

    def test_two_equal_families_share_the_weight(self):
        one = make_family(wrong=0.2)
        together = combine({"one": one, "other": one})
        assert together.weights == {"one": 0.5, "other": 0.5}
        assert (together.probabilities.argmax(axis=1) == get_probabilities(one.predictions).argmax(axis=1)).all()

    def test_a_family_that_adds_nothing_has_no_weight_and_no_cost(self):
        good, useless = make_family(wrong=0.0, model_bytes=70), make_family(wrong=1.0, model_bytes=9)
        together = combine({"useless": useless, "good": good})
        assert together.weights == {"useless": 0, "good": 1}
        assert together.metrics["model_bytes"] == 70
        assert together.metrics["test_accuracy"] == 1

    def test_the_validation_images_decide_the_weights(self):
        lucky, solid = make_family(wrong=0.0, val_wrong=0.9), make_family(wrong=0.5, val_wrong=0.0)
        assert combine({"lucky": lucky, "solid": solid}).weights == {"lucky": 0, "solid": 1}

    def test_families_that_know_different_things_know_more_together(self):
        results = {"even": make_half_blind(0), "odd": make_half_blind(1)}
        assert [result.metrics["test_accuracy"] for result in results.values()] == [0.5, 0.5]
        together = combine(results)
        assert together.metrics["test_accuracy"] == 1
        assert (together.probabilities.argmax(axis=1) == LABELS).all()

    def test_its_metrics_are_those_of_the_weighted_mean_of_calibrated_probabilities(self):
        results = {"one": make_half_blind(0), "other": make_family(wrong=0.3, seed=3)}
        together = combine(results)
        mixed = sum(
            together.weights[name]
            * apply_temperature(get_probabilities(result.predictions), result.metrics["temperature"])
            for name, result in results.items()
        )
        mixed = mixed / mixed.sum(axis=1, keepdims=True)
        expected = compute_basic_metrics(LABELS, mixed) | compute_classification_metrics(LABELS, mixed)
        assert {name: together.metrics[f"test_{name}"] for name in expected} == pytest.approx(expected)
        assert together.probabilities == pytest.approx(mixed)

    def test_it_has_the_interval_of_its_accuracy_and_the_size_of_all_its_members(self):
        results = {"even": make_half_blind(0), "odd": make_half_blind(1)}
        metrics = combine(results).metrics
        assert (metrics["test_accuracy_low"], metrics["test_accuracy_high"]) == compute_accuracy_interval(60, 60)
        assert (metrics["parameters"], metrics["model_bytes"]) == (2000, 10_000)
        assert metrics["temperature"] == 1

    def test_in_the_summary_what_it_lacks_is_missing(self):
        results = {"even": make_half_blind(0), "odd": make_half_blind(1)}
        metrics = {name: result.metrics for name, result in results.items()} | {ENSEMBLE: combine(results).metrics}
        row = make_summary(metrics).set_index("family").loc[ENSEMBLE]
        lacking = [
            *("train_accuracy", "train_loss", "best_epoch", "verdict"),
            *("val_balanced_accuracy", "val_roc_auc", "val_loss_calibrated", "val_cost", "p_guess"),
        ]
        assert row[lacking].isna().all()
        assert row.drop(lacking).notna().all()


class TestComparing:
    def test_every_family_is_compared_with_the_chosen_one_on_the_same_images(self):
        results = {name: make_family(wrong=wrong, seed=seed) for seed, (name, wrong) in enumerate(RATES.items())}
        table = compare_with_chosen(results, None, "solid").set_index("family")
        assert table.index.tolist() == ["poor", "like"]
        right = {name: get_hits(result.predictions) for name, result in results.items()}
        for name in ("poor", "like"):
            assert table.loc[name, "only_family"] == (right[name] & ~right["solid"]).sum()
            assert table.loc[name, "only_reference"] == (right["solid"] & ~right[name]).sum()
            difference = right[name].mean() - right["solid"].mean()
            assert table.loc[name, "difference"] == pytest.approx(difference, abs=1e-6)
        assert table["distinguishable"].tolist() == [True, False]

    def test_the_ensemble_is_compared_too(self):
        results = {"even": make_half_blind(0), "odd": make_half_blind(1)}
        table = compare_with_chosen(results, combine(results), "even").set_index("family")
        assert table.index.tolist() == ["odd", ENSEMBLE]
        assert table.loc[ENSEMBLE, ["only_family", "only_reference", "distinguishable"]].tolist() == [30, 0, True]

    @pytest.mark.parametrize("variant", ["net_fine_tuned", "net_distilled"])
    def test_a_variant_is_compared_with_the_family_that_it_is_of_and_all_are_corrected_together(self, variant):
        rates = {"net": 0.6, variant: 0.4, "best": 0.0}
        results = {name: make_family(wrong=rate, seed=seed) for seed, (name, rate) in enumerate(rates.items())}
        table = compare_with_chosen(results, None, "best")
        pairs = list(zip(table["family"], table["reference"], strict=True))
        assert pairs == [("net", "best"), (variant, "best"), (variant, "net")]
        assert table["p_corrected"].tolist() == pytest.approx(correct_holm(table["p"].to_numpy()), abs=1e-7)

    @pytest.mark.parametrize("chosen", ["net", "net_fine_tuned"])
    def test_where_one_of_them_is_chosen_they_are_compared_once(self, chosen):
        results = {"net": make_family(wrong=0.5), "net_fine_tuned": make_family(wrong=0.1)}
        assert len(compare_with_chosen(results, None, chosen)) == 1

    def test_a_single_family_is_compared_with_none(self):
        assert compare_with_chosen({"only": make_family(wrong=0.1)}, None, "only").empty
