"""Four published studies, each by `python -m stages.study`, on small data in the folders of the real data.

Sizes, classes, splits and networks are the study's own. The pictures are noise, and training takes one epoch. Tests do not
download ImageNet's weights: a backbone's are random, at the smallest size that it takes.
"""

import csv
import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clone import make_clone, run
from tests.conftest import Server
from tests.pipeline.models.published import PUBLISHED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("cache")]

INTEL = ["buildings", "forest", "glacier", "mountain", "sea", "street"]
ANIMALS = ["butterfly", "cat", "chicken", "cow", "dog", "elephant", "horse", "sheep", "spider", "squirrel"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return make_clone(tmp_path / "clone")


@pytest.fixture
def publish(server: Server, make_image_bytes: Callable[..., bytes]) -> Callable[..., str]:
    """Packs pictures into a zip on a server and returns its address. folders: how many are in which. sizes: theirs, in turn."""

    def pack(folders: dict[str, int], sizes: list[tuple[int, int]]) -> str:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as packed:
            for number, (folder, count) in enumerate(folders.items()):
                for i in range(count):
                    picture = make_image_bytes(size=sizes[i % len(sizes)], kind="JPEG", seed=1000 * number + i)
                    packed.writestr(f"{folder}/{i}.jpg", picture)
        server.files["/pictures.zip"] = buffer.getvalue()
        return f"{server.url}/pictures.zip"

    return pack


@pytest.fixture
def intel(publish: Callable[..., str]) -> str:
    """The address of scenes packed as on Kaggle: each split twice in its path, and pictures that nobody has labelled."""
    folders = {f"seg_train/seg_train/{label}": 16 for label in INTEL}
    folders |= {f"seg_test/seg_test/{label}": 4 for label in INTEL}
    return publish(folders | {"seg_pred/seg_pred": 5}, [(150, 150)])


def reproduce(clone: Path, study: str, *arguments: object, **changes: object) -> None:
    """Runs a study's models with these arguments (pictures, options) and one epoch; then nothing is left to run.

    changes: more parameters; two underscores mean a dot.
    """
    settings = {"train__max_epochs": 1, **changes}
    names = {key: key.replace("__", ".") for key in settings}
    # ++ as a recipe may leave a value to its defaults
    overrides = [f"{'++' if names[key].startswith('recipes.') else ''}{names[key]}={settings[key]}" for key in settings]
    options = [part for override in overrides for part in ("-S", override)]
    run([sys.executable, "-m", "stages.study", study, *map(str, arguments), *options], clone)
    assert "Running stage" not in run(["dvc", "repro"], clone)


def without_weights(input_size: int, *backbones: str) -> dict[str, object]:
    """Settings that give backbones random weights, at `input_size` pixels."""
    return {f"recipes__{name}__backbone__weights": "none" for name in backbones} | {
        f"recipes__{name}__input_size": input_size for name in backbones
    }


def read_rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def check_counts(clone: Path, *, train: dict[str, int], test: dict[str, int]) -> None:
    """Whether the test split is the archive's own, validation comes from its training images, and no other class is there."""
    counts = json.loads((clone / "data" / "tfrecords" / "dataset.json").read_text())["counts"]
    assert counts["test"] == test
    assert {label: counts["train"][label] + count for label, count in counts["val"].items()} == train
    assert len(read_rows(clone / "data" / "quarantine.csv")) == 0


def check_families(clone: Path, *families: str) -> None:
    """Whether each has a model of the published size, a row in the summary, and a section in the report."""
    rows = {row["family"]: row for row in read_rows(clone / "metrics" / "summary.csv")}
    report = (clone / "metrics" / "report.html").read_text(encoding="utf-8")
    assert set(rows) == {*families, "ensemble"}
    for family in families:
        assert 0 <= float(rows[family]["test_accuracy"]) <= 1
        assert int(rows[family]["parameters"]) == PUBLISHED[family].parameters
        assert (clone / "models" / f"{family}.keras").exists()
        assert family in report


def test_study_a_drops_the_street_and_compares_three_networks(clone: Path, intel: str) -> None:
    reproduce(clone, "A", intel)
    kept = [label for label in INTEL if label != "street"]
    check_counts(clone, train=dict.fromkeys(kept, 16), test=dict.fromkeys(kept, 4))
    check_families(clone, "optimized")  # the second of two runs, which have other data; the first is an experiment
    assert "underfit" in run(["dvc", "exp", "show", "--csv"], clone)


def test_study_b_judges_pictures_from_outside_too(
    clone: Path, publish: Callable[..., str], picture_folder: Callable[..., Path]
) -> None:
    url = publish({"train/bear": 20, "train/panda": 20, "test/bear": 5, "test/panda": 5}, [(128, 128)])
    outside = picture_folder({"bear": 5, "panda": 5}, "outside")
    reproduce(clone, "B", url, "--outside", outside)
    check_counts(clone, train={"bear": 20, "panda": 20}, test={"bear": 5, "panda": 5})
    check_families(clone, "vgg_blocks", "linear_svm")
    for family in ("vgg_blocks", "linear_svm"):
        rows = read_rows(clone / "data" / "evaluations" / family / "outside.csv")
        assert [row["label"] for row in rows] == ["bear"] * 5 + ["panda"] * 5
        assert {row["predicted"] for row in rows} <= {"bear", "panda"}
    assert "Outside pictures" in (clone / "metrics" / "report.html").read_text(encoding="utf-8")


def test_study_c_keeps_six_classes_and_compares_its_network_with_three_backbones(clone: Path, intel: str) -> None:
    reproduce(clone, "C", intel, **without_weights(32, "mobilenet", "vgg16", "resnet50v2"))
    check_counts(clone, train=dict.fromkeys(INTEL, 16), test=dict.fromkeys(INTEL, 4))
    check_families(clone, "deep_cnn", "mobilenet", "vgg16", "resnet50v2")


def test_study_e_brings_animals_of_all_sizes_to_one_and_fine_tunes(clone: Path, publish: Callable[..., str]) -> None:
    folders = {f"train/{label}": 16 for label in ANIMALS} | {f"test/{label}": 3 for label in ANIMALS}
    url = publish(folders, [(300, 200), (120, 160), (64, 64), (90, 310)])
    small = without_weights(75, "inceptionv3")
    reproduce(clone, "E", url, **small, recipes__inceptionv3_fine_tuned__fine_tune__epochs=2)
    check_counts(clone, train=dict.fromkeys(ANIMALS, 16), test=dict.fromkeys(ANIMALS, 3))
    networks = ("dense_ann", "animals_cnn", "animals_cnn_augmented", "animals_cnn_wide")
    check_families(clone, *networks, "inceptionv3", "inceptionv3_fine_tuned")
    curves = read_rows(clone / "metrics" / "plots" / "curves.csv")
    for family, epochs in (("inceptionv3", ["1"]), ("inceptionv3_fine_tuned", ["1", "2"])):
        assert [row["epoch"] for row in curves if (row["family"], row["split"]) == (family, "val")] == epochs
