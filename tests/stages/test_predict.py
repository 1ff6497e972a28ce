import csv
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.recipe_sections import PixelLinearRecipe
from pipeline.data.image import decode_image
from pipeline.evaluation.familiarity import fit_directions, fit_familiarity
from pipeline.evaluation.temperature import apply_temperature
from pipeline.models.contract import CONTRACT_FILE, Contract, dump_contract
from pipeline.report.tables import make_summary
from stages.predict import main
from tests.clone import run
from tests.conftest import ROOT
from tests.tfrecords import make_coloured_split, write_records

SIZE, NAMES = 16, ["red", 'green, "dark"', "蓝"]
TEMPERATURE = 2.5
FAMILIES = ("linear_svm", "underfit")
SVM: dict[str, Any] = {"backbone": None, "input_size": None, "augment": None, "class_weight": "none"}
SVM |= {"solver": "fast", "C": 1.0, "max_iterations": 1000, "max_gb": 1.0}
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
    save_model(svm, folder / "models/linear_svm.keras", make_contract("linear_svm"))
    network = build_model("underfit", image_size=SIZE, num_classes=3)
    save_model(network, folder / "models/underfit.keras", make_contract("underfit"))
    return folder / "models"


def make_contract(family: str, **changes: Any) -> Contract:
    """Of a model of three colours."""
    content = {"family": family, "class_names": NAMES, "image_size": SIZE, "resize": "stretch", "range": "auto"}
    content |= {"temperature": TEMPERATURE, "data": "d" * 64, "settings": "s" * 64}
    return Contract.model_validate(content | changes)


def rewrite(family: str, contract: str | None = None, **changes: Any) -> Path:
    """Gives a model another contract. contract: the text; None: with these changes."""
    text = dump_contract(make_contract(family, **changes)) if contract is None else contract
    return copy_model(family, text)


def copy_model(family: str, contract: str | None, target: Path | None = None) -> Path:
    """The model with this text for a contract; None: without one. target: by default, in its place."""
    file = Path(f"models/{family}.keras")
    target = target or file
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive, zipfile.ZipFile(target, "w") as copy:
        for name in archive.namelist():
            if name != CONTRACT_FILE:
                copy.writestr(name, archive.read(name))
        if contract is not None:
            copy.writestr(CONTRACT_FILE, contract)
    return target


@pytest.fixture
def trained(project, models, monkeypatch) -> Path:
    """A project as `dvc repro` leaves it, in which linear_svm is the best on validation images."""
    # TensorFlow has been configured already.
    monkeypatch.setattr("pipeline.evaluation.answering.configure_tensorflow", lambda **_: None)
    monkeypatch.setattr("pipeline.runtime.processes.num_cores", lambda: 1)
    shutil.copytree(models, project.folder / "models")
    write_records(class_names=NAMES, train=make_coloured_split(30, SIZE, seed=1))
    compare(BETTER_IN_VALIDATION)
    return project.folder


def change_data(**changes: Any) -> None:
    """Of data/tfrecords, as after preprocess with other settings."""
    facts = Path("data/tfrecords/dataset.json")
    facts.write_text(json.dumps(json.loads(facts.read_text()) | changes))


def compare(figures: dict[str, dict[str, float]]) -> None:
    Path("metrics").mkdir(exist_ok=True)
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


class TestNoneOfThese:
    def test_what_is_less_confident_than_validation_images_is_refused(self, answers, colours, predict):
        probabilities = [answer["predictions"][0]["probability"] for answer in answers(colours)]
        between = (min(probabilities) + max(probabilities)) / 2
        scores = {"score": "confidence", "images": 99, "scores": [1 - between] * 99}
        rewrite("linear_svm", familiarity=scores | {"features": 0, "directions": 0, "numbers": ""})
        assert [answer["none_of_these"] for answer in answers(colours)] == [p < between for p in probabilities]
        rows = list(csv.DictReader(predict(colours, "--csv")[1].splitlines()))
        assert [row["none_of_these"] for row in rows] == ["yes" if p < between else "no" for p in probabilities]
        lines = predict(colours)[1].splitlines()
        assert [line.endswith("; none of these") for line in lines] == [p < between for p in probabilities]

    def test_what_is_far_from_training_images_is_refused(self, answers, colours):
        from pipeline.models.artifacts import load_model
        from pipeline.models.joint import make_extractor

        count = make_extractor(load_model(Path("models/underfit.keras"))).output_shape[1]
        features = np.random.default_rng(0).normal(size=(60, count))
        familiarity = fit_familiarity(
            np.full(99, 1.5), fit_directions(features, np.arange(60) % 3, 3), by_distance=True
        )
        rewrite("underfit", familiarity=familiarity)
        assert all(answer["none_of_these"] for answer in answers(colours, "--family", "underfit"))

    def test_one_that_does_not_fit_its_network_is_one_line(self, refusal, colours):
        familiarity = fit_familiarity(np.ones(99), fit_directions(np.eye(7), np.arange(7) % 3, 3), by_distance=True)
        rewrite("underfit", familiarity=familiarity)
        assert "models/underfit.keras does not fit its contract" in refusal(colours, "--family", "underfit")

    def test_an_older_model_says_nothing_of_it(self, answers, colours):
        assert all("none_of_these" not in answer for answer in answers(colours))


class TestSets:
    """Prediction sets: scores of 1 − p that validation images had."""

    SCORES = {"images": 99, "scores": [n / 100 for n in range(1, 100)]}  # noqa: RUF012 - nobody changes it

    def test_each_answer_has_the_classes_that_are_probable_enough(self, answers, colours):
        rewrite("linear_svm", conformal=self.SCORES)
        for coverage in (0.1, 0.5, 0.9):
            for answer in answers(colours, "--coverage", coverage):
                least = 1 - coverage  # the score of rank (99 + 1) × coverage
                enough = [p["label"] for p in answer["predictions"] if p["probability"] >= least]
                assert answer["set"] == (enough or [answer["predictions"][0]["label"]])

    def test_without_being_asked_for_there_are_none(self, answers, colours):
        rewrite("linear_svm", conformal=self.SCORES)
        assert all("set" not in answer for answer in answers(colours))

    def test_a_model_of_an_older_version_can_not_give_them(self, refusal, answers, colours):
        rewrite("linear_svm", version=1)
        assert "has no scores for prediction sets" in refusal(colours, "--coverage", "0.9")
        assert len(answers(colours)) == 3

    @pytest.mark.parametrize("share", ["0", "1", "95", "-0.5", "nan", "most"])
    def test_what_is_no_share_is_refused_before_anything_is_read(self, predict, colours, share):
        status, out, err = predict(colours, f"--coverage={share}")
        assert (status, out) == (2, "")
        assert "--coverage" in err.splitlines()[-1]


class TestCosts:
    def test_each_answer_has_the_class_that_costs_least(self, trained, project, answers, colours):  # noqa: ARG002
        project.set(evaluate__costs={"蓝": 1000})
        found = answers(colours, "--costs")
        assert {answer["decision"] for answer in found} == {"蓝"}  # a blue one that is missed costs a thousand
        assert {answer["predictions"][0]["label"] for answer in found} == set(NAMES)
        assert all("decision" not in answer for answer in answers(colours))

    def test_without_costs_in_params_yaml_it_is_refused(self, refusal, colours):
        assert "evaluate.costs is empty" in refusal(colours, "--costs")

    def test_costs_of_other_classes_are_refused(self, trained, project, refusal, colours):  # noqa: ARG002
        project.set(evaluate__costs={"mauve": 5})
        assert "no class 'mauve'" in refusal(colours, "--costs")


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
        rewrite("linear_svm", temperature=5.0)
        for warm, hot in zip(before, answers(colours), strict=True):
            expected = compute_expected(Path(hot["path"]).read_bytes(), temperature=5.0)
            assert hot["predictions"][0]["probability"] == pytest.approx(expected.max(), abs=2e-6)
            assert hot["predictions"][0]["probability"] < warm["predictions"][0]["probability"]
            assert [p["label"] for p in hot["predictions"]] == [p["label"] for p in warm["predictions"]]

    @pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
    def test_pictures_are_resized_as_in_training(self, answers, colours, make_image_bytes, resize):
        """As the model says: params.yaml may have changed since."""
        data = make_image_bytes(seed=3, size=(60, 20), kind="JPEG")
        (colours / "noise.jpg").write_bytes(data)
        rewrite("linear_svm", resize=resize)
        change_data(resize=resize)
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

    def test_what_has_no_answer_has_a_line_and_all_else_has_its_answer(self, predict, colours):
        """In every form, whatever stands beside it."""
        (colours / "empty").mkdir()
        (colours / "texts").mkdir()
        (colours / "texts/notes.txt").touch()
        (colours / "broken.png").symlink_to("gone.png")
        (colours / "loop.png").symlink_to("loop.png")
        (colours / "text.png").write_text("hello")
        os.mkfifo(colours / "pipe.png")
        reasons = {
            "empty": "contains no picture",
            "texts": "contains no picture",
            "broken.png": "does not exist",
            "loop.png": "leads back to itself",
            "text.png": "not an image",
            "pipe.png": "not a file: a pipe or a device may have no end",
            "missing.png": "does not exist",
            "missing/folder": "does not exist",
        }
        named = ["a.png", *reasons, "b.jpg"]
        paths = [str(colours / name) for name in named]
        status, out, _ = predict(*paths, "/dev/zero", "", "--json")
        found = {answer["path"]: answer for answer in map(json.loads, out.splitlines())}
        assert (status, list(found)) == (1, [*paths, "/dev/zero", ""])
        for name, reason in reasons.items():
            assert reason in found[str(colours / name)]["error"]
        assert "predictions" in found[paths[0]]
        assert "predictions" in found[paths[-1]]
        assert "an empty name" in found[""]["error"]
        rows = list(csv.DictReader(io.StringIO(predict(*paths, "--csv")[1])))
        assert [row["path"] for row in rows] == paths
        assert [bool(row["error"]) for row in rows] == [name in reasons for name in named]
        status, out, err = predict(*paths)
        assert [line.partition("  ")[0] for line in out.splitlines()] == [paths[0], paths[-1]]
        assert [line.partition(": ")[2].partition(": ")[0] for line in err.splitlines()[1:]] == paths[1:-1]

    def test_the_same_picture_twice_is_answered_twice(self, answers, colours):
        assert [answer["path"] for answer in answers(colours / "a.png", colours / "a.png")] == [f"{colours}/a.png"] * 2

    def test_a_loop_of_links_in_a_folder_costs_no_picture(self, predict, colours):
        (colours / "deep/up").symlink_to(colours)
        (colours / "deep/self").symlink_to("self")
        status, out, err = predict(colours)
        assert (status, len(out.splitlines())) == (0, 3)
        assert f"warning: {colours}/deep/up is a link to a folder" in err

    @pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
    def test_a_folder_that_may_not_be_read_has_a_line(self, predict, colours):
        (colours / "deep").chmod(0)
        status, out, err = predict(colours)
        (colours / "deep").chmod(0o755)
        assert (status, len(out.splitlines())) == (1, 2)
        assert f"{colours}/deep: no permission to read it" in err

    def test_names_do_not_control_the_terminal(self, predict, colours):
        rewrite("linear_svm", class_names=["a\x1b[2J", "b", "c"])
        change_data(class_names=["a\x1b[2J", "b", "c"])
        (colours / "\x1b[31m\n\u202e.png").write_bytes((colours / "a.png").read_bytes())
        (colours / "\x1b]0;.jpg").write_bytes(b"hello")
        status, out, err = predict(colours)
        assert (status, "\x1b" in out + err, len(out.splitlines())) == (1, False, 4)
        assert r"\x1b[31m\x0a\u202e.png" in out
        assert r"a\x1b[2J" in out
        assert r"\x1b]0;.jpg: not an image" in err
        found = [json.loads(line) for line in predict(colours, "--json")[1].splitlines()]
        assert f"{colours}/\x1b[31m\n\u202e.png" in [answer["path"] for answer in found]
        rows = list(csv.DictReader(io.StringIO(predict(colours, "--csv")[1], newline="")))
        assert f"{colours}/\x1b[31m\n\u202e.png" in [row["path"] for row in rows]


class TestLists:
    """`-` stands for a list on stdin."""

    @pytest.fixture
    def listed(self, predict, monkeypatch) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
        def read(content: bytes, *arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
            status, out, _ = predict(*arguments, "--json")
            return status, [json.loads(line) for line in out.splitlines()]

        return read

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\0"])
    def test_it_names_files_and_folders(self, listed, colours, end):
        names = [f"{colours}/b.jpg", f"{colours}/deep", f"{colours}/b.jpg", "gone.png"]
        status, found = listed((end.join(names) + end).encode(), colours / "a.png", "-")
        expected = [f"{colours}/{name}" for name in ("a.png", "b.jpg", "deep/c.bmp", "b.jpg")]
        assert (status, [answer["path"] for answer in found]) == (1, [*expected, "gone.png"])
        assert ["error" in answer for answer in found] == [False] * 4 + [True]

    def test_an_empty_one_is_an_error_beside_the_other_answers(self, listed, colours):
        status, found = listed(b"\n\n", "-", colours / "a.png")
        assert (status, [answer["path"] for answer in found]) == (1, ["-", f"{colours}/a.png"])
        assert "names no file" in found[0]["error"]


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
    @pytest.mark.parametrize("folder", ["data", "metrics"])
    def test_a_named_family_needs_nothing_but_its_model(self, answers, colours, folder):
        shutil.rmtree(folder)
        assert answers(colours / "a.png", "--family", "linear_svm")[0]["predictions"][0]["label"] == "red"

    def test_with_a_damaged_model(self, refusal, colours):
        Path("models/linear_svm.keras").write_bytes(b"damaged")
        assert "models/linear_svm.keras can't be loaded" in refusal(colours, "--json")

    def test_with_a_wrong_parameter(self, refusal, project, colours):
        project.set(prune__min_side="eight")
        assert "prune.min_side: expected" in refusal(colours)

    def test_outside_a_project(self, refusal, colours, monkeypatch):
        monkeypatch.chdir(colours)
        assert "run from the project's folder" in refusal("a.png")


class TestContracts:
    """Of models that don't belong to the data or the name, and of models from elsewhere."""

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            (
                {"class_names": ["green", "red", "蓝"]},
                'other classes than data/tfrecords has (with green, "dark" and without',
            ),
            ({"class_names": [*NAMES, "x"]}, "other classes than data/tfrecords has (without x)"),
            ({"class_names": NAMES[:2]}, "other classes than data/tfrecords has (with 蓝)"),
            ({"class_names": NAMES[::-1]}, "other classes than data/tfrecords has (in another order)"),
            ({"image_size": 32}, "images of 16 px, but those in data/tfrecords have 32 px"),
            ({"resize": "crop"}, "images of preprocess.resize stretch, but data/tfrecords has crop"),
            ({"range": "full"}, "images of preprocess.range auto, but data/tfrecords has full"),
        ],
    )
    def test_a_model_of_other_data_than_the_project_has_is_refused(self, refusal, answers, colours, changes, words):
        change_data(**changes)
        line = refusal(colours)
        assert f"models/linear_svm.keras was trained on {words}" in line
        assert "dvc repro train@linear_svm" in line
        assert answers(colours, "--model", "models/linear_svm.keras")[0]["predictions"][0]["label"] == "red"

    def test_a_model_under_the_name_of_another_family_is_refused(self, refusal, colours):
        shutil.copy("models/underfit.keras", "models/linear_svm.keras")
        assert "models/linear_svm.keras is a model of the family underfit" in refusal(colours)

    def test_a_model_that_is_handed_on_needs_nothing_else(self, answers, colours, tmp_path):
        contract = dump_contract(make_contract("friends_net", class_names=["x", "y", "z"], temperature=5.0))
        model = copy_model("linear_svm", contract, tmp_path / "a friend's.keras")
        for folder in ("data", "metrics", "models"):
            shutil.rmtree(folder)
        answer = answers(colours / "a.png", "--model", model)[0]
        assert (answer["family"], answer["predictions"][0]["label"]) == ("friends_net", "x")

    def test_a_family_and_a_file_at_once_are_refused(self, predict, colours):
        assert predict(colours, "--family", "underfit", "--model", "models/underfit.keras")[0] == 2

    @pytest.mark.parametrize("model", ["gone.keras", ".", "params.yaml"])
    def test_what_is_no_model_file_is_refused(self, refusal, colours, model):
        assert refusal(colours, "--model", model).startswith(f"error: {model} ")

    def test_one_without_a_contract_is_refused_with_what_to_do(self, refusal, colours):
        copy_model("linear_svm", None)
        line = refusal(colours)
        assert "models/linear_svm.keras has no contract.json" in line
        assert "dvc repro -f train@linear_svm" in line

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\xff"])
    def test_a_damaged_contract_is_one_line(self, refusal, colours, text):
        rewrite("linear_svm", text)
        line = refusal(colours)
        assert "contract.json in models/linear_svm.keras is damaged" in line
        assert "dvc repro -f train@linear_svm" in line

    @pytest.mark.parametrize(
        "changes", [{"class_names": NAMES[:2]}, {"class_names": [*NAMES, "x"]}, {"image_size": 32}]
    )
    def test_a_contract_that_does_not_fit_the_network_is_refused(self, refusal, colours, changes):
        file = rewrite("linear_svm", **changes)
        assert "contract.json says" in refusal(colours, "--model", file)


class TestCommand:
    """In a separate process, as people run it; tests/test_pipeline.py has one that ends after errors."""

    def test_help_lists_its_arguments(self, trained):
        output = run([sys.executable, "-m", "stages.predict", "--help"], trained, PYTHONPATH=str(ROOT))
        assert all(
            word in output for word in ("FILE|FOLDER", "--family", "--model", "--top", "--json", "--csv", "calibrated")
        )

    @pytest.mark.ci
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
