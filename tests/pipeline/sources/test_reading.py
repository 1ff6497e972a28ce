import json
import logging

from pipeline.sources.reading import Reading, TreeFile, log_reading

READING = Reading(
    "folder 'x'",
    (
        TreeFile("a/train/cat/1.jpg", "cat", "train", "", "a/train/cat/1.jpg"),
        TreeFile("a/train/cat/2.txt", "cat", "train", "not an image", "a/train/cat/2.txt"),
        TreeFile("a/test/dog/1.jpg", "dog", "test", "", "a/test/dog/1.jpg"),
        TreeFile("a/more/dog/1.jpg", "dog", "", "", "a/more/dog/1.jpg"),
    ),
    ("a",),
    (("hidden", 1200, ".x"),),
    ("look at this",),
    ("and that",),
)


def test_counts_are_of_what_can_be_used():
    assert READING.classes == {"cat": 1, "dog": 2}
    assert READING.splits == {"train": 1, "test": 1}


def test_a_few_lines_say_it(caplog):
    caplog.set_level(logging.INFO)
    log_reading(READING)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "folder 'x': 2 classes: cat 1, dog 2"),
        ("INFO", "splits: train 1, test 1; without one: 1"),
        ("INFO", "wrapper folders skipped: a"),
        ("INFO", "left out: 1,200 (hidden), such as '.x'"),
        ("INFO", "and that"),
        ("WARNING", "look at this"),
    ]


def test_many_classes_take_one_line():
    files = tuple(TreeFile(f"{i:03d}/1.jpg", f"{i:03d}", "", "", f"{i:03d}/1.jpg") for i in range(300))
    line = Reading("x", files).describe()[0]
    assert line.startswith("x: 300 classes: 000 1, 001 1")
    assert line.endswith("and 280 more")


def test_facts_are_json():
    assert json.loads(json.dumps(READING.facts())) == READING.facts()
    assert READING.facts()["left_out"] == [{"reason": "hidden", "count": 1200, "example": ".x"}]
