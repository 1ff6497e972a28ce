import json
import re

import pandas as pd
import pytest

from pipeline.data.leaks import LEAKS_COLUMNS
from pipeline.report.page import render_page
from pipeline.report.sections.reading import describe_reading
from pipeline.runtime.paths import LEAKS, RAW, SPLITS

READING = {
    "classes": {"cat": 1234, "<b>dog</b>": 5},
    "splits": {},
    "wrappers": ["archive", "images"],
    "left_out": [{"reason": "no picture", "count": 2, "example": "<i>notes.txt"}],
    "warnings": [],
    "notes": ["labels.csv: 5 of 6 rows have a file"],
}


@pytest.fixture
def describe(tmp_path, monkeypatch):
    """What the page gets to know, and its section, of what a run has written."""
    monkeypatch.chdir(tmp_path)

    def make(reading: dict | None, leaks: list[tuple] = (), groups: list[str] | None = None) -> tuple[dict, str]:
        RAW.mkdir(parents=True, exist_ok=True)
        facts = {"source": "folder"} | ({} if reading is None else {"reading": READING | reading})
        (RAW / "source.json").write_text(json.dumps(facts))
        pd.DataFrame(leaks, columns=LEAKS_COLUMNS).to_csv(LEAKS, index=False)
        names = groups or ["a", "b"]
        table = pd.DataFrame({"image_id": names, "name": names, "label": "cat", "split": "train"})
        (table if groups is None else table.assign(group=groups)).to_csv(SPLITS, index=False)
        found = describe_reading("near")
        return found, render(found)

    return make


def render(found: dict) -> str:
    """The text of the section, without tags."""
    return re.sub(r"<[^>]*>", "", render_page("reading.html", **found))


def leak(name: str, split: str, kind: str) -> tuple:
    return (name, "cat", split, kind, f"train of {name}", "dog", "0.9")


def test_drawn_pictures_have_no_section(describe):
    found, section = describe(None)
    assert found["reading"] is None
    assert "What was read" not in section


def test_classes_splits_and_what_was_left_out_are_shown_as_text(describe):
    _, section = describe({"splits": {"train": 1000, "test": 239}})
    for said in (
        "2 classes",
        "cat 1,234",
        "&lt;b&gt;dog",
        "train 1,000",
        "archive, images",
        "2 (no picture)",
        "5 of 6 rows",
    ):
        assert said in section


def test_splits_are_in_the_order_of_their_use(describe):
    _, section = describe({"splits": {"test": 239, "train": 1000, "val": 5}})
    assert "train 1,000, val 5, test 239" in section


def test_that_the_source_has_no_splits_is_said(describe):
    assert "none: the pipeline made them" in describe({})[1]


def test_many_names_are_cut_and_the_rest_counted(describe):
    found, section = describe(
        {"classes": {f"c{i:04d}": 1 for i in range(1000)}, "warnings": [f"w{i}" for i in range(50)]}
    )
    assert (found["reading"]["num_classes"], found["reading"]["more_classes"]) == (1000, 940)
    assert "and 940 more" in section
    assert "And 30 more warnings" in section


def test_near_copies_and_groups_count_as_leaks_and_copies_were_left_out(describe):
    rows = [leak("a", "test", "copy"), leak("b", "test", "near"), leak("c", "val", "group"), leak("d", "test", "group")]
    found, section = describe(None, rows)
    assert found["num_leaks"] == {"test": 2, "val": 1}
    assert found["num_copies_held"] == 1
    assert [row["name"] for row in found["leaks"]] == ["b", "c", "d", "a"], "what matters comes first"
    assert "2 test and 1 validation images have a near copy" in section
    assert "labelled dog there" in section


def test_groups_are_counted(describe):
    found, section = describe(None, groups=["x", "x", "x", "y"])
    assert (found["num_groups"], found["largest_group"]) == (2, 3)
    assert "2 groups of images that belong together (split.group: near), the largest of 3" in section


def test_what_can_not_be_seen_in_a_name_is_shown_and_turns_no_text_around(describe):
    sign = "\u202e"
    _, section = describe({"classes": {f"a{sign}b": 12, "cat": 37}, "wrappers": [sign], "warnings": [sign]})
    assert "a\\u202eb 12, cat 37" in section
    assert sign not in section
