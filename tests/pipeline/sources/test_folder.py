import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config.sources import FolderSettings
from pipeline.runtime.errors import PipelineError
from pipeline.sources.folder import locate, read_folder, read_images, read_layout
from pipeline.sources.formats import MAX_IMAGE_BYTES
from pipeline.sources.raw_image import RawImage, read_file

SETTINGS = FolderSettings(
    image_size=32, drop_classes=[], merge_classes={}, max_images_per_class=None, min_images_per_class=None
)


def read(folder):
    return [fill(image) for image in read_images(path=str(folder), sha256=None, settings=SETTINGS)]


def fill(image: RawImage) -> RawImage:
    """With its bytes, or the reason why it has none, as of whoever packs it."""
    if image.reason:
        return image
    data, reason = read_file(Path(image.folder) / image.path)
    return replace(image, data=data, reason=reason)


def test_a_picture_is_still_to_be_read_and_its_size_is_known(picture_folder):
    folder = picture_folder({"cat": 1, "dog": 1, "cat/notes.txt": b"meow"})
    for image in read_folder(folder):
        assert image.data is None
        assert Path(image.folder) / image.path == folder / image.name
        assert image.size == (folder / image.name).stat().st_size


def test_every_file_has_its_bytes_its_class_and_its_split(picture_folder):
    folder = picture_folder({"train/cat": 2, "train/dog": 1, "test/cat": 1})
    images = {image.name: image for image in read(folder)}
    assert list(images) == ["test/cat/000.png", "train/cat/000.png", "train/cat/001.png", "train/dog/000.png"]
    assert all(image.data == (folder / name).read_bytes() for name, image in images.items())
    assert (images["test/cat/000.png"].label, images["test/cat/000.png"].source_split) == ("cat", "test")


def test_other_files_have_a_reason_instead_of_bytes(picture_folder):
    images = {image.name: image for image in read(picture_folder({"cat": 1, "dog": 1, "cat/notes.txt": b"meow"}))}
    assert images["cat/notes.txt"].data is None
    assert "extension '.txt'" in images["cat/notes.txt"].reason
    assert images["cat/000.png"].reason == ""


@pytest.mark.parametrize("name", ["polar bear", "Käfer", "猫", "bear, brown", "v1.0", "NA", "007", "1e5", "null"])
def test_class_names_may_be_any_text(picture_folder, name):
    assert {image.label for image in read(picture_folder({name: 1, "dog": 1}))} == {name, "dog"}


@pytest.mark.parametrize(
    ("name", "written"), [("line\nbreak", r"line\x0abreak"), ("\x1b[31mred", r"\x1b[31mred"), ("a\u202eb", r"a\u202eb")]
)
def test_what_can_not_be_seen_in_a_class_name_is_its_number_which_is_said(picture_folder, name, written):
    layout = read_layout(picture_folder({name: 1, written: 2, "dog": 1}))
    assert len(layout.classes) == 3
    assert layout.classes[written] == 2
    said = [line.partition(": ")[2] for line in layout.warnings if "can't be seen or stored" in line]
    assert len(said) == 1
    assert said[0].startswith(f"class names with characters that can't be seen or stored: 1, written as '{written}~")


def test_what_can_not_be_seen_in_a_file_name_is_its_number_too(picture_folder):
    folder = picture_folder({"cat": 1, "dog": 1})
    (folder / "cat/000.png").rename(folder / "cat/\x1b]0;title\x07.png")
    layout = read_layout(folder)
    assert r"cat/\x1b]0;title\x07.png" in {file.name for file in layout}
    assert any(line.startswith("file names with characters that can't be seen or stored: 1,") for line in layout.notes)


def test_bytes_in_a_name_that_are_not_utf8_are_replaced(picture_folder):
    folder = picture_folder({"cat": 1, "dog": 1})
    os.rename(os.fsencode(folder) + b"/cat/000.png", os.fsencode(folder) + b"/cat/\xff.png")  # noqa: PTH104
    names = [image.name for image in read_folder(folder)]
    assert "cat/\N{REPLACEMENT CHARACTER}.png" in names
    assert all(name.encode("utf-8") for name in names)


def test_a_carriage_return_in_a_name_is_replaced(picture_folder):
    folder = picture_folder({"cat\r": 1, "dog": 1})
    assert {image.label for image in read(folder)} == {"cat\N{REPLACEMENT CHARACTER}", "dog"}


def test_links_to_files_are_followed_and_links_to_folders_are_not(picture_folder):
    folder = picture_folder({"cat": 1, "dog": 1})
    (folder / "cat/link.png").symlink_to(folder / "dog/000.png")
    (folder / "cat/loop").symlink_to(folder)
    assert [image.name for image in read(folder)] == ["cat/000.png", "cat/link.png", "dog/000.png"]


def test_a_file_too_large_for_an_image_is_not_read(picture_folder):
    folder = picture_folder({"cat": 1, "dog": 1})
    with (folder / "cat/huge.png").open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1)  # sparse: takes no space on the disk
    huge = next(image for image in read(folder) if image.name == "cat/huge.png")
    assert (huge.data, huge.reason) == (None, "too large: 537 MB")


def test_a_tilde_is_the_home_folder(picture_folder, monkeypatch):
    folder = picture_folder({"cat": 1})
    monkeypatch.setenv("HOME", str(folder.parent))
    assert locate(f"~/{folder.name}") == folder


def test_a_relative_path_becomes_absolute(picture_folder, monkeypatch):
    folder = picture_folder({"cat": 1})
    monkeypatch.chdir(folder.parent)
    assert locate(folder.name) == folder


def refusal(path) -> str:
    with pytest.raises(PipelineError) as caught:
        locate(path)
    line = str(caught.value)
    assert "data.path" in line
    assert "\n" not in line
    return line


@pytest.mark.parametrize("path", [None, ""])
def test_no_path_is_refused(path):
    assert "expected a folder" in refusal(path)


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    assert "does not exist" in refusal(str(tmp_path / "nothing"))


def test_a_file_is_refused_with_a_hint_to_the_archive_source(tmp_path):
    (tmp_path / "pictures.zip").touch()
    assert "set data.source to archive" in refusal(str(tmp_path / "pictures.zip"))


def test_a_broken_link_is_refused_before_dvc_fails_on_it(picture_folder, tmp_path):
    folder = picture_folder({"cat": 2})
    (folder / "cat/broken.png").symlink_to(tmp_path / "nothing")
    line = refusal(str(folder))
    assert "1 file(s) can't be read" in line
    assert "'cat/broken.png'" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(picture_folder):
    folder = picture_folder({"cat": 2})
    (folder / "cat/000.png").chmod(0)
    assert "'cat/000.png'" in refusal(str(folder))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_a_permission_error(picture_folder):
    folder = picture_folder({"cat": 2})
    (folder / "cat").chmod(0)
    with pytest.raises(PermissionError):
        locate(str(folder))
    (folder / "cat").chmod(0o700)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(PipelineError, match="contains no files"):
        read(tmp_path)


class TestLinksThatLeadInACircle:
    @pytest.mark.parametrize("links", [{"loop": "loop"}, {"cat/x.png": "x.png"}, {"a": "b", "b": "a"}])
    def test_they_end_in_one_line_that_names_one(self, picture_folder, links):
        folder = picture_folder({"cat": 1, "dog": 1})
        for name, target in links.items():
            (folder / name).symlink_to(target)
        with pytest.raises(PipelineError, match=r"file\(s\) can't be read, such as '(loop|cat/x\.png|a|b)' \(no"):
            locate(str(folder))

    def test_a_link_to_a_folder_above_is_not_entered(self, picture_folder):
        folder = picture_folder({"cat": 1, "dog": 1})
        (folder / "cat/up").symlink_to("..")
        assert read_layout(folder).classes == {"cat": 1, "dog": 1}

    def test_a_path_that_is_one_does_not_exist(self, tmp_path):
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(PipelineError, match="does not exist"):
            locate(str(tmp_path / "loop"))
