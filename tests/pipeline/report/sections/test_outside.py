import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.data.manifest import save_table
from pipeline.evaluation.intervals import compute_accuracy_interval
from pipeline.evaluation.results import load_table
from pipeline.report.sections.outside import describe_outside
from pipeline.runtime.paths import OUTSIDE as FOLDER
from tests.results import OUTSIDE


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FOLDER.mkdir(parents=True)


def good(name: str, predicted: str = "cat", *, distance: float = 0.5, shade: int = 100) -> dict:
    """A row of a picture that the model has classified, and the picture; its label is the folder above it."""
    file = FOLDER / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 20), (shade,) * 3).save(file)
    judged = {"predicted": predicted, "confidence": 0.75, "distance": distance, "is_far": distance > 1}
    return {"name": name, "label": name.rpartition("/")[0], "reason": "", **judged, "p:cat": 0.75, "p:NA": 0.25}


def bad(name: str, reason: str = "truncated") -> dict:
    return {"name": name, "label": "", "reason": reason}


def describe(*rows: dict):
    """As evaluate writes the table and the report reads it."""
    table = pd.DataFrame(list(rows), columns=[*OUTSIDE, "p:cat", "p:NA"])
    save_table(table, Path("outside.csv"))
    return describe_outside(load_table(Path("outside.csv")), "auto")


def test_without_outside_pictures_there_is_no_section():
    assert describe() is None


def test_accuracy_is_that_of_pictures_in_folders_named_after_classes():
    rows = [good(f"cat/{i}.png", "cat" if i < 3 else "NA") for i in range(4)]
    said = describe(*rows, good("NA/0.png", "NA"), good("loose.png"))
    assert (said["num_images"], said["num_labelled"]) == (6, 5)
    assert said["accuracy"] == 0.8
    assert said["interval"] == compute_accuracy_interval(4, 5)


def test_without_labels_there_is_no_accuracy():
    said = describe(good("one.png"), good("other.png"))
    assert (said["num_labelled"], said["accuracy"], said["interval"]) == (0, None, None)
    assert [card["label"] for card in said["cards"]] == ["", ""]


@pytest.mark.parametrize("others", [(), (bad("broken.png"),)], ids=["all good", "one bad"])
def test_those_far_from_the_training_images_are_counted(others):
    # With a bad file in the table its truth values are text.
    said = describe(good("a.png", distance=0.2), good("b.png", distance=1.5), good("c.png", distance=1.0), *others)
    assert said["num_far"] == 1
    assert [card["far"] for card in said["cards"]] == [False, True, False]


def test_a_card_has_the_prediction_the_distance_and_the_picture():
    card = describe(good("cat/a.png", "NA", distance=1.25, shade=200))["cards"][0]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(card.pop("picture").partition(",")[2]))))
    assert pixels.shape == (120, 120, 3)
    assert abs(pixels[60, 60].astype(int) - 200).max() <= 2  # letterboxed
    assert pixels[2, 2].max() <= 2
    assert card == {
        "name": "cat/a.png",
        "label": "cat",
        "predicted": "NA",
        "confidence": 0.75,
        "distance": 1.25,
        "far": True,
        "hit": False,
    }


def test_each_card_has_its_own_picture():
    said = describe(bad("0.png"), *[good(f"{i}.png", shade=40 * i) for i in range(1, 6)])
    for card in said["cards"]:
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(card["picture"].partition(",")[2]))))
        assert pixels[60, 60].tolist() == pytest.approx([40 * int(card["name"][0])] * 3, abs=2)


def test_files_that_can_not_be_used_are_listed_with_the_reason():
    said = describe(good("a.png"), bad("b.png", "truncated"), bad("c.txt.png", "not an image"))
    assert said["bad"] == [{"name": "b.png", "reason": "truncated"}, {"name": "c.txt.png", "reason": "not an image"}]
    assert (said["num_bad"], said["num_images"]) == (2, 1)


def test_all_files_may_be_unusable():
    said = describe(*[bad(f"{i}.png") for i in range(60)])
    assert (said["num_images"], said["num_labelled"], said["num_far"], said["cards"]) == (0, 0, 0, [])
    assert (len(said["bad"]), said["num_bad"]) == (50, 60)


def test_of_many_the_first_are_shown_and_all_are_counted():
    said = describe(*[good(f"cat/{i:02d}.png") for i in range(30)])
    assert [card["name"] for card in said["cards"]] == [f"cat/{i:02d}.png" for i in range(24)]
    assert (said["num_images"], said["accuracy"]) == (30, 1)


def test_a_class_named_na_is_a_class_like_another():
    said = describe(good("NA/a.png", "NA"), good("cat/b.png", "NA"))
    assert [(card["label"], card["predicted"], card["hit"]) for card in said["cards"]] == [
        ("NA", "NA", True),
        ("cat", "NA", False),
    ]
