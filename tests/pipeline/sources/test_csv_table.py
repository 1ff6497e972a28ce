import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.csv_table import decode_csv, fit_line, read_lines


def lines(text: str, *wanted: str) -> list[tuple[int, list[str]]]:
    return list(read_lines(text, set(wanted), "my.csv"))


class TestText:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_marks_are_no_part_of_it(self, encoding):
        assert decode_csv("ä,b\n".encode(encoding), "my.csv") == "ä,b\n"

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"a,b\n1,2\n\xe4,3\n", "my.csv, row 3: expected UTF-8, received the byte 0xe4"),
            (b"PK\3\4", "my.csv is an Excel workbook or a zip archive: expected a CSV file"),
            (b' {"a": 1}', "my.csv is a JSON file"),
        ],
    )
    def test_other_files_are_named(self, data, words):
        with pytest.raises(PipelineError) as caught:
            decode_csv(data, "my.csv")
        assert str(caught.value).startswith(words)


class TestLines:
    def test_have_the_number_of_the_line_where_they_end(self):
        assert lines('a,b\n\n"1\n2",3\n ,\n4,5\n') == [(1, ["a", "b"]), (4, ["1\n2", "3"]), (6, ["4", "5"])]

    def test_the_first_may_say_the_separator_and_counts(self):
        assert lines("sep=;\r\na,b;c\r\n") == [(2, ["a,b", "c"])]

    @pytest.mark.parametrize("separator", list(",;\t|"))
    def test_the_separator_is_the_one_that_gives_the_wanted_columns(self, separator):
        assert lines(f"name{separator}a, b; c{separator}label\n", "name", "label")[0][1][0] == "name"

    def test_are_as_long_as_the_header(self):
        assert fit_line((2, ["a"]), ["x", "y"], "my.csv") == (2, ["a", ""])
        assert fit_line((2, ["a", "b", "", ""]), ["x", "y"], "my.csv") == (2, ["a", "b"])
        with pytest.raises(PipelineError, match=r"^my\.csv, row 2: expected 2 columns, received 3"):
            fit_line((2, ["a", "b", "c"]), ["x", "y"], "my.csv")
