import pytest

from pipeline.sources.proposals import is_list, list_tables, suggest_tables


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


@pytest.mark.parametrize(
    ("name", "expected"), [("a/train.TXT", True), ("b.lst", True), ("train.csv", False), ("txt", False)]
)
def test_lists_are_plain_text(name, expected):
    assert is_list(name) is expected
