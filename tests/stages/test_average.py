import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.metrics import make_prediction_table
from pipeline.runtime.cli import report_errors
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.logging import configure_logging
from stages.average import average
from tests.conftest import Project
from tests.results import make_probabilities

LINEAR, NETWORK = "linear_svm", "underfit"
FOLDS = {4: (0.7, 0.5), 2: (0.8,), 9: (0.9, 0.6)}  # accuracy of validation, and so the loss, by epoch; the best first
METRICS = Path("metrics/crossval")


def write_fold(family: str, fold: int, accuracies: tuple[float, ...], best_epoch: int | None = 1) -> None:
    """What crossval writes for a fold, as far as it is averaged."""
    folder = Path("data/crossval") / family / str(fold)
    folder.mkdir(parents=True)
    metrics = {"accuracy": accuracies[0], "loss": 2 - accuracies[0], "macro_f1": accuracies[0] / 2}
    sizes = {"images": 1200, "training_images": 2400, "best_epoch": best_epoch}
    (folder / "metrics.json").write_text(json.dumps(metrics | sizes))
    rows = [
        (split, epoch, value, 2 - value)
        for split, change in (("train", 0.1), ("val", 0.0))
        for epoch, value in enumerate((round(a + change, 6) for a in accuracies), start=1)
    ]
    pd.DataFrame(rows, columns=["split", "epoch", "accuracy", "loss"]).to_csv(folder / "curves.csv", index=False)
    write_predictions(folder, fold)


def write_predictions(folder: Path, fold: int) -> None:
    """Of 40 images, every fifth of val; in each fold, images 4 and 5 have a wrong label. data/splits.csv lists all folds'."""
    labels = np.arange(40) % 2
    probabilities = make_probabilities(labels, 2, 0.9)
    labels[[4, 5]] = 1, 0
    names = [f"{fold}/{i}.png" for i in range(40)]
    table = make_prediction_table([name * 2 for name in names], names, labels, probabilities, ["cat", "dog"])
    table.to_csv(folder / "predictions.csv", index=False)
    splits = pd.DataFrame({"name": names, "split": [*["train"] * 4, "val"] * 8})
    splits.to_csv("data/splits.csv", mode="a", header=not Path("data/splits.csv").exists(), index=False)


def make_network(project: Project) -> Project:
    """Three folds of a network, one of which stopped early."""
    project.set(families=[LINEAR, NETWORK], crossval__families=[NETWORK], crossval__folds=list(FOLDS))
    for fold, accuracies in FOLDS.items():
        write_fold(NETWORK, fold, accuracies)
    return project


@pytest.fixture
def network(project: Project) -> Project:
    return make_network(project)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """A folder with the averages of the network, and what was said on stderr. Not to be changed."""
    folder, said = tmp_path_factory.mktemp("project"), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stderr(said):
        make_network(Project(folder))
        configure_logging()
        average(NETWORK)
    return folder, said.getvalue()


@pytest.fixture
def averaged(finished, monkeypatch) -> str:
    """What was said on stderr; the test is moved into the folder."""
    monkeypatch.chdir(finished[0])
    return finished[1]


def read_words(family: str = NETWORK) -> str:
    """The words on the page, without charts and markup."""
    page = (METRICS / family / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<svg.*?</svg>|<style.*?</style>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", text).replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.mark.usefixtures("averaged")
class TestNetwork:
    def test_metrics_have_one_row_per_fold_in_the_order_of_the_parameters(self):
        assert (METRICS / NETWORK / "folds.csv").read_text() == (
            "fold,accuracy,loss,macro_f1,images,training_images,best_epoch\n"
            "4,0.7,1.3,0.35,1200,2400,1\n"
            "2,0.8,1.2,0.4,1200,2400,1\n"
            "9,0.9,1.1,0.45,1200,2400,1\n"
        )

    def test_the_summary_is_their_mean_and_standard_deviation(self):
        assert json.loads((METRICS / NETWORK / "summary.json").read_text()) == {
            "folds": 3,
            "accuracy_mean": 0.8,
            "accuracy_sd": 0.1,
            "loss_mean": 1.2,
            "loss_sd": 0.1,
            "macro_f1_mean": 0.4,
            "macro_f1_sd": 0.05,
        }

    def test_curves_are_written_by_fold_and_averaged(self):
        curves = pd.read_csv(METRICS / NETWORK / "plots/curves.csv")
        val = curves[curves["split"] == "val"]
        assert val[["fold", "epoch", "accuracy"]].to_numpy().tolist() == [
            [4, 1, 0.7], [4, 2, 0.5], [2, 1, 0.8], [9, 1, 0.9], [9, 2, 0.6],
        ]  # fmt: skip
        mean = pd.read_csv(METRICS / NETWORK / "plots/mean.csv")
        assert mean[mean["split"] == "val"][["epoch", "accuracy", "loss", "folds"]].to_numpy().tolist() == [
            [1, 0.8, 1.2, 3],
            [2, 0.55, 1.45, 2],
        ]

    def test_labels_that_are_probably_wrong_are_listed_for_train_and_val(self):
        issues = pd.read_csv(METRICS / NETWORK / "label_issues.csv", keep_default_na=False)
        assert sorted(issues["name"]) == sorted(f"{fold}/{i}.png" for fold in FOLDS for i in (4, 5))
        assert dict(zip(issues["name"], issues["split"], strict=True))["4/4.png"] == "val"
        assert dict(zip(issues["name"], issues["split"], strict=True))["4/5.png"] == "train"
        assert list(issues)[-1] == "correct_label"
        assert set(issues["correct_label"]) == {""}
        assert "check, among all images of train and val: 6," in (METRICS / NETWORK / "report.html").read_text()

    def test_the_page_lists_each_fold_and_the_mean(self):
        words = read_words()
        assert "underfit: 80.0 % ± 10.0 points over 3 folds" in words
        for row in ("4 70.0 % 1.300 0.350 1,200 1", "mean ± sd 80.0 % ± 10.0 1.200 ± 0.100 0.400 ± 0.050"):
            assert row in words
        assert "without augmentation" not in words

    def test_the_page_needs_no_other_file(self):
        page = (METRICS / NETWORK / "report.html").read_text(encoding="utf-8")
        assert page.count("<svg") == 3
        assert page.rstrip().endswith("</html>")
        assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"|url\((?!#)[^)]*\)|@import|<script', page) == []

    def test_the_result_is_logged(self, averaged):
        assert averaged == (
            f"underfit: accuracy 0.8000 ± 0.1000 over 3 folds; see {METRICS / NETWORK / 'report.html'}\n"
        )


@pytest.mark.usefixtures("network")
class TestAgain:
    def test_without_augmentation_the_page_says_so(self, network):
        network.set(crossval__augment=False)
        average(NETWORK)
        assert "without augmentation" in read_words()

    def test_folds_that_the_parameters_no_longer_list_do_not_count(self, network):
        network.set(crossval__folds=[4, 9])
        average(NETWORK)
        assert pd.read_csv(METRICS / NETWORK / "folds.csv")["fold"].tolist() == [4, 9]
        assert pd.read_csv(METRICS / NETWORK / "plots/curves.csv")["fold"].unique().tolist() == [4, 9]

    def test_again_it_gives_the_same_bytes(self):
        contents = []
        for _ in range(2):
            average(NETWORK)
            contents.append({path: path.read_bytes() for path in METRICS.rglob("*") if path.is_file()})
        assert contents[0] == contents[1]
        files = ["folds.csv", "label_issues.csv", "plots/curves.csv", "plots/mean.csv", "report.html", "summary.json"]
        assert sorted(path.relative_to(METRICS / NETWORK).as_posix() for path in contents[0]) == files

    def test_a_missing_fold_is_named_and_nothing_is_written(self, network, capsys):
        network.set(crossval__folds=[4, 5])
        assert report_errors(lambda: average(NETWORK)) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: data/crossval/underfit/5/metrics.json is not here")
        assert said.count("\n") == 1
        assert not METRICS.exists()

    def test_a_family_that_does_not_exist_is_refused(self):
        with pytest.raises(PipelineError, match="no family is called 'undrfit'"):
            average("undrfit")


def test_a_family_without_epochs_has_no_best_one(project):
    project.set(families=[LINEAR], crossval__folds=[1, 2])
    for fold in (1, 2):
        write_fold(LINEAR, fold, (0.5,), best_epoch=None)
    average(LINEAR)
    assert pd.read_csv(METRICS / LINEAR / "folds.csv")["best_epoch"].isna().all()
    words = read_words(LINEAR)
    assert "linear_svm: 50.0 % ± 0.0 points over 2 folds" in words
    assert "1 50.0 % 1.500 0.250 1,200 –" in words
