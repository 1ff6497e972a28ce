import contextlib
import json

import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.json_table import is_json, read_objects


def read(text: str | bytes) -> list[tuple[int, list[str]]]:
    return read_objects(text.encode() if isinstance(text, str) else text, "my.jsonl")


def refusal(text: str | bytes) -> str:
    with pytest.raises(PipelineError) as caught:
        read(text)
    line = str(caught.value)
    assert line.startswith("my.jsonl")
    assert "\n" not in line
    return line


CAT, DOG = {"file_name": "a.jpg", "label": "cat"}, {"file_name": "b.jpg", "label": "dog"}


class TestRows:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_an_object_a_line(self, end, mark):
        found = read(mark + end.join(map(json.dumps, [CAT, DOG])))
        assert [fields for _, fields in found] == [["file_name", "label"], ["a.jpg", "cat"], ["b.jpg", "dog"]]

    def test_rows_have_the_numbers_of_their_lines(self):
        assert [number for number, _ in read(f"\n{json.dumps(CAT)}\n\n{json.dumps(DOG)}\n")][1:] == [2, 4]

    @pytest.mark.parametrize("indent", [None, 2])
    def test_a_list_of_objects(self, indent):
        assert read(json.dumps([CAT, DOG], indent=indent))[1:] == [(1, ["a.jpg", "cat"]), (2, ["b.jpg", "dog"])]

    def test_keys_that_some_objects_lack_are_empty_there(self):
        found = read('{"path": "a", "split": null}\n{"path": "b", "group": "p1"}\n')
        assert [fields for _, fields in found] == [["path", "split", "group"], ["a", "", ""], ["b", "", "p1"]]

    def test_numbers_and_truth_are_text_as_in_a_csv_file(self):
        assert read('{"path": "a", "label": 3, "weight": 0.5, "is_cat": true, "is_dog": false}')[1][1] == [
            *("a", "3", "0.5", "1", "0")
        ]

    def test_boxes_and_lists_are_left_out(self):
        found = read('{"path": "a", "objects": {"bbox": [1, 2]}}\n{"path": "b", "objects": null, "tags": []}\n')
        assert [fields for _, fields in found] == [["path"], ["a"], ["b"]]

    @pytest.mark.parametrize("indent", [None, 1])
    def test_an_object_that_names_the_class_of_each_picture(self, indent):
        found = read(json.dumps({"x/a.jpg": "cat", "b.PNG": 3}, indent=indent))
        assert [fields for _, fields in found] == [["path", "label"], ["x/a.jpg", "cat"], ["b.PNG", "3"]]

    @pytest.mark.parametrize("indent", [None, 1])
    def test_an_object_that_lists_the_pictures_of_each_class(self, indent):
        found = read(json.dumps({"cat": ["a.jpg", "b.jpg"], "none": [], "dog": ["c.jpg"]}, indent=indent))
        assert [fields for _, fields in found][1:] == [["a.jpg", "cat"], ["b.jpg", "cat"], ["c.jpg", "dog"]]

    @pytest.mark.parametrize(
        "content",
        [
            {"pie": ["pie/1", "pie/2"], "cake": ["cake/3", "cake/9"]},
            {"1": "pie", "pie/2": "pie", "9": "cake", "3": "cake"},
        ],
    )
    def test_pictures_of_the_source_need_no_extension(self, content):
        """Food-101's meta/train.json; a source may lack some."""
        data = json.dumps(content).encode()
        found = read_objects(data, "my.json", {"1", "2", "3"})
        assert found[0][1] == ["path", "label"]
        assert [fields[1] for _, fields in found[1:]] == ["pie", "pie", "cake", "cake"]
        with contextlib.suppress(PipelineError):
            assert read_objects(data, "my.json", {"7"})[0][1] != ["path", "label"]

    def test_an_object_of_which_some_keys_are_pictures_is_a_row(self):
        assert read('{"path": "a.jpg", "b.jpg": "cat"}')[0][1] == ["path", "b.jpg"]

    def test_a_line_separator_of_unicode_ends_no_row(self):
        assert read('{"path": "a\u2028b", "label": "cat"}')[1][1] == ["a\u2028b", "cat"]

    @pytest.mark.parametrize(
        "line", ['{"path": "a.jpg", "label": "cat \\ud83d"}', '{"a.jpg": "cat \\ud83d"}', '{"cat \\ud83d": ["a.jpg"]}']
    )
    def test_half_an_emoji_is_text_that_a_table_can_hold(self, line):
        assert read(line)[1] == (1, ["a.jpg", "cat \\ud83d"])

    def test_in_a_key_too(self):
        assert read('{"path": "a.jpg", "\\ude00": 1}')[0] == (0, ["path", "\\ude00"])

    def test_a_whole_emoji_is_itself(self):
        assert read('{"path": "a.jpg", "label": "\\ud83d\\ude00 K\u00e4fer"}')[1] == (
            1,
            ["a.jpg", "\U0001f600 K\u00e4fer"],
        )


class TestRefusals:
    @pytest.mark.parametrize("line", ['{"path": "b}', '{"path": "b', "b.jpg"])
    def test_a_line_that_is_cut_off_is_named(self, line):
        assert refusal(f'{{"path": "a"}}\n{line}\n').startswith("my.jsonl, row 2: can't be read as JSON")

    def test_other_values_than_objects(self):
        assert 'row 2 is "b.jpg"' in refusal('[{"path": "a.jpg"}, "b.jpg"]')

    @pytest.mark.parametrize("indent", [None, 1])
    def test_an_object_of_lists_that_lacks_some_of_cocos(self, indent):
        assert "one object with images, annotations in it" in refusal(
            json.dumps({"images": [CAT], "annotations": [{"id": 1}]}, indent=indent)
        )

    def test_bytes_that_are_no_utf_8(self):
        assert "row 2: expected UTF-8, received the byte 0xff" in refusal(b'{"path": "a"}\n{"path": "\xff"}')

    @pytest.mark.parametrize(
        ("text", "row"),
        [
            ('{"a.jpg": "cat", "b.jpg": "cat", "a.jpg": "dog"}', ", row 1"),
            ('{\n"a.jpg": "cat", "a.jpg": "dog"\n}', ""),
            ('{"path": "b.jpg", "label": "cat"}\n{"path": "a.jpg", "a.jpg": "cat", "a.jpg": "dog"}', ", row 2"),
            ('[{"path": "b.jpg"},\n{"a.jpg": "cat", "a.jpg": "dog"}]', ""),
        ],
    )
    def test_a_key_with_two_values(self, text, row):
        """A CSV file of two such rows is refused, too."""
        assert refusal(text).startswith(
            f"my.jsonl{row}: 'a.jpg' comes twice in one object, with 'cat' and 'dog': expected it once"
        )

    def test_a_key_that_says_the_same_twice_is_none(self):
        assert read('{"a.jpg": "cat", "a.jpg": "cat"}')[1:] == [(1, ["a.jpg", "cat"])]

    def test_lists_in_lists_without_end(self):
        assert "can't be read as JSON" in refusal("[" * 100_000)


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b'{"a": 1}', True), (b" \n[1]", True), (b"\xef\xbb\xbf{}", True), (b"path,label", False), (b"", False)],
)
def test_json_is_known_by_its_first_character(data, expected):
    assert is_json(data) is expected
