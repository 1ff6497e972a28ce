import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.csv_table import decode_csv, fit_line, read_lines


def lines(text: str, *wanted: str) -> list[tuple[int, list[str]]]:
    return list(read_lines(text, set(wanted), "my.csv"))


class TestText:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_marks_are_no_part_of_it(self, encoding):
        assert decode_csv("ä,b\n".encode(encoding), "my.csv") == "ä,b\n"

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
    @pytest.mark.parametrize("label", ["cat", "K\u00e4fer", "\u732b", "\u0100"])
    def test_sixteen_bits_need_no_mark(self, encoding, label):
        text = "path;label\r\n" + "".join(f"images/{number}.jpg;{label}\r\n" for number in range(9))
        assert decode_csv(text.encode(encoding), "my.csv") == text

    @pytest.mark.parametrize("text", ["", "a", "ab", "\u732b,\u732b\n", "a\0b,c\nd,e\n1,2\n"])
    def test_other_text_is_as_it_is(self, text):
        assert decode_csv(text.encode(), "my.csv") == text

    def test_half_a_letter_is_said_to_be_one(self):
        with pytest.raises(
            PipelineError, match=r"^my\.csv, row 2: expected UTF-16, as it begins so, received the byte"
        ):
            decode_csv("path,label\na,b".encode("utf-16-le")[:-1], "my.csv")

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"a,b\n1,2\n\xe4,3\n", "my.csv, row 3: expected UTF-8, received the byte 0xe4"),
            (b"PK\3\4", "my.csv is an Excel workbook or a zip archive: expected a CSV file"),
            (b' {"a": 1}', "my.csv is a JSON file"),
            (b'<?xml version="1.0"?><annotations>', "my.csv is XML: expected a CSV file; save it as CSV"),
            (b"<annotation>\n\t<folder>x</folder>", "my.csv is XML"),
            (b'\xef\xbb\xbf<annotations verified="no"><image>', "my.csv is XML"),
            (b"\n<!DOCTYPE html>\n<html>", "my.csv is HTML, which some programs call .xls"),
            (b'<html xmlns:x="urn:x">\n<head>', "my.csv is HTML"),
            (b"<table border=1>\n<tr><td>path", "my.csv is HTML"),
            (b"%PDF-1.7", "my.csv is a PDF file"),
        ],
    )
    def test_other_files_are_named(self, data, words):
        with pytest.raises(PipelineError) as caught:
            decode_csv(data, "my.csv")
        assert str(caught.value).startswith(words)

    @pytest.mark.parametrize("text", ["<path>,<label>\n1.jpg,cat\n", "<5,b\n", "a<b>\n"])
    def test_angle_brackets_in_a_header_are_text(self, text):
        assert decode_csv(text.encode(), "my.csv") == text


class TestLines:
    def test_have_the_number_of_the_line_where_they_end(self):
        assert lines('a,b\n\n"1\n2",3\n ,\n4,5\n') == [(1, ["a", "b"]), (4, ["1\n2", "3"]), (6, ["4", "5"])]

    def test_the_first_may_say_the_separator_and_counts(self):
        assert lines("sep=;\r\na,b;c\r\n") == [(2, ["a,b", "c"])]

    @pytest.mark.parametrize("separator", list(",;\t|"))
    def test_the_separator_is_the_one_that_gives_the_wanted_columns(self, separator):
        assert lines(f"name{separator}a, b; c{separator}label\n", "name", "label")[0][1][0] == "name"

    @pytest.mark.parametrize("name", ["images/1,2.jpg", "a;b.png", "3|4.jpg"])
    def test_names_of_pictures_may_have_separators(self, name):
        """Clothing1M's clean_label_kv.txt."""
        assert lines(f"{name} 0\n{name} 1, a\n") == [(1, [f"{name} 0"]), (2, [f"{name} 1, a"])]
        assert lines(f"{name}\t0\n") == [(1, [name, "0"])]
        assert lines(f"0\t{name}\n") == [(1, ["0", name])]

    def test_below_a_line_with_blanks_alone_commas_separate_nothing(self):
        assert lines("1.jpg cat\n2,3.jpg dog, brown\n") == [(1, ["1.jpg cat"]), (2, ["2,3.jpg dog, brown"])]

    @pytest.mark.parametrize(
        ("line", "fields"),
        [
            ("1,a b.png", ["1", "a b.png"]),
            ("a b.png,my cat", ["a b.png", "my cat"]),
            ("1.jpg,cat,a b.png 2", ["1.jpg", "cat", "a b.png 2"]),
        ],
    )
    def test_blanks_do_not_separate_where_commas_do(self, line, fields):
        assert lines(line) == [(1, fields)]

    def test_are_as_long_as_the_header(self):
        assert fit_line((2, ["a"]), ["x", "y"], "my.csv") == (2, ["a", ""])
        assert fit_line((2, ["a", "b", "", ""]), ["x", "y"], "my.csv") == (2, ["a", "b"])
        with pytest.raises(PipelineError, match=r"^my\.csv, row 2: expected 2 columns, received 3"):
            fit_line((2, ["a", "b", "c"]), ["x", "y"], "my.csv")
