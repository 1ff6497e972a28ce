import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.sections import PixelLinearRecipe
from pipeline.data.image import decode_image
from pipeline.evaluation.calibration import apply_temperature
from pipeline.evaluation.results import compute_digest
from pipeline.report.tables import make_summary
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


@pytest.fixture(scope="module")
def models(tensorflow, tmp_path_factory) -> Path:  # noqa: ARG001 - must be configured before Keras is imported
    """models/: a linear machine that has learnt three colours, and a network that has learnt nothing."""
    from pipeline.models.artifacts import save_model
    from pipeline.models.build import build_model
    from pipeline.training.svm import train_linear

    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_records(
            class_names=NAMES, train=make_coloured_split(30, SIZE, seed=1), val=make_coloured_split(9, SIZE, seed=2)
        )
        machine = train_linear("linear_svm", PixelLinearRecipe(**SVM), record=Path("record"))
    save_model(machine, folder / "models/linear_svm.keras")
    save_model(build_model("underfit", image_size=SIZE, num_classes=3), folder / "models/underfit.keras")
    return folder / "models"


@pytest.fixture
def trained(project, models, monkeypatch) -> Path:
    """A project as `dvc repro` leaves it, in which linear_svm is the best on validation images."""
    monkeypatch.setattr("stages.predict.configure_tensorflow", lambda **_: None)  # it is there already
    monkeypatch.setattr("pipeline.runtime.processes.num_cores", lambda: 1)
    (project.folder / "models").symlink_to(models)
    write_records(class_names=NAMES, train=make_coloured_split(30, SIZE, seed=1))
    for family in FAMILIES:
        calibrate(family, TEMPERATURE)
    compare(BETTER_IN_VALIDATION)
    return project.folder


def calibrate(family: str, temperature: float, **changes: Any) -> None:
    content = {"temperature": temperature, "model_sha256": compute_digest(Path(f"models/{family}.keras"))} | changes
    file = Path("metrics", family, "calibration.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def compare(figures: dict[str, dict[str, float]]) -> None:
    make_summary(figures).to_csv("metrics/summary.csv", index=False)


def compute_expected(data: bytes, *, temperature: float = TEMPERATURE, resize: str = "stretch") -> np.ndarray:
    """What linear_svm makes of a file, probabilities in the order of NAMES."""
    from pipeline.models.artifacts import load_model

    pixels = decode_image(data, image_size=SIZE, resize=resize)
    return apply_temperature(load_model(Path("models/linear_svm.keras"))(pixels[None]).numpy(), temperature)[0]


@pytest.fixture
def colours(picture_folder, make_image_bytes) -> Path:
    """pictures/: of each colour one, larger than those that the model was trained on, and not square."""
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
    """What --json says of good pictures."""

    def read(*arguments: str | Path) -> list[dict[str, Any]]:
        status, out, _ = predict(*arguments, "--json")
        assert status == 0
        return [json.loads(line) for line in out.splitlines()]

    return read


@pytest.fixture
def refusal(predict) -> Callable[..., str]:
    """The one line with which nothing is done."""

    def read(*arguments: str | Path) -> str:
        status, out, err = predict(*arguments)
        assert (status, out) == (1, "")
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    return read


class TestAnswers:
    def test_people_get_a_line_a_picture_with_the_most_probable_first(self, predict, colours):
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

    def test_each_picture_is_named_as_it_should_be(self, answers, colours):
        found = answers(colours)
        assert [answer["predictions"][0]["label"] for answer in found] == NAMES

    def test_programs_get_an_object_a_line(self, answers, colours):
        answer = answers(colours / "a.png")[0]
        assert answer.keys() == {"path", "family", "predictions"}
        assert (answer["path"], answer["family"]) == (str(colours / "a.png"), "linear_svm")
        assert [prediction.keys() for prediction in answer["predictions"]] == [{"label", "probability"}] * 3
        probabilities = [prediction["probability"] for prediction in answer["predictions"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1, abs=1e-5)

    def test_spreadsheets_get_a_table(self, predict, answers, colours):
        rows = list(csv.reader(io.StringIO(predict(colours, "--csv")[1])))
        assert rows[0] == [
            *["path", "family", "class_1", "probability_1", "class_2", "probability_2", "class_3", "probability_3"],
            "error",
        ]
        for row, answer in zip(rows[1:], answers(colours), strict=True):
            values = [value for prediction in answer["predictions"] for value in prediction.values()]
            assert row == [answer["path"], "linear_svm", *map(str, values), ""]

    @pytest.mark.parametrize("form", ["--json", "--csv"])
    def test_nothing_else_is_said(self, predict, colours, form):
        _, out, err = predict(colours, form)
        assert err == ""
        assert len(out.splitlines()) == 3 + (form == "--csv")

    def test_names_with_commas_quotes_and_other_scripts_survive(self, predict, picture_folder, make_image_bytes):
        names = ['Käfer, "klein".png', "it's.png", "猫🐈.png", "two\nlines.png"]
        folder = picture_folder({name: make_image_bytes((30, 190, 30)) for name in names})
        paths = [str(folder / name) for name in names]
        as_json = [json.loads(line) for line in predict(*paths, "--json")[1].split("\n")[:-1]]
        as_csv = list(csv.DictReader(io.StringIO(predict(*paths, "--csv")[1], newline="")))
        assert [answer["path"] for answer in as_json] == [row["path"] for row in as_csv] == paths
        assert {answer["predictions"][0]["label"] for answer in as_json} == {'green, "dark"'}
        assert {row["class_1"] for row in as_csv} == {'green, "dark"'}
        assert {row[f"class_{n}"] for row in as_csv for n in (1, 2, 3)} == set(NAMES)

    @pytest.mark.parametrize("form", [["--json"], ["--csv"], []])
    def test_names_that_are_no_text_are_no_obstacle(self, predict, colours, form):
        """Linux takes any bytes for a name."""
        name = os.fsencode(colours) + b"/caf\xe9.png"
        Path(os.fsdecode(name)).write_bytes((colours / "a.png").read_bytes())
        status, out, _ = predict(os.fsdecode(name), colours / "b.jpg", *form)
        lines = out.splitlines()
        assert (status, len(lines)) == (0, 2 + (form == ["--csv"]))
        assert r"caf\udce9.png" in lines[-2]
        if form == ["--json"]:
            assert os.fsencode(json.loads(lines[0])["path"]) == name

    def test_json_is_readable_for_people_too(self, predict, colours):
        assert '"蓝"' in predict(colours, "--json")[1]

    @pytest.mark.parametrize("form", ["--json", "--csv", None])
    def test_each_answer_is_there_as_soon_as_it_is_known(self, predict, colours, monkeypatch, form):
        """To a program that reads along, though Python would keep what goes into a pipe."""
        flushed: list[int] = []

        class Pipe(io.StringIO):
            def flush(self) -> None:
                flushed.append(self.getvalue().count("\n"))

        monkeypatch.setattr("sys.stdout", Pipe())
        predict(colours, *([form] if form else []))
        first = 2 if form == "--csv" else 1
        assert set(range(first, first + 3)) <= set(flushed)

    def test_two_forms_at_once_are_refused(self, predict, colours):
        assert predict(colours, "--json", "--csv")[0] == 2


class TestProbabilities:
    def test_they_are_calibrated(self, answers, colours):
        for answer in answers(colours):
            expected = compute_expected(Path(answer["path"]).read_bytes())
            found = {prediction["label"]: prediction["probability"] for prediction in answer["predictions"]}
            assert [found[name] for name in NAMES] == pytest.approx(expected, abs=2e-6)

    def test_another_temperature_gives_others_in_the_same_order(self, answers, colours):
        before = answers(colours)
        calibrate("linear_svm", 5.0)
        for warm, hot in zip(before, answers(colours), strict=True):
            expected = compute_expected(Path(hot["path"]).read_bytes(), temperature=5.0)
            assert hot["predictions"][0]["probability"] == pytest.approx(expected.max(), abs=2e-6)
            assert hot["predictions"][0]["probability"] < warm["predictions"][0]["probability"]
            assert [p["label"] for p in hot["predictions"]] == [p["label"] for p in warm["predictions"]]

    @pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
    def test_pictures_are_prepared_as_for_training(self, answers, colours, make_image_bytes, resize):
        """By what the records say of themselves: params.yaml may have been changed since."""
        data = make_image_bytes(seed=3, size=(60, 20), kind="JPEG")
        (colours / "noise.jpg").write_bytes(data)
        facts = Path("data/tfrecords/dataset.json")
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"resize": resize}))
        (answer,) = answers(colours / "noise.jpg")
        expected = compute_expected(data, resize=resize)
        found = {prediction["label"]: prediction["probability"] for prediction in answer["predictions"]}
        assert [found[name] for name in NAMES] == pytest.approx(expected, abs=2e-6)

    @pytest.mark.parametrize(("top", "shown"), [(1, 1), (2, 2), (3, 3), (99, 3)])
    def test_as_many_classes_are_named_as_asked_for_and_there_are(self, answers, predict, colours, top, shown):
        assert {len(answer["predictions"]) for answer in answers(colours, "--top", str(top))} == {shown}
        header = predict(colours, "--csv", "--top", str(top))[1].splitlines()[0]
        assert header.count("probability_") == shown

    @pytest.mark.parametrize("top", ["0", "-1", "two"])
    def test_none_is_refused_before_any_work(self, predict, colours, top):
        status, out, err = predict(colours, "--top", top)
        assert (status, out) == (2, "")
        assert "--top" in err
        assert top in err


class TestPictures:
    def test_files_and_folders_may_be_mixed_and_come_in_the_order_of_the_line(self, answers, colours):
        arguments = [colours / "b.jpg", colours / "deep", colours / "a.png", colours / "b.jpg"]
        expected = [colours / name for name in ("b.jpg", "deep/c.bmp", "a.png", "b.jpg")]
        assert [answer["path"] for answer in answers(*arguments)] == [str(path) for path in expected]

    def test_a_file_may_have_any_name(self, answers, colours):
        (colours / "picture").write_bytes((colours / "a.png").read_bytes())
        assert answers(colours / "picture")[0]["predictions"][0]["label"] == "red"

    @pytest.mark.parametrize("number", [31, 32, 33, 100])
    def test_however_many_there_are_each_has_its_own_answer(self, answers, picture_folder, make_image_bytes, number):
        shades = [(190, 30, 30), (30, 190, 30), (30, 30, 190)]
        folder = picture_folder({f"{n:03d}.png": make_image_bytes(shades[n % 3]) for n in range(number)})
        found = answers(folder)
        assert [Path(answer["path"]).name for answer in found] == [f"{n:03d}.png" for n in range(number)]
        assert [answer["predictions"][0]["label"] for answer in found] == [NAMES[n % 3] for n in range(number)]

    def test_a_bad_one_has_its_own_line_and_the_others_go_on(self, predict, colours):
        (colours / "b.jpg").write_bytes(b"hello")
        status, out, err = predict(colours, colours / "nothing.png")
        assert status == 1
        assert [line.partition("  ")[0] for line in out.splitlines()] == [f"{colours}/a.png", f"{colours}/deep/c.bmp"]
        assert err.splitlines() == [
            "linear_svm:",
            f"error: {colours}/b.jpg: not an image: no known format in its first bytes",
            f"error: {colours}/nothing.png: does not exist",
        ]

    def test_programs_are_told_in_its_place(self, predict, colours):
        (colours / "b.jpg").write_bytes(b"")
        status, out, err = predict(colours, "--json")
        assert (status, err) == (1, "")
        found = [json.loads(line) for line in out.splitlines()]
        assert found[1] == {"path": f"{colours}/b.jpg", "family": "linear_svm", "error": "empty: 0 bytes"}
        assert ["error" in answer for answer in found] == [False, True, False]
        assert [answer["predictions"][0]["label"] for answer in (found[0], found[2])] == [NAMES[0], NAMES[2]]

    def test_so_are_spreadsheets(self, predict, colours):
        (colours / "b.jpg").write_bytes(b"")
        status, out, _ = predict(colours, "--csv", "--top", "2")
        rows = list(csv.reader(io.StringIO(out)))
        assert status == 1
        assert rows[2] == [f"{colours}/b.jpg", "linear_svm", "", "", "", "", "empty: 0 bytes"]
        assert {len(row) for row in rows} == {7}

    def test_bad_ones_alone_are_no_trouble(self, predict, colours):
        status, out, err = predict(colours / "nothing.png", colours / "neither.png")
        assert (status, out, err.count("does not exist")) == (1, "", 2)

    def test_what_prune_would_refuse_is_refused(self, predict, project, colours, make_image_bytes):
        project.set(prune__min_side=20, prune__max_megapixels=0.01)
        (colours / "small.png").write_bytes(make_image_bytes(size=(19, 40)))
        (colours / "large.png").write_bytes(make_image_bytes(size=(101, 100)))
        _, _, err = predict(colours / "small.png", colours / "large.png")
        assert "too small: 19x40 pixels, prune.min_side is 20" in err
        assert "too large: 101x100 pixels, prune.max_megapixels is 0.01" in err

    def test_a_folder_without_any_is_told(self, refusal, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty/notes.txt").touch()
        assert f"{tmp_path}/empty holds no picture: expected files such as .jpg" in refusal(
            tmp_path / "empty", "--json"
        )


class TestFamilies:
    def test_it_is_the_best_on_validation_images_whatever_the_test_says(self, answers, colours):
        assert {answer["family"] for answer in answers(colours)} == {"linear_svm"}
        figures = {family: BETTER_IN_VALIDATION[other] for family, other in zip(FAMILIES, FAMILIES[::-1], strict=True)}
        compare(figures)
        assert {answer["family"] for answer in answers(colours)} == {"underfit"}

    def test_of_two_that_are_equally_often_right_it_is_the_one_with_the_lower_loss(self, answers, colours):
        compare({family: figures | {"val_accuracy": 0.9} for family, figures in BETTER_IN_VALIDATION.items()})
        assert answers(colours)[0]["family"] == "underfit"

    def test_an_ensemble_is_no_family(self, answers, colours):
        compare(BETTER_IN_VALIDATION | {"ensemble": {"val_accuracy": 1.0, "val_loss": 0.0, "test_accuracy": 1.0}})
        assert answers(colours)[0]["family"] == "linear_svm"

    def test_another_can_be_named(self, answers, colours):
        assert {answer["family"] for answer in answers(colours, "--family", "underfit")} == {"underfit"}

    def test_one_that_is_named_needs_no_comparison(self, answers, colours):
        Path("metrics/summary.csv").unlink()
        assert answers(colours, "--family", "linear_svm")[0]["family"] == "linear_svm"

    def test_without_a_comparison_one_must_be_named(self, refusal, colours):
        Path("metrics/summary.csv").unlink()
        assert "metrics/summary.csv is not here" in (line := refusal(colours))
        assert "--family" in line
        assert "dvc repro" in line

    @pytest.mark.parametrize(("wrong", "near"), [("linear-svm", "linear_svm"), ("underfitt", "underfit")])
    def test_one_that_does_not_exist_names_the_nearest(self, refusal, colours, wrong, near):
        line = refusal(colours, "--family", wrong)
        assert repr(wrong) in line
        assert near in line

    def test_one_that_has_not_been_trained_says_how_to(self, refusal, colours):
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
    """As people type it, in a process of its own."""

    def test_it_prints_answers_and_nothing_else(self, trained, colours):
        command = [sys.executable, "-m", "stages.predict", str(colours), "--json"]
        output = run(command, trained, PYTHONPATH=str(ROOT))
        assert [json.loads(line)["predictions"][0]["label"] for line in output.splitlines()] == NAMES

    def test_its_status_tells_of_bad_pictures(self, trained):
        command = [sys.executable, "-m", "stages.predict", "nothing.png"]
        output = run(command, trained, expect=1, PYTHONPATH=str(ROOT))
        assert output.splitlines() == ["linear_svm:", "error: nothing.png: does not exist"]

    def test_help_says_what_it_takes(self, trained):
        output = run([sys.executable, "-m", "stages.predict", "--help"], trained, PYTHONPATH=str(ROOT))
        assert all(word in output for word in ("FILE|FOLDER", "--family", "--top", "--json", "--csv", "calibrated"))

    def test_a_reader_who_has_seen_enough_is_no_failure(self, trained, picture_folder, make_image_bytes):
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
