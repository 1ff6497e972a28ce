from typing import ClassVar

import pytest

from pipeline.config.sources import LabelColumns
from pipeline.runtime.errors import PipelineError
from pipeline.sources.class_folders import read_tree
from pipeline.sources.labels import find_labels_file
from pipeline.sources.reading import AS_FOUND, Reading

HAM = LabelColumns(path="image_id", label="dx", split="split", group="lesion_id", time="time")


def read(
    files: list[str], text: str, *, columns: LabelColumns = AS_FOUND.label_columns, labels="labels.csv", **settings
) -> Reading:
    settings = AS_FOUND.model_copy(update={"labels": labels, "label_columns": columns, **settings})
    return read_tree([*files, labels], "folder 'x'", settings, read_file=lambda path: {labels: text.encode()}[path])


def labels_of(*args, **options) -> dict[str, str]:
    return {file.path: file.label for file in read(*args, **options)}


def refusal(*args, **options) -> str:
    with pytest.raises(PipelineError) as caught:
        read(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


FILES = ["images/a.jpg", "images/b.jpg", "more/c.PNG"]
LABELS = {"images/a.jpg": "cat", "images/b.jpg": "dog", "more/c.PNG": "cat"}


@pytest.mark.parametrize(
    "paths",
    [
        ("images/a.jpg", "images/b.jpg", "more/c.PNG"),
        ("images\\a.jpg", "images\\b.jpg", "more\\c.PNG"),
        ("./images/a.jpg", "/images/b.jpg", "more//c.PNG"),
        ("a.jpg", "b.jpg", "c.PNG"),
        ("a", "b", "c"),
        ("images/a", "images/b", "more/c"),
        ("/kaggle/input/set/images/a.jpg", "C:\\set\\images\\b.jpg", "/home/me/more/c"),
    ],
)
def test_a_row_means_the_file_of_its_path(paths):
    rows = "".join(f"{path},{label}\n" for path, label in zip(paths, LABELS.values(), strict=True))
    assert labels_of(FILES, f"path,label\n{rows}") == LABELS


def test_paths_may_start_at_the_root_that_is_set():
    files = ["set/images/a.jpg", "set/a.jpg", "old/images/a.jpg"]
    assert labels_of(files, "path,label\nimages/a.jpg,cat\n", root="set", labels="set/labels.csv") == {
        "set/images/a.jpg": "cat"
    }


def test_another_folder_is_another_file():
    reading = read(["a/1.jpg", "b/2.jpg"], "path,label\na/1.jpg,cat\na/2.jpg,dog\n")
    assert reading.classes == {"cat": 1}
    assert any("1 rows of labels.csv have no file, such as row 3: 'a/2.jpg'" in line for line in reading.warnings)


def test_another_extension_is_another_file():
    assert "none of its 1 rows" in refusal(["1.png"], "path,label\n1.jpg,cat\n")


def test_a_name_in_two_folders_is_asked_for():
    line = refusal(["a/1.jpg", "b/1.jpg"], "path,label\n1,cat\n")
    assert "row 2: '1' is 2 pictures" in line
    assert "'a/1.jpg' and 'b/1.jpg'" in line


def test_names_with_dots_and_of_two_unicode_forms():
    files = ["v1.2/K\u00e4fer.1.jpg", "v1.2/IMG.2020.jpg"]
    text = "path,label\nKa\u0308fer.1,bug\nIMG.2020,sea\n"
    assert labels_of(files, text) == {files[0]: "bug", files[1]: "sea"}


def test_ham10000():
    files = [f"HAM10000_images_part_{1 + i % 2}/ISIC_{i:04d}.jpg" for i in range(6)]
    rows = "".join(f"L{i // 2},ISIC_{i:04d},{'nv' if i < 4 else 'mel'}\n" for i in range(6))
    reading = read(files, f"lesion_id,image_id,dx\n{rows}", columns=HAM)
    assert reading.classes == {"mel": 2, "nv": 4}
    assert {file.path: file.group for file in reading} == {path: f"L{i // 2}" for i, path in enumerate(files)}
    assert {file.time for file in reading} == {""}
    assert reading.notes == ("labels.csv: 6 of 6 rows have a file, and 6 of 6 pictures a row",)


def test_times_are_kept_as_they_are_written():
    reading = read(FILES[:1], f"path,label,time\n{FILES[0]},cat,2024:05:31 18:02:11\n")
    assert [file.time for file in reading] == ["2024:05:31 18:02:11"]


def test_splits_are_read_by_words_and_by_the_map():
    rows = "path,label,split\na,cat,Train\nb,dog,held out\nc,cat,validation\n"
    reading = read(FILES, rows, splits={"held out": "test"})
    assert {file.path[-5]: file.source_split for file in reading} == {"a": "train", "b": "test", "c": "val"}


def test_an_unknown_split_is_refused_with_its_row():
    line = refusal(FILES, "path,label,split\na,cat,train\nb,dog,2\n")
    assert "row 3: split '2' is unknown" in line
    assert "data.splits" in line


def test_rows_and_pictures_that_are_left_over_are_counted_and_named():
    reading = read(FILES, "path,label\na,cat\nb,\nz.jpg,dog\na.jpg,cat\n")
    assert reading.notes == ("labels.csv: 3 of 4 rows have a file, and 1 of 3 pictures a row",)
    assert [line.removeprefix("folder 'x': ") for line in reading.warnings] == [
        "1 rows of labels.csv have no file, such as row 4: 'z.jpg'",
        "1 rows of labels.csv repeat one before, such as row 5: 'a.jpg'",
        "1 rows of labels.csv have no label, such as row 3: 'b'",
        "1 pictures have no row in labels.csv, such as 'more/c.PNG': they are left out",
    ]
    assert len(reading.files) + sum(count for _, count, _ in reading.left_out) == len(FILES) + 1


@pytest.mark.parametrize(
    ("header", "first", "second"),
    [
        ("label", "cat", "dog"),
        ("label,split", "cat,train", "cat,test"),
        ("label,group", "cat,p1", "cat,p2"),
        ("label,time", "cat,1", "cat,2"),
    ],
)
def test_rows_that_contradict_each_other_are_refused_with_their_numbers(header, first, second):
    line = refusal(FILES, f"path,{header}\na,{first}\nb,{first}\nimages/a.jpg,{second}\n")
    assert "row 4" in line
    assert "in row 2" in line


def test_no_match_at_all_shows_both_sides():
    line = refusal(FILES, "path,label\nx1,cat\nx2,dog\n")
    assert "row 2 has 'x1'" in line
    assert "'images/a.jpg'" in line


def test_no_label_at_all_is_refused():
    assert "row 2: no row has a label" in refusal(FILES, "path,label\na,\nb,\n")


def test_classes_that_look_alike_are_refused_unless_they_are_said_to_be_two():
    text = "path,label\na,cat\nb,Cat\n"
    assert "'Cat' and 'cat'" in refusal(FILES, text)
    assert read(FILES, text, layout="flat").classes == {"Cat": 1, "cat": 1}


def test_classes_have_one_unicode_form():
    assert read(FILES, "path,label\na,K\u00e4fer\nb,Ka\u0308fer\n").classes == {"K\u00e4fer": 2}


def test_folders_that_are_ignored_hold_no_pictures():
    reading = read(["images/a.jpg", "thumbs/a.jpg"], "path,label\na,cat\n", splits={"thumbs": "ignore"})
    assert [file.path for file in reading] == ["images/a.jpg"]


def test_a_file_on_this_machine_labels_a_source_without_one(tmp_path):
    (tmp_path / "labels.csv").write_text("path,label\na,cat\n")
    settings = AS_FOUND.model_copy(update={"labels": str(tmp_path / "labels.csv")})
    assert read_tree(FILES, "x", settings).classes == {"cat": 1}


def test_a_file_that_is_nowhere_is_refused_with_those_of_the_source():
    with pytest.raises(PipelineError, match=r"'nothing.csv' is neither .* the source has about.csv"):
        read_tree([*FILES, "about.csv"], "folder 'x'", AS_FOUND.model_copy(update={"labels": "nothing.csv"}))


def test_what_to_watch_is_in_the_source_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "source"
    source.mkdir()
    assert find_labels_file("labels.csv", source) is None
    (tmp_path / "labels.csv").touch()
    assert find_labels_file("labels.csv", source) == tmp_path / "labels.csv"
    (source / "labels.csv").touch()
    assert find_labels_file("labels.csv", source) == source / "labels.csv"
    assert find_labels_file(None, source) is None


def test_a_split_may_be_ignored():
    reading = read(FILES, "path,label,split\na,cat,train\nb,dog,train\nc,cat,junk\n", splits={"junk": "ignore"})
    assert reading.classes == {"cat": 1, "dog": 1}
    assert ("data.splits says ignore", 1, "more/c.PNG") in reading.left_out


def test_the_table_may_lie_outside_the_root():
    files = ["train/a.jpg", "test/a.jpg"]
    assert (
        "or set data.root, or leave the others out (data.splits={test: ignore} or data.splits={train: ignore})"
        in refusal(files, "path,label\na.jpg,cat\n")
    )
    assert labels_of(files, "path,label\na.jpg,cat\n", root="train") == {"train/a.jpg": "cat"}
    assert labels_of(files, "path,label\na.jpg,cat\n", splits={"test": "ignore"}) == {"train/a.jpg": "cat"}


def test_labels_that_differ_only_in_what_can_not_be_seen_stay_apart_and_are_one_line_each():
    table = 'path,label\na.png,"x\x1b"\nb.png,x\\x1b\nc.png,"y\nz"\n'
    reading = read(["a.png", "b.png", "c.png"], table)
    names = list(reading.classes)
    assert len(names) == 3
    assert all(name.isprintable() for name in names)
    assert r"x\x1b" in names
    assert any("class names with characters that can't be seen or stored: 2" in line for line in reading.warnings)


class TestSeveralTables:
    """A table for each split, as Roboflow and Hugging Face's ImageFolder have them, by a pattern."""

    TABLES: ClassVar = {
        "train/metadata.csv": "path,label\n1.jpg,cat\n2.jpg,dog\n",
        "valid/metadata.csv": "path,label\n1.jpg,dog\n",
        "test/metadata.csv": "path,label\n1.jpg,cat\nx/1.jpg,dog\n",
    }
    FILES = ("train/1.jpg", "train/2.jpg", "valid/1.jpg", "test/1.jpg", "test/x/1.jpg")

    @staticmethod
    def read(tables, files, labels="*/metadata.csv", **settings) -> Reading:
        settings = AS_FOUND.model_copy(update={"labels": labels, **settings})
        return read_tree([*files, *tables], "folder 'x'", settings, read_file=lambda path: tables[path].encode())

    @pytest.mark.parametrize("wrapper", ["", "my/set/"])
    def test_paths_are_from_the_folder_of_each_and_its_name_is_the_split(self, wrapper):
        tables = {f"{wrapper}{path}": text for path, text in self.TABLES.items()}
        reading = self.read(tables, [f"{wrapper}{path}" for path in self.FILES])
        assert {file.path.removeprefix(wrapper): (file.source_split, file.label) for file in reading} == {
            "train/1.jpg": ("train", "cat"),
            "train/2.jpg": ("train", "dog"),
            "valid/1.jpg": ("val", "dog"),
            "test/1.jpg": ("test", "cat"),
            "test/x/1.jpg": ("test", "dog"),
        }
        assert "metadata.csv: 5 of 5 rows have a file, and 5 of 5 pictures a row" in reading.notes

    def test_metadata_of_hugging_face_is_proposed_and_read(self):
        tables = {path.replace(".csv", ".jsonl"): '{"path": "1.jpg", "label": "cat"}\n' for path in self.TABLES}
        files = ["train/1.jpg", "valid/1.jpg", "test/1.jpg"]
        with pytest.raises(PipelineError, match=r"set data.labels='\*/metadata.jsonl'"):
            self.read(tables, files, None)
        assert {file.source_split for file in self.read(tables, files, "*/metadata.jsonl")} == {"train", "val", "test"}

    def test_the_name_of_a_table_may_be_that_of_the_split_and_paths_may_be_from_the_root(self):
        tables = {"lists/train.csv": "path,label\nimages/a.jpg,cat\n", "lists/Test_set.csv": "path,label\nb.jpg,dog\n"}
        reading = self.read(tables, ["deep/images/a.jpg", "deep/images/b.jpg"], "lists/*.csv")
        assert {file.path: file.source_split for file in reading} == {
            "deep/images/a.jpg": "train",
            "deep/images/b.jpg": "test",
        }

    @pytest.mark.parametrize("folder", ["train_data", "trainval", "dev", "my/training"])
    def test_the_name_of_a_table_says_more_than_that_of_its_folder(self, folder):
        text = {"train": "a.jpg,cat\n", "val": "b.jpg,dog\n", "all_test": "c.jpg,cat\n", "rest": "d.jpg,cat\n"}
        tables = {f"{folder}/{name}.csv": f"path,label\n{row}" for name, row in text.items()}
        reading = self.read(tables, [f"{folder}/images/{name}.jpg" for name in "abcd"], f"{folder}/*.csv")
        own = "val" if folder == "dev" else "train"
        assert [file.source_split for file in reading] == ["train", "val", "test", own]

    @pytest.mark.parametrize(
        ("splits", "expected"),
        [({"data": "test"}, "test"), ({"train": "val"}, "val"), ({"data": "test", "train": "val"}, "val")],
    )
    def test_what_a_person_says_of_either_comes_before_words(self, splits, expected):
        reading = self.read({"data/train.csv": "path,label\n1.jpg,cat\n"}, ["data/1.jpg"], "data/*.csv", splits=splits)
        assert [file.source_split for file in reading] == [expected]

    def test_other_names_of_splits(self):
        tables = {f"{name}/l.csv": "path,label\n1.jpg,cat\n" for name in ("a", "b")}
        files = ["a/1.jpg", "b/1.jpg"]
        assert {file.source_split for file in self.read(tables, files, "*/l.csv")} == {""}
        splits = {"a": "train", "b": "test"}
        assert {file.source_split for file in self.read(tables, files, "*/l.csv", splits=splits)} == {"train", "test"}

    def test_a_column_of_splits_comes_first(self):
        tables = {"train/l.csv": "path,label,split\n1.jpg,cat,test\n2.jpg,dog,\n"}
        reading = self.read(tables, self.FILES, "*/l.csv")
        assert [file.source_split for file in reading] == ["test", "train"]

    def test_what_is_wrong_names_the_table(self):
        tables = self.TABLES | {"valid/metadata.csv": "file,label\n1.jpg,dog\n"}
        with pytest.raises(PipelineError, match=r"^data.labels 'valid/metadata.csv' has no column 'path'"):
            self.read(tables, self.FILES)
        tables = self.TABLES | {"a.csv": "path,label\ntrain/1.jpg,dog\n"}
        with pytest.raises(PipelineError, match=r"row 2: .*'1.jpg' has label 'cat', and 'dog' in row 2"):
            self.read(tables, self.FILES, "*.csv")

    def test_a_row_without_a_file_means_no_picture_beside_another_table(self):
        """Of the same numbering in each split, one picture was deleted."""
        row = "path,label\n1.jpg,dog\n2.jpg,cat\n"
        tables = {f"{split}/metadata.csv": row for split in ("train", "valid", "test")}
        files = [f"{split}/{number}.jpg" for split in ("train", "valid", "test") for number in (1, 2)]
        for gone in ("test/1.jpg", "train/2.jpg"):
            reading = self.read(tables, [path for path in files if path != gone])
            found = {file.path: (file.source_split, file.label) for file in reading}
            assert found == {
                path: ({"valid": "val"}.get(path[:-6], path[:-6]), "dog" if "1" in path else "cat")
                for path in files
                if path != gone
            }
            assert "metadata.csv: 5 of 6 rows have a file, and 5 of 5 pictures a row" in reading.notes

    @pytest.mark.parametrize("row", ["1.jpg", "1", "images/1.jpg", "/1.jpg", "../1.jpg", "https://host/1.jpg"])
    def test_nor_if_the_other_lacks_the_row(self, row):
        tables = {"a/l.csv": f"path,label\n{row},dog\n", "b/l.csv": "path,label\n2.jpg,cat\n"}
        assert self.read(tables, ["b/images/1.jpg", "b/2.jpg"], "*/l.csv").classes == {"cat": 1}

    @pytest.mark.parametrize("row", ["b/1.jpg", "set/b/1", "/data/set/b/1.jpg", "../b/1.jpg"])
    def test_unless_it_names_the_folder(self, row):
        tables = {"a/l.csv": f"path,label\n{row},dog\n", "b/l.csv": "path,label\n2.jpg,cat\n"}
        assert self.read(tables, ["b/1.jpg", "b/2.jpg"], "*/l.csv").classes == {"cat": 1, "dog": 1}

    def test_a_table_above_others_is_of_their_folders_too(self):
        tables = {"l.csv": "path,label\n1.jpg,dog\n", "b/l.csv": "path,label\n2.jpg,cat\n"}
        assert self.read(tables, ["b/1.jpg", "b/2.jpg"], "*.csv").classes == {"cat": 1, "dog": 1}

    def test_a_file_of_such_a_name_is_that_file(self):
        tables = {"l[1].csv": "path,label\ntrain/1.jpg,cat\n", "l1.csv": "path,label\ntrain/1.jpg,dog\n"}
        assert self.read(tables, self.FILES, "l[1].csv").classes == {"cat": 1}

    def test_no_table_of_the_pattern(self):
        with pytest.raises(PipelineError, match=r"data.labels '\*/labels.csv' is neither in folder 'x' nor a file"):
            self.read(self.TABLES, self.FILES, "*/labels.csv")

    def test_several_of_one_name_are_advised(self):
        with pytest.raises(
            PipelineError, match=r"expected one; name its folders too, or all of them, as '\*/metadata.csv'"
        ):
            self.read(self.TABLES, self.FILES, "metadata.csv")
        with pytest.raises(PipelineError, match=r"set data.labels='\*/metadata.csv'"):
            self.read(self.TABLES, [path for path in self.FILES if "x" not in path], None)


@pytest.mark.parametrize("spellings", [("0", "0.0"), ("1.00", "1")])
def test_a_number_that_is_written_in_two_ways_is_asked_for(spellings):
    rows = "".join(f"{path},{label}\n" for path, label in zip(("a", "b", "c"), (*spellings, "7"), strict=True))
    assert "look alike: expected one spelling" in refusal(FILES, f"path,label\n{rows}")
    assert len(set(labels_of(FILES, f"path,label\n{rows}", layout="flat").values())) == 3


def test_of_a_name_in_two_folders_the_one_that_the_table_is_named_after_is_kept():
    files = ["set_test/a.jpg", "set_train/a.jpg", "set_test/b.jpg"]
    with pytest.raises(PipelineError, match=r"leave the others out \(data.splits=\{set_train: ignore\}\)"):
        read(files, "path,label\na.jpg,cat\n", labels="my_test.csv")


def test_names_without_extension_need_no_header_either():
    assert labels_of(["x/000.jpg", "x/001.jpg"], "000,cat\n001,dog\n") == {"x/000.jpg": "cat", "x/001.jpg": "dog"}


class TestSplitsInBits:
    """Columns such as is_valid of fastai's tables."""

    @pytest.mark.parametrize(
        ("title", "one", "zero"),
        [("is_valid", "val", "train"), ("is_train", "train", "test"), ("Test", "test", "train")],
    )
    @pytest.mark.parametrize("words", [("1", "0"), ("True", "False")])
    def test_they_are_read(self, title, one, zero, words):
        rows = f"path,label,{title}\na,cat,{words[0]}\nb,dog,{words[1]}\nc,cat,{words[0]}\n"
        reading = read(FILES, rows, columns=AS_FOUND.label_columns.model_copy(update={"split": title}))
        assert {file.path[-5]: file.source_split for file in reading} == {"a": one, "b": zero, "c": one}

    def test_one_that_is_not_read_is_said(self):
        reading = read(FILES, "path,label,is_valid\na,cat,1\nb,dog,0\nc,cat,0\n")
        assert "column is_valid of labels.csv names splits and is not read: data.label_columns.split=is_valid" in str(
            reading.warnings
        )

    @pytest.mark.parametrize(
        "rows", ["path,train,bus\na,1,0\nb,0,1\nc,1,0\n", "path,label,is_valid\na,cat,0\nb,dog,0\n"]
    )
    def test_classes_and_columns_that_say_nothing_are_not(self, rows):
        assert "names splits" not in str(read(FILES, rows).warnings)


class TestSeveralLabels:
    @pytest.mark.parametrize("cell", ["cat|dog", "cat; dog", "cat dog", "dog/cat"])
    def test_a_cell_with_two_is_noticed(self, cell):
        reading = read([*FILES, "x/d.jpg"], f"path,label\na,cat\nb,dog\nc,{cell}\nd,cat\n")
        assert f"1 rows of labels.csv have a label that seems to be several, such as {cell!r}" in str(reading.warnings)

    @pytest.mark.parametrize("labels", [("black bear", "bear"), ("a|b", "c|d"), ("cat", "dog")])
    def test_names_of_several_words_are_not(self, labels):
        reading = read(FILES, f"path,label\na,{labels[0]}\nb,{labels[1]}\nc,{labels[0]}\n")
        assert "several" not in str(reading.warnings)


def test_a_row_without_a_label_is_no_missing_row():
    reading = read(FILES, "path,label\na,cat\nb,\nc,dog\n")
    assert [reason for reason, *_ in reading.left_out if "row" in reason or "label in" in reason] == [
        "no label in data.labels"
    ]


class TestRowsFromElsewhere:
    """Paths of another machine, or of the program that the labels come from."""

    PATHS: ClassVar = [
        "/data/upload/1/{}",
        "C:\\Users\\Ann\\pictures\\{}",
        "../input/my-set/train/{}",
        "https://host/1/{}",
    ]

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("names", [("a.jpg", "b.jpg", "c.PNG"), ("a", "b", "c"), ("A.JPG", "b.jpg", "c.png")])
    def test_they_mean_the_files_of_their_names_which_is_said(self, path, names):
        rows = [f"{path.format(name)},{label}\n" for name, label in zip(names, LABELS.values(), strict=True)]
        reading = read(FILES, "path,label\n" + "".join(rows))
        assert {file.path: file.label for file in reading} == LABELS
        (line,) = [line for line in reading.warnings if "folders" in line]
        assert "the folders of labels.csv are not those of the source, such as in" in line
        assert "3 rows are matched by the names of their files alone" in line

    @pytest.mark.parametrize("path", PATHS)
    def test_not_where_a_name_is_in_two_folders(self, path):
        line = refusal(["x/a.jpg", "y/a.jpg"], f"path,label\n{path.format('a.jpg')},cat\n")
        assert "the source 'x/a.jpg' and 'y/a.jpg': the folders differ; write those of the source" in line
        assert "or set data.root to the one that is meant" in line

    @pytest.mark.parametrize("path", PATHS)
    def test_nor_where_two_rows_have_it(self, path):
        rows = "".join(f"{path.format(folder)}/{name}.jpg,cat\n" for folder in ("x", "y") for name in ("a", "b"))
        assert "the folders differ" in refusal(FILES, f"path,label\n{rows}")

    @pytest.mark.parametrize("path", PATHS)
    def test_nor_where_folders_of_other_rows_fit(self, path):
        rows = f"{path.format('images/a.jpg')},cat\n{path.format('new/b.jpg')},dog\n"
        assert labels_of(FILES, f"path,label\n{rows}") == {"images/a.jpg": "cat"}

    def test_folders_of_this_source_that_differ_are_named_as_the_difference(self):
        line = refusal(FILES, "path,label\nold/a.jpg,cat\n")
        assert "row 2 has 'old/a.jpg', the source 'images/a.jpg': the folders differ" in line
        assert line.endswith("write those of the source into the column, or leave folders off")

    def test_extensions_that_differ_are_too(self):
        assert "the source 'images/a.jpg'; correct the extension" in refusal(FILES, "path,label\nimages/a.png,cat\n")


def test_half_an_emoji_in_json_is_part_of_a_class_and_of_a_group():
    lines = '{"path": "a", "label": "cat \\ud83d", "group": "\\ud83d"}\n{"path": "b", "label": "dog", "group": "p2"}\n'
    reading = read(FILES, lines, labels="labels.jsonl")
    assert reading.classes == {"cat \\ud83d": 1, "dog": 1}
    assert {file.group for file in reading} == {"\\ud83d", "p2"}
