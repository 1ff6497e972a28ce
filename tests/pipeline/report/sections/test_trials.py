import html
import re
import shlex
from typing import Any

import pytest

from pipeline.config.reader import load_params
from pipeline.config.search_space import Dimension, parse_space
from pipeline.config.sections import Search
from pipeline.report.page import render_page
from pipeline.report.sections.trials import describe_curves, describe_trials, join_steps, join_trials, make_command
from pipeline.search.trials import Trial
from tests.conftest import ROOT

EVIL = "<b>bold</b> & 'quoted'"
SPACE: dict[str, Any] = {
    "train": {
        "optimizer": [EVIL, "sgd", None],
        "learning_rate": {"low": 0.0001, "high": 0.1, "log": True},
    },
    "recipes": {"underfit": {"batch_size": {"low": 1, "high": 64}}},
}
DIMENSIONS: list[Dimension] = parse_space(SPACE)
NAMES = [dimension.name for dimension in DIMENSIONS]


def make_values(*values: Any) -> dict[str, Any]:
    return dict(zip(NAMES, values, strict=True))


PRUNED = Trial(1, "pruned", make_values("sgd", 0.02, 8), None, [0.25, 0.375, 0.3])
BEST = Trial(2, "finished", make_values(EVIL, 0.01, 16), 0.8125, [0.5, 0.8125], [0.8125])
FAILED = Trial(3, "failed", make_values(None, 0.05, 32), reason=f"no number {EVIL}")
WORSE = Trial(4, "finished", make_values(None, 1e-4, 64), 0.5, [0.5, 0.25], [0.5])
ALL = [PRUNED, BEST, FAILED, WORSE]
FOLDED = [Trial(n, "finished", t.values, t.score, [0.5, 0.6], [0.5, 0.75]) for n, t in enumerate((BEST, WORSE), 1)]


def make_settings(**changes: Any) -> Search:
    return load_params(ROOT / "params.yaml").search.model_copy(update=changes)


def render(trials: list[Trial], importance: dict[str, float] | None = None, **changes: Any) -> str:
    content = describe_trials("underfit", make_settings(**changes), DIMENSIONS, trials, importance or {})
    return render_page("search.html", **content)


def read(page: str) -> str:
    """The words on a page, without charts and markup."""
    text = re.sub(r"<svg.*?</svg>|<style.*?</style>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.fixture(scope="module")
def page() -> str:
    return render(ALL)


class TestCommand:
    def test_it_sets_what_the_best_trial_tried(self):
        words = shlex.split(make_command(ALL))
        assert words == [
            *("dvc", "exp", "run", "-S", f"train.optimizer={EVIL}", "-S", "train.learning_rate=0.01"),
            *("-S", "++recipes.underfit.batch_size=16"),
        ]

    def test_there_is_none_where_none_has_completed(self):
        assert make_command([PRUNED, FAILED]) == make_command([]) == ""


class TestTable:
    def test_there_is_one_row_per_trial_with_the_best_score_so_far(self):
        table = join_trials(ALL, DIMENSIONS)
        assert list(table.columns) == [
            "trial", "state", "accuracy", "best", "optimizer", "learning_rate", "batch_size",
        ]  # fmt: skip
        assert table["best"].fillna(-1).tolist() == [-1, 0.8125, 0.8125, 0.8125]
        assert table["accuracy"].fillna(-1).tolist() == [0.375, 0.8125, -1, 0.5]

    def test_choices_are_words_and_ranges_are_numbers(self):
        table = join_trials(ALL, DIMENSIONS)
        assert table["optimizer"].tolist() == ["sgd", EVIL, "null", "null"]
        assert table["learning_rate"].tolist() == [0.02, 0.01, 0.05, 1e-4]

    def test_a_failed_trial_has_no_accuracy(self):
        table = join_trials([BEST, Trial(2, "failed", FAILED.values, None, [0.9], [], "no number")], DIMENSIONS)
        assert table["accuracy"].isna().tolist() == [False, True]

    def test_a_trial_pruned_without_an_epoch_has_none(self):
        table = join_trials([BEST, Trial(2, "pruned", PRUNED.values)], DIMENSIONS)
        assert table["accuracy"].isna().tolist() == [False, True]


class TestPage:
    def test_it_says_what_the_search_found(self, page):
        words = read(page)
        assert "underfit: 81.2 % in trial 2 of 4." in words
        assert "over 3 parameters, scored by accuracy on the validation images; the test images played no part" in words
        assert "2 completed, 1 pruned, 1 failed." in words

    @pytest.mark.parametrize(
        ("sampler", "words"),
        [
            ("bayesian", "Bayesian search (tree-structured Parzen estimator)"),
            ("random", "Random search"),
            ("grid", "Grid search"),
        ],
    )
    def test_it_names_the_sampler(self, sampler, words):
        assert f"{words} over 3 parameters" in read(render(ALL, sampler=sampler))

    def test_the_best_values_and_the_command_are_on_it(self, page):
        words = read(page)
        assert (
            f"Parameter Value train.optimizer {EVIL} train.learning_rate 0.01 recipes.underfit.batch_size 16" in words
        )
        assert make_command(ALL) in words

    def test_the_table_has_the_best_first_and_what_has_no_score_last(self, page):
        rows = re.findall(r"<tr( class=\"chosen\")?><td>(\d+)</td>(.*?)</tr>", page, flags=re.DOTALL)
        assert [(int(number), bool(chosen)) for chosen, number, _ in rows] == [
            (2, True),
            (4, False),
            (1, False),
            (3, False),
        ]
        shown = [read(row).split() for _, _, row in rows]
        assert shown[1] == ["null", "0.0001", "64", "2", "50.0", "%"]
        assert shown[2] == ["sgd", "0.02", "8", "3", "–", "pruned"]
        assert shown[3] == ["null", "0.05", "32", "–", "–", "failed:", "no", "number", *EVIL.split()]

    def test_folds_have_their_standard_deviation(self):
        words = read(render(FOLDED, score="crossval"))
        assert "underfit: 81.2 % ± 17.7 in trial 1 of 2." in words
        assert "scored by mean accuracy over the folds of train and val (± standard deviation over folds)" in words
        assert " Folds Score " in words

    @pytest.mark.parametrize("importance", [{}, dict(zip(NAMES, (0.5, 0.3, 0.2), strict=True))], ids=["none", "some"])
    def test_names_and_values_are_only_text_everywhere(self, importance):
        page = render(ALL, importance)
        assert "<b>" not in page
        assert page.count("&lt;b&gt;bold&lt;/b&gt;") >= 5  # values, command, table, reason, and both charts' labels

    def test_importance_is_drawn_with_short_names_where_there_is_any(self):
        page = render(ALL, dict(zip(NAMES, (0.5, 0.3, 0.2), strict=True)))
        assert page.count("<svg") == 5
        assert "Share of the variance of 2 completed trials' scores" in read(page)
        assert "With so few trials it is no more than a hint." in read(page)
        assert ">batch_size</text>" in page

    def test_where_there_is_none_that_is_said(self, page):
        assert page.count("<svg") == 4
        assert "Too few trials have completed" in read(page)

    def test_every_trial_has_its_validation_curve(self, page):
        assert "Validation accuracy of every trial by epoch. Blue: trial 2, the best." in read(page)
        assert "Each of 3 trials" in read(page)  # the failed one has not got that far
        assert join_steps(ALL)["trial"].tolist() == [1, 1, 1, 2, 2, 4, 4]
        assert join_steps(ALL)["accuracy"].tolist() == [0.25, 0.375, 0.3, 0.5, 0.8125, 0.5, 0.25]

    def test_of_folds_a_curve_is_the_mean_so_far(self):
        assert "every trial after each fold, mean of the folds so far" in read(render(FOLDED, score="crossval"))

    def test_trials_without_epochs_have_no_curve(self):
        words = read(render([Trial(1, "finished", BEST.values, 0.5, [0.5], [0.5])]))
        assert "How they learnt" not in words

    def test_of_very_many_trials_the_first_have_a_chart_of_their_own(self):
        trials = [Trial(n, "finished", BEST.values, 0.5, [0.4, 0.5], [0.5]) for n in range(1, 126)]
        assert describe_curves(trials, make_settings())["num_curves"] == 120

    def test_one_trial_and_one_parameter_are_enough(self):
        space = parse_space({"train": {"dropout": [0.1]}})
        trial = Trial(1, "finished", {"train.dropout": 0.1}, 1.0, [], [1.0])
        words = read(render_page("search.html", **describe_trials("linear_svm", make_settings(), space, [trial], {})))
        assert "linear_svm: 100.0 % in trial 1 of 1." in words
        assert "over 1 parameter, scored" in words

    def test_nothing_is_loaded_from_elsewhere(self, page):
        assert "<script" not in page
        assert not re.search(r"https?://|@import|url\(", re.sub(r"xmlns(:\w+)?=\"[^\"]*\"", "", page))

    def test_the_same_trials_give_the_same_bytes(self):
        assert render(ALL, {"train.learning_rate": 1.0}) == render(ALL, {"train.learning_rate": 1.0})
