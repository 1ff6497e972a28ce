import contextlib
import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.config.reader import load_params
from pipeline.config.recipes import describe_settings
from pipeline.data.tfrecords import load_dataset_facts
from pipeline.export.decode_script import load_decode_script
from pipeline.export.formats import FORMATS
from pipeline.export.parity_table import load_parity
from pipeline.models.contract import make_contract
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import EXPORTED
from stages.download import download
from stages.export import export
from stages.preprocess import preprocess
from stages.prune import prune
from stages.split import split
from tests.conftest import ROOT, Project

SIZE, NAMES = 32, ["blue", "green", "red"]
FAMILY, OTHER = "underfit", "linear_svm"
ALWAYS = ["contract.json", "decode.py", "facts.json", "labels.txt", "parity.csv"]


@pytest.fixture(scope="module", autouse=True)
def _configured(tensorflow):  # noqa: ARG001 - the verb does it itself, but only once in a process
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.export.configure_tensorflow", lambda **_: None)
        patch.setattr("pipeline.runtime.processes.num_cores", lambda: 1)
        patch.setattr("stages.export.record_costs", lambda *_: None)  # two processes for each format
        yield


def draw_pictures(folder: Path) -> None:
    """PNG and JPEG, wide and tall, of which the brightest channel is the class."""
    for number, name in enumerate(reversed(NAMES)):
        (folder / name).mkdir(parents=True)
        for index in range(8):
            rng = np.random.default_rng([number, index])
            pixels = rng.integers(0, 90, (40 + index, 50 - index, 3), np.uint8)
            pixels[..., number] += 120
            Image.fromarray(pixels).save(folder / name / f"{index}.{('png', 'jpg')[index % 2]}")


def save_models() -> None:
    """Networks with random weights, as `train` leaves them."""
    from pipeline.models.artifacts import save_model
    from pipeline.models.build import build_model

    params, facts = load_params(), load_dataset_facts()
    for family in (FAMILY, OTHER):
        contract = make_contract(family, facts, temperature=1.5, settings=describe_settings(params, family)["train"])
        save_model(
            build_model(family, image_size=SIZE, num_classes=3), Path(f"models/{family}.keras"), contract=contract
        )


def refuse_by_distance(file: Path) -> None:
    """Gives a model, behind a link, the contract of one that does."""
    from pipeline.evaluation.familiarity import fit_directions, fit_familiarity, measure_distances
    from pipeline.models.artifacts import load_model, save_model
    from pipeline.models.contract import load_contract
    from pipeline.models.joint import make_extractor

    model, contract = load_model(file), load_contract(file)
    images = np.random.default_rng(0).integers(0, 256, (90, SIZE, SIZE, 3)).astype(np.float32)
    features = make_extractor(model)(images, training=False).numpy()
    directions = fit_directions(features, np.arange(90) % 3, 3)
    assert directions is not None
    familiarity = fit_familiarity(measure_distances(features, directions), directions, by_distance=True)
    file.unlink()
    save_model(model, file, contract=contract.model_copy(update={"familiarity": familiarity}))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A project with data and two models. Not to be changed."""
    folder = tmp_path_factory.mktemp("prepared")
    draw_pictures(folder / "pictures")
    project = Project(folder)
    project.set(
        families=[FAMILY, OTHER],
        data__source="folder",
        data__path=str(folder / "pictures"),
        preprocess__image_size=SIZE,
        preprocess__num_workers=1,
    )
    with contextlib.chdir(folder):
        for stage in (download, prune, split, preprocess):
            stage()
        save_models()
    return folder


@pytest.fixture
def inside(prepared, tmp_path, monkeypatch, caplog) -> Project:
    """The same, to which outputs and parameters may be added."""
    for name in ("data", "models/underfit.keras", "models/linear_svm.keras"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(prepared / name)
    project = Project(tmp_path)
    (tmp_path / "params.yaml").write_text((prepared / "params.yaml").read_text())
    project.set(export__formats=["savedmodel"], export__families="all")
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    return project


def list_files(family: str = FAMILY) -> list[str]:
    return sorted(file.name for file in (EXPORTED / family).iterdir())


def read_table(family: str = FAMILY) -> pd.DataFrame:
    table = load_parity(family)
    assert table is not None
    return table.set_index("format")


def refusal(family: str = FAMILY) -> str:
    with pytest.raises(PipelineError) as caught:
        export(family)
    assert "\n" not in str(caught.value)
    assert not (EXPORTED / family).exists()
    return str(caught.value)


class TestOff:
    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"formats": []}, "export.formats is empty"),
            ({"families": [OTHER]}, f"export.families has {OTHER}"),
            ({"families": []}, "export.families has none"),
        ],
    )
    def test_a_family_that_is_not_asked_for_gets_an_empty_folder(self, inside, caplog, settings, reason):
        inside.set(**{f"export__{name}": value for name, value in settings.items()})
        export(FAMILY)
        assert caplog.messages == [f"{FAMILY} is not exported: {reason}"]
        assert list_files() == ["facts.json"]
        assert json.loads((EXPORTED / FAMILY / "facts.json").read_text())["formats"] == []
        assert load_parity(FAMILY) is None

    def test_the_chosen_one_is_that_of_the_report(self, inside, caplog, tmp_path, monkeypatch):
        monkeypatch.setattr("stages.export.CHOSEN", tmp_path / "chosen.json")
        (tmp_path / "chosen.json").write_text(json.dumps({"family": OTHER}))
        inside.set(export__families="chosen")
        export(FAMILY)
        assert caplog.messages == [
            f"{FAMILY} is not exported: export.families is chosen, and the report chooses {OTHER}"
        ]

    def test_nothing_heavy_is_imported_for_it(self, inside):
        inside.set(export__formats=[])
        program = (
            "import sys; from stages.export import export; export('underfit'); "
            "print({'tensorflow', 'pandas', 'scipy', 'onnx'} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)}
        )
        assert done.stdout == "set()\n"


class TestSavedModel:
    @pytest.fixture
    def exported(self, inside, caplog) -> list[str]:  # noqa: ARG002
        """What was logged."""
        export(FAMILY)
        return caplog.messages.copy()

    def test_all_that_a_user_needs_is_there(self, exported):
        assert list_files() == sorted([*ALWAYS, "savedmodel"])
        assert (EXPORTED / FAMILY / "labels.txt").read_text().split() == NAMES
        facts = json.loads((EXPORTED / FAMILY / "facts.json").read_text())
        assert (facts["formats"], facts["undecodable"], facts["differing"]) == (["savedmodel"], [], [])
        assert set(facts["versions"]) == {"keras", "numpy", "pillow", "tensorflow"}
        assert "underfit: savedmodel, 0.0 MB, accuracy " in exported[-1]

    @pytest.mark.usefixtures("exported")
    def test_every_test_image_was_asked_from_its_bytes(self):
        row = read_table().loc["savedmodel"]
        assert row["images"] == load_dataset_facts().num_images["test"]
        assert (row["agreement"], row["disagreements"], row["status"]) == (1.0, 0, "kept")
        assert row["largest_difference"] < 1e-5
        assert row["accuracy"] == row["model_accuracy"]

    @pytest.mark.usefixtures("exported")
    def test_a_program_of_ten_lines_gets_the_answers_of_the_model(self, tensorflow, prepared):
        from pipeline.models.artifacts import load_model

        folder = EXPORTED / FAMILY
        pixels = load_decode_script(folder / "decode.py").decode((prepared / "pictures/red/1.jpg").read_bytes())
        loaded = tensorflow.saved_model.load(str(folder / "savedmodel"))
        answer = loaded.signatures["serving_default"](image=tensorflow.constant(pixels))["probabilities"]
        model = load_model(Path(f"models/{FAMILY}.keras"))
        np.testing.assert_allclose(answer, model(pixels, training=False), atol=1e-6)


class TestRefusals:
    def test_an_unknown_family(self, inside):  # noqa: ARG002
        assert refusal("underfitt").startswith("families: no family is called 'underfitt': did you mean")

    def test_a_missing_package(self, inside, monkeypatch):
        inside.set(export__formats=["onnx"])
        monkeypatch.setattr("pipeline.export.formats.find_spec", lambda _: None)
        assert refusal().endswith("run `pip install -c constraints.txt -e '.[export]'`")

    def test_a_model_that_is_not_there(self, inside):  # noqa: ARG002
        Path(f"models/{FAMILY}.keras").unlink()
        assert refusal() == (
            "models/underfit.keras is not here: expected a trained model; run `dvc repro train@underfit`"
        )

    def test_a_model_that_was_trained_with_other_settings(self, inside):
        inside.set(train__dropout=0.7)
        assert refusal() == (
            "models/underfit.keras was trained with other settings than params.yaml has: run `dvc repro train@underfit`"
        )

    def test_a_model_of_another_family(self, inside, prepared):  # noqa: ARG002
        Path(f"models/{FAMILY}.keras").unlink()
        Path(f"models/{FAMILY}.keras").symlink_to(prepared / f"models/{OTHER}.keras")
        assert refusal() == (
            "models/underfit.keras is a model of the family linear_svm: expected one of underfit; run `dvc repro "
            "train@underfit`"
        )

    def test_a_model_without_a_contract(self, inside, prepared):  # noqa: ARG002
        from pipeline.models.artifacts import load_model, save_model

        file = Path(f"models/{FAMILY}.keras")
        model = load_model(file)
        file.unlink()
        save_model(model, file)
        assert "has no contract.json, which says its class names and how it was trained" in refusal()

    def test_what_a_converter_says_of_a_model_it_can_not_write(self, inside, monkeypatch):
        pytest.importorskip("ai_edge_litert")
        inside.set(export__formats=["litert"])

        def fail(*_):
            raise ValueError("no operation\nfor this")

        monkeypatch.setattr("pipeline.export.exporting.save_litert", fail)
        assert refusal() == (
            "underfit can't be written as litert (ValueError: no operation for this): leave litert out of export.formats"
        )


@pytest.mark.ci
class TestEveryFormat:
    @pytest.fixture(autouse=True)
    def _packages(self):
        for package in ("onnx", "onnxruntime", "tf2onnx", "openvino", "ai_edge_litert"):
            pytest.importorskip(package)

    @pytest.mark.parametrize("family", [FAMILY, OTHER])
    def test_all_agree_with_the_model(self, inside, family):
        inside.set(export__formats=sorted(FORMATS), export__max_drop=0.99)
        export(family)
        table = read_table(family)
        assert list(table.index) == list(FORMATS)
        exact = table.loc[[name for name, form in FORMATS.items() if form.is_exact]]
        assert (exact["disagreements"] == 0).all()
        assert (exact["largest_difference"] < 1e-5).all()
        kept = [form.file for name, form in FORMATS.items() if table.loc[name, "status"] == "kept"]
        assert set(kept) >= set(exact["file"])
        assert list_files(family) == sorted([*ALWAYS, *kept, "model.bin"])

    def test_where_the_model_refuses_by_distance_that_is_compared_too(self, inside, tmp_path):
        refuse_by_distance(tmp_path / f"models/{FAMILY}.keras")
        inside.set(export__formats=["onnx", "openvino", "litert"])
        export(FAMILY)
        table = read_table()
        assert table["refusal_disagreements"].tolist()[:2] == [0, 0]
        assert (table["distance_difference"].iloc[:2] < 1e-3).all()
        assert table["distance_difference"].isna().tolist() == [False, False, True]

    def test_what_others_are_made_of_does_not_stay(self, inside):
        inside.set(export__formats=["litert", "openvino"])
        export(FAMILY)
        assert list_files() == sorted([*ALWAYS, "model.bin", "model.tflite", "model.xml"])

    def test_the_same_model_gives_the_same_bytes_in_another_process(self, inside):
        inside.set(export__formats=sorted(FORMATS))
        program = f"import stages.export as verb; verb.record_costs = lambda *_: None; verb.export({FAMILY!r})"
        seen = []
        for seed in ("1", "2"):
            subprocess.run(
                [sys.executable, "-c", program],
                check=True,
                capture_output=True,
                env={"PYTHONPATH": f"{ROOT}:{':'.join(sys.path)}", "PYTHONHASHSEED": seed, "PATH": ""},
            )
            files = sorted(file for file in (EXPORTED / FAMILY).rglob("*") if file.is_file())
            seen.append({file: file.read_bytes() for file in files})
        assert seen[0] == seen[1]
