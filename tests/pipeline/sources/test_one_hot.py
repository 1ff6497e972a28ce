"""Which columns of 0 and 1 are classes, and what is said of the others."""

import pytest

from pipeline.config.sources import LabelColumns
from pipeline.runtime.errors import PipelineError
from pipeline.sources.label_table import find_doubts, parse_labels

COLUMNS = LabelColumns(path="path", label="label", split="split", group="group", time="time")
ASKED = COLUMNS.model_copy(update={"label": None})
ANIMALS = ("Hund", "Katze", "Maus")


def write(*titles: str, rows: list[list[object]]) -> str:
    lines = [["path", *titles], *([f"{number}.jpg", *row] for number, row in enumerate(rows))]
    return "\n".join(",".join(map(str, line)) for line in lines) + "\n"


def one_hot(number: int, *, zero: str = "0", of: int = 3) -> list[object]:
    return ["1" if number % of == column else zero for column in range(of)]


def labels(text: str, columns: LabelColumns = COLUMNS) -> list[str]:
    return [row.label for row in parse_labels(text.encode(), columns, "l.csv")]


def refusal(text: str, columns: LabelColumns = COLUMNS) -> str:
    with pytest.raises(PipelineError) as caught:
        labels(text, columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestSpoiltColumns:
    @pytest.mark.parametrize("columns", [COLUMNS, ASKED])
    @pytest.mark.parametrize("zero", ["0", ""])
    @pytest.mark.parametrize("odd", ["ja", "-1", "2", "O", "nan?"])
    @pytest.mark.parametrize("row", [1, 2])
    def test_one_other_cell_takes_no_class_out(self, columns, zero, odd, row):
        rows = [one_hot(number, zero=zero) for number in range(30)]
        rows[row][2] = odd
        line = refusal(write(*ANIMALS, rows=rows), columns)
        assert line.startswith(f"data.labels 'l.csv', row {row + 2}: column 'Maus' has {odd!r}: expected 0 or 1")
        assert "received other text in 1 of 30 rows" in line
        assert "set data.label_columns.label" in line

    def test_of_two_classes_neither(self):
        rows = [one_hot(number, of=2) for number in range(20)]
        rows[3][1] = "ja"
        assert "column 'Katze' has 'ja'" in refusal(write(*ANIMALS[:2], rows=rows))

    def test_uncertain_labels_as_chexpert_has_them_are_named_however_many_they_are(self):
        rows = [[["1.0", "", ""], ["", "1.0", ""], ["", "-1.0", "1.0"]][number % 3] for number in range(30)]
        line = refusal(write("No Finding", "Fracture", "Edema", rows=rows))
        assert "row 4: column 'Fracture' has '-1.0'" in line
        assert "in 10 of 30 rows" in line

    def test_they_are_named_where_another_class_is_certain_in_each_row(self):
        rows = [[*one_hot(number, of=2), "-1" if number == 4 else "0"] for number in range(30)]
        assert "row 6: column 'Maus' has '-1'" in refusal(write(*ANIMALS, rows=rows))

    @pytest.mark.parametrize(
        "other",
        [lambda number: 17 + number, lambda number: 5 if number == 9 else number % 2, lambda number: number / 10],
    )
    def test_a_number_beside_classes_that_are_complete_is_none(self, other):
        rows = [[*one_hot(number), other(number)] for number in range(30)]
        assert labels(write(*ANIMALS, "n", rows=rows), ASKED) == [ANIMALS[number % 3] for number in range(30)]

    def test_remarks_are_no_class(self):
        rows = [[*one_hot(number), "blurred" if number == 5 else ""] for number in range(30)]
        rows[7][:3] = "000"
        assert labels(write(*ANIMALS, "remark", rows=rows), ASKED)[7] == ""


class TestBlankColumns:
    def test_columns_without_a_title_or_a_cell_are_no_classes(self):
        text = "path,art,,,leer\na.jpg,Reh,,,\nb.jpg,Fuchs,,,\nc.jpg,Fuchs,,,\n"
        assert refusal(text).endswith("set data.label_columns.label to the one that is meant, such as 'art'")
        assert "has no two columns" in refusal(text, ASKED)

    def test_a_class_without_pictures_is_one(self):
        text = write("a", "b", "", rows=[[1, 0, ""], [1, 0, ""]])
        assert labels(text) == ["a", "a"]


class TestNobodyAsked:
    """The default, label, is no column of the table."""

    FIELD = write("art", "nacht", "unscharf", rows=[[["Reh", "Fuchs"][n // 20], *one_hot(n, of=2)] for n in range(40)])

    def test_what_is_taken_for_classes_and_what_is_not_read_is_said(self):
        assert set(labels(self.FIELD)) == {"nacht", "unscharf"}
        (line,) = find_doubts(self.FIELD.encode(), COLUMNS, "l.csv")
        assert "l.csv has no column 'label': its columns of 0 and 1 are taken for the classes, nacht, unscharf" in line
        assert line.endswith("column art is not read: set data.label_columns.label=art if it has the class")

    def test_where_it_is_asked_for_nothing_is(self):
        assert list(find_doubts(self.FIELD.encode(), ASKED, "l.csv")) == []

    def test_marks_that_give_no_row_a_class_are_not_read_where_a_text_may_have_it(self):
        rows = [[n // 4, "fm"[n % 2], n % 2, n % 3 // 2, ["nevus", "melanoma", "wart"][n % 3]] for n in range(30)]
        text = write("patient", "gender", "smoke", "drink", "diagnostic", rows=rows)
        assert "has no column 'label': received path, patient, gender" in refusal(text)
        assert refusal(text).endswith("such as 'diagnostic'")

    @pytest.mark.parametrize(
        "column",
        [lambda n: f"name {n}", lambda n: n % 4, lambda n: "same"[: 4 + n], lambda n: ["train", "test"][n % 2]],
    )
    def test_names_numbers_constants_and_splits_are_no_classes(self, column):
        rows = [[column(n), *one_hot(n)] for n in range(30)]
        (line, *_) = find_doubts(write("x", *ANIMALS, rows=rows).encode(), COLUMNS, "l.csv")
        assert line.endswith("Hund, Katze, Maus (data.label_columns.label=null says so)")

    def test_nor_are_groups(self):
        rows = [[f"p{n // 3}", *one_hot(n)] for n in range(30)]
        (line, *_) = find_doubts(write("patient", *ANIMALS, rows=rows).encode(), COLUMNS, "l.csv")
        assert "if it has the class" not in line
