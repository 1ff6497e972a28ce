import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.data.examination import Examination, ExaminationFacts, save_examination
from pipeline.data.tfrecords import DATASET_FILE, load_dataset_facts
from pipeline.evaluation.results import load_results, save_results
from pipeline.export.contract import save_contract
from pipeline.export.decode_script import DECODE_FILE, make_decode_script
from pipeline.export.facts import ExportFacts, save_facts
from pipeline.export.graphs import save_litert, save_saved_model
from pipeline.export.parity import Parity
from pipeline.export.parity_table import save_parity
from pipeline.models.build import build_model
from pipeline.runtime.paths import EXPORTED, TFRECORDS
from stages.package import main
from tests.pipeline.export.contracts import NAMES, make_contract
from tests.results import guess, make_results
from tests.tfrecords import make_coloured_split, make_noise, write_records

FAMILY, SIZE = "underfit", 32
FOLDER = EXPORTED / FAMILY
COMMON = {f"{FAMILY}/{name}" for name in ("README.md", "contract.json", "decode.py", "labels.txt", "predict.py")}


def make_parity(name: str, file: str, **changes) -> Parity:
    made = {"bytes": 5_000_000, "images": 9, "agreement": 1.0, "disagreements": 0, "largest_difference": 3e-7}
    made |= {"accuracy": 0.75, "accuracy_low": 0.5, "accuracy_high": 0.9, "model_accuracy": 0.75}
    return Parity(**{"format": name, "file": file, **made, "only_exported": 0, "only_model": 0, "p": 1.0, **changes})


@pytest.fixture
def exported(project) -> None:
    """A family in three formats, one of which was refused; the files are no models."""
    project.set(families=[FAMILY])
    splits = {name: make_coloured_split(n, SIZE) for name, n in (("train", 9), ("val", 6), ("test", 9))}
    write_records(class_names=NAMES, **splits)
    labels = splits["test"][1]
    results = make_results(NAMES, (labels, guess(labels, 3, wrong=0.5)))
    contract = make_contract(image_size=SIZE)
    file = TFRECORDS / DATASET_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"digest": contract.data}))
    save_results(FAMILY, results)
    FOLDER.mkdir(parents=True)
    save_contract(contract.model_copy(update={"model_sha256": results.metrics["model_sha256"]}), FOLDER)
    (FOLDER / DECODE_FILE).write_text(make_decode_script(contract))
    save_facts(ExportFacts(["onnx", "openvino", "litert_int8"], versions=(("onnx", "1.2.3"),)), FOLDER)
    rows = [make_parity("openvino", "model.xml"), make_parity("onnx", "model.onnx", distance_difference=2e-5)]
    save_parity([*rows, make_parity("litert_int8", "model_int8.tflite").refuse("it is too bad")], FOLDER)
    for name in ("model.onnx", "model.xml", "model.bin"):
        (FOLDER / name).write_bytes(name.encode())


def names_in(file: str) -> set[str]:
    with zipfile.ZipFile(file) as archive:
        return set(archive.namelist())


def read(file: str, name: str) -> str:
    with zipfile.ZipFile(file) as archive:
        return archive.read(f"{Path(file).stem}/{name}").decode()


@pytest.mark.usefixtures("exported")
class TestZip:
    def test_onnx_goes_first(self, capsys):
        assert main([FAMILY]) == 0
        assert capsys.readouterr().out.startswith("underfit.zip: underfit as onnx, 0.0 MB")
        assert names_in("underfit.zip") == COMMON | {f"{FAMILY}/model.onnx"}

    def test_or_what_the_user_names_where_the_user_wants_it(self):
        assert main([FAMILY, "--format", "openvino", "--to", "out/mine.zip"]) == 0
        assert {"mine/model.xml", "mine/model.bin", "mine/predict.py"} < names_in("out/mine.zip")

    def test_it_is_the_same_each_time(self):
        contents = []
        for _ in range(2):
            main([FAMILY])
            contents.append(Path("underfit.zip").read_bytes())
            (FOLDER / "model.onnx").touch()
        assert contents[0] == contents[1]


@pytest.mark.usefixtures("exported")
class TestCard:
    @pytest.fixture
    def card(self, exported) -> str:  # noqa: ARG002
        main([FAMILY])
        return read("underfit.zip", "README.md")

    def test_its_head_is_what_a_hub_reads(self, card):
        head = yaml.safe_load(card.split("---\n")[1])
        assert head["pipeline_tag"] == "image-classification"
        [result] = head["model-index"][0]["results"]
        values = {metric["type"]: metric["value"] for metric in result["metrics"]}
        assert values["accuracy"] == load_results(FAMILY).metrics["test_accuracy"]
        assert result["dataset"]["revision"] == "d" * 64

    @pytest.mark.ci
    def test_the_hub_reads_it_by_its_own_code(self, card, tmp_path):
        """All but `validate`, which asks the hub."""
        hub = pytest.importorskip("huggingface_hub")
        from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

        file = tmp_path / "README.md"
        file.write_text(card)
        data, head = hub.ModelCard.load(file).data, hub.metadata_load(file)
        assert data.to_dict() == head == yaml.safe_load(card.split("---\n")[1])
        assert (data.model_name, data.pipeline_tag, data.metrics) == (
            FAMILY,
            "image-classification",
            ["accuracy", "f1"],
        )
        name, results = model_index_to_eval_results(head["model-index"])
        assert results == data.eval_results
        metrics = load_results(FAMILY).metrics
        assert {result.metric_type: result.metric_value for result in results} == {
            "accuracy": metrics["test_accuracy"],
            "f1": metrics["test_macro_f1"],
        }
        assert {(result.task_type, result.dataset_split) for result in results} == {("image-classification", "test")}
        assert eval_results_to_model_index(name, results) == head["model-index"]

    def test_it_names_groups_of_pictures_that_are_worse_than_their_classes_explain(self, exported):  # noqa: ARG002
        labels, dark = np.arange(90) % 3, np.arange(90) < 30
        results = make_results(NAMES, (labels, 0.8 * np.eye(3)[np.where(dark, (labels + 1) % 3, labels)] + 0.2 / 3))
        names = results.predictions["name"]
        light = {"brightness": np.where(dark, 5.0, 100.0 + np.arange(90)), "contrast": 50.0}
        images = pd.DataFrame(
            {"name": names, "split": "test", "label": "red", **light, "width": 64, "height": 64, "mode": "RGB"}
        )
        empty, chi = pd.DataFrame({"name": []}), ExaminationFacts(0.0, 1, 1.0, 5.0, 0.85)
        save_examination(Examination(empty, images, empty, empty, empty, chi))
        save_results(FAMILY, results)
        main([FAMILY])
        card = read("underfit.zip", "README.md")
        assert "these are classified distinguishably worse than their classes explain" in card
        assert "- `light`, `darkest: 5 or less`: accuracy 0.000 on 30 test pictures" in card
        assert "brightest" not in card
        save_results(FAMILY, make_results(NAMES, (labels, np.eye(3)[labels])))
        main([FAMILY])
        assert "none is classified distinguishably worse" in read("underfit.zip", "README.md")

    def test_without_an_examination_it_names_none(self, card):
        assert "groups of test pictures" not in card

    def test_it_says_how_good_the_model_is_and_where_it_fails(self, card):
        metrics = load_results(FAMILY).metrics
        assert f"95 % interval {metrics['test_accuracy_low']:.3f} to {metrics['test_accuracy_high']:.3f}" in card
        assert "| `red` | 3 | 2 | 3 |" in card
        assert " taken for `" in card
        assert "| `model.onnx` | 5.00 | 100.0 % | 3e-07 | 2e-05 | 0.750 |" in card
        assert "Trained from scratch" in card
        assert "Written and run with onnx 1.2.3." in card


@pytest.mark.usefixtures("exported")
class TestRefusals:
    def refusal(self, capsys, *arguments: str) -> str:
        assert main(list(arguments)) == 1
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert not list(Path().glob("*.zip"))
        return line

    def test_a_family_that_does_not_exist(self, capsys):
        assert "FAMILY: no family is called 'underfitt': did you mean underfit" in self.refusal(capsys, "underfitt")

    def test_a_family_that_is_not_exported(self, capsys):
        assert self.refusal(capsys, "overfit") == (
            "error: models/exported/overfit has no exported file: expected one; run `dvc exp run -S "
            "'export.formats=[onnx]' -S 'export.families=[overfit]'`\n"
        )

    def test_a_format_that_was_refused(self, capsys):
        assert self.refusal(capsys, FAMILY, "--format", "litert_int8") == (
            "error: --format: underfit is not exported as litert_int8: expected one of openvino, onnx\n"
        )

    def test_another_model_than_the_evaluated_one(self, capsys):
        results = load_results(FAMILY)
        save_results(FAMILY, replace(results, metrics=results.metrics | {"model_sha256": "b" * 64}))
        assert "models/exported/underfit was made of another model than data/evaluations/underfit" in self.refusal(
            capsys, FAMILY
        )

    def test_other_data_than_the_model_was_measured_on(self, capsys, monkeypatch):
        other = replace(load_dataset_facts(), digest="0" * 32)
        monkeypatch.setattr("stages.package.load_dataset_facts", lambda: other)
        line = self.refusal(capsys, FAMILY)
        assert "on other data than data/tfrecords has now: run `dvc repro export@underfit`" in line

    def test_a_name_that_is_no_zip(self, capsys):
        assert "--to: expected a name that ends in .zip, received 'mine.tar'" in self.refusal(
            capsys, FAMILY, "--to", "mine.tar"
        )

    def test_a_damaged_contract(self, capsys):
        (FOLDER / "contract.json").write_text("{}")
        assert "contract.json can't be read (ValidationError): expected what this version" in self.refusal(
            capsys, FAMILY
        )


@pytest.mark.ci
@pytest.mark.parametrize("name", ["savedmodel", "onnx", "openvino", "litert"])
def test_the_script_in_it_names_pictures(exported, tmp_path, name, make_image_bytes):  # noqa: ARG001
    from pipeline.export.formats import FORMATS
    from pipeline.export.onnx_files import save_onnx, save_openvino

    for package in FORMATS[name].packages:
        pytest.importorskip(package)
    model, contract = build_model(FAMILY, image_size=SIZE, num_classes=3), make_contract(image_size=SIZE)
    save_saved_model(model, FOLDER / "savedmodel", contract)
    if name in ("onnx", "openvino"):
        save_onnx(model, FOLDER / "model.onnx", contract)
    if name == "openvino":
        save_openvino(FOLDER / "model.onnx", FOLDER / "model.xml", contract)
    if name == "litert":
        save_litert(FOLDER / "savedmodel", FOLDER / "model.tflite", contract, name, make_noise(1, SIZE))
    save_parity([make_parity(name, FORMATS[name].file)], FOLDER)
    assert main([FAMILY, "--to", "mine.zip"]) == 0
    with zipfile.ZipFile("mine.zip") as archive:
        archive.extractall(tmp_path / "elsewhere")
    (tmp_path / "a b.png").write_bytes(make_image_bytes())
    done = subprocess.run(
        [sys.executable, "elsewhere/mine/predict.py", "a b.png"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    path, label, probability = done.stdout.split("\t")
    assert (path, label in NAMES) == ("a b.png", True)
    assert 0.3 < float(probability) <= 1
