import hashlib
import logging

import pandas as pd
import pytest

from pipeline.data.manifest import MANIFEST_COLUMNS, save_table
from pipeline.data.splits import SPLITS_COLUMNS, load_splits
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import MANIFEST
from stages.split import split


@pytest.fixture
def manifest():
    """Writes data/manifest.csv with one row per (name, label, source split, content)."""

    def write(*rows: tuple[str, str, str, str]) -> None:
        table = [
            (hashlib.sha256(content.encode()).hexdigest(), name, label, source, 9, 9, "RGB", "x.tar", 0, 9)
            for name, label, source, content in rows
        ]
        save_table(pd.DataFrame(table, columns=MANIFEST_COLUMNS).sort_values("name"), MANIFEST)

    return write


def make_class(label: str, count: int, source: str = "") -> list[tuple[str, str, str, str]]:
    return [(f"{source}/{label}/{i:04d}.png", label, source, f"{source}{label}{i}") for i in range(count)]


def load_duplicates(project) -> pd.DataFrame:
    return pd.read_csv(project.folder / "data/duplicates.csv", dtype="str", keep_default_na=False)


def test_every_image_gets_a_split(manifest, project, caplog):
    manifest(*make_class("cat", 100), *make_class("dog", 100))
    caplog.set_level(logging.INFO)
    split()
    table = load_splits()
    assert list(table.columns) == SPLITS_COLUMNS
    assert len(table) == 200
    assert table["name"].is_monotonic_increasing
    assert set(zip(table["label"], table["split"], strict=True)) == {
        (label, name) for label in ("cat", "dog") for name in ("train", "val", "test")
    }
    assert load_duplicates(project).empty
    sizes = table["split"].value_counts()
    assert caplog.messages == [", ".join(f"{name} {count}" for name, count in sizes.items())]


@pytest.mark.parametrize("label", ["polar bear", "NA", "bear, brown", "007", "猫"])
def test_class_names_may_be_any_text(manifest, label):
    manifest(*make_class(label, 50), *make_class("dog", 50))
    split()
    assert set(load_splits()["label"]) == {label, "dog"}


def test_seed_and_fractions_are_parameters(manifest, project):
    manifest(*make_class("cat", 300), *make_class("dog", 300))
    split()
    before = load_splits()
    project.set(split__seed=7)
    split()
    assert not load_splits().equals(before)
    project.set(split__test_fraction=0.6)
    split()
    assert (load_splits()["split"] == "test").sum() > 2 * (before["split"] == "test").sum()


def test_adding_images_does_not_move_others(manifest):
    manifest(*make_class("cat", 100), *make_class("dog", 100))
    split()
    before = set(load_splits().itertuples(index=False, name=None))
    manifest(*make_class("cat", 150), *make_class("dog", 120), *make_class("eel", 100))
    split()
    assert before < set(load_splits().itertuples(index=False, name=None))


def test_copies_across_splits_are_left_out_and_listed(manifest, project, caplog):
    rows = [row for source in ("train", "test") for label in ("cat", "dog") for row in make_class(label, 30, source)]
    manifest(*rows, ("train/cat/twin.png", "cat", "train", "twin"), ("test/dog/twin.png", "dog", "test", "twin"))
    caplog.set_level(logging.INFO)
    split()
    assert "train/cat/twin.png" not in set(load_splits()["name"])
    duplicates = load_duplicates(project).set_index("name")
    assert duplicates.loc["train/cat/twin.png", "note"] == "labels differ; left out: its copy is in test"
    assert duplicates.loc["test/dog/twin.png", "note"] == "labels differ"
    assert caplog.messages[0].endswith("; 1 identical copies, 1 of them left out")


def test_identical_bytes_are_never_in_two_splits(manifest):
    manifest(*((f"{label}/{i}.png", label, "", f"{i % 50}") for label in ("cat", "dog") for i in range(200)))
    split()
    assert (load_splits().groupby("image_id")["split"].nunique() == 1).all()


def test_a_class_with_one_image_is_refused_and_no_file_written(manifest, project):
    manifest(*make_class("cat", 100), *make_class("dog", 1))
    with pytest.raises(PipelineError, match=r"class 'dog' has no image in .*received 1 image"):
        split()
    assert project.files() == ["manifest.csv"]


def test_the_same_manifest_gives_the_same_bytes(manifest, project):
    manifest(*make_class("cat", 50), *make_class("dog", 50))
    written = []
    for _ in range(2):
        split()
        written.append((project.folder / "data/splits.csv").read_bytes())
    assert written[0] == written[1]
