import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.label_finder import Finder
from pipeline.sources.label_table import LabelRow

FILES = ["images/My cat.JPG", "images/b%20c.png", "images/d.png", "other/D.png"]


def find(path: str, files: list[str] = FILES) -> tuple[str | None, list[str]]:
    finder = Finder(dict(zip(files, files, strict=True)), None, "folder 'x'")
    return finder.find(LabelRow(2, path, "cat", "", "", ""), "labels.csv"), list(finder.describe("labels.csv"))


@pytest.mark.parametrize("path", ["My%20cat.JPG", "my cat.jpg", "Images/my%20Cat", "C:\\data\\IMAGES\\My cat.jpg"])
def test_other_case_and_the_encoding_of_urls_are_understood_and_said(path):
    found, said = find(path)
    assert found == "images/My cat.JPG"
    assert "1 rows of labels.csv name a file by other case or in the encoding of URLs, such as row 2" in said[0]


@pytest.mark.parametrize(
    ("path", "found"), [("d.png", "images/d.png"), ("D", "other/D.png"), ("b%20c", "images/b%20c.png")]
)
def test_what_is_written_as_it_is_comes_first(path, found):
    assert find(path) == (found, [])


def test_two_files_that_differ_by_case_are_asked_for():
    with pytest.raises(
        PipelineError,
        match=r"'d.PNG' is 2 pictures .*\(data\.splits=\{images: ignore\} or data\.splits=\{other: ignore\}\)",
    ):
        find("d.PNG")


@pytest.mark.parametrize("path", ["", "/", "e.png", "images", "%", "%00"])
def test_other_files_are_none(path):
    assert find(path) == (None, [])


def test_another_extension_is_pointed_at():
    finder = Finder({"a/b.jpg": "a/b.jpg"}, None, "folder 'x'")
    assert finder.find_other_extension(LabelRow(2, "b.png", "cat", "", "", "")) == "a/b.jpg"
    assert finder.find_other_extension(LabelRow(2, "c.png", "cat", "", "", "")) is None
