import html
import re
from dataclasses import replace

import pandas as pd

from pipeline.report.experiments import Experiment
from pipeline.report.held_out_sets import HeldOut
from pipeline.report.page import render_page
from pipeline.report.sections.experiments import describe_comparison
from tests.experiments import make_curves, make_experiment, make_folds, make_seeds

EVIL = "<script>alert('pwned')</script>"
NO_CURVES = make_curves("optimized")


class Store:
    """Learning curves by the name of the experiment; mean curves by that and the family."""

    def __init__(
        self, curves: dict[str, pd.DataFrame], mean_curves: dict[str, dict[str, pd.DataFrame]] | None = None
    ) -> None:
        self._curves, self._mean_curves = curves, mean_curves or {}
        self.asked: list[str] = []

    def load_curves(self, experiment: Experiment) -> pd.DataFrame:
        self.asked.append(experiment.name)
        return self._curves.get(experiment.name, NO_CURVES)

    def load_mean_curves(self, experiment: Experiment) -> dict[str, pd.DataFrame]:
        return self._mean_curves.get(experiment.name, {})


def render(experiments: list[Experiment], store: Store | None = None) -> str:
    return render_page("compare.html", **describe_comparison(experiments, store or Store({})))


def read(page: str) -> str:
    """The words on a page, without charts and markup."""
    text = re.sub(r"<svg.*?</svg>|<style.*?</style>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", text).replace("\N{NO-BREAK SPACE}", " ").split())


def test_the_best_family_is_named_with_its_spread_over_seeds():
    words = read(render([*make_seeds()[:3], make_experiment("b", {"linear_svm": 0.6}, train__seed=1)]))
    assert "optimized is best by validation: 80.0 % ± 10.0 over 3 seeds." in words
    assert "4 experiments, 4 trained models." in words


def test_everything_is_on_the_page():
    first, *others, last = make_seeds()
    folds = [make_folds(0.90, 0.80, 0.75, 0.90, 0.80), make_folds(0.92, 0.84, 0.75, 0.96, 0.83)]
    first, last = (replace(e, folds={"optimized": t}) for e, t in zip((first, last), folds, strict=True))
    curves = {name: make_curves("optimized", 0.5, end) for name, end in (("a1", 0.5), ("b1", 0.75))}
    means = {name: {"optimized": table.drop(columns="family")} for name, table in curves.items()}
    page = render([first, *others, last], Store(curves, means))
    words = read(page)
    assert "What varied: train.dropout, train.seed." in words
    for heading in ("What each parameter does", "Learning curves", "Cross-validation", "Mean convergence", "All runs"):
        assert heading in words
    assert "+3.0 points" in words
    assert "0.116" in words
    assert page.count("<svg") == 8  # effects, parallel; accuracy and loss of runs, of folds, and of mean convergence


def test_curves_are_loaded_only_of_the_runs_that_are_drawn():
    store = Store({})
    render([make_experiment(f"{i:02d}", {"optimized": i / 100}, train__seed=i) for i in range(30)], store)
    assert store.asked == [f"{i:02d}" for i in range(14, 30)]


def test_a_run_alone_has_a_page_too():
    words = read(render([make_experiment("only", {"optimized": 0.5})]))
    assert "1 experiment, 1 trained model. What varied: nothing." in words
    assert "optimized is best by validation: 50.0 %." in words
    for heading in ("What each parameter does", "Learning curves", "Cross-validation"):
        assert heading not in words


def test_folds_that_all_differ_by_the_same_have_no_p():
    folds = {"optimized": make_folds(0.5, 0.6)}, {"optimized": make_folds(0.6, 0.7)}
    runs = [make_experiment(str(i), folds=table, train__seed=i) for i, table in enumerate(folds)]
    assert "not defined: every fold differs by the same" in read(render(runs))


def test_no_name_or_value_can_be_markup():
    runs = [
        make_experiment(EVIL, {EVIL: 0.5}, folds={EVIL: make_folds(0.5, 0.6)}, data__path=EVIL),
        make_experiment("b", {EVIL: 0.5}, folds={EVIL: make_folds(0.7, 0.6)}, data__path="x"),
    ]
    page = render(runs, Store({EVIL: make_curves(EVIL, 0.5)}))
    assert "<script" not in page
    assert "alert(&#39;pwned&#39;)" in page


def test_the_page_needs_no_other_file():
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"|url\((?!#)[^)]*\)|@import', render(make_seeds())) == []


class TestSets:
    """Runs on other images don't compare."""

    def make(self, count: int = 2) -> list[Experiment]:
        found = [
            make_experiment(f"e{number}", {"optimized": 0.9 - 0.1 * number, "underfit": 0.1}, images=str(number))
            for number in range(count)
        ]
        return [*found, make_experiment("more", {"underfit": 0.95}, images="0", train__dropout=0.5)]

    def test_each_has_its_own_best_and_there_is_none_of_all(self):
        words = read(render(self.make()))
        assert "2 sets of runs, which don't compare with one another." in words
        assert "Set 1: underfit is best by validation, 95.0 %" in words
        assert "Set 2: optimized is best by validation, 80.0 %" in words
        assert words.count("The best of each family") == 2
        assert "3 experiments, 5 trained models." in words

    def test_classes_and_test_images_are_those_of_the_set(self):
        held_out = HeldOut(("cat", EVIL), "1", 1200)
        first, *others = self.make()
        page = render([first, *(replace(e, held_out=held_out) for e in others)])
        assert "2 classes: cat, <script>alert('pwned')</script>; 1,200 images in test." in html.unescape(read(page))
        assert "<script" not in page

    def test_those_with_the_most_experiments_have_charts(self):
        page = render(self.make(9))
        assert read(page).count("What each parameter does") == 1
        assert read(page).count("All runs") == 9
