import numpy as np
import pandas as pd
import pytest
from dvc_render.vega import VegaRenderer

from pipeline.evaluation.plot_text import make_drawable
from pipeline.evaluation.results import load_results, load_table, save_results
from pipeline.runtime.paths import METRICS
from tests.results import make_probabilities, make_results

NAMES = ["</script><script>alert(1)</script>", "</SCRIPT>", "<!--<script>", "{refresh_tag}"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_ends_the_script_of_dvcs_page(name):
    rows = make_drawable(pd.DataFrame({"label": [name], "f1": [0.5]})).to_dict("records")
    page = VegaRenderer(rows, "f1", x="f1", y="label").partial_html()
    assert not any(mark in page.lower() for mark in ("</script", "<!--", "{refresh_tag}"))


@pytest.mark.parametrize("name", ["a < b", "<b>", "cat", "", "猫", "<img src=x>", "{}", "a/b", "\\"])
def test_other_names_stay_as_they_are(name):
    table = pd.DataFrame({"label": [name], "f1": [0.5]})
    pd.testing.assert_frame_equal(make_drawable(table), table)


def test_what_differs_stays_different():
    names = [*NAMES, *("<" + "\\" * count + "/script>" for count in range(4)), "{\\refresh_tag}", "{\\\\refresh_tag}"]
    assert make_drawable(pd.DataFrame({"label": names}))["label"].nunique() == len(names)


def test_what_evaluate_publishes_for_plots_is_safe_and_what_the_report_reads_is_unchanged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = np.arange(len(NAMES))
    save_results("any", make_results(NAMES, (labels, make_probabilities(labels, len(NAMES)))))
    published = load_table(METRICS / "any/confusion.csv")
    assert published["label"].nunique() == len(NAMES)
    assert not set(NAMES) & {*published["label"], *published["predicted"]}
    assert set(load_results("any").confusion["label"]) == set(NAMES)
