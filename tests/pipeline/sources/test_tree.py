from pathlib import PurePosixPath

import pytest

from pipeline.sources.tree import find_extension, is_picture


@pytest.mark.parametrize(
    "path",
    [
        *(
            "a.jpg",
            "a/b.JPG",
            "a.b/c",
            "a.b/c.tar.gz",
            ".jpg",
            "a/.jpg",
            "a/.b.jpg",
            "a.",
            "a..",
            "a/b.",
            "..",
            "../x.png",
        ),
        *("a/b.png/", "a/b.png/.", "a/b.png//", "", "/", "a", "ä.PNG", "a .jpg", "a.jpg ", "a\n.jpg"),
    ],
)
def test_an_extension_is_the_suffix_of_the_path(path):
    assert find_extension(path) == PurePosixPath(path).suffix.lower()


@pytest.mark.parametrize(("path", "expected"), [("cat/1.JPeG", True), ("cat/.jpg", False), ("cat.jpg/notes", False)])
def test_a_picture_is_told_by_its_extension(path, expected):
    assert is_picture(path) is expected
