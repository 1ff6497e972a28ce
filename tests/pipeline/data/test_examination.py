import json

import pandas as pd
import pytest

from pipeline.data.examination import NEAR_COLUMNS, load_examination
from pipeline.data.manifest import save_table

LABELS = ["NA", "007", "null", "1e3", "", "bear, brown", "猫"]


def write(folder, *, near: list[tuple] = ()) -> None:
    folder.mkdir()
    images = pd.DataFrame({"name": [f"{label}/1.png" for label in LABELS], "split": "train", "label": LABELS})
    images = images.assign(brightness=1.5, contrast=20.25, width=640, height=480, mode="1")
    save_table(images, folder / "images.csv")
    save_table(pd.DataFrame({"label": LABELS, "stage": "found", "images": 7}), folder / "classes.csv")
    save_table(pd.DataFrame(near, columns=NEAR_COLUMNS), folder / "near_duplicates.csv")
    (folder / "facts.json").write_text(json.dumps({"p": 0.25, "near_duplicate": 0.95}))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "examination"


def test_class_names_stay_text_whatever_they_look_like(folder):
    write(folder, near=[("NA/2.png", "test", label, "NA/1.png", label, 0.99) for label in LABELS])
    loaded = load_examination(folder)
    assert loaded.images["label"].tolist() == LABELS
    assert loaded.classes["label"].tolist() == LABELS
    assert loaded.near_duplicates["label"].tolist() == LABELS
    assert loaded.near_duplicates["train_label"].tolist() == LABELS


def test_a_mode_that_looks_like_a_number_stays_text(folder):
    write(folder)
    assert set(load_examination(folder).images["mode"]) == {"1"}


def test_figures_are_numbers(folder):
    write(folder, near=[("a", "val", "cat", "b", "dog", 0.5)])
    loaded = load_examination(folder)
    for table, names in (("images", "brightness contrast width height"), ("near_duplicates", "similarity")):
        assert all(pd.api.types.is_numeric_dtype(getattr(loaded, table)[name]) for name in names.split())
    assert loaded.classes["images"].sum() == 7 * len(LABELS)
    assert loaded.facts == {"p": 0.25, "near_duplicate": 0.95}


def test_a_table_without_near_duplicates_has_its_columns(folder):
    write(folder)
    near = load_examination(folder).near_duplicates
    assert near.empty
    assert list(near.columns) == NEAR_COLUMNS
