import json
from pathlib import Path

import pandas as pd
import pytest

from pipeline.data.examination import (
    FAULT_COLUMNS,
    NEAR_COLUMNS,
    Examination,
    ExaminationFacts,
    load_examination,
    save_examination,
)
from pipeline.data.pixel_values import PIXEL_COLUMNS

LABELS = ["NA", "007", "null", "1e3", "", "bear, brown", "猫"]
PIXELS = pd.DataFrame([("test", "after", 7, 3, 250, 0.0, 0.125)], columns=PIXEL_COLUMNS)
FACTS = ExaminationFacts(chi_squared=3.5, degrees_of_freedom=8, p=0.25, least_expected=4.5, near_duplicate=0.95)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "examination"


def make_examination(*, near: list[tuple] = ()) -> Examination:
    images = pd.DataFrame({"name": [f"{label}/1.png" for label in LABELS], "split": "train", "label": LABELS})
    images = images.assign(brightness=1.5, contrast=20.25, width=640, height=480, mode="1")
    classes = pd.DataFrame({"label": LABELS, "stage": "found", "images": 7})
    faults = pd.DataFrame([("a", label, "dark", 0.25) for label in LABELS], columns=FAULT_COLUMNS)
    return Examination(classes, images, pd.DataFrame(near, columns=NEAR_COLUMNS), faults, PIXELS, FACTS)


def save_and_load(folder: Path, **options) -> Examination:
    save_examination(make_examination(**options), folder)
    return load_examination(folder)


def test_class_names_stay_text_whatever_they_look_like(folder):
    loaded = save_and_load(folder, near=[("NA/2.png", "test", label, "NA/1.png", label, 0.99) for label in LABELS])
    assert loaded.images["label"].tolist() == LABELS
    assert loaded.classes["label"].tolist() == LABELS
    assert loaded.faults["label"].tolist() == LABELS
    assert loaded.near_duplicates["label"].tolist() == LABELS
    assert loaded.near_duplicates["train_label"].tolist() == LABELS


def test_a_mode_that_looks_like_a_number_stays_text(folder):
    assert set(save_and_load(folder).images["mode"]) == {"1"}


def test_measurements_are_numbers(folder):
    loaded = save_and_load(folder, near=[("a", "val", "cat", "b", "dog", 0.5)])
    for table, names in (("images", "brightness contrast width height"), ("near_duplicates", "similarity")):
        assert all(pd.api.types.is_numeric_dtype(getattr(loaded, table)[name]) for name in names.split())
    assert loaded.classes["images"].sum() == 7 * len(LABELS)
    assert loaded.facts == FACTS
    pd.testing.assert_frame_equal(loaded.pixels, PIXELS)


def test_an_empty_table_of_near_duplicates_keeps_its_columns(folder):
    near = save_and_load(folder).near_duplicates
    assert near.empty
    assert list(near.columns) == NEAR_COLUMNS


def test_facts_json_can_be_read_by_other_programs(folder):
    save_examination(make_examination(), folder)
    assert json.loads((folder / "facts.json").read_text()) == {
        "chi_squared": 3.5,
        "degrees_of_freedom": 8,
        "p": 0.25,
        "least_expected": 4.5,
        "near_duplicate": 0.95,
    }


def test_files_of_an_earlier_examination_are_removed(folder):
    folder.mkdir()
    (folder / "old.csv").touch()
    save_examination(make_examination(), folder)
    assert sorted(file.name for file in folder.iterdir()) == [
        *("classes.csv", "facts.json", "faults.csv", "images.csv", "near_duplicates.csv", "pixels.csv")
    ]
