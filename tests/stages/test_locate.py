import logging
from pathlib import Path

import pytest

from pipeline.runtime.errors import PipelineError
from stages.locate import locate
from tests.pipeline.sources.packing import CATS_AND_DOGS, pack_zip


def test_a_folder_is_watched_through_a_link(project, picture_folder, caplog):
    folder = picture_folder({"cat": 1, "dog": 1})
    project.set(data__source="folder", data__path=str(folder))
    caplog.set_level(logging.INFO)
    locate()
    assert (project.folder / "data/watch/folder").readlink() == folder
    assert caplog.messages == ["folder 'pictures': 2 classes: cat 1, dog 1", f"images come from folder: {folder}"]


def test_an_archive_is_watched_through_a_link(project, tmp_path):
    pack_zip(tmp_path / "a.zip", CATS_AND_DOGS)
    project.set(data__source="archive", data__path="../a.zip")
    locate()
    assert (project.folder / "data/watch/archive").readlink().samefile(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("source", "path"),
    [("scenes", None), ("cifar10", None), ("archive", "http://127.0.0.1/a.zip"), ("archive", "doi:1/2")],
)
def test_a_source_that_can_not_change_gets_a_line_that_says_so(project, source, path):
    project.set(data__source=source, data__path=path)
    locate()
    text = (project.folder / "data/watch" / source).read_text()
    assert source in text
    locate()
    assert (project.folder / "data/watch" / source).read_text() == text


def test_another_source_replaces_the_earlier_one(project, picture_folder):
    folder = picture_folder({"cat": 1, "dog": 1})
    project.set(data__source="folder", data__path=str(folder))
    locate()
    project.set(data__source="scenes", data__path=None)
    locate()
    assert project.files() == ["watch", "watch/labels", "watch/outside", "watch/scenes"]
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
def test_a_wrong_path_is_refused_before_any_work(project, source, path):
    project.set(data__source=source, data__path=path)
    with pytest.raises(PipelineError, match=r"data\.path"):
        locate()
    assert project.files() == []


def test_a_wrong_parameter_of_a_later_stage_is_refused_before_any_work(project):
    project.set(train__epochs="ten")
    with pytest.raises(PipelineError, match=r"^train\.epochs: "):
        locate()
    assert project.files() == []


OUTSIDE = Path("data/watch/outside")


class TestOutsidePictures:
    """evaluate.outside_path: a folder of pictures that are in no split."""

    def test_without_any_there_is_always_the_same_line(self, project):
        project.set(evaluate__outside_path=None)
        locate()
        text = OUTSIDE.read_text()
        assert "evaluate.outside_path is null" in text
        locate()
        assert OUTSIDE.read_text() == text

    def test_their_folder_is_watched_through_a_link(self, project, picture_folder):
        folder = picture_folder({"cat": 1})
        project.set(evaluate__outside_path=str(folder))
        locate()
        assert OUTSIDE.readlink() == folder
        assert (OUTSIDE / "cat/000.png").exists()

    def test_a_relative_path_starts_from_the_projects_folder(self, project, picture_folder):
        folder = picture_folder({"deep/down": 1})
        project.set(evaluate__outside_path="../pictures")
        locate()
        assert OUTSIDE.readlink().is_absolute()
        assert OUTSIDE.samefile(folder)

    def test_a_tilde_is_the_home_folder(self, project, picture_folder, monkeypatch):
        folder = picture_folder({"cat": 1})
        monkeypatch.setenv("HOME", str(folder.parent))
        project.set(evaluate__outside_path="~/pictures")
        locate()
        assert OUTSIDE.samefile(folder)

    def test_a_link_to_a_folder_is_allowed(self, project, picture_folder):
        (project.folder / "outside").symlink_to(picture_folder({"cat": 1}))
        project.set(evaluate__outside_path="outside")
        locate()
        assert (OUTSIDE / "cat/000.png").exists()

    def test_their_link_is_removed_with_the_parameter_and_their_folder_stays(self, project, picture_folder):
        folder = picture_folder({"cat": 1})
        project.set(evaluate__outside_path=str(folder))
        locate()
        project.set(evaluate__outside_path=None)
        locate()
        assert not OUTSIDE.is_symlink()
        assert (folder / "cat/000.png").exists()

    def test_the_source_of_the_data_set_is_watched_too(self, project, picture_folder):
        dataset, outside = picture_folder({"cat": 1, "dog": 1}, "dataset"), picture_folder({"cat": 1}, "outside")
        project.set(data__source="folder", data__path=str(dataset), evaluate__outside_path=str(outside))
        locate()
        assert Path("data/watch/folder").samefile(dataset)
        assert OUTSIDE.samefile(outside)

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("nothing", "does not exist: expected a folder of pictures, or null"),
            ("params.yaml", "is not a folder: expected a folder of pictures, or null"),
            ("empty", "contains no picture: expected files such as .jpg or .png below it, or null"),
        ],
    )
    def test_a_wrong_path_is_refused_before_any_work(self, project, path, words):
        (project.folder / "empty/deep").mkdir(parents=True)
        (project.folder / "empty/deep/notes.txt").touch()
        project.set(evaluate__outside_path=path)
        with pytest.raises(PipelineError) as caught:
            locate()
        assert str(caught.value) == f"evaluate.outside_path {path!r} {words}"
        assert project.files() == []

    def test_a_dvc_project_in_it_is_refused_as_its_changes_would_go_unnoticed(self, project, picture_folder):
        folder = picture_folder({"cat": 1})
        (folder / "cat/.dvc").mkdir()
        project.set(evaluate__outside_path=str(folder))
        with pytest.raises(
            PipelineError, match=r"^evaluate.outside_path .* contains 'cat/.dvc': .*set evaluate.outside_path"
        ):
            locate()
        assert project.files() == []


class TestReading:
    """What the folders are taken for is said, and asked, before anything is copied."""

    def test_two_readings_stop_before_any_work(self, project, picture_folder):
        folder = picture_folder({"color/cat": 1, "color/dog": 1, "grey/cat": 1, "grey/dog": 1})
        project.set(data__source="folder", data__path=str(folder))
        with pytest.raises(PipelineError, match=r"in two ways.*data\.layout=flat.*data\.classes=parent"):
            locate()
        assert project.files() == []
        project.set(data__classes="parent")
        locate()

    def test_a_warning_is_a_warning(self, project, picture_folder, caplog):
        folder = picture_folder({"cat": 2, "dog": 2})
        (folder / "bird").mkdir()
        project.set(data__source="folder", data__path=str(folder))
        locate()
        assert [record.levelname for record in caplog.records if "bird" in record.message] == ["WARNING"]

    def test_a_relative_path_that_does_not_exist_is_shown_whole(self, project):
        project.set(data__source="folder", data__path="../nothing")
        with pytest.raises(PipelineError, match=rf"starts from the project: tried '{project.folder}/\.\./nothing'"):
            locate()

    @pytest.mark.parametrize("place", ["pictures/labels.csv", "labels.csv"])
    def test_a_table_of_labels_is_watched_wherever_it_is(self, project, picture_folder, tmp_path, place):
        folder = picture_folder({"all": 2})
        (tmp_path / place).write_text("path,label\n000,cat\n001,dog\n")
        labels = "labels.csv" if place.startswith("pictures") else "../labels.csv"
        project.set(data__source="folder", data__path=str(folder), data__labels=labels)
        locate()
        assert Path("data/watch/labels").samefile(tmp_path / place)

    @pytest.mark.usefixtures("project")
    def test_without_a_table_there_is_always_the_same_line(self):
        locate()
        text = Path("data/watch/labels").read_text()
        assert "no file of labels" in text
        locate()
        assert Path("data/watch/labels").read_text() == text
