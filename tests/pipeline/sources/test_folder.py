import os

import pytest

from pipeline.config.sources import FolderSettings
from pipeline.runtime.errors import PipelineError
from pipeline.sources.folder import locate, read_folder, read_images
from pipeline.sources.formats import MAX_IMAGE_BYTES

SETTINGS = FolderSettings(
    image_size=32, drop_classes=[], merge_classes={}, max_images_per_class=None, min_images_per_class=None
)


def read(folder):
    return list(read_images(path=str(folder), sha256=None, settings=SETTINGS))


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


@pytest.mark.parametrize("name", ["polar bear", "Käfer", "猫", "bear, brown", "v1.0", "line\nbreak", "NA"])
def test_class_names_may_be_any_text(picture_folder, name):
    assert {image.label for image in read(picture_folder({name: 1, "dog": 1}))} == {name, "dog"}


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
