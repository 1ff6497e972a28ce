import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.data.image_files import Decoding, Picture, load_pictures
from pipeline.data.picture_paths import find_files, list_pictures, read_list


def listed(folder: Path) -> list[str]:
    return [Path(path).relative_to(folder).as_posix() for path in list_pictures(folder)]


class TestListing:
    def test_every_picture_below_a_folder_sorted_within_each_folder(self, picture_folder):
        names = ["b.png", "a/z.png", "a/b/1.png", "a/b/10.png", "a/b/2.png", "c/1.png", "B.png"]
        folder = picture_folder(dict.fromkeys(names, b""))
        assert listed(folder) == ["B.png", "a/b/1.png", "a/b/10.png", "a/b/2.png", "a/z.png", "b.png", "c/1.png"]

    @pytest.mark.parametrize(
        "kind",
        [
            "jpg",
            "jpeg",
            "png",
            "bmp",
            "gif",
            "webp",
            "tif",
            "tiff",
            "ppm",
            "pgm",
            "pfm",
            "jfif",
            "jpe",
            "heic",
            "avif",
            "JPG",
            "Png",
        ],
    )
    def test_pictures_are_recognized_by_their_extension(self, picture_folder, kind):
        assert listed(picture_folder({f"a.{kind}": b""})) == [f"a.{kind}"]

    @pytest.mark.parametrize("name", ["a.txt", "a", "jpg", "a.jpg.part", "a.svg", "a.pdf"])
    def test_other_files_are_left_out(self, picture_folder, name):
        assert listed(picture_folder({name: b""})) == []

    def test_hidden_files_and_folders_are_left_out(self, picture_folder):
        folder = picture_folder({".a.png": b"", ".thumbnails/a.png": b"", ".png": b"", "a/.b/c.png": b"", "a.png": b""})
        assert listed(folder) == ["a.png"]

    def test_links_to_folders_are_not_followed_so_that_loops_end(self, picture_folder):
        folder = picture_folder({"a/1.png": b""})
        (folder / "a/loop").symlink_to(folder)
        (folder / "elsewhere").symlink_to(folder / "a")
        assert listed(folder) == ["a/1.png"]

    def test_a_link_to_a_folder_with_the_extension_of_a_picture_is_not_followed(self, picture_folder):
        folder = picture_folder({"a/1.png": b""})
        (folder / "a.jpg").symlink_to(folder / "a")
        assert listed(folder) == ["a/1.png"]

    def test_a_folder_may_have_the_extension_of_a_picture(self, picture_folder):
        assert listed(picture_folder({"a.jpg/1.png": b""})) == ["a.jpg/1.png"]

    def test_links_to_pictures_are_listed(self, picture_folder):
        folder = picture_folder({"a.png": b""})
        (folder / "b.png").symlink_to("a.png")
        assert listed(folder) == ["a.png", "b.png"]

    def test_the_folder_itself_may_be_a_link_or_hidden(self, picture_folder, tmp_path):
        folder = picture_folder({"a.png": b""}, name=".hidden")
        (tmp_path / "link").symlink_to(folder)
        assert listed(folder) == listed(tmp_path / "link") == ["a.png"]

    def test_paths_begin_with_the_folder_as_it_was_given(self, picture_folder, monkeypatch):
        monkeypatch.chdir(picture_folder({"a/b.png": b""}).parent)
        assert list(list_pictures(Path("pictures"))) == ["pictures/a/b.png"]

    def test_an_empty_folder_has_none(self, picture_folder):
        assert listed(picture_folder({})) == []

    def test_names_may_be_in_any_script(self, picture_folder):
        names = ["a, b/Käfer.png", '猫/it\'s "one".png', "🐈.png"]
        assert listed(picture_folder(dict.fromkeys(names, b""))) == names


class TestFinding:
    def test_files_stay_and_folders_become_the_pictures_below_them(self, picture_folder):
        folder = picture_folder({"a/2.png": b"", "a/1.png": b"", "b.png": b"", "notes.txt": b""})
        given = [str(folder / name) for name in ("notes.txt", "a", "b.png", "missing.png", "b.png")]
        expected = [f"{folder}/{name}" for name in ("notes.txt", "a/1.png", "a/2.png", "b.png", "missing.png", "b.png")]
        assert list(find_files(given)) == expected

    def test_a_folder_without_pictures_is_named_with_the_reason_beside_the_others(self, picture_folder):
        folder = picture_folder({"notes/a.txt": b"", "b.png": b""})
        notes, picture = find_files([f"{folder}/notes", f"{folder}/b.png"])
        assert (notes.path, picture) == (f"{folder}/notes", f"{folder}/b.png")
        assert notes.reason.startswith("contains no picture: expected files such as .jpg, ")

    def test_an_empty_name_is_not_the_folder_in_which_one_is(self, picture_folder, monkeypatch):
        monkeypatch.chdir(picture_folder({"a.png": b""}))
        (found,) = find_files([""])
        assert (found.path, found.reason) == ("", "an empty name: expected a file or a folder")

    def test_the_first_are_found_before_the_last_are_looked_for(self, picture_folder):
        folder = picture_folder({"a/1.png": b"", "b/2.png": b""})
        found = find_files([str(folder)])
        assert next(found) == f"{folder}/a/1.png"
        (folder / "b/3.png").touch()
        assert list(found) == [f"{folder}/b/2.png", f"{folder}/b/3.png"]

    def test_a_link_to_itself_is_a_picture_that_can_not_be_read(self, picture_folder):
        folder = picture_folder({"a.png": b""})
        (folder / "b.png").symlink_to("b.png")
        assert list(find_files([str(folder)])) == [f"{folder}/a.png", f"{folder}/b.png"]
        (picture,) = load_pictures([f"{folder}/b.png"], Decoding(16, "stretch", 8, 1.0))
        assert picture.reason == "is a link that leads back to itself"

    def test_a_folder_that_is_gone_costs_only_itself(self, picture_folder, monkeypatch):
        folder = picture_folder({"a/1.png": b"", "b/2.png": b""})
        scan = os.scandir

        def refuse(path: str) -> Iterator[os.DirEntry]:
            if path.endswith("/a"):
                raise PermissionError(errno.EACCES, "denied", path)
            return scan(path)

        monkeypatch.setattr("os.scandir", refuse)
        assert list(find_files([str(folder)])) == [
            Picture(f"{folder}/a", None, "no permission to read it"),
            f"{folder}/b/2.png",
        ]
        with pytest.raises(PermissionError):
            list(list_pictures(folder))


class TestLists:
    @pytest.mark.parametrize(
        ("content", "names"),
        [
            (b"", []),
            (b"\n\n", []),
            (b"a.png", ["a.png"]),
            (b"a.png\nb c.png\n", ["a.png", "b c.png"]),
            (b"a.png\r\nb.png\r\n", ["a.png", "b.png"]),
            (b"\xef\xbb\xbfa.png\r\n", ["a.png"]),
            (b" a.png \n", [" a.png "]),
            (b"two\nlines.png\0b.png\r\0", ["two\nlines.png", "b.png\r"]),
            ("猫.png\n".encode(), ["猫.png"]),
            (b"caf\xe9.png\n", ["caf\udce9.png"]),
            (b"a" * 70_000 + b"\nb.png", ["a" * 70_000, "b.png"]),
        ],
    )
    def test_a_line_or_what_ends_with_a_zero_byte_is_a_name(self, content, names):
        assert list(read_list(io.BytesIO(content))) == names

    def test_names_come_before_the_list_ends(self):
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", 0) as writer:
            writer.write(b"a.png\nb.png\nc")
            names = read_list(stream)
            writer.write(b".png\n")
            assert [next(names), next(names)] == ["a.png", "b.png"]
