import logging

import pandas as pd
import pytest

from pipeline.data.correction_files import parse_corrections
from pipeline.data.corrections import apply_corrections, make_corrections
from pipeline.data.image import compute_image_id
from pipeline.data.manifest import rename_classes
from pipeline.data.raw import load_index, save_raw
from pipeline.runtime.errors import PipelineError
from pipeline.sources.raw_image import RawImage

NAMES = (
    "train/cat/1.png",
    "train/cat/2.png",
    "test/cat/1.png",
    "train/dog/3.png",
    "train/eel/4.png",
    "train/fox/5.png",
)


def id_of(name: str) -> str:
    return compute_image_id(name.encode())


class Corrected:
    """A source, and what files of corrections make of it."""

    def __init__(self, **files: str) -> None:
        self.files = files

    def run(self, *, drop: tuple[str, ...] = (), merge: dict[str, list[str]] | None = None) -> pd.DataFrame:
        index = load_index()
        classes = rename_classes(index["label"], drop_classes=drop, merge_classes=merge or {})
        files = [parse_corrections(text.encode(), kind, f"{kind}.csv") for kind, text in self.files.items()]
        table = make_corrections(index, classes, files)
        self.labels = dict(zip(index["name"], apply_corrections(index, classes, table), strict=True))
        return table

    def refusal(self, **rules) -> str:
        with pytest.raises(PipelineError) as caught:
            self.run(**rules)
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture(autouse=True)
def source(project):  # noqa: ARG001 - the test is moved there
    images = [RawImage(name, name.split("/")[1], name.split("/")[0], name.encode()) for name in NAMES]
    copies = [RawImage(f"more/{name}", "dog", "train", b"the same") for name in ("a.png", "b.png")]
    bad = RawImage("train/cat/bad.txt", "cat", "train", None, "no picture")
    save_raw([*images, *copies, bad], {"source": "folder"})


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO)
    return caplog


class TestPictures:
    @pytest.mark.parametrize(
        "text",
        [
            "train/cat/2.png",
            "./train/cat/2.png",
            "train\\cat\\2.png",
            ".\\train\\cat\\2.png",
            "cat/2.png",
            "2.png",
            "TRAIN/Cat/2.PNG",
        ],
    )
    def test_are_named_as_in_the_manifest_or_as_on_a_disk(self, text):
        for file in (text, f"name\n{text}\n", f"name;why\n{text};\n"):
            assert Corrected(exclude=file).run()["name"].tolist() == ["train/cat/2.png"]

    @pytest.mark.parametrize("write", [str.lower, str.upper])
    def test_are_named_by_image_id(self, write):
        text = write(id_of("train/cat/2.png"))
        for file in (text, f"image_id\n{text}\n", f"name\n{text}\n", f"name,image_id\n,{text}\n"):
            table = Corrected(exclude=file).run()
            assert table[["name", "image_id"]].to_numpy().tolist() == [["train/cat/2.png", id_of("train/cat/2.png")]]

    def test_other_case_is_said(self, said):
        Corrected(exclude="train/cat/1.png\nTRAIN/dog/3.png\n").run()
        assert [record.message for record in said.records if record.levelname == "WARNING"] == [
            "1 rows of prune.exclude 'exclude.csv' name a file by other case or in the encoding of URLs, such as row 2: "
            "'TRAIN/dog/3.png'"
        ]

    def test_an_image_id_means_all_copies_and_that_is_said(self, said):
        table = Corrected(exclude=compute_image_id(b"the same")).run()
        assert table["name"].tolist() == ["more/a.png", "more/b.png"]
        assert said.messages == [
            "prune.exclude 'exclude.csv': 1 of 1 rows match 2 pictures (left out 2); rows of an image_id that several pictures "
            "have, and that means them all: 1"
        ]

    def test_a_name_means_one_copy(self):
        assert Corrected(exclude="more/a.png").run()["name"].tolist() == ["more/a.png"]

    def test_without_bytes_have_no_image_id(self):
        assert Corrected(exclude="train/cat/bad.txt").run()["image_id"].tolist() == [""]

    @pytest.mark.parametrize(
        ("name", "reason"), [("stray.png", "lies in no class folder"), ("train/cat/bad.txt", "no picture")]
    )
    def test_that_the_source_can_not_give_get_no_label(self, name, reason):
        save_raw(
            [
                RawImage("cat/1.png", "cat", "", b"1"),
                RawImage("dog/1.png", "dog", "", b"2"),
                RawImage("train/cat/bad.txt", "cat", "", None, "no picture"),
                RawImage("stray.png", "", "", None, "lies in no class folder"),
            ],
            {"source": "folder"},
        )
        assert Corrected(relabel=f"name,label\ncat/1.png,dog\n{name},dog\n").refusal() == (
            f"prune.relabel 'relabel.csv', row 3: '{name}' can't get the label 'dog': expected a picture that the "
            f"source can give; received one that is not used: {reason}; mend or move the file, or delete the row"
        )

    def test_that_the_source_can_not_give_keep_their_label_or_are_left_out(self):
        assert Corrected(relabel="name,label\ntrain/cat/bad.txt,cat\n").run()["action"].tolist() == ["keep"]
        assert Corrected(relabel="name,label\ntrain/cat/bad.txt,-\n").run()["action"].tolist() == ["exclude"]
        out = Corrected(relabel="name,label\ntrain/cat/bad.txt,eel\n")
        out.run(drop=("eel",))
        assert pd.isna(out.labels["train/cat/bad.txt"])
        both = Corrected(exclude="train/cat/bad.txt\n", relabel="name,label\ntrain/cat/bad.txt,dog\n")
        assert both.run()["action"].tolist() == ["exclude"]

    def test_that_are_unknown_are_refused_with_the_nearest_name(self):
        assert Corrected(exclude="train/cat/1.png\n\ntrain/cat/7.png").refusal() == (
            "prune.exclude 'exclude.csv', row 3: there is no picture 'train/cat/7.png' (correct or delete the row): "
            "did you mean 'train/cat/2.png'?"
        )
        assert Corrected(exclude="path,why\nx").refusal() == (
            "prune.exclude 'exclude.csv', row 1: there is no picture 'path,why' (correct or delete the row): "
            "expected a name as in data/splits.csv, such as 'train/cat/1.png'; a CSV file has a header with name or image_id"
        )
        assert (
            "row 2: no picture has the image_id 000000000000…"
            in Corrected(relabel=f"image_id,label\n{'0' * 64},dog").refusal()
        )

    def test_of_which_a_name_may_mean_several_are_refused(self):
        assert (
            Corrected(exclude="cat/1.png")
            .refusal()
            .startswith(
                "prune.exclude 'exclude.csv', row 1: 'cat/1.png' is 2 pictures of the source, such as 'train/cat/1.png' and "
                "'test/cat/1.png': expected one; write their folders into the column"
            )
        )

    def test_that_have_changed_since_are_refused(self):
        text = f"name,image_id\ntrain/cat/1.png,{id_of('train/cat/2.png')}"
        assert "row 2: 'train/cat/1.png' has the image_id" in Corrected(exclude=text).refusal()
        assert "the picture has changed since" in Corrected(exclude=text).refusal()


class TestRows:
    def test_that_say_the_same_twice_are_counted(self, said):
        text = f"train/cat/1.png\n./train/cat/1.png\n{id_of('train/cat/1.png')}\n"
        assert len(Corrected(exclude=text).run()) == 1
        assert said.messages == [
            "prune.exclude 'exclude.csv': 3 of 3 rows match 1 pictures (left out 1); rows that repeat one before: 2"
        ]
        said.clear()
        assert len(Corrected(relabel="name,label\ntrain/cat/1.png,dog\ntrain/cat/1.png,dog\n").run()) == 1
        assert "rows that repeat one before: 1" in said.text

    @pytest.mark.parametrize(("second", "words"), [("eel", "'eel'"), ("-", "'-'"), ("cat", "'cat'")])
    def test_that_contradict_each_other_are_refused(self, second, words):
        text = f"name,correct_label\ntrain/cat/1.png,dog\ntrain/dog/3.png,eel\ntrain/cat/1.png,{second}\n"
        assert Corrected(relabel=text).refusal() == (
            f"prune.relabel 'relabel.csv', row 4: 'train/cat/1.png' gets {words}, and 'dog' in row 2: expected one label; "
            "correct or delete one of them"
        )

    def test_of_no_correct_label_say_nothing_even_of_pictures_that_are_gone(self, said):
        text = "name,label,correct_label\ntrain/cat/1.png,cat,dog\nold/7.png,cat,\ntrain/cat/2.png,cat,cat\n"
        table = Corrected(relabel=text).run()
        assert table[["name", "new_label", "action", "row"]].to_numpy().tolist() == [
            ["train/cat/1.png", "dog", "relabel", 2],
            ["train/cat/2.png", "cat", "keep", 4],
        ]
        assert said.messages == [
            "prune.relabel 'relabel.csv': 2 of 3 rows match 2 pictures (the same label as before 1, another label 1); "
            "rows with an empty correct_label, which say nothing: 1"
        ]

    def test_none_of_which_says_anything_are_a_warning(self, said):
        assert Corrected(relabel="name,label,correct_label\ntrain/cat/1.png,cat,\n").run().empty
        assert said.records[0].levelname == "WARNING"
        assert "0 of 1 rows match 0 pictures" in said.text

    def test_of_both_files_those_that_leave_out_win(self, said):
        files = {"exclude": "train/cat/1.png\n", "relabel": "name,label\ntrain/cat/1.png,dog\ntrain/cat/2.png,dog\n"}
        assert Corrected(**files).run()[["name", "action"]].to_numpy().tolist() == [
            ["train/cat/1.png", "exclude"],
            ["train/cat/2.png", "relabel"],
        ]
        assert said.messages[-1] == (
            "prune.relabel 'relabel.csv', row 2: 'train/cat/1.png' is left out by 'exclude.csv', and so it is: rows that "
            "change nothing for this reason: 1"
        )


class TestLabels:
    def test_that_do_not_exist_are_refused_with_the_nearest(self):
        assert Corrected(relabel="name,label\ntrain/cat/1.png,dgo\n").refusal() == (
            "prune.relabel 'relabel.csv', row 2: there is no class 'dgo' (write - to leave the picture out): "
            "did you mean dog?"
        )

    def test_may_have_blanks_around_that_no_table_keeps(self):
        images = [RawImage(f"{label}/1.png", label, "", label.encode()) for label in ("cat ", "dog", " eel", " eel  ")]
        save_raw(images, {"source": "folder"})
        for text in ("name,label\ndog/1.png,cat\n", 'name,correct_label\ndog/1.png,"cat "\n'):
            assert Corrected(relabel=text).run()["new_label"].tolist() == ["cat "]
        assert "there is no class 'eel'" in Corrected(relabel="name,label\ndog/1.png,eel\n").refusal()
        merged = Corrected(relabel="name,label\ndog/1.png,cat\n")
        assert merged.run(merge={"pet": ["cat "]})["new_label"].tolist() == ["pet"]

    def test_a_hyphen_leaves_the_picture_out(self):
        corrected = Corrected(relabel="name,correct_label\ntrain/cat/1.png,-\n")
        assert corrected.run()[["action", "new_label"]].to_numpy().tolist() == [["exclude", ""]]
        assert pd.isna(corrected.labels["train/cat/1.png"])

    def test_unless_a_class_is_called_so(self):
        corrected = Corrected(relabel="name,correct_label\ntrain/cat/1.png,-\n")
        assert corrected.run(merge={"-": ["dog"]})["action"].tolist() == ["relabel"]
        assert corrected.labels["train/cat/1.png"] == "-"

    def test_are_those_after_merging_and_those_of_the_source_become_what_it_makes_of_them(self):
        text = "name,label\ntrain/fox/5.png,pet\ntrain/eel/4.png,dog\ntrain/cat/1.png,dog\n"
        corrected = Corrected(relabel=text)
        table = corrected.run(merge={"pet": ["cat", "dog"]})
        assert table[["name", "label", "new_label", "action"]].to_numpy().tolist() == [
            ["train/cat/1.png", "pet", "pet", "keep"],
            ["train/eel/4.png", "eel", "pet", "relabel"],
            ["train/fox/5.png", "fox", "pet", "relabel"],
        ]
        assert {corrected.labels[name] for name in table["name"]} == {"pet"}

    def test_where_two_classes_change_names_those_after_merging_count(self):
        corrected = Corrected(relabel="name,label\ntrain/fox/5.png,cat\n")
        corrected.run(merge={"cat": ["dog"], "dog": ["cat"]})
        assert corrected.labels["train/fox/5.png"] == "cat"

    def test_a_picture_of_a_dropped_class_comes_in_and_one_that_gets_it_goes(self):
        corrected = Corrected(relabel="name,label\ntrain/eel/4.png,cat\ntrain/dog/3.png,eel\n")
        table = corrected.run(drop=("eel",))
        assert table[["name", "label", "new_label", "action"]].to_numpy().tolist() == [
            ["train/dog/3.png", "dog", "eel", "relabel"],
            ["train/eel/4.png", "eel", "cat", "relabel"],
        ]
        assert corrected.labels["train/eel/4.png"] == "cat"
        assert pd.isna(corrected.labels["train/dog/3.png"])

    def test_a_class_that_loses_its_last_picture_is_told(self, said):
        Corrected(exclude="train/eel/4.png\n", relabel="name,label\ntrain/fox/5.png,cat\n").run()
        assert said.messages[-2:] == [
            "class 'eel' is empty: prune.exclude and prune.relabel leave it no picture",
            "class 'fox' is empty: prune.exclude and prune.relabel leave it no picture",
        ]


@pytest.mark.parametrize(
    "name", ["a, b.png", "a;b.png", 'so "called".png', "=1+1.png", "tab\\x09.png", " blank.png", "猫.png"]
)
def test_names_that_tables_have_to_quote_are_found(name):
    save_raw([RawImage(f"cat/{name}", "cat", "", b"1"), RawImage("dog/2.png", "dog", "", b"2")], {"source": "folder"})
    text = pd.DataFrame({"name": [f"cat/{name}"], "label": ["dog"]}).to_csv(index=False)
    assert Corrected(relabel=text).run()["name"].tolist() == [f"cat/{name}"]
