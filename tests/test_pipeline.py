"""The whole pipeline, through DVC, as a user runs it; small."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import vl_convert
import yaml

from tests.clone import draw_pictures, list_stages_run, make_clone, run, set_small

FAMILIES = ["linear_svm", "underfit", "efficientnet_lite0"]


@pytest.fixture(scope="module")
def clone(finished_clone: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_clone(tmp_path_factory.mktemp("pipeline") / "clone")


def test_a_second_repro_runs_nothing_and_leaves_the_git_tree_clean(clone: Path) -> None:
    assert list_stages_run(run(["dvc", "repro"], clone)) == []
    assert run(["git", "status", "--porcelain"], clone) == ""


def test_the_summary_has_a_row_a_family_best_first(clone: Path) -> None:
    with (clone / "metrics" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["family"] for row in rows) == sorted([*FAMILIES, "ensemble"])
    accuracies = [float(row["test_accuracy"]) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_has_its_files(clone: Path, family: str) -> None:
    figures = json.loads((clone / "metrics" / family / "metrics.json").read_text())
    assert {
        "test_accuracy",
        "train_accuracy",
        "test_loss",
        "test_macro_f1",
        "parameters",
        "trainable_parameters",
    } <= set(figures)
    for name in ("classes.csv", "classes_train.csv", "confusion.csv", "predictions.csv", "calibration.json"):
        assert (clone / "metrics" / family / name).stat().st_size > 0
    assert (clone / "models" / f"{family}.keras").exists()


@pytest.mark.ci
def test_the_same_stages_again_write_the_same_bytes(clone: Path) -> None:
    stages = ["preprocess", "train@underfit", "evaluate@underfit", "report"]
    output = run(["dvc", "repro", "--force", "--no-run-cache", "--single-item", *stages], clone)
    assert list_stages_run(output) == stages
    assert run(["git", "status", "--porcelain"], clone) == ""


@pytest.mark.ci
def test_another_clone_gives_the_same_lock_byte_for_byte(clone: Path, tmp_path: Path) -> None:
    other = make_clone(tmp_path / "other")
    set_small(other)
    run(["dvc", "repro"], other)
    assert (other / "dvc.lock").read_bytes() == (clone / "dvc.lock").read_bytes()


@pytest.mark.ci
def test_dropout_reruns_training_and_what_follows_only(clone: Path) -> None:
    output = run(
        ["dvc", "exp", "run", "--temp", "-S", "train.dropout=0.3", "-S", "families=[linear_svm,underfit]"], clone
    )
    ran = {name.split("@")[0] for name in list_stages_run(output)}
    assert "train" in ran
    # A temporary folder has no link to the images yet, and no digests of the code.
    assert ran - {"code", "check", "locate"} <= {"train", "evaluate", "choose", "export", "report"}


@pytest.mark.ci
def test_one_recipe_reruns_one_family(clone: Path) -> None:
    output = run(["dvc", "exp", "run", "--temp", "-S", "recipes.underfit.batch_size=8"], clone)
    assert {name for name in list_stages_run(output) if "@" in name} == {
        *("train@underfit", "evaluate@underfit", "export@underfit")
    }


@pytest.mark.ci
def test_a_change_of_the_head_computes_no_features_anew(clone: Path) -> None:
    output = run(["dvc", "exp", "run", "--temp", "-S", "recipes.efficientnet_lite0.dropout=0.1"], clone)
    # Another family may be the recommended one now, and then exports are decided anew.
    ran = {name for name in list_stages_run(output) if "@" in name and not name.startswith("export@")}
    assert ran == {f"{verb}@efficientnet_lite0" for verb in ("train", "evaluate")}


def _vega_specs(page: str) -> list[dict]:
    return [json.loads(spec) for spec in re.findall(r"var spec = (\{.*?\});?\s*vegaEmbed", page, re.DOTALL)]


def _show_plots(clone: Path) -> list[dict]:
    """Draws all plots; returns their specifications."""
    output = run(["dvc", "plots", "show", "--out", "plots_page"], clone)
    assert "failed to load" not in output.lower()
    page = (clone / "plots_page" / "index.html").read_text()
    assert not re.search(r"<(script|link)[^>]+(src|href)=.?http", page), "the page works offline"
    specs = _vega_specs(page)
    for spec in specs:
        assert "<svg" in vl_convert.vegalite_to_svg(spec)  # a template that Vega refuses raises here
    return specs


def test_plots_load_for_all_families(clone: Path) -> None:
    assert len(_show_plots(clone)) == 7 + len(FAMILIES), "7 as below for all, and one matrix each"


@pytest.mark.ci
def test_plots_load_for_one_family(clone: Path) -> None:
    for families in ("[linear_svm]", "[underfit]"):
        run(["dvc", "exp", "run", "-S", f"families={families}"], clone)
        specs = _show_plots(clone)
        assert len(specs) == 8, "learning curves (2), accuracy by split, ROC, PR, reliability, F1 by class, one matrix"
    _go_back(clone)


def _go_back(clone: Path) -> None:
    """To what is committed."""
    run(["git", "checkout", "--quiet", "."], clone)
    run(["git", "clean", "-fdq"], clone)
    run(["dvc", "checkout"], clone)


@pytest.mark.ci
def test_outside_pictures_are_judged_by_every_family_and_nothing_is_trained_again(clone: Path, tmp_path: Path) -> None:
    outside = draw_pictures(tmp_path / "outside", classes=["sea", "elsewhere"], count=3)
    (outside / "sea" / "broken.jpg").write_bytes(b"no picture")
    output = run(["dvc", "exp", "run", "-S", f"evaluate.outside_path={outside}"], clone)
    ran = {name.split("@")[0] for name in list_stages_run(output)}
    assert ran == {"check", "locate", "evaluate", "choose", "report"}
    with (clone / "data" / "evaluations" / "linear_svm" / "outside.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows].count("sea") == 4
    assert [row["reason"] != "" for row in rows].count(True) == 1
    assert "Outside pictures" in (clone / "metrics" / "report.html").read_text()
    draw_pictures(outside, classes=["elsewhere"], count=1, start=3)
    assert "data/watch/here/outside" in run(["dvc", "status"], clone), "a new picture there is noticed"
    _go_back(clone)


@pytest.mark.ci
def test_predict_names_what_is_in_pictures_with_the_recommended_family(clone: Path, tmp_path: Path) -> None:
    pictures = draw_pictures(tmp_path / "new", classes=["any"], count=2)
    (pictures / "any" / "broken.jpg").write_bytes(b"no picture")
    output = run(["python", "-m", "stages.predict", str(pictures), "nothing.png", "--json"], clone, expect=1)
    answers = [json.loads(line) for line in output.splitlines()]  # and nothing else is said on stdout or stderr
    assert ["error" in answer for answer in answers] == [False, False, True, True]
    assert {answer["family"] for answer in answers[:2]} <= set(FAMILIES)


def test_a_wrong_parameter_ends_in_one_line_before_any_work(clone: Path) -> None:
    output = run(["dvc", "exp", "run", "--temp", "-S", "train.dropout=1.5"], clone, expect=255)
    assert "error: train.dropout: expected" in output
    assert "Traceback" not in output
    assert set(list_stages_run(output)) <= {"code", "check"}  # none where the environment's dvc is the project's


def _use_folder(clone: Path, pictures: Path) -> None:
    params = yaml.safe_load((clone / "params.yaml").read_text())
    params["data"] |= {"source": "folder", "path": str(pictures)}
    params["preprocess"]["image_size"] = 32
    params["families"] = ["underfit"]
    (clone / "params.yaml").write_text(yaml.safe_dump(params))


@pytest.mark.ci
def test_a_folder_is_watched_image_by_image(clone: Path, tmp_path: Path) -> None:
    pictures = draw_pictures(tmp_path / "pictures", classes=["cat", "dog"], count=20)
    _use_folder(clone, pictures)
    run(["dvc", "repro", "download"], clone)
    assert "data/watch/here/source" not in run(["dvc", "status", "download", "--with-deps"], clone)

    draw_pictures(pictures, classes=["dog"], count=1, start=0, shade=77)
    assert "data/watch/here/source" in run(["dvc", "status"], clone), "other bytes of the same name"

    draw_pictures(pictures, classes=["cat"], count=1, start=20)
    (pictures / "cat" / "0.png").unlink()
    (pictures / "cat" / "1.png").unlink()
    assert list_stages_run(run(["dvc", "repro", "prune"], clone))[1:] == ["locate", "download", "prune"]
    assert len((clone / "data" / "manifest.csv").read_text().splitlines()) == 1 + 39
    run(["dvc", "repro", "--force", "--single-item", "locate", "download"], clone)
    assert len(list(pictures.rglob("*.png"))) == 39, "the user's own pictures are never touched, even by --force"
    run(["git", "checkout", "--quiet", "."], clone)
