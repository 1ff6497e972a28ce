import tracemalloc

import pytest

from pipeline.sources.list_lines import Names, find_stem, is_number, names_picture, separates_by_blank, split_lines


@pytest.mark.parametrize(
    ("text", "expected"), [("a/1.jpg", True), ("7", True), ("a/7", True), ("a\\7", True), ("8", False), ("7 x", False)]
)
def test_a_name_is_that_of_a_picture_by_its_extension_or_by_the_source(text, expected):
    assert names_picture(text, {"7"}) is expected


class TestSplitLines:
    """One picture and its class a line, with a blank between them."""

    @pytest.mark.parametrize("path", ["1000074", "1.jpg", "data/images/1.jpg", "my cat/1.jpg", "my cat/a 1.jpg"])
    @pytest.mark.parametrize("labels", [("0", "1"), ("British Aerospace", "Airbus"), ("Boeing 737", "DC-9")])
    def test_behind_a_picture_the_rest_is_the_class(self, path, labels):
        pairs = [[path, label] for label in labels]
        assert split_lines([f"{path} {label}" for label in labels], {"1000074"}) == (pairs, True)

    def test_before_a_picture_too(self):
        pairs = [["British Aerospace", "1.jpg"], ["Airbus", "2.jpg"]]
        assert split_lines([" ".join(pair) for pair in pairs]) == (pairs, False)

    def test_words_that_name_pictures_by_chance_count_less_than_extensions(self):
        assert split_lines(["my cat/1.jpg 0"], {"my", "1"}) == ([["my cat/1.jpg", "0"]], True)

    @pytest.mark.parametrize("line", ["2 British Aerospace", "2"])
    def test_of_pictures_that_the_source_lacks(self, line):
        assert split_lines(["1 Airbus", line], {"1"}) == ([["1", "Airbus"], line.split(maxsplit=1)], True)

    @pytest.mark.parametrize(
        "lines",
        [
            [],
            ["path label", "1.jpg cat"],
            ["1.jpg 2.jpg"],
            ["Abyssinian_1 1 1 1", "Abyssinian_2 1 2 1"],
            ["1.jpg cat 7", "2.jpg dog 8"],
            ["1.jpg cat train", "2.jpg dog test"],
        ],
        ids=["empty", "header", "two pictures", "numbers", "a number", "a split"],
    )
    def test_others_are_no_such_lists(self, lines):
        assert split_lines(lines, {"Abyssinian_1", "Abyssinian_2"}) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("images/0/1,2.jpg 0", True),
        ("0 images/1,2.jpg", True),
        ("images/1,2.jpg", False),
        ("1,2 0", False),
        ("cat,my pictures/1.jpg", False),
        ("1.jpg 50,100,150,200", False),
    ],
)
def test_a_blank_separates_where_only_the_picture_has_commas(line, expected):
    assert separates_by_blank(line, ",;") is expected


class TestOneLongLine:
    """Numbers of a table without line breaks: no path is as long, and a copy of the line up to each blank fills the memory."""

    LINE = "0.5, " * 40_000

    @pytest.mark.parametrize("label", ["cat", LINE.strip()])
    def test_a_picture_in_front_is_still_found(self, label):
        path = f"{'a/' * 1000}my cat.jpg"
        assert split_lines([f"{path} {label}"]) == ([[path, label]], True)

    def test_no_path_is_looked_for_far_behind(self):
        assert split_lines([f"{self.LINE}1.jpg 0"], {"1"}) is None
        assert not separates_by_blank(f"{self.LINE}1.jpg 0", ",;")

    def test_memory_does_not_grow_with_the_square_of_a_line(self):
        tracemalloc.start()
        try:
            separates_by_blank(self.LINE, ",;")
            split_lines([self.LINE], {"1"})
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 100 * len(self.LINE)


@pytest.mark.parametrize(
    ("path", "stem"), [("a/b.JPG", "b"), ("a\\b.jpg", "b"), ("v1.2", "v1.2"), ("a/v1.2.png", "v1.2"), ("a/", "")]
)
def test_the_stem_of_a_name_is_without_folders_and_the_extension_of_a_picture(path, stem):
    assert find_stem(path) == stem


@pytest.mark.parametrize(
    ("text", "expected"), [("7", True), ("-1.5", True), ("007", True), ("7a", False), ("1.2.3", False), ("", False)]
)
def test_numbers(text, expected):
    assert is_number(text) is expected


class TestNames:
    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            ([["x", "y"], ["cat_1.jpg", "y"]], True),
            ([["x", "y"], ["y", "Images/CAT_1"]], True),
            ([["7", "cat"], ["8", "cat"]], False),
            ([["7", "cat"], ["7", "dog"], ["8", "dog"]], True),
            ([["x", "y"]], False),
            ([], False),
        ],
    )
    def test_one_row_is_enough_but_of_numbers_most_are_needed(self, rows, expected):
        assert Names(["images/cat_1.jpg", "images/7.jpg"]).are_in(rows) is expected
