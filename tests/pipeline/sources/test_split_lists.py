"""Lists of the pictures of each split, as Food-101, Speech Commands and Oxford's Pets have them."""

import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.class_folders import read_tree
from pipeline.sources.reading import AS_FOUND, Reading

FILES = [f"images/{label}/{number}.jpg" for label in ("baklava", "pie") for number in range(4)]
TRAIN = ["baklava/0", "baklava/1", "pie/0", "pie/1"]
TEST = ["baklava/2", "baklava/3", "pie/2", "pie/3"]
LISTS = {"meta/train.txt": "\n".join(TRAIN), "meta/test.txt": "\n".join(TEST)}
BOTH = {"meta/train.txt": "train", "meta/test.txt": "test"}


def read(lists: dict[str, str], splits: dict[str, str] | None = None, files: list[str] = FILES, **settings) -> Reading:
    settings = AS_FOUND.model_copy(update={"splits": splits or {}, **settings})
    return read_tree([*files, *lists], "folder 'x'", settings, read_file=lambda path: lists[path].encode())


def splits_of(*args, **options) -> dict[str, str]:
    return {file.path: file.source_split for file in read(*args, **options) if not file.reason}


def refusal(*args, **options) -> str:
    with pytest.raises(PipelineError) as caught:
        read(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


EXPECTED = {f"images/{name}.jpg": "train" for name in TRAIN} | {f"images/{name}.jpg": "test" for name in TEST}


class TestLines:
    @pytest.mark.parametrize(
        "write",
        ["{}", "{}.jpg", "images/{}.jpg", "./images/{}.jpg", "x/images/{}.jpg", "{} 7", "{}.jpg,7", "{}\t3\t1", '"{}"'],
    )
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
    def test_they_name_pictures_by_paths_and_may_say_more(self, write, end):
        lists = {name: end.join(write.format(line) for line in text.split()) for name, text in LISTS.items()}
        assert splits_of(lists, BOTH) == EXPECTED

    def test_backslashes_and_blanks_in_names(self):
        files = [f"Apple Braeburn/{i} 100.jpg" for i in range(2)] + [f"Kiwi/{i}.jpg" for i in range(2)]
        lists = {
            "train.txt": "Apple Braeburn\\0 100.jpg\nKiwi/0.jpg",
            "test.txt": "Apple Braeburn/1 100.jpg 5\nKiwi/1.jpg 6",
        }
        lists["test.txt"] = lists["test.txt"].replace(" 100.jpg 5", " 100")
        assert splits_of(lists, {"train.txt": "train", "test.txt": "test"}, files) == {
            files[0]: "train",
            files[1]: "test",
            files[2]: "train",
            files[3]: "test",
        }

    @pytest.mark.parametrize("ending", ["", ".jpg"])
    @pytest.mark.parametrize("write", ["{} {}", "{},{}", "{}\t{} 1", "./{}; {}", '"{}" {}'])
    def test_paths_with_blanks_and_commas_may_have_a_class_behind_them(self, write, ending):
        files = [f"images/{label}/{i}.jpg" for label in ("Golden Retriever", "pug", "a, b c") for i in range(2)]
        lists = {
            f"{split}.txt": "\n".join(
                write.format(path.removeprefix("images/").removesuffix(".jpg") + ending, 7) for path in files[i::2]
            )
            for i, split in enumerate(("train", "test"))
        }
        reading = read(lists, {"train.txt": "train", "test.txt": "test"}, files)
        assert {file.path: file.source_split for file in reading if not file.reason} == {
            path: "test" if "1" in path else "train" for path in files
        }
        assert reading.warnings == ()
        assert "data.splits={test.txt: test, train.txt: train}" in str(read(lists, None, files).notes)

    def test_the_beginning_of_the_name_of_one_that_is_not_there_is_no_other_one(self):
        lists = {"test.txt": "my cat/1.jpg 0\nmy cat/2 b.jpg 0\nmy cat/2 c.jpg"}
        found = splits_of(lists, {"test.txt": "test"}, ["my cat/1.jpg", "my cat/2.jpg"])
        assert found == {"my cat/1.jpg": "test", "my cat/2.jpg": ""}

    def test_a_path_with_an_extension_counts_more_than_a_word_that_names_a_picture(self):
        found = splits_of(
            {"test.txt": "my cat/1.jpg 0\nthe dog"}, {"test.txt": "test"}, ["x/my.jpg", "my cat/1.jpg", "y/the.jpg"]
        )
        assert found == {"x/my.jpg": "", "my cat/1.jpg": "test", "y/the.jpg": "test"}

    def test_a_path_may_be_the_last_field(self):
        """Stanford Online Products: the numbers before it name no pictures, though some have such names."""
        lists = {
            name: "image_id class_id path\n" + "".join(f"{i} 2 {line}.jpg\n" for i, line in enumerate(text.split()))
            for name, text in LISTS.items()
        }
        reading = read(lists, BOTH)
        assert {file.path: file.source_split for file in reading if not file.reason} == EXPECTED
        assert "1 of 5 lines of meta/train.txt have no picture, such as line 1: 'image_id class_id path'" in str(
            reading.warnings
        )
        (note,) = [note for note in read(lists).notes if "data.splits" in note]
        assert "data.splits={meta/test.txt: test, meta/train.txt: train}" in note

    def test_what_stands_behind_a_picture_that_is_not_there_is_no_other_one(self):
        lists = {"test.txt": "Kiwi/a.jpg\nKiwi/b c.jpg\npie/7 c.jpg\npie/8 d"}
        files = ["Kiwi/a.jpg", "Kiwi/b c.jpg", "pie/c.jpg", "pie/d.jpg"]
        found = splits_of(lists, {"test.txt": "test"}, files)
        assert [path for path, split in found.items() if split] == ["Kiwi/a.jpg", "Kiwi/b c.jpg"]

    def test_lists_are_found_by_the_end_of_their_paths_and_outside_data_root(self):
        lists = {f"deep/{name}": text for name, text in LISTS.items()}
        files = [f"deep/{path}" for path in FILES]
        found = splits_of(lists, {"train.txt": "train", "test.txt": "test"}, files, root="deep/images")
        assert found == {f"deep/{path}": split for path, split in EXPECTED.items()}

    def test_names_of_classes_in_names_of_files(self):
        files = [f"images/{name.replace('/', '_')}.jpg" for name in [*TRAIN, *TEST]]
        lists = {name: text.replace("/", "_") for name, text in LISTS.items()}
        reading = read(lists, BOTH, files, classes="file")
        assert reading.classes == {"baklava": 4, "pie": 4}
        assert reading.splits == {"train": 4, "test": 4}


class TestRest:
    def test_where_only_test_and_val_are_listed_the_others_are_to_train_on(self):
        found = splits_of({"testing_list.txt": "pie/0\nbaklava/0"}, {"testing_list.txt": "test"})
        assert {path: split for path, split in found.items() if split} == {
            "images/pie/0.jpg": "test",
            "images/baklava/0.jpg": "test",
        }
        assert len(found) == 8

    def test_where_train_is_listed_they_are_left_out_with_a_warning(self):
        reading = read(LISTS | {"meta/train.txt": "pie/0\nbaklava/0"}, BOTH)
        assert reading.splits == {"train": 2, "test": 4}
        assert ("in no list of data.splits", 2, "images/baklava/1.jpg") in reading.left_out
        assert "2 pictures are in no list of data.splits, such as 'images/baklava/1.jpg'" in reading.warnings[0]

    def test_what_a_list_ignores_is_left_out(self):
        reading = read({"bad.txt": "pie/3"}, {"bad.txt": "ignore"})
        assert reading.classes == {"baklava": 4, "pie": 3}
        assert ("data.splits says ignore", 1, "images/pie/3.jpg") in reading.left_out

    def test_how_many_each_list_names_is_said(self):
        reading = read(LISTS | {"meta/test.txt": LISTS["meta/test.txt"] + "\npie/99"}, BOTH)
        assert "meta/test.txt: 4 pictures are test" in reading.notes
        assert "1 of 5 lines of meta/test.txt have no picture, such as line 5: 'pie/99'" in reading.warnings[0]


class TestRefusals:
    def test_a_list_that_is_not_there_names_those_that_are(self):
        line = refusal(LISTS, {"trian.txt": "train"})
        assert "folder 'x' has no file 'trian.txt'" in line
        assert "the source has meta/test.txt, meta/train.txt" in line

    def test_two_of_one_name_need_their_folders(self):
        assert "has 2 files 'l.txt'" in refusal({"a/l.txt": "pie/0", "b/l.txt": "pie/1"}, {"l.txt": "test"})

    def test_a_list_of_something_else(self):
        line = refusal({"classes.txt": "cat\ndog"}, {"classes.txt": "train"})
        assert "none of the 2 lines of 'classes.txt' is a picture of folder 'x'" in line
        assert "line 1 has 'cat', the source 'images/baklava/0.jpg'" in line
        assert "none of the 0 lines" in refusal({"classes.txt": "\n"}, {"classes.txt": "train"})

    def test_a_picture_in_two_splits(self):
        line = refusal(LISTS | {"meta/test.txt": "pie/0"}, BOTH)
        assert line.startswith(
            "data.splits: 'images/pie/0.jpg' is train by 'meta/train.txt' and test by 'meta/test.txt'"
        )

    def test_a_line_that_means_several_pictures(self):
        assert "'0' is 2 pictures of folder 'x'" in refusal({"test.txt": "0\n1"}, {"test.txt": "test"})

    def test_beside_a_table_of_labels(self):
        assert "names the list 'l.txt' beside data.labels" in refusal({"l.txt": "x"}, {"l.txt": "test"}, labels="l.csv")


class TestProposal:
    def test_lists_that_nobody_has_named_are_noted(self):
        (note,) = [note for note in read(LISTS).notes if "data.splits" in note]
        assert note.startswith("meta/test.txt, meta/train.txt list pictures and are not read")
        assert "data.splits={meta/test.txt: test, meta/train.txt: train}" in note

    @pytest.mark.parametrize(
        "lists",
        [
            {"train.txt": "pie/0\npie/1"},
            {"train.txt": "read me", "test.txt": "and me"},
            {"train.txt": "", "test.txt": ""},
            {"train.txt": "0\n1", "test.txt": "2\n3"},
            {"train_1.txt": "pie/0", "train_2.txt": "pie/1", "test_3.txt": "pie/2", "test_4.txt": "pie/3"},
            {"classes.txt": "pie\nbaklava", "labels.txt": "pie"},
        ],
        ids=[
            "one only",
            "of something else",
            "empty",
            "of no one picture",
            "several of each, not together",
            "of no split",
        ],
    )
    def test_others_are_not(self, lists):
        assert not [note for note in read(lists).notes if "data.splits" in note]

    @pytest.mark.parametrize(
        ("names", "first"),
        [
            (
                [f"labels/{split}{number}.txt" for split in ("train", "val", "test") for number in (1, 2, 10)],
                "labels/test1.txt: test, labels/train1.txt: train, labels/val1.txt: val",
            ),
            (
                ["Training_01.txt", "Testing_01.txt", "Training_02.txt", "Testing_02.txt"],
                "Testing_01.txt: test, Training_01.txt: train",
            ),
            (
                ["real_train.txt", "real_test.txt", "clipart_train.txt", "clipart_test.txt"],
                "clipart_test.txt: test, clipart_train.txt: train",
            ),
        ],
        ids=["DTD", "SUN397", "DomainNet"],
    )
    def test_of_several_partitions_the_first_is_an_example(self, names, first):
        (note,) = [note for note in read(dict.fromkeys(names, "pie/0\nbaklava/1")).notes if "data.splits" in note]
        assert f"list the pictures of {len(names) // first.count(':')} partitions and are not read" in note
        assert (
            f"data.splits={{{first}}} takes the splits of the first; pictures in none of these lists are left" in note
        )

    def test_a_list_of_train_and_val_together_counts_only_without_each(self):
        lists = dict.fromkeys(["train.txt", "val.txt", "trainval.txt", "test.txt"], "pie/0\nbaklava/1")
        (note,) = [note for note in read(lists).notes if "data.splits" in note]
        assert note.startswith("test.txt, train.txt, val.txt list pictures and are not read")
        (note,) = [note for note in read({"trainval.txt": "pie/0", "test.txt": "pie/1"}).notes if "data.splits" in note]
        assert "trainval.txt: train" in note

    @pytest.mark.parametrize("number", [0, 200])
    @pytest.mark.parametrize("word", ["", "dataset_split_", "10_"])
    def test_of_very_many_those_of_the_fewest_numbers_are_read(self, number, word):
        """YOLO's files of boxes, one beside each picture: in a tar each that is read is a pass over the whole archive."""
        boxes = {f"a/{split}_{i:05d}_{i}.txt": "0 0.5 0.5" for split in ("train", "test") for i in range(number)}
        lists = {f"z/{word}train.txt": "pie/0\nbaklava/0", f"z/{word}test.txt": "pie/1\nbaklava/1"}
        opened = []

        def read_file(path: str) -> bytes:
            opened.append(path)
            return (boxes | lists)[path].encode()

        reading = read_tree([*FILES, *boxes, *lists], "folder 'x'", AS_FOUND, read_file=read_file)
        (note,) = [note for note in reading.notes if "data.splits" in note]
        assert f"data.splits={{z/{word}test.txt: test, z/{word}train.txt: train}}" in note
        assert len(opened) < 100

    def test_of_many_partitions_the_first_is_whole(self):
        names = [f"{split}{number}.txt" for number in range(1, 41) for split in ("train", "val", "test")]
        (note,) = [note for note in read(dict.fromkeys(names, "pie/0\nbaklava/1")).notes if "data.splits" in note]
        assert "data.splits={test1.txt: test, train1.txt: train, val1.txt: val} takes the splits of the first" in note

    def test_nor_where_there_are_splits(self):
        files = [f"{split}/{name}.jpg" for split, names in (("train", TRAIN), ("test", TEST)) for name in names]
        assert not [note for note in read(LISTS, None, files).notes if "data.splits" in note]
