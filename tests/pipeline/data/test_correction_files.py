import shlex
import subprocess
from pathlib import Path

import pytest

from pipeline.data.correction_files import (
    CorrectionRow,
    copy_corrections,
    load_corrections,
    locate_corrections,
    parse_corrections,
)
from pipeline.runtime.errors import PipelineError
from pipeline.sources.finding import Found
from pipeline.sources.watching import Seen

ID = "0123456789abcdef" * 4


def rows(text: str | bytes, kind: str = "relabel") -> list[tuple[int, str, str, str]]:
    data = text.encode() if isinstance(text, str) else text
    return [(row.number, row.name, row.image_id, row.label) for row in parse_corrections(data, kind, "my.csv").rows]


def refusal(text: str | bytes, kind: str = "relabel") -> str:
    with pytest.raises(PipelineError) as caught:
        rows(text, kind)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestRelabel:
    def test_a_name_or_an_image_id_gets_a_label(self):
        assert rows("name,label\ncat/1.png,dog\n") == [(2, "cat/1.png", "", "dog")]
        assert rows(f"image_id,label\n{ID.upper()},dog\n") == [(2, "", ID, "dog")]
        assert rows(f"Label,other,Image_ID,Name\ndog,x,{ID},a.png\n") == [(2, "a.png", ID, "dog")]

    @pytest.mark.parametrize(
        "text",
        [
            "\ufeffname,label\na.png,dog\nb.png,cat\n",
            "name,label\r\na.png,dog\r\nb.png,cat\r\n",
            "name;label\na.png;dog\nb.png;cat\n",
            "sep=;\r\nname;label\r\na.png;dog\r\nb.png;cat",
            "name\tlabel\na.png\tdog\nb.png\tcat\n",
            '"name", "label"\n"a.png", "dog"\n"b.png", cat ,,\n',
            "name,label\n\n  \na.png,dog\n\nb.png,cat\n\n",
            "name,label\ra.png,dog\rb.png,cat\r",
        ],
    )
    def test_any_program_may_have_written_it(self, text):
        assert [row[1:] for row in rows(text)] == [("a.png", "", "dog"), ("b.png", "", "cat")]

    def test_utf_16_with_a_mark_is_read(self):
        assert rows("name,label\nä.png,猫\n".encode("utf-16")) == [(2, "ä.png", "", "猫")]

    def test_correct_label_comes_before_label_and_empty_ones_say_nothing(self):
        header = "name,split,label,suggested,label_probability,suggested_probability,correct_label\n"
        file = parse_corrections(
            (
                header + "a.png,test,cat,dog,0.1,0.9,dog\nb.png,val,cat,dog,0.2,0.8,\nc.png,val,cat,dog,0.2,0.8,-\n"
            ).encode(),
            "relabel",
            "label_issues.csv",
        )
        assert file.rows == (CorrectionRow(2, "a.png", "", "dog"), CorrectionRow(4, "c.png", "", "-"))
        assert (file.num_rows, file.num_silent) == (3, 1)

    def test_columns_that_are_missing_are_named_with_those_that_are_there(self):
        assert refusal("path,label\na.png,dog\n") == (
            "prune.relabel 'my.csv' has no column name or image_id: expected a CSV file with a column name or image_id, and "
            "correct_label or label; received path, label"
        )
        assert refusal("name,class\na.png,dog\n") == (
            "prune.relabel 'my.csv' has no column correct_label or label: expected the new labels; received name, class"
        )
        assert "has the column 'name' twice" in refusal("name,label,name\na.png,dog,b.png\n")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "'my.csv' is empty"),
            ("\ufeff\r\n \r\n", "'my.csv' is empty"),
            ("name,label\n", "has a header and no rows"),
            ("name,label\na.png,dog\nb.png,\n", "row 3: 'b.png' has no label"),
            ("name,label\n,dog\n", "row 2: expected a name or an image_id, received neither"),
            ("image_id,label\n0123,dog\n", "row 2: expected an image_id of 64 hex digits, received '0123'"),
            ("name,label\na.png,dog,cat\n", "row 2: expected 2 columns, received 3"),
            ("name,label\nü.png,dog\n".encode("latin-1"), "row 2: expected UTF-8, received the byte 0xfc"),
            (b"PK\3\4abc", "is an Excel workbook or a zip archive"),
        ],
    )
    def test_what_is_wrong_is_one_line_with_its_row(self, text, words):
        assert refusal(text).startswith("prune.relabel 'my.csv'")
        assert words in refusal(text)

    def test_names_and_labels_are_those_that_our_own_tables_have_kept_from_spreadsheets(self):
        text = "name,correct_label\n'=1.png,'@cat\n''-2.png,cat\n=3.png,-\n"
        assert rows(text) == [(2, "=1.png", "", "@cat"), (3, "'-2.png", "", "cat"), (4, "=3.png", "", "-")]


class TestExclude:
    def test_a_list_may_be_copied_out_of_our_own_tables(self):
        assert rows("'=1.png\n-2.png\n", kind="exclude") == [(1, "=1.png", "", ""), (2, "-2.png", "", "")]

    def test_a_list_has_a_name_or_image_id_per_line(self):
        text = f'\ufeffcat/1.png\r\n\r\n{ID}\r\n"b, c.png"\r\nd; e.png\r\n'
        assert [row[:2] for row in rows(text, "exclude")] == [
            (1, "cat/1.png"),
            (3, ID),
            (4, "b, c.png"),
            (5, "d; e.png"),
        ]

    def test_a_table_may_have_other_columns(self):
        assert rows(f"label;image_id;why\ncat;{ID};blurred\n", "exclude") == [(2, "", ID, "")]
        assert rows("name,correct_label\na.png,\n", "exclude") == [(2, "a.png", "", "")]

    @pytest.mark.parametrize(("text", "words"), [("", "is empty"), ("name\n", "has a header and no rows")])
    def test_nothing_at_all_is_refused(self, text, words):
        assert words in refusal(text, "exclude")


class TestLocate:
    @pytest.mark.usefixtures("project")
    def test_it_is_relative_to_the_project(self, project):
        assert locate_corrections("exclude", None) is None
        (project.folder / "my.txt").write_text("a.png\n")
        (project.folder / "data/mine").mkdir(parents=True)
        (project.folder / "data/mine/my.txt").write_text("a.png\n")
        for path in ("my.txt", "./my.txt", "data/mine/my.txt"):
            assert locate_corrections("exclude", path).samefile(path)

    @pytest.mark.usefixtures("project")
    @pytest.mark.parametrize(
        "path", ["metrics/label_issues.csv", "data/quarantine.csv", "data/raw/index.csv", "models/../metrics/a.csv"]
    )
    def test_what_the_pipeline_writes_is_refused_with_a_way_out(self, path):
        Path("models").mkdir()
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("name,correct_label\na.png,dog\n")
        with pytest.raises(PipelineError) as caught:
            locate_corrections("relabel", path)
        name = Path(path).name
        assert str(caught.value) == (
            f"prune.relabel {path!r} is an output of the pipeline, or lies in one: expected a file of your own elsewhere, as a "
            f"run replaces what is there; copy it (cp {path} {name}) and name the copy: -S prune.relabel={name}"
        )

    @pytest.mark.usefixtures("project")
    def test_the_way_out_can_be_pasted_whatever_the_name(self):
        Path("metrics").mkdir()
        Path("metrics/my fixes.csv").write_text("name,correct_label\na.png,dog\n")
        with pytest.raises(PipelineError) as caught:
            locate_corrections("relabel", "metrics/my fixes.csv")
        copy, _, setting = str(caught.value).partition("copy it (")[2].partition(") and name the copy: ")
        subprocess.run(["/bin/sh", "-c", copy], check=True)
        assert Path("my fixes.csv").read_bytes() == Path("metrics/my fixes.csv").read_bytes()
        option, value = shlex.split(setting)
        assert (option, value) == ("-S", 'prune.relabel="my fixes.csv"')

    def test_so_is_a_link_to_it_and_what_is_a_link_to_the_cache(self, project):
        (project.folder / "metrics").mkdir()
        (project.folder / ".dvc/cache").mkdir(parents=True)
        (project.folder / ".dvc/cache/00").write_text("name,label\na.png,dog\n")
        (project.folder / "metrics/label_issues.csv").symlink_to("../.dvc/cache/00")
        (project.folder / "mine.csv").symlink_to("metrics/label_issues.csv")
        for path in ("metrics/label_issues.csv", "mine.csv"):
            with pytest.raises(PipelineError, match="is an output of the pipeline, or lies in one"):
                locate_corrections("relabel", path)

    @pytest.mark.parametrize(("path", "words"), [("no.csv", "does not exist"), ("data", "is not a file")])
    def test_what_is_no_file_is_refused(self, project, path, words):
        (project.folder / "data").mkdir()
        with pytest.raises(
            PipelineError, match=rf"^prune\.exclude '{path}' {words}: expected a name or image_id per line"
        ):
            locate_corrections("exclude", path)

    def test_what_can_not_be_read_is_refused_before_any_work(self, project):
        (project.folder / "my.csv").write_text("name,label\na.png,\n")
        with pytest.raises(PipelineError, match=r"row 2: 'a\.png' has no label"):
            locate_corrections("relabel", "my.csv")


class TestCopies:
    @pytest.fixture
    def found(self, project) -> dict[str, Found]:
        (project.folder / "my.txt").write_text("a.png\n")
        return {"exclude": Found(project.folder / "my.txt", Seen("a", "b")), "relabel": Found(None, Seen())}

    def test_they_are_what_prune_reads(self, found, project):
        copy_corrections(found)
        (project.folder / "my.txt").unlink()
        files = load_corrections({"exclude": "my.txt", "relabel": None})
        assert [(file.what, file.num_rows) for file in files] == [("prune.exclude 'my.txt'", 1)]

    def test_that_of_a_file_that_is_gone_stays(self, found, project):
        copy_corrections(found)
        copy_corrections(found | {"exclude": Found(None, Seen("a", "b"))})
        assert (project.folder / "data/corrections/exclude.csv").read_text() == "a.png\n"

    @pytest.mark.usefixtures("project")
    def test_without_file_and_copy_there_is_a_way_to_get_it(self):
        with pytest.raises(
            PipelineError, match=r"prune\.relabel is not on this machine.* run `dvc pull data/corrections`"
        ):
            copy_corrections({"relabel": Found(None, Seen("a", "b"))})

    @pytest.mark.usefixtures("project")
    def test_without_any_a_line_says_so(self):
        copy_corrections({"exclude": Found(None, Seen()), "relabel": Found(None, Seen())})
        assert [file.name for file in Path("data/corrections").iterdir()] == ["none.txt"]
        with pytest.raises(PipelineError, match="is not here: run `dvc repro`"):
            load_corrections({"exclude": "my.txt"})
