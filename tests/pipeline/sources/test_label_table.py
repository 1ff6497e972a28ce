import pytest

from pipeline.config.sources import LabelColumns
from pipeline.runtime.errors import PipelineError
from pipeline.sources.label_table import find_doubts, parse_labels, read_first_rows

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


def test_commas_in_names_of_pictures_of_a_list_without_header():
    """Clothing1M's clean_label_kv.txt."""
    assert parse("images/3196818843,142061744.jpg 0\nimages/4,5.jpg 1\n") == [
        ("images/3196818843,142061744.jpg", "0", "", ""),
        ("images/4,5.jpg", "1", "", ""),
    ]


def test_classes_of_two_words_in_a_list_without_extensions():
    """FGVC-Aircraft's images_manufacturer_train.txt and images_family_train.txt."""
    for first in ("Boeing 737", "British Aerospace", "Airbus"):
        data = f"1025794 {first}\n1340192 McDonnell Douglas\n0056978 A320\n0000001 Eurofighter Typhoon\n".encode()
        rows = parse_labels(data, COLUMNS, "l.txt", {"1025794", "1340192", "0056978"})
        assert [(row.path, row.label) for row in rows] == [
            ("1025794", first),
            ("1340192", "McDonnell Douglas"),
            ("0056978", "A320"),
            ("0000001", "Eurofighter Typhoon"),
        ]


@pytest.mark.parametrize("row", ["pics/1.jpg,cat,7", "pics/1.JPG cat 7", "1,a b.png,cat", "1.png,2.png"])
def test_a_table_without_a_header_is_told_to_get_one(row):
    line = refusal(f"{row}\n{row.replace('1', '2')}\n")
    assert "has no header: its first row names a picture" in line
    assert "expected path,label above it" in line


@pytest.mark.parametrize("row", ["Abyssinian_1 1 1 1", "1,Abyssinian_1,2", "x/Abyssinian_1;1;1"])
def test_so_is_one_that_names_pictures_of_the_source_without_extension(row):
    with pytest.raises(PipelineError, match="has no header: its first row names a picture"):
        parse_labels(f"{row}\n{row}\n".encode(), COLUMNS, "l.txt", {"Abyssinian_1"})


def test_a_table_of_numbers_has_no_header():
    """ImageNet's ILSVRC2012_validation_ground_truth.txt."""
    assert "has no header: its first row is only numbers, '490'" in refusal("490\n361\n")
    assert "has no header: its first row is only numbers, '1, 2.5'" in refusal("1,2.5\n2,3\n")


@pytest.mark.parametrize("rest", ["Male Smiling\n1.jpg 1 -1\n", "path,label\n1.jpg,cat\n"])
def test_a_line_above_the_header_that_counts_the_rows_is_named(rest):
    """CelebA's list_attr_celeba.txt."""
    line = refusal(f"202599\n{rest}")
    assert "begins with a number, 202599, which seems to count its rows: expected a header such as path,label" in line
    assert "delete that line" in line


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

    @pytest.mark.parametrize(
        ("title", "words"),
        [("is_valid", "names"), ("test", "names"), ("TrainSet", "names"), ("service_test", "may name")],
    )
    def test_a_column_of_0_and_1_with_the_word_of_a_split(self, title, words):
        assert doubts(f"path,label,{title}\na,cat,1\nb,dog,0\n") == [
            f"column {title} of labels.csv {words} splits and is not read: data.label_columns.split={title} reads it"
        ]

    @pytest.mark.parametrize(
        "text", ["path,label,service_test\na,cat,True\nb,dog,False\n", "path,label,set\na,b,train\n"]
    )
    def test_no_column_is_asked_for_in_a_table_that_is_a_split(self, text):
        """FairFace's fairface_label_train.csv and fairface_label_val.csv."""
        assert doubts(text) != []
        assert list(find_doubts(text.encode(), COLUMNS, "train.csv", is_split=True)) == []

    def test_groups_that_are_not_read(self):
        text = "path,label,PatientID\na,cat,p1\nb,dog,p1\nc,dog,p2\n"
        assert "data.label_columns.group=PatientID with split.group=column" in doubts(text)[0]
        assert doubts(text, group="PatientID") == []

    def test_nothing_else(self):
        text = "path,label,patient,width,MEL,mode\na,cat,1,20,0,fast\nb,dog,2,20,1,train it\nc,dog,3,9,0,test\n"
        assert doubts(text) == []


class TestFirstRows:
    """Of a table of which nobody has said what its columns are called."""

    @pytest.mark.parametrize(
        "text",
        ["id;kind\na;cat\n", "a.jpg cat", "a\tcat\n", '{"id": "a", "kind": "cat"}', "id,kind\na,cat".encode("utf-16")],
    )
    def test_they_are_those_below_the_header(self, text):
        (row,) = read_first_rows(text.encode() if isinstance(text, str) else text, {"a"})
        assert row in (["a", "cat"], ["a.jpg", "cat"])

    @pytest.mark.parametrize("text", ["", "id,kind\n", "a.jpg,cat,7\nb.jpg,dog,8\n", "a 1 1\na 2 1\n"])
    def test_there_are_none_without_a_header_that_is_needed(self, text):
        assert read_first_rows(text.encode(), {"a"}) == []

    def test_a_large_file_is_not_read_to_its_end(self):
        data = b"id,kind\n" + b"a,cat\n" * 100_000 + b"\xff"
        assert set(map(tuple, read_first_rows(data, {"a"}))) == {("a", "cat")}
