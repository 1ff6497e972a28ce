import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.data.tfrecords import DatasetFacts
from pipeline.evaluation.calibration import make_reliability_table
from pipeline.evaluation.metrics import (
    compute_basic_metrics,
    compute_classification_metrics,
    make_class_table,
    make_confusion_table,
    make_prediction_table,
)
from pipeline.evaluation.results import (
    Results,
    check_evaluations,
    describe_model,
    load_curves,
    load_results,
    load_table,
    pick_mistakes,
    remove_leftovers,
    save_results,
)
from pipeline.evaluation.roc_pr import MEAN, make_pr_table, make_roc_table
from pipeline.models.contract import Contract
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import compute_sha256

ORDINARY = ["cat", "dog"]
NUMBERS = ["0", "1", "007", "1e3", "-inf"]
MISSING = ["null", "NA", "nan", "None", "true", "N/A"]
PUNCTUATED = ["a,b", "<script>", 'say "hi"', "it's", "p:cat", "a b", "tab\there"]
FOREIGN = ["Käfer", "猫", "🐈"]


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make_results(class_names: list[str] = ORDINARY, count: int = 6, digest: str = "") -> Results:
    rng, size = np.random.default_rng(0), len(class_names)
    labels, probabilities = np.arange(count) % size, rng.dirichlet(np.ones(size), count)
    ids, names = [f"{i:064d}" for i in range(count)], [f"{class_names[n]}/{i}.png" for i, n in enumerate(labels)]
    predictions = make_prediction_table(ids, names, labels, probabilities, class_names)
    reliability = make_reliability_table(labels, probabilities)
    columns = ["name", "label", "predicted", "confidence", "distance", "is_far", "reason"]
    classes = [f"p:{name}" for name in class_names]
    return Results(
        metrics=compute_basic_metrics(labels, probabilities)
        | compute_classification_metrics(labels, probabilities)
        | {"parameters": 7, "best_epoch": None, "temperature": 1.25, "model_sha256": digest},
        classes=make_class_table(labels, probabilities, class_names),
        classes_train=make_class_table(labels[::-1], probabilities, class_names),
        confusion=make_confusion_table(labels, probabilities.argmax(axis=1), class_names),
        predictions=predictions,
        val_predictions=predictions.iloc[::-1],
        train_predictions=predictions.iloc[1:],
        curves=pd.DataFrame({"split": ["train", "val"], "epoch": [1, 1], "accuracy": [0.5, 1.0], "loss": [1.5, 0.25]}),
        roc=make_roc_table(labels, probabilities, class_names),
        pr=make_pr_table(labels, probabilities, class_names),
        reliability=pd.concat([reliability.assign(state="before"), reliability.assign(state="after")]),
        layers=pd.DataFrame({"layer": ["NA", "2"], "kind": ["InputLayer", "Dense"], "rows": 1, "parameters": [0, 7]}),
        outside=pd.DataFrame(
            [["a.png", "", class_names[0], 0.75, 1.5, True, "", *probabilities[0].round(6)]],
            columns=[*columns, *classes],
        ),
        refusals=pd.DataFrame(
            [["test", "distance", True, 20, None, 0.05], ["noise", "distance", True, 20, 0.99, 0.9]],
            columns=["kind", "score", "is_used", "images", "auroc", "refused"],
        ),
        look_alikes=pd.DataFrame({"name": predictions["name"], "alike": "NA"}),
        heat_maps=rng.random((2, 3, 4)).astype(np.float16),
        augmented=rng.integers(0, 256, (1, 4, 5, 5, 3), np.uint8),
    )


TABLES = [
    "classes",
    "confusion",
    "predictions",
    "val_predictions",
    "curves",
    "roc",
    "pr",
    "reliability",
    "layers",
    "outside",
    "look_alikes",
]
ARRAYS = ["heat_maps", "augmented"]


def check_same(loaded: Results, saved: Results) -> None:
    assert loaded.metrics == saved.metrics
    for name in TABLES:
        expected = getattr(saved, name).reset_index(drop=True)
        pd.testing.assert_frame_equal(getattr(loaded, name), expected, check_dtype=False)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
        assert getattr(loaded, name).dtype == getattr(saved, name).dtype


class TestRoundTrip:
    @pytest.mark.parametrize("class_names", [ORDINARY, NUMBERS, MISSING, PUNCTUATED, FOREIGN])
    def test_what_is_saved_is_loaded_whatever_the_classes_are_called(self, class_names):
        saved = make_results(class_names)
        save_results("underfit", saved)
        check_same(load_results("underfit"), saved)

    def test_so_are_results_without_curves_pictures_or_heat_maps(self):
        saved = make_results(ORDINARY, count=1)  # one image gives no curves and no areas
        none = {"outside": saved.outside.iloc[:0], "heat_maps": np.zeros((0, 1, 1), np.float16)}
        saved = replace(saved, **none, augmented=np.zeros((0, 1, 5, 5, 3), np.uint8))
        assert saved.roc.empty
        assert saved.classes["roc_auc"].isna().all()
        save_results("linear_svm", saved)
        check_same(load_results("linear_svm"), saved)

    @pytest.mark.parametrize("class_names", [NUMBERS, MISSING])
    def test_class_names_and_image_ids_remain_text(self, class_names):
        save_results("underfit", make_results(class_names))
        loaded = load_results("underfit")
        for table, column in [
            ("classes", "label"),
            ("confusion", "predicted"),
            ("predictions", "image_id"),
            ("val_predictions", "predicted"),
            ("roc", "label"),
            ("pr", "label"),
            ("layers", "layer"),
            ("outside", "predicted"),
        ]:
            assert {type(value) for value in getattr(loaded, table)[column]} == {str}

    @pytest.mark.parametrize("class_names", [ORDINARY, MISSING])
    def test_the_mean_of_all_classes_keeps_its_empty_label(self, class_names):
        save_results("underfit", make_results(class_names, count=12))
        roc = load_results("underfit").roc
        assert list(dict.fromkeys(roc["label"])) == [*class_names, MEAN]

    def test_the_same_results_give_the_same_bytes(self):
        files = []
        for family in ("one", "two"):
            save_results(family, make_results())
            files.append({path.name: path.read_bytes() for path in Path("data/evaluations", family).iterdir()})
        assert files[0] == files[1]


class TestSaving:
    def test_metrics_and_tables_are_published_in_the_folder_of_metrics(self):
        save_results("underfit", make_results())
        published = Path("metrics/underfit")
        assert {path.name for path in published.iterdir()} == {
            "metrics.json",
            "classes.csv",
            "classes_train.csv",
            "confusion.csv",
            "predictions.csv",
            "calibration.json",
        }
        for path in published.iterdir():
            assert path.read_bytes() == Path("data/evaluations/underfit", path.name).read_bytes()

    def test_metrics_are_json_with_null_for_missing_values(self):
        save_results("linear_svm", make_results())
        assert json.loads(Path("metrics/linear_svm/metrics.json").read_text())["best_epoch"] is None

    def test_other_files_beside_the_metrics_remain(self):
        Path("metrics/underfit/train").mkdir(parents=True)
        save_results("underfit", make_results())
        assert Path("metrics/underfit/train").is_dir()

    def test_later_results_replace_earlier_ones(self):
        save_results("underfit", make_results())
        Path("data/evaluations/underfit/old.csv").touch()
        save_results("underfit", make_results(FOREIGN))
        assert load_results("underfit").classes["label"].tolist() == FOREIGN
        assert not Path("data/evaluations/underfit/old.csv").exists()

    def test_nothing_half_written_is_left_when_saving_fails(self):
        broken = replace(make_results(), confusion=None)  # type: ignore[arg-type]
        with pytest.raises(AttributeError):
            save_results("underfit", broken)
        assert list(Path("data/evaluations").iterdir()) == []
        assert not Path("metrics").exists()

    def test_the_temperature_is_stored_with_the_digest_of_its_model(self):
        save_results("underfit", make_results(digest="ab12"))
        content = json.loads(Path("metrics/underfit/calibration.json").read_text())
        assert content == {"temperature": 1.25, "model_sha256": "ab12"}


class TestTables:
    def load(self, text: str) -> pd.DataFrame:
        Path("table.csv").write_text(text, encoding="utf-8")
        return load_table(Path("table.csv"))

    @pytest.mark.parametrize("name", [*NUMBERS, *MISSING, "1.0", "", " ", "2024-01-01", "#N/A", "<NA>"])
    def test_a_name_is_text_whatever_it_looks_like(self, name):
        table = self.load(f'image_id,name,label,predicted,p:cat\n007,"{name}","{name}","{name}",1.0\n')
        assert table.iloc[0].tolist() == ["007", name, name, name, 1.0]

    def test_names_of_one_column_may_be_of_different_kinds(self):
        assert self.load("label,f1\n1,0.5\nNA,0.5\n,0.5\n")["label"].tolist() == ["1", "NA", ""]

    @pytest.mark.parametrize("column", ["roc_auc", "pr_auc", "confidence", "distance", "p:cat", "p:NA", "p:007"])
    def test_an_empty_number_is_missing(self, column):
        table = self.load(f"label,{column}\ncat,0.5\ndog,\n")
        assert table[column].dtype == np.float64
        assert table[column].isna().tolist() == [False, True]
        assert table[column].iloc[0] == 0.5

    def test_a_column_of_empty_numbers_is_missing_throughout(self):
        assert self.load("label,roc_auc\ncat,\ndog,\n")["roc_auc"].isna().tolist() == [True, True]

    def test_an_unusable_image_has_a_reason_and_nothing_else(self):
        table = self.load(
            "name,label,predicted,confidence,distance,is_far,reason,p:cat,p:NA\n"
            "cat/1.png,cat,NA,0.75,1.5,True,,0.25,0.75\n"
            "NA/2.png,NA,,,,,NA,,\n"
        )
        good, bad = table.to_dict("records")
        assert (good["predicted"], good["confidence"], good["p:NA"], good["reason"]) == ("NA", 0.75, 0.75, "")
        assert (bad["name"], bad["label"], bad["predicted"], bad["reason"]) == ("NA/2.png", "NA", "", "NA")
        assert table[["confidence", "distance", "p:cat", "p:NA"]].isna().to_numpy().tolist() == [
            [False] * 4,
            [True] * 4,
        ]

    def test_a_table_without_rows_keeps_its_columns(self):
        table = self.load("name,label,confidence,p:cat\n")
        assert table.empty
        assert list(table.columns) == ["name", "label", "confidence", "p:cat"]


CONTRACT = Contract(
    family="underfit",
    class_names=ORDINARY,
    image_size=32,
    resize="crop",
    range="auto",
    temperature=1.25,
    data="d" * 64,
    settings="s" * 64,
)


class TestContract:
    """Evaluations that stand side by side are of the models that are there, and measured on the same data."""

    def check(self, digest: str, **contracts: Contract | None) -> None:
        facts = DatasetFacts(ORDINARY, {}, {}, 32, "crop", [], [], digest=digest)
        results = {}
        for family, contract in contracts.items():
            artifact = Path(f"models/{family}.keras")
            sha256 = compute_sha256(artifact) if artifact.exists() else ""
            save_results(family, replace(make_results(digest=sha256), contract=contract))
            results[family] = load_results(family)
            assert results[family].contract == contract
            if artifact.exists():
                artifact.write_bytes(artifact.read_bytes().replace(b"old", b"new"))
        check_evaluations(results, facts)

    def make_model(self, content: bytes) -> None:
        Path("models").mkdir()
        Path("models/underfit.keras").write_bytes(content)

    def test_those_that_belong_together_pass(self):
        self.make_model(b"a model")
        self.check("d" * 64, underfit=CONTRACT, linear_svm=CONTRACT)

    @pytest.mark.parametrize("other", [CONTRACT.model_copy(update={"data": "e" * 64}), None])
    def test_one_of_other_data_or_of_an_older_version_is_refused(self, other):
        with pytest.raises(PipelineError, match=r"^data/evaluations/b was measured on other data .*evaluate@b`$"):
            self.check("d" * 64, a=CONTRACT, b=other)

    def test_one_of_another_model_is_refused(self):
        self.make_model(b"an old model")
        with pytest.raises(PipelineError, match=r"another model than models/underfit.keras: run .*evaluate@underfit`$"):
            self.check("d" * 64, underfit=CONTRACT)

    def test_a_damaged_contract_is_one_line(self):
        save_results("underfit", replace(make_results(), contract=CONTRACT))
        Path("data/evaluations/underfit/contract.json").write_text("{")
        with pytest.raises(PipelineError, match=r"contract.json is damaged .*evaluate@underfit`$"):
            load_results("underfit")


class TestMistakes:
    def make(self, *rows: tuple[str, str, float]) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=["label", "predicted", "confidence"])

    def test_the_most_confident_come_first_and_correct_ones_are_left_out(self):
        table = self.make(("cat", "dog", 0.6), ("cat", "cat", 1.0), ("dog", "cat", 0.9), ("dog", "emu", 0.7))
        assert pick_mistakes(table, 2)["confidence"].tolist() == [0.9, 0.7]

    def test_the_index_has_their_row_numbers(self):
        table = self.make(("cat", "dog", 0.6), ("cat", "cat", 1.0), ("dog", "cat", 0.9))
        assert pick_mistakes(table, 5).index.tolist() == [2, 0]

    def test_equally_confident_ones_keep_their_order(self):
        table = self.make(*[("cat", "dog", 0.5)] * 40)
        assert pick_mistakes(table, 30).index.tolist() == list(range(30))

    def test_perfect_predictions_have_none(self):
        assert pick_mistakes(self.make(("cat", "cat", 1.0), ("NA", "NA", 1.0)), 5).empty


class TestCurves:
    def write(self, **metrics: list[float]) -> Path:
        for name, values in metrics.items():
            split, metric = name.split("_")
            file = Path("record/plots/metrics", split, f"{metric}.tsv")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"step\t{metric}\n" + "".join(f"{i}\t{value}\n" for i, value in enumerate(values)))
        return Path("record")

    def test_they_have_one_row_per_split_and_epoch_from_one(self):
        record = self.write(
            train_accuracy=[0.5, 0.75], train_loss=[2.0, 1.0], eval_accuracy=[0.25, 0.5], eval_loss=[3.0, 2.5]
        )
        assert load_curves(record).to_numpy().tolist() == [
            ["train", 1, 0.5, 2.0],
            ["train", 2, 0.75, 1.0],
            ["val", 1, 0.25, 3.0],
            ["val", 2, 0.5, 2.5],
        ]

    def test_values_have_six_digits(self):
        record = self.write(train_accuracy=[1 / 3], train_loss=[1.0], eval_accuracy=[1.0], eval_loss=[1.0])
        assert load_curves(record)["accuracy"].iloc[0] == 0.333333


class TestModel:
    @pytest.mark.parametrize(("best", "epoch"), [({"epoch": 3, "loss": 0.5}, 3), ({"iterations": 9}, None)])
    def test_its_size_its_best_epoch_and_its_file_are_described(self, tensorflow, best, epoch):  # noqa: ARG002
        import keras

        frozen = keras.layers.Dense(2)
        model = keras.Sequential([keras.Input((3,)), frozen, keras.layers.Dense(5, use_bias=False)])
        frozen.trainable = False
        Path("record").mkdir()
        Path("record/metrics.json").write_text(json.dumps({"best": best}))
        Path("model.keras").write_bytes(b"abc")
        assert describe_model(model, Path("model.keras"), Path("record"), mirrored=epoch is None) == {
            "parameters": (3 + 1) * 2 + 2 * 5,
            "trainable_parameters": 2 * 5,
            "model_bytes": 3,
            "best_epoch": epoch,
            # the example of FIPS 180-2
            "model_sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "tta": "none" if epoch else "flip",
        }

    def test_where_training_was_given_up_the_record_says_so(self, tensorflow):  # noqa: ARG002
        import keras

        Path("record").mkdir()
        said = {"epoch": 9, "epochs": 50, "highest": 0.5, "bar": 0.9}
        Path("record/metrics.json").write_text(json.dumps({"best": {"epoch": 7}, "given_up": said}))
        Path("model.keras").write_bytes(b"abc")
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        facts = describe_model(model, Path("model.keras"), Path("record"), mirrored=False)
        assert (facts["best_epoch"], facts["given_up"]) == (7, said)


class TestLeftovers:
    def test_results_of_families_that_are_not_wanted_are_deleted(self):
        for family in ("underfit", "overfit", "gone"):
            save_results(family, make_results())
        remove_leftovers(["underfit", "overfit"])
        assert sorted(path.name for path in Path("data/evaluations").iterdir()) == ["overfit", "underfit"]

    def test_so_are_their_exports(self):
        save_results("underfit", make_results())
        for family in ("underfit", "overfit"):
            Path("models/exported", family).mkdir(parents=True)
        remove_leftovers(["underfit"])
        assert [path.name for path in Path("models/exported").iterdir()] == ["underfit"]

    def test_so_are_leftovers_of_a_killed_run(self):
        save_results("underfit", make_results())
        Path("data/evaluations/overfit.partial").mkdir()
        Path("data/evaluations/stray.csv").touch()
        remove_leftovers(["underfit", "overfit"])
        assert [path.name for path in Path("data/evaluations").iterdir()] == ["underfit"]
