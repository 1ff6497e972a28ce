import os
import socket
from pathlib import Path

import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.local_folder import check_listing, list_folder, list_stamps


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "pictures"
    (folder / "cat/deep").mkdir(parents=True)
    (folder / "cat/1.jpg").write_bytes(b"one")
    (folder / "cat/deep/2.jpg").write_bytes(b"second")
    monkeypatch.chdir(folder)  # names of sockets are short
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(PipelineError) as caught:
        check_listing(list_folder(folder), "some/pictures")
    line = str(caught.value)
    assert line.startswith("data.path 'some/pictures'")
    assert "\n" not in line
    return line


def test_files_have_sizes_and_folders_are_listed(folder):
    (folder / "bird").mkdir()
    listing = list_folder(folder)
    assert listing.sizes == {"cat/1.jpg": 3, "cat/deep/2.jpg": 6}
    assert sorted(listing.folders) == ["bird", "cat", "cat/deep"]
    check_listing(listing, "some/pictures")


def test_links_to_folders_are_not_entered(folder):
    Path("cat/loop").symlink_to(folder)
    Path("dog").symlink_to(folder / "cat")
    listing = list_folder(folder)
    assert sorted(listing.links) == ["cat/loop", "dog"]
    assert len(listing.sizes) == 2
    check_listing(listing, "some/pictures")


def test_a_link_to_a_file_is_that_file(folder):
    Path("cat/3.jpg").symlink_to(folder / "cat/1.jpg")
    assert list_folder(folder).sizes["cat/3.jpg"] == 3


def test_stamps_are_of_the_files_that_have_sizes_sorted_by_path(folder):
    Path("a.jpg").write_bytes(b"x")
    Path("cat/3.jpg").symlink_to(folder / "cat/1.jpg")
    Path("cat/gone.jpg").symlink_to("nothing")
    Path("dog").symlink_to(folder / "cat")
    assert list(list_stamps(folder)) == sorted(list_folder(folder).sizes)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_bytes(b"longer than before"),
        lambda file: os.utime(file, ns=(1, 1)),
        lambda file: (file.with_name("new").write_bytes(b"second"), file.with_name("new").replace(file)),
    ],
)
def test_a_stamp_is_another_once_the_file_has_changed(folder, change):
    before = list_stamps(folder)
    change(Path("cat/deep/2.jpg"))
    after = list_stamps(folder)
    assert after["cat/deep/2.jpg"] != before["cat/deep/2.jpg"]
    assert after["cat/1.jpg"] == before["cat/1.jpg"]


def make_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (os.mkfifo, "a named pipe"),
        (make_socket, "a socket"),
        (lambda path: Path(path).symlink_to("/dev/zero"), "a device"),
        (lambda path: Path(path).symlink_to("/proc/self/status"), "no file on a disk"),
    ],
)
def test_what_has_no_end_is_refused_by_name(folder, make, what):
    make("cat/x.jpg")
    line = refusal(folder)
    assert "'cat/x.jpg'" in line
    assert what in line


def test_a_link_to_a_pipe_is_a_pipe(folder):
    os.mkfifo("../pipe")
    Path("cat/x.jpg").symlink_to(folder.parent / "pipe")
    assert "a named pipe" in refusal(folder)


@pytest.mark.parametrize("target", ["x.jpg", "nothing.jpg"])
def test_links_in_a_circle_or_to_nothing_are_refused_by_name(folder, target):
    Path("cat/x.jpg").symlink_to(target)
    assert "'cat/x.jpg' (no permission, or a link to nothing)" in refusal(folder)


@pytest.mark.parametrize("name", [b"cat/h\xfcndchen.jpg", b"h\xfcndchen/", b"h\xfcndchen/1.jpg", b".h\xfcndchen"])
def test_a_name_that_is_not_utf8_is_refused_by_name(folder, name):
    os.makedirs(os.path.dirname(name) or b".", exist_ok=True)  # noqa: PTH103, PTH120
    if not name.endswith(b"/"):
        with open(name, "wb"):  # noqa: PTH123
            pass
    line = refusal(folder)
    assert "h\\xfcndchen" in line
    assert "not UTF-8" in line


@pytest.mark.parametrize("name", ["lost+found", "cat/.Trash-0", "cat/deep"])
def test_only_folders_of_the_system_may_be_closed_to_this_user(folder, name, monkeypatch):
    Path(name).mkdir(exist_ok=True)
    scandir = os.scandir

    def refuse(path):
        if str(path) == str(folder / name):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # whoever runs the tests as root may read all
    if name == "cat/deep":
        with pytest.raises(PermissionError):
            list_folder(folder)
    else:
        assert sorted(list_folder(folder).sizes) == ["cat/1.jpg", "cat/deep/2.jpg"]
        assert sorted(list_stamps(folder)) == ["cat/1.jpg", "cat/deep/2.jpg"]


@pytest.mark.parametrize("name", [".dvc/config", ".dvcignore", "cat/.dvc/config", "cat/deep/.dvcignore"])
def test_another_dvc_project_is_refused_by_name(folder, name):
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).touch()
    line = refusal(folder)
    assert repr(name.removesuffix("/config")) in line
    assert "DVC project" in line
    assert "data.path" in line


def test_a_repository_of_git_and_files_of_dvc_are_no_project(folder):
    Path(".git").mkdir()
    Path(".git/HEAD").touch()
    Path("cat.dvc").touch()
    listing = list_folder(folder)
    check_listing(listing, "some/pictures")
    assert ".git/HEAD" not in listing.sizes
