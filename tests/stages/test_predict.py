import csv
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.recipe_sections import PixelLinearRecipe
from pipeline.data.image import decode_image
from pipeline.evaluation.calibration import apply_temperature
from pipeline.report.tables import make_summary
from pipeline.runtime.files import compute_sha256
from stages.predict import main
from tests.clone import run
from tests.conftest import ROOT
from tests.tfrecords import make_coloured_split, write_records

SIZE, NAMES = 16, ["red", 'green, "dark"', "蓝"]
TEMPERATURE = 2.5
FAMILIES = ("linear_svm", "underfit")
SVM: dict[str, Any] = {"backbone": None, "input_size": None, "augment": None, "class_weight": "none"}
SVM |= {"C": 1.0, "max_iterations": 1000, "max_gb": 1.0}
BETTER_IN_VALIDATION = {  # and worse on test
    "linear_svm": {"val_accuracy": 0.9, "val_loss": 0.3, "test_accuracy": 0.6},
    "underfit": {"val_accuracy": 0.8, "val_loss": 0.2, "test_accuracy": 0.95},
}


@pytest.fixture(autouse=True)
def _same_handlers():
    """Removes the handler that the command adds, so that other tests do not see its log."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    yield
    root.handlers[:] = handlers


@pytest.fixture(scope="module")
def models(tensorflow, tmp_path_factory) -> Path:  # noqa: ARG001 - must be configured before Keras is imported
    """models/: a linear SVM that was trained on three colours, and an untrained network."""
    from pipeline.models.artifacts import save_model
    from pipeline.models.build import build_model
    from pipeline.training.svm import train_linear

    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_records(
            class_names=NAMES, train=make_coloured_split(30, SIZE, seed=1), val=make_coloured_split(9, SIZE, seed=2)
        )
        svm = train_linear("linear_svm", PixelLinearRecipe(**SVM), record=Path("record"))
    save_model(svm, folder / "models/linear_svm.keras")
    save_model(build_model("underfit", image_size=SIZE, num_classes=3), folder / "models/underfit.keras")
    return folder / "models"


@pytest.fixture
def trained(project, models, monkeypatch) -> Path:
    """A project as `dvc repro` leaves it, in which linear_svm is the best on validation images."""
    monkeypatch.setattr("stages.predict.configure_tensorflow", lambda **_: None)  # it has been configured already
    monkeypatch.setattr("pipeline.runtime.processes.num_cores", lambda: 1)
    (project.folder / "models").symlink_to(models)
    write_records(class_names=NAMES, train=make_coloured_split(30, SIZE, seed=1))
    for family in FAMILIES:
        calibrate(family, TEMPERATURE)
    compare(BETTER_IN_VALIDATION)
    return project.folder


def calibrate(family: str, temperature: float, **changes: Any) -> None:
    content = {"temperature": temperature, "model_sha256": compute_sha256(Path(f"models/{family}.keras"))} | changes
    file = Path("metrics", family, "calibration.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def compare(figures: dict[str, dict[str, float]]) -> None:
    make_summary(figures).to_csv("metrics/summary.csv", index=False)


def compute_expected(data: bytes, *, temperature: float = TEMPERATURE, resize: str = "stretch") -> np.ndarray:
    """Probabilities of linear_svm for a file, in the order of NAMES."""
    from pipeline.models.artifacts import load_model

    pixels = decode_image(data, image_size=SIZE, resize=resize)
    return apply_temperature(load_model(Path("models/linear_svm.keras"))(pixels[None]).numpy(), temperature)[0]


@pytest.fixture
def colours(picture_folder, make_image_bytes) -> Path:
    """pictures/: one of each colour, larger than those of the training set, and not square."""
    rgb = {"a.png": (190, 30, 30), "b.jpg": (30, 190, 30), "deep/c.bmp": (30, 30, 190)}
    kinds = {".png": "PNG", ".jpg": "JPEG", ".bmp": "BMP"}
    return picture_folder(
        {name: make_image_bytes(colour, size=(40, 30), kind=kinds[Path(name).suffix]) for name, colour in rgb.items()}
    )


@pytest.fixture
def predict(trained, capsys) -> Callable[..., tuple[int, str, str]]:  # noqa: ARG001
    """Status, stdout and stderr."""

    def run_once(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # of argparse
            status = int(ended.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_once


@pytest.fixture
def answers(predict) -> Callable[..., list[dict[str, Any]]]:
    """The answers of --json for usable pictures."""

    def read(*arguments: str | Path) -> list[dict[str, Any]]:
        status, out, _ = predict(*arguments, "--json")
        assert status == 0
        return [json.loads(line) for line in out.splitlines()]

    return read


@pytest.fixture
def refusal(predict) -> Callable[..., str]:
    """The line with which the command fails before any answer."""

    def read(*arguments: str | Path) -> str:
        status, out, err = predict(*arguments)
        assert (status, out) == (1, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    return read


class TestAnswers:
    def test_people_get_one_line_per_picture_with_the_most_probable_class_first(self, predict, colours):
        status, out, err = predict(colours)
        assert status == 0
        assert err == "linear_svm:\n"
        lines = out.splitlines()
        assert [line.partition("  ")[0] for line in lines] == [
            f"{colours}/{n}" for n in ("a.png", "b.jpg", "deep/c.bmp")
        ]
        probabilities = compute_expected((colours / "a.png").read_bytes())
        order = np.argsort(-probabilities)
        expected = ", ".join(f"{NAMES[n]} {100 * probabilities[n]:.1f} %" for n in order)
        assert lines[0] == f"{colours}/a.png  {expected}"

    def test_each_picture_is_classified_correctly(self, answers, colours):
        found = answers(colours)
        assert [answer["predictions"][0]["label"] for answer in found] == NAMES

    def test_csv_and_json_have_the_same_content(self, predict, answers, colours):
        rows = list(csv.reader(io.StringIO(predict(colours, "--csv")[1])))
        assert rows[0] == [
            *["path", "family", "class_1", "probability_1", "class_2", "probability_2", "class_3", "probability_3"],
            "error",
        ]
        for row, answer in zip(rows[1:], answers(colours), strict=True):
            values = [value for prediction in answer["predictions"] for value in prediction.values()]
            assert row == [answer["path"], "linear_svm", *map(str, values), ""]

    @pytest.mark.parametrize("form", ["--json", "--csv"])
    def test_programs_get_answers_and_nothing_else(self, predict, colours, form):
        _, out, err = predict(colours, form)
        assert err == ""
        assert len(out.splitlines()) == 3 + (form == "--csv")

    @pytest.mark.parametrize("form", [["--json"], ["--csv"], []])
    def test_names_that_are_not_utf8_are_escaped(self, predict, colours, form):
        """On Linux a name may be any bytes."""
        name = os.fsencode(colours) + b"/caf\xe9.png"
        Path(os.fsdecode(name)).write_bytes((colours / "a.png").read_bytes())
        status, out, _ = predict(os.fsdecode(name), colours / "b.jpg", *form)
        lines = out.splitlines()
        assert (status, len(lines)) == (0, 2 + (form == ["--csv"]))
        assert r"caf\udce9.png" in lines[-2]
        if form == ["--json"]:
            assert os.fsencode(json.loads(lines[0])["path"]) == name

    def test_two_formats_at_once_are_refused(self, predict, colours):
        assert predict(colours, "--json", "--csv")[0] == 2


class TestProbabilities:
    def test_they_are_calibrated(self, answers, colours):
        for answer in answers(colours):
            expected = compute_expected(Path(answer["path"]).read_bytes())
            found = {prediction["label"]: prediction["probability"] for prediction in answer["predictions"]}
            assert [found[name] for name in NAMES] == pytest.approx(expected, abs=2e-6)

    def test_another_temperature_changes_them_but_not_their_order(self, answers, colours):
        before = answers(colours)
        calibrate("linear_svm", 5.0)
        for warm, hot in zip(before, answers(colours), strict=True):
            expected = compute_expected(Path(hot["path"]).read_bytes(), temperature=5.0)
            assert hot["predictions"][0]["probability"] == pytest.approx(expected.max(), abs=2e-6)
            assert hot["predictions"][0]["probability"] < warm["predictions"][0]["probability"]
            assert [p["label"] for p in hot["predictions"]] == [p["label"] for p in warm["predictions"]]

    @pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
    def test_pictures_are_resized_as_in_training(self, answers, colours, make_image_bytes, resize):
        """As dataset.json says: params.yaml may have changed since."""
        data = make_image_bytes(seed=3, size=(60, 20), kind="JPEG")
        (colours / "noise.jpg").write_bytes(data)
        facts = Path("data/tfrecords/dataset.json")
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"resize": resize}))
        (answer,) = answers(colours / "noise.jpg")
        expected = compute_expected(data, resize=resize)
        found = {prediction["label"]: prediction["probability"] for prediction in answer["predictions"]}
        assert [found[name] for name in NAMES] == pytest.approx(expected, abs=2e-6)

    @pytest.mark.parametrize(("top", "shown"), [(1, 1), (2, 2), (3, 3), (99, 3)])
    def test_top_limits_the_number_of_classes(self, answers, predict, colours, top, shown):
        assert {len(answer["predictions"]) for answer in answers(colours, "--top", str(top))} == {shown}
        header = predict(colours, "--csv", "--top", str(top))[1].splitlines()[0]
        assert header.count("probability_") == shown

    @pytest.mark.parametrize("top", ["0", "-1", "two"])
    def test_a_wrong_top_is_refused_before_any_work(self, predict, colours, top):
        status, out, err = predict(colours, "--top", top)
        assert (status, out) == (2, "")
        assert "--top" in err
        assert top in err


class TestPictures:
    def test_files_and_folders_are_answered_in_the_order_of_the_command(self, answers, colours):
        arguments = [colours / "b.jpg", colours / "deep", colours / "a.png", colours / "b.jpg"]
        expected = [colours / name for name in ("b.jpg", "deep/c.bmp", "a.png", "b.jpg")]
        assert [answer["path"] for answer in answers(*arguments)] == [str(path) for path in expected]

    def test_a_file_may_have_any_name(self, answers, colours):
        (colours / "picture").write_bytes((colours / "a.png").read_bytes())
        assert answers(colours / "picture")[0]["predictions"][0]["label"] == "red"

    def test_an_unusable_picture_is_reported_and_the_others_are_classified(self, predict, colours):
        (colours / "b.jpg").write_bytes(b"hello")
        status, out, err = predict(colours, colours / "nothing.png")
        assert status == 1
        assert [line.partition("  ")[0] for line in out.splitlines()] == [f"{colours}/a.png", f"{colours}/deep/c.bmp"]
        assert err.splitlines() == [
            "linear_svm:",
            f"error: {colours}/b.jpg: not an image: no known format in its first bytes",
            f"error: {colours}/nothing.png: does not exist",
        ]

    def test_programs_get_the_error_in_its_place(self, predict, colours):
        (colours / "b.jpg").write_bytes(b"")
        status, out, err = predict(colours, "--json")
        assert (status, err) == (1, "")
        found = [json.loads(line) for line in out.splitlines()]
        assert found[1] == {"path": f"{colours}/b.jpg", "family": "linear_svm", "error": "empty: 0 bytes"}
        assert ["error" in answer for answer in found] == [False, True, False]
        assert [answer["predictions"][0]["label"] for answer in (found[0], found[2])] == [NAMES[0], NAMES[2]]

    def test_unusable_pictures_alone_are_reported(self, predict, colours):
        status, out, err = predict(colours / "nothing.png", colours / "neither.png")
        assert (status, out, err.count("does not exist")) == (1, "", 2)

    def test_the_limits_of_prune_apply(self, predict, project, colours, make_image_bytes):
        project.set(prune__min_side=20, prune__max_megapixels=0.01)
        (colours / "small.png").write_bytes(make_image_bytes(size=(19, 40)))
        (colours / "large.png").write_bytes(make_image_bytes(size=(101, 100)))
        _, _, err = predict(colours / "small.png", colours / "large.png")
        assert "too small: 19x40 pixels, prune.min_side is 20" in err
        assert "too large: 101x100 pixels, prune.max_megapixels is 0.01" in err

    def test_a_folder_without_pictures_is_refused(self, refusal, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty/notes.txt").touch()
        assert f"{tmp_path}/empty contains no picture: expected files such as .jpg" in refusal(
            tmp_path / "empty", "--json"
        )


class TestFamilies:
    def test_the_default_is_the_best_on_validation_images_not_on_test_images(self, answers, colours):
        assert {answer["family"] for answer in answers(colours)} == {"linear_svm"}
        figures = {family: BETTER_IN_VALIDATION[other] for family, other in zip(FAMILIES, FAMILIES[::-1], strict=True)}
        compare(figures)
        assert {answer["family"] for answer in answers(colours)} == {"underfit"}

    def test_of_two_with_the_same_accuracy_it_is_the_one_with_the_lower_loss(self, answers, colours):
        compare({family: figures | {"val_accuracy": 0.9} for family, figures in BETTER_IN_VALIDATION.items()})
        assert answers(colours)[0]["family"] == "underfit"

    def test_an_ensemble_is_not_a_family(self, answers, colours):
        compare(BETTER_IN_VALIDATION | {"ensemble": {"val_accuracy": 1.0, "val_loss": 0.0, "test_accuracy": 1.0}})
        assert answers(colours)[0]["family"] == "linear_svm"

    def test_another_family_can_be_named(self, answers, colours):
        assert {answer["family"] for answer in answers(colours, "--family", "underfit")} == {"underfit"}

    def test_a_named_family_needs_no_summary(self, answers, colours):
        Path("metrics/summary.csv").unlink()
        assert answers(colours, "--family", "linear_svm")[0]["family"] == "linear_svm"

    def test_without_a_summary_a_family_must_be_named(self, refusal, colours):
        Path("metrics/summary.csv").unlink()
        assert "metrics/summary.csv is not here" in (line := refusal(colours))
        assert "--family" in line
        assert "dvc repro" in line

    @pytest.mark.parametrize(("wrong", "near"), [("linear-svm", "linear_svm"), ("underfitt", "underfit")])
    def test_an_unknown_family_is_refused_with_the_nearest_name(self, refusal, colours, wrong, near):
        line = refusal(colours, "--family", wrong)
        assert repr(wrong) in line
        assert near in line

    def test_an_untrained_family_is_refused_with_the_command_to_train_it(self, refusal, colours):
        line = refusal(colours, "--family", "overfit")
        assert "models/overfit.keras is not here" in line
        assert "dvc repro train@overfit" in line


class TestProjectsThatAreNotReady:
    def test_without_calibration(self, refusal, colours):
        Path("metrics/linear_svm/calibration.json").unlink()
        line = refusal(colours)
        assert "metrics/linear_svm/calibration.json is not here" in line
        assert "dvc repro evaluate@linear_svm" in line

    def test_with_the_calibration_of_another_model(self, refusal, colours):
        calibrate("linear_svm", TEMPERATURE, model_sha256="0" * 64)
        line = refusal(colours)
        assert "metrics/linear_svm/calibration.json was made for another model than models/linear_svm.keras" in line
        assert "dvc repro evaluate@linear_svm" in line

    @pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"temperature": "hot", "model_sha256": ""}'])
    def test_with_a_damaged_one(self, refusal, colours, content):
        Path("metrics/linear_svm/calibration.json").write_text(content)
        assert "calibration.json can't be read" in refusal(colours)

    def test_without_the_facts_of_the_dataset(self, refusal, colours):
        Path("data/tfrecords/dataset.json").unlink()
        assert "data/tfrecords/dataset.json is not here" in refusal(colours)

    def test_with_a_damaged_model(self, refusal, colours):
        Path("models").unlink()
        Path("models").mkdir()
        Path("models/linear_svm.keras").write_bytes(b"damaged")
        calibrate("linear_svm", TEMPERATURE)
        assert "models/linear_svm.keras can't be loaded" in refusal(colours, "--json")

    def test_with_a_wrong_parameter(self, refusal, project, colours):
        project.set(prune__min_side="eight")
        assert "prune.min_side: expected" in refusal(colours)

    def test_outside_a_project(self, refusal, colours, monkeypatch):
        monkeypatch.chdir(colours)
        assert "run from the project's folder" in refusal("a.png")


class TestCommand:
    """In a separate process, as people run it."""

    def test_it_prints_answers_and_errors_and_nothing_else_and_its_status_is_1_after_errors(self, trained, colours):
        command = [sys.executable, "-m", "stages.predict", str(colours), "nothing.png", "--json"]
        answered = [json.loads(line) for line in run(command, trained, expect=1, PYTHONPATH=str(ROOT)).splitlines()]
        assert [answer["predictions"][0]["label"] for answer in answered[:-1]] == NAMES
        assert answered[-1]["error"] == "does not exist"

    def test_help_lists_its_arguments(self, trained):
        output = run([sys.executable, "-m", "stages.predict", "--help"], trained, PYTHONPATH=str(ROOT))
        assert all(word in output for word in ("FILE|FOLDER", "--family", "--top", "--json", "--csv", "calibrated"))

    def test_a_reader_that_stops_early_is_not_an_error(self, trained, picture_folder, make_image_bytes):
        """As with `| head -1`."""
        folder = picture_folder({f"{n:03d}.png": make_image_bytes() for n in range(60)})
        command = [sys.executable, "-m", "stages.predict", str(folder), "--json"]
        environment, pipe = os.environ | {"PYTHONPATH": str(ROOT)}, subprocess.PIPE
        running = subprocess.Popen(command, cwd=trained, env=environment, stdout=pipe, stderr=pipe)
        assert json.loads(running.stdout.readline())["path"].endswith("000.png")
        running.stdout.close()
        err = running.stderr.read()
        running.stderr.close()
        assert (running.wait(60), err) == (0, b"")
