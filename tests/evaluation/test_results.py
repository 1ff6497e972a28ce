import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.evaluation.metrics import (
    compute_figures,
    make_class_table,
    make_confusion_table,
    make_prediction_table,
)
from stages.evaluation.results import Results, load_curves, load_results, remove_leftovers, save_results

ORDINARY = ["cat", "dog"]
NUMBERS = ["0", "1", "02", "1e3"]
MISSING = ["null", "NA", "nan", "None", "true"]
PUNCTUATED = ["a,b", "<script>", 'say "hi"', "it's", "p:cat", "a b", "tab\there"]
FOREIGN = ["Käfer", "猫", "🐈"]


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make_results(class_names: list[str] = ORDINARY, count: int = 6) -> Results:
    rng, size = np.random.default_rng(0), len(class_names)
    labels, probabilities = np.arange(count) % size, rng.dirichlet(np.ones(size), count)
    predicted = probabilities.argmax(axis=1)
    ids, names = [f"{i:064d}" for i in range(count)], [f"{class_names[n]}/{i}.png" for i, n in enumerate(labels)]
    curves = pd.DataFrame({"split": ["train", "val"], "epoch": [1, 1], "accuracy": [0.5, 1.0], "loss": [1.5, 0.25]})
    return Results(
        figures=compute_figures(labels, probabilities) | {"parameters": 7, "best_epoch": None},
        classes=make_class_table(labels, predicted, class_names),
        confusion=make_confusion_table(labels, predicted, class_names),
        predictions=make_prediction_table(ids, names, labels, probabilities, class_names),
        curves=curves,
    )


class TestRoundTrip:
    @pytest.mark.parametrize("class_names", [ORDINARY, NUMBERS, MISSING, PUNCTUATED, FOREIGN])
    def test_what_is_saved_is_loaded_whatever_the_classes_are_called(self, class_names):
        saved = make_results(class_names)
        save_results("underfit", saved)
        loaded = load_results("underfit")
        assert loaded.figures == saved.figures
        for table in ("classes", "confusion", "predictions", "curves"):
            pd.testing.assert_frame_equal(getattr(loaded, table), getattr(saved, table), check_dtype=False)

    @pytest.mark.parametrize("class_names", [NUMBERS, MISSING])
    def test_class_names_and_image_ids_stay_text(self, class_names):
        save_results("underfit", make_results(class_names))
        loaded = load_results("underfit")
        values = [*loaded.classes["label"], *loaded.predictions["image_id"], *loaded.predictions["predicted"]]
        assert {type(value) for value in values} == {str}

    def test_the_same_results_give_the_same_bytes(self):
        files = []
        for family in ("one", "two"):
            save_results(family, make_results())
            files.append({path.name: path.read_bytes() for path in Path("data/evaluations", family).iterdir()})
        assert files[0] == files[1]


class TestSaving:
    def test_people_find_figures_and_tables_with_the_metrics(self):
        save_results("underfit", make_results())
        published = Path("metrics/underfit")
        assert {path.name for path in published.iterdir()} == {
            "metrics.json",
            "classes.csv",
            "confusion.csv",
            "predictions.csv",
        }
        for path in published.iterdir():
            assert path.read_bytes() == Path("data/evaluations/underfit", path.name).read_bytes()

    def test_figures_are_json_with_null_for_what_there_is_not(self):
        save_results("linear_svm", make_results())
        assert json.loads(Path("metrics/linear_svm/metrics.json").read_text())["best_epoch"] is None

    def test_what_else_lies_with_the_metrics_stays(self):
        Path("metrics/underfit/train").mkdir(parents=True)
        save_results("underfit", make_results())
        assert Path("metrics/underfit/train").is_dir()

    def test_later_results_take_the_place_of_earlier_ones(self):
        save_results("underfit", make_results())
        Path("data/evaluations/underfit/old.csv").touch()
        save_results("underfit", make_results(FOREIGN))
        assert load_results("underfit").classes["label"].tolist() == FOREIGN
        assert not Path("data/evaluations/underfit/old.csv").exists()

    def test_nothing_half_written_is_left_where_saving_fails(self):
        broken = Results(figures={}, classes=pd.DataFrame(), confusion=None, predictions=None, curves=None)  # type: ignore[arg-type]
        with pytest.raises(AttributeError):
            save_results("underfit", broken)
        assert list(Path("data/evaluations").iterdir()) == []


class TestCurves:
    def write(self, **metrics: list[float]) -> Path:
        for name, values in metrics.items():
            split, metric = name.split("_")
            file = Path("record/plots/metrics", split, f"{metric}.tsv")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"step\t{metric}\n" + "".join(f"{i}\t{value}\n" for i, value in enumerate(values)))
        return Path("record")

    def test_they_have_a_row_for_each_split_and_epoch_counted_from_one(self):
        record = self.write(
            train_accuracy=[0.5, 0.75], train_loss=[2.0, 1.0], eval_accuracy=[0.25, 0.5], eval_loss=[3.0, 2.5]
        )
        assert load_curves(record).to_numpy().tolist() == [
            ["train", 1, 0.5, 2.0],
            ["train", 2, 0.75, 1.0],
            ["val", 1, 0.25, 3.0],
            ["val", 2, 0.5, 2.5],
        ]

    def test_figures_have_six_digits(self):
        record = self.write(train_accuracy=[1 / 3], train_loss=[1.0], eval_accuracy=[1.0], eval_loss=[1.0])
        assert load_curves(record)["accuracy"].iloc[0] == 0.333333


class TestLeftovers:
    def test_results_of_families_that_nobody_asks_for_are_removed(self):
        for family in ("underfit", "overfit", "gone"):
            save_results(family, make_results())
        remove_leftovers(["underfit", "overfit"])
        assert sorted(path.name for path in Path("data/evaluations").iterdir()) == ["overfit", "underfit"]

    def test_so_is_what_a_killed_run_left(self):
        save_results("underfit", make_results())
        Path("data/evaluations/overfit.partial").mkdir()
        Path("data/evaluations/stray.csv").touch()
        remove_leftovers(["underfit", "overfit"])
        assert [path.name for path in Path("data/evaluations").iterdir()] == ["underfit"]
