from itertools import product

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


class TestFoldersAboveThoseOfTheSource:
    """Rows that have more folders than the files: of the source's own name, or the same in all rows."""

    @staticmethod
    def find(rows: list[str], *, folder: str, files: tuple[str, ...] = ("1.jpg", "a/2.jpg")):
        finder = Finder(dict(zip(files, files, strict=True)), None, f"folder {folder!r}", folder=folder)
        table = [LabelRow(number, path, "cat", "", "", "") for number, path in enumerate(rows, start=2)]
        finder.expect(table)
        return [finder.find(row, "labels.csv") for row in table], list(finder.describe("labels.csv"))

    @pytest.mark.parametrize("above", ["", "set/", "x/set/"])
    def test_rows_of_another_folder_mean_no_file_of_this_one(self, above):
        rows = [f"{above}cam1/1.jpg", f"{above}cam2/a/2.jpg", f"{above}cam1/a/2.jpg", f"{above}Cam2/1"]
        assert self.find(rows, folder="cam2") == ([None, "a/2.jpg", None, "1.jpg"], [])

    def test_nor_if_the_folder_was_renamed(self):
        assert self.find(["cam1/1.jpg", "cam2/a/2.jpg"], folder="mine")[0] == [None, None]
        assert self.find(["1.jpg", "cam2/a/2.jpg"], folder="mine")[0] == ["1.jpg", None]

    @pytest.mark.parametrize("above", ["CheXpert-v1.0-small", "old/set"])
    def test_a_renamed_folder_is_the_same_in_all_rows_and_said(self, above):
        found, said = self.find([f"{above}/1.jpg", f"{above}/a/2.jpg", f"{above}/b/3.jpg"], folder="mine")
        assert found == ["1.jpg", "a/2.jpg", None]
        assert f"begin in a folder {above.rpartition('/')[2]!r}, such as row 2: '{above}/1.jpg'" in said[0]
        assert self.find([f"{above}/1.jpg", f"{above}/a/2.jpg"], folder="")[0] == ["1.jpg", "a/2.jpg"]

    @pytest.mark.parametrize("folder", ["my set", "mine"])
    def test_they_may_be_written_otherwise_and_rows_may_be_blank(self, folder):
        rows = ["my%20set/1.jpg", "", "My%20set/A/2.jpg"]
        assert self.find(rows, folder=folder)[0] == ["1.jpg", None, "a/2.jpg"]

    def test_published_prefixes_fit_the_folder_and_the_one_above_it(self):
        rows = [f"Set-v1/{split}/1.jpg" for split in ("train", "valid")]
        assert self.find(rows, folder="Set-v1", files=("train/1.jpg", "valid/1.jpg"))[0] == [
            "train/1.jpg",
            "valid/1.jpg",
        ]
        assert self.find(rows, folder="all", files=tuple(rows)) == (rows, [])
        assert self.find(rows, folder="all", files=tuple(f"deep/{row}" for row in rows))[0] == [
            f"deep/{row}" for row in rows
        ]
        assert self.find(rows, folder="train", files=("1.jpg",))[0] == ["1.jpg", None]

    @pytest.mark.parametrize("path", ["/data/x/1.jpg", "C:\\x\\1.jpg", "../x/1.jpg", "https://host/x/1.jpg"])
    def test_folders_of_another_machine_say_nothing(self, path):
        assert self.find([path, "a/2.jpg"], folder="mine") == (["1.jpg", "a/2.jpg"], [])


class TestManyPicturesOfOneName:
    """view1.jpg of each patient: they are looked up, and mean what a comparison of a row with each of them says."""

    FOLDERS = tuple("/".join(folders) for depth in range(4) for folders in product("ab", repeat=depth))
    FILES = tuple(
        f"{folder}/{name}".lstrip("/")
        for number, folder in enumerate(FOLDERS)
        for name in ("1.jpg", "1.png", "2.jpg", "K.JPG")
        if name != "1.png" or number % 3
    )
    ROWS = tuple(
        f"{'/'.join(folders)}/{name}".lstrip("/")
        for depth in range(5)
        for folders in product("abA", repeat=depth)
        for name in ("1.jpg", "1.png", "1", "2", "2.gif", "k.jpg", "3")
    )

    @staticmethod
    def list_meant(row: str, files: tuple[str, ...]) -> list[str]:
        """By a look at each file. A whole path comes before ends of paths; what is written as it is before other case."""
        for fold in (str, str.casefold):
            *folders, name = fold(row).split("/")
            meant = []
            for path in files:
                *above, own = fold(path).split("/")
                shared = min(len(folders), len(above))
                is_named = own == name or ("." not in name and own.rpartition(".")[0] == name)
                if is_named and above[len(above) - shared :] == folders[len(folders) - shared :]:
                    meant.append(path)
            meant = [path for path in meant if fold(path) == fold(row)] or meant
            if meant:
                return meant
        return []

    @staticmethod
    def find(finder: Finder, row: str) -> str | None:
        try:
            return finder.find(LabelRow(2, row, "cat", "", "", ""), "labels.csv")
        except PipelineError as error:
            return str(error)

    @pytest.mark.parametrize("step", [1, 2, 5])
    def test_a_look_up_and_a_look_at_each_agree(self, step):
        files = self.FILES[::-step]
        finder = Finder(dict(zip(files, files, strict=True)), None, "folder 'x'")
        for row in self.ROWS:
            meant = self.list_meant(row, files)
            found = self.find(finder, row)
            if len(meant) > 1:
                assert f"is {len(meant)} pictures of folder 'x', such as {meant[0]!r} and {meant[1]!r}" in found
            else:
                assert [found] == (meant or [None])

    def test_rows_of_another_machine_mean_the_only_one_of_a_name(self):
        files = [f"{number}/view1.jpg" for number in range(20)] + ["x/a.jpg", "x/b.jpg", "x/c.jpg"]
        finder = Finder(dict(zip(files, files, strict=True)), None, "folder 'x'")
        paths = ["/old/view1.jpg", "/old/c", "/old/a.jpg", "/", "/old/b.jpg", "/new/b", "/old/A.jpg", "/old/d.jpg"]
        rows = [LabelRow(number, path, "cat", "", "", "") for number, path in enumerate(paths, start=2)]
        assert finder.match_names(rows)
        assert [finder.find(row, "labels.csv") for row in rows] == [None, "x/c.jpg", *[None] * 6]
