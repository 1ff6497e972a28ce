import pytest

from stages.errors import PipelineError
from stages.locate import locate


def test_a_folder_is_shown_to_dvc_by_a_link(project, picture_folder):
    folder = picture_folder({"cat": 1, "dog": 1})
    project.set(data__source="folder", data__path=str(folder))
    locate()
    assert (project.folder / "data/watch/folder").readlink() == folder


def test_an_archive_is_shown_to_dvc_by_a_link(project, tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK")
    project.set(data__source="archive", data__path="../a.zip")
    locate()
    assert (project.folder / "data/watch/archive").readlink().samefile(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("source", "path"),
    [("scenes", None), ("cifar10", None), ("archive", "http://127.0.0.1/a.zip"), ("archive", "doi:1/2")],
)
def test_what_can_not_change_on_this_machine_is_a_line_that_says_so(project, source, path):
    project.set(data__source=source, data__path=path)
    locate()
    text = (project.folder / "data/watch" / source).read_text()
    assert source in text
    locate()
    assert (project.folder / "data/watch" / source).read_text() == text


def test_another_source_takes_the_place_of_the_former(project, picture_folder):
    folder = picture_folder({"cat": 1, "dog": 1})
    project.set(data__source="folder", data__path=str(folder))
    locate()
    project.set(data__source="scenes", data__path=None)
    locate()
    assert project.files() == ["watch", "watch/scenes"]
    assert (folder / "cat/000.png").exists()


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("scenes", "pictures"),
        ("cifar10", "pictures"),
        ("folder", None),
        ("folder", "nothing"),
        ("archive", None),
        ("archive", "nothing"),
    ],
)
def test_a_wrong_path_is_told_before_any_work(project, source, path):
    project.set(data__source=source, data__path=path)
    with pytest.raises(PipelineError, match=r"data\.path"):
        locate()
    assert project.files() == []


def test_a_wrong_parameter_of_a_later_stage_is_told_before_any_work(project):
    project.set(train__epochs="ten")
    with pytest.raises(PipelineError, match=r"^train\.epochs: "):
        locate()
    assert project.files() == []
