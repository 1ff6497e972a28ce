import pytest

from pipeline.sources.proposals import Tables, find_tables, is_list, list_tables, suggest_tables


class TestListTables:
    def test_names_that_say_labels_come_before_others_and_those_of_test_sets_last(self):
        assert list_tables(["test.csv", "extra.csv", "labels.csv", "a/train.csv"]) == [
            *("labels.csv", "a/train.csv", "extra.csv", "test.csv"),
        ]

    def test_json_and_lists_come_after_csv(self):
        assert list_tables(["train.txt", "train.json", "extra.csv"]) == ["extra.csv", "train.json", "train.txt"]

    @pytest.mark.parametrize(
        "name", ["dataset.json", "package.json", "labels.txt", "readme.txt", "LICENSE.txt", "train.pdf"]
    )
    def test_what_holds_no_labels_by_its_name(self, name):
        assert list_tables([name]) == []

    @pytest.mark.parametrize(
        "name", ["instances_train2017.json", "_annotations.coco.json", "val_list.txt", "meta/test.lst"]
    )
    def test_what_may_hold_some(self, name):
        assert list_tables([name]) == [name]

    @pytest.mark.parametrize("name", ["sample_submission.csv", "a/b/c/train.csv"])
    def test_forms_for_answers_and_what_lies_deep_are_left_out(self, name):
        assert list_tables([name]) == []


class TestFindTables:
    """Files that the program can read, and that say something of the source's pictures."""

    PICTURES = (*(f"images/val_{number:04d}.JPEG" for number in range(30)), "images/cat_1.jpg", "images/7.jpg")

    def find(self, tables: dict[str, str | bytes], pictures: tuple[str, ...] = PICTURES) -> list[str]:
        files = {name: text.encode() if isinstance(text, str) else text for name, text in tables.items()}
        kept = {f"./{name}": name for name in [*pictures, *files]}
        return find_tables(kept, kept, lambda path: files[kept[path]])

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("train.csv", "id,label\nval_0003,cat\n"),
            ("train.csv", "file,label\nIMAGES/VAL_0003.jpeg,cat\n"),
            ("train.csv", "id,label\n99,cat\n7,cat\n7,dog\n"),
            ("val.txt", "val_0001.JPEG 3\nval_0002.JPEG 4\n"),
            ("val.txt", "val_0001 Boeing 737\nval_0002 Airbus\n"),
            ("train.json", '{"cat": ["cat_1"], "dog": ["val_0001"]}'),
            ("train.json", '[{"file_name": "cat_1.jpg", "text": "a cat"}]'),
        ],
    )
    def test_a_row_names_a_picture(self, name, text):
        assert self.find({name: text}) == [name]

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("validation_ground_truth.txt", "7\n3\n7\n"),
            ("train_perfect_preds.txt", "14\n3\n"),
            ("train_standard.txt", "/a/airfield/00000001.jpg 0\n/a/airfield/00000002.jpg 0\n"),
            ("trainval.txt", "cat_1 1 1 1\nval_0001 2 1 1\n"),
            ("val_annotations.txt", "val_0001.JPEG\tn01443537\t0\t32\n"),
            ("test.txt", "val_0001\nval_0002\n"),
            ("list_eval_partition.txt", "cat_1.jpg 0\nval_0001.JPEG 1\n"),
            ("eval_split.txt", "cat_1.jpg train\nval_0001.JPEG test\n"),
            ("train.txt", b"\xff\xfe\x00"),
            ("train.json", "{"),
            ("train.json", '{"epochs": 7}'),
            (
                "train.json",
                '{"images": [{"id": 1, "file_name": "cat_1.jpg"}], "annotations": [{"image_id": 1, "category_id": [1, 2]}],'
                ' "categories": [{"id": 1, "name": "cat"}]}',
            ),
            ("prices.csv", "id,price\n1,20\n2,30\n7,20\n"),
        ],
    )
    def test_others_are_none(self, name, text):
        assert self.find({name: text}) == []

    def test_a_list_that_is_no_partition_by_its_values_counts_whatever_its_name(self):
        assert self.find({"train_split.txt": "cat_1.jpg cat\nval_0001.JPEG dog\n"}) == ["train_split.txt"]

    @pytest.mark.parametrize("text", ["id,label\n", "val_0001.JPEG,cat,3\n", b"id,label\ncat_1,K\xe4fer\n"])
    def test_a_csv_file_that_needs_mending_counts_by_its_name(self, text):
        assert self.find({"train.csv": text}) == ["train.csv"]

    def test_the_ground_truth_comes_before_other_tables_of_the_pictures(self):
        """ISIC 2018."""
        text = "image,MEL\ncat_1,1.0\n"
        names = ["Training_GroundTruth/Training_GroundTruth.csv", "Training_LesionGroupings.csv"]
        assert self.find(dict.fromkeys(names[::-1], text)) == names

    def test_a_file_that_can_not_be_opened_is_no_list(self):
        def read_file(path: str) -> bytes:
            raise PermissionError(path)

        assert find_tables({"train.txt": "train.txt", "1.jpg": "1.jpg"}, {}, read_file) == []

    def test_without_a_reader_names_decide(self):
        assert find_tables({"train.txt": "train.txt"}, {}, None) == ["train.txt"]


class TestSuggestTables:
    def test_nothing_of_nothing(self):
        assert suggest_tables([]) == ""

    def test_the_first(self):
        assert suggest_tables(["labels.csv", "extra.csv"]) == "labels.csv"

    def test_of_one_name_in_several_folders_all(self):
        assert suggest_tables(["test/_classes.csv", "train/_classes.csv"]) == "*/_classes.csv"

    @pytest.mark.parametrize(
        ("names", "pattern"),
        [
            (["train2021.json", "val2021.json"], "*2021.json"),
            (["a/instances_train.json", "a/instances_val.json"], "instances_*.json"),
            (["train_list.txt", "test_list.txt", "val_list.txt"], "*_list.txt"),
        ],
    )
    def test_of_names_that_differ_by_their_split_all(self, names, pattern):
        assert suggest_tables(names) == pattern

    @pytest.mark.parametrize(
        "names",
        [
            ["train.csv", "test.csv"],  # the second often has no labels
            ["train.json", "labels.json", "val.json"],  # *.json would be all of them
            ["train.json", "extra.csv"],
        ],
    )
    def test_else_only_the_first(self, names):
        assert suggest_tables(names) == names[0]


class TestPatterns:
    """A pattern means the tables, and no other file of the source."""

    TABLES = ("set/train.txt", "set/test.txt", "set/val.txt")

    @pytest.mark.parametrize(
        ("others", "pattern"),
        [
            (["README.md"], "*.txt"),
            (["classes.txt"], "set/*.txt"),
            (["classes.txt", "set/classes.txt"], "set/train.txt"),
        ],
    )
    def test_it_is_narrowed_or_left_out(self, others, pattern):
        assert suggest_tables(Tables(self.TABLES, others)) == pattern

    def test_tables_of_train_and_val_together_contradict_those_of_val(self):
        names = [f"images_family_{split}.txt" for split in ("train", "test", "trainval", "val")]
        assert suggest_tables(Tables(names, [])) == names[0]


@pytest.mark.parametrize(
    ("name", "expected"), [("a/train.TXT", True), ("b.lst", True), ("train.csv", False), ("txt", False)]
)
def test_lists_are_plain_text(name, expected):
    assert is_list(name) is expected
