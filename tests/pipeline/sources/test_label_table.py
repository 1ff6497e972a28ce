import pytest

from pipeline.config.sources import LabelColumns
from pipeline.runtime.errors import PipelineError
from pipeline.sources.label_table import find_doubts, parse_labels

COLUMNS = LabelColumns(path="path", label="label", split="split", group="group", time="time")


def parse(text: str | bytes, **columns: str | None) -> list[tuple[str, str, str, str]]:
    data = text.encode() if isinstance(text, str) else text
    rows = parse_labels(data, COLUMNS.model_copy(update=columns), "labels.csv")
    return [(row.path, row.label, row.split, row.group) for row in rows]


def refusal(text: str | bytes, **columns: str | None) -> str:
    with pytest.raises(PipelineError) as caught:
        parse(text, **columns)
    line = str(caught.value)
    assert line.startswith("data.labels 'labels.csv'")
    assert "\n" not in line
    return line


TWO = [("a.jpg", "cat", "", ""), ("b.jpg", "dog", "", "")]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_line_ends_and_encodings(separator, end, encoding):
    lines = [["path", "label"], ["a.jpg", "cat"], ["b.jpg", "dog"]]
    assert parse(end.join(separator.join(line) for line in lines).encode(encoding)) == TWO


def test_columns_in_any_order_beside_others():
    text = "id,group,label,split,path\n1,p1,cat,train,a.jpg\n2,p2,dog,test,b.jpg\n"
    assert parse(text) == [("a.jpg", "cat", "train", "p1"), ("b.jpg", "dog", "test", "p2")]


def test_columns_by_other_names():
    text = "image_id,dx,lesion\nISIC_1,nv,L1\n"
    assert parse(text, path="image_id", label="dx", group="lesion") == [("ISIC_1", "nv", "", "L1")]


def test_columns_that_are_null_are_not_read():
    assert parse("path,label,split,group\na,cat,train,p\n", split=None, group=None) == [("a", "cat", "", "")]


def test_quotes_commas_and_line_breaks_in_fields():
    assert parse('path,label\n"a, b.jpg","bear\nbrown"\n') == [("a, b.jpg", "bear\nbrown", "", "")]


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n "])
def test_a_title_of_several_lines_is_one(end):
    text = f'"File{end}name","Finding{end}label"\na,cat\n'
    assert "received File name, Finding label; set" in refusal(text)
    assert parse(text, path="File name", label="Finding label") == [("a", "cat", "", "")]
    assert parse(text, path=f"File{end}name", label="Finding label") == [("a", "cat", "", "")]


def test_blank_lines_and_blanks_around_fields_count_for_nothing():
    assert parse("\npath, label\n\n a.jpg , cat\n\nb.jpg,dog\n\n") == TWO


@pytest.mark.parametrize("line", ["{0},{1}", "{0};{1}", "{0} {1}", "{0}\t{1}", "{0}   {1}", "{1},{0}", '"{0}","{1}"'])
class TestNoHeader:
    """Lists of pictures with their classes, as Caffe's, MMPretrain's and PaddleClas' training takes them."""

    def test_two_columns_need_none(self, line):
        text = "\n".join(line.format(path, label) for path, label, *_ in [("x/1.jpg", "cat"), ("x/2.JPG", "3")])
        assert [row[:2] for row in parse(text)] == [("x/1.jpg", "cat"), ("x/2.JPG", "3")]

    def test_it_is_said(self, line):
        text = line.format("1.jpg", "cat") + "\n"
        column = 2 if line.startswith("{1}") else 1
        assert list(find_doubts(text.encode(), COLUMNS, "l.txt")) == [
            f"l.txt has no header: column {column} is taken for paths, the other for labels"
        ]


def test_of_a_list_separated_by_blanks_the_last_word_is_the_class():
    assert parse("my pictures/a 1.jpg 0\nmy pictures/b.jpg 1\nc.jpg\n") == [
        ("my pictures/a 1.jpg", "0", "", ""),
        ("my pictures/b.jpg", "1", "", ""),
        ("c.jpg", "", "", ""),
    ]


@pytest.mark.parametrize("row", ["pics/1.jpg,cat,7", "pics/1.JPG cat 7", "1,a b.png,cat", "1.png,2.png"])
def test_a_table_without_a_header_is_told_to_get_one(row):
    line = refusal(f"{row}\n{row.replace('1', '2')}\n")
    assert "has no header: its first row names a picture" in line
    assert "expected path,label above it" in line


def test_the_column_that_has_names_of_pictures_is_proposed():
    assert refusal("id,file_name,label\n1,a.jpg,cat\n").endswith(
        "set data.label_columns.path to the one that is meant, such as 'file_name'"
    )
    assert refusal("id,label\n1,cat\n").endswith("to the one that is meant")


@pytest.mark.parametrize("label", ["NA", "nan", "null", "007", "1.0", "True"])
def test_labels_are_text(label):
    assert parse(f"path,label\na,{label}\n")[0][1] == label


@pytest.mark.parametrize(("one", "zero"), [("1", "0"), ("1.0", "0.0")])
@pytest.mark.parametrize("label", ["label", None])
def test_a_column_of_0_and_1_per_class(one, zero, label):
    text = f"image,MEL,NV,BCC\nISIC_1,{zero},{one},{zero}\nISIC_2,{one},{zero},{zero}\nISIC_3,{zero},{zero},{zero}\n"
    assert parse(text, path="image", label=label) == [
        ("ISIC_1", "NV", "", ""),
        ("ISIC_2", "MEL", "", ""),
        ("ISIC_3", "", "", ""),
    ]


def test_two_classes_in_a_row_are_refused_with_its_number():
    line = refusal("path,MEL,NV\na,1,0\nb,1,1\n")
    assert "row 3: 'b' is of classes MEL, NV" in line


@pytest.mark.parametrize("key", ["path", "label", "split", "group", "time"])
def test_a_column_that_is_not_there_is_refused_with_those_that_are(key):
    line = refusal("path,label\na,cat\n", **{key: "dx"})
    assert "no column 'dx'" in line
    assert "received path, label" in line
    assert f"data.label_columns.{key}" in line


def test_a_column_that_is_there_twice_is_refused():
    assert "'label' twice" in refusal("path,label,label\na,cat,dog\n")


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
def test_an_empty_file_is_refused(text):
    assert "is empty" in refusal(text)


def test_a_header_without_rows_is_refused():
    assert "no rows" in refusal("path,label\n")


def test_a_row_with_too_many_fields_is_refused_with_its_number():
    assert "row 3: expected 2 columns, received 3" in refusal("path,label\na,cat\nb, brown,bear\n")


def test_a_row_with_too_few_fields_has_empty_ones():
    assert parse("path,label,split\na,cat\n") == [("a", "cat", "", "")]


def test_another_encoding_is_refused_with_the_row():
    assert "row 3: expected UTF-8, received the byte 0xe4" in refusal(b"path,label\na,cat\nb,K\xe4fer\n")


def test_rows_know_their_lines():
    rows = parse_labels(b'path,label\n\na,"x\ny"\nb,z\n', COLUMNS, "labels.csv")
    assert [row.number for row in rows] == [4, 5]


def test_excels_line_with_the_separator():
    assert parse("sep=;\r\npath;label\r\na.jpg;cat\r\nb.jpg;dog\r\n") == TWO


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK\3\4rest", "an Excel workbook"),
        (b"\x1f\x8brest", "packed by gzip"),
        (b"PAR1", "a Parquet file"),
    ],
)
def test_another_kind_of_file_is_named(data, words):
    assert f"is {words}" in refusal(data)


def test_json_lines_are_a_table_too():
    text = '{"path": "a.jpg", "label": "cat"}\n{"path": "b.jpg", "label": "dog"}\n'
    assert parse(text) == TWO
    assert "no column 'path': received file_name, label" in refusal(text.replace("path", "file_name"))
    assert "such as 'file_name'" in refusal(text.replace("path", "file_name"))


def test_classes_as_true_and_false_in_json():
    text = '{"path": "a.jpg", "cat": true, "dog": false}\n{"path": "b.jpg", "cat": false, "dog": true}\n'
    assert parse(text, label=None) == TWO


def test_classes_as_true_and_false():
    text = "path,cat,dog\na.jpg,TRUE,FALSE\nb.jpg,False,True\n"
    assert parse(text, label=None) == TWO


def test_probabilities_are_no_classes():
    assert "has no two columns of nothing but 0 and 1" in refusal("path,cat,dog\na.jpg,0.9,0.1\n", label=None)


def doubts(text: str, **columns: str | None) -> list[str]:
    return list(find_doubts(text.encode(), COLUMNS.model_copy(update=columns), "labels.csv"))


class TestDoubts:
    @pytest.mark.parametrize("label", ["nan", "NA", "None", "?"])
    def test_labels_that_look_like_missing_ones(self, label):
        assert f"have the label {label!r}" in doubts(f"path,label\na,{label}\nb,cat\n")[0]

    def test_splits_that_are_not_read(self):
        text = "path,label,set\na,cat,train\nb,dog,Test\nc,dog,\n"
        assert "data.label_columns.split=set" in doubts(text)[0]
        assert doubts(text, split="set") == []

    def test_groups_that_are_not_read(self):
        text = "path,label,PatientID\na,cat,p1\nb,dog,p1\nc,dog,p2\n"
        assert "data.label_columns.group=PatientID with split.group=column" in doubts(text)[0]
        assert doubts(text, group="PatientID") == []

    def test_nothing_else(self):
        text = "path,label,patient,width,MEL,mode\na,cat,1,20,0,fast\nb,dog,2,20,1,train it\nc,dog,3,9,0,test\n"
        assert doubts(text) == []
