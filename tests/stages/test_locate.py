import logging
import os
import shutil
from pathlib import Path

import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.sources.watching import load_seen, load_watched
from stages.locate import locate
from tests.pipeline.sources.packing import CATS_AND_DOGS, pack_zip

LOCATED = Path("data/located")
CORRECTIONS = Path("data/corrections")


def test_what_is_in_a_folder_reaches_download_as_a_digest(project, picture_folder, caplog):
    folder = picture_folder({"cat": 1, "dog": 1})
    project.set(data__source="folder", data__path=str(folder))
    caplog.set_level(logging.INFO)
    locate()
    text = (LOCATED / "folder").read_text()
    assert len(text.strip()) == 32
    assert caplog.messages == ["folder 'pictures': 2 classes: cat 1, dog 1", f"images come from folder: {folder}"]
    (folder / "cat/more.png").write_bytes(b"1")
    locate()
    assert (LOCATED / "folder").read_text() != text
    (folder / "cat/more.png").unlink()
    locate()
    assert (LOCATED / "folder").read_text() == text


def test_an_archive_is_watched_where_it_is(project, tmp_path):
    pack_zip(tmp_path / "a.zip", CATS_AND_DOGS)
    project.set(data__source="archive", data__path="../a.zip")
    locate()
    assert load_watched()["source"].samefile(tmp_path / "a.zip")
    assert len((LOCATED / "archive").read_text().strip()) == 32


@pytest.mark.parametrize(
    ("source", "path"),
    [("scenes", None), ("cifar10", None), ("archive", "http://127.0.0.1/a.zip"), ("archive", "doi:1/2")],
)
def test_a_source_that_can_not_change_gets_a_line_that_says_so(project, source, path):
    project.set(data__source=source, data__path=path)
    locate()
    text = (LOCATED / source).read_text()
    assert source in text
    locate()
    assert (LOCATED / source).read_text() == text
    assert load_watched() == {}


def test_another_source_replaces_the_earlier_one(project, picture_folder):
    folder = picture_folder({"cat": 1, "dog": 1})
    project.set(data__source="folder", data__path=str(folder))
    locate()
    project.set(data__source="scenes", data__path=None)
    locate()
    assert sorted(file.name for file in LOCATED.iterdir()) == ["labels", "scenes"]
    assert load_watched() == {}
    assert not Path("data/watch/here").exists()
    assert (folder / "cat/000.png").exists()


class TestAnotherMachine:
    """The parameters are those of a colleague; what they name is not here."""

    @pytest.fixture
    def moved(self, project, picture_folder) -> Path:
        """The folder that data.path names, located once; it is elsewhere now."""
        folder = picture_folder({"cat": 1, "dog": 1})
        project.set(data__source="folder", data__path=str(folder))
        locate()
        return folder.rename(folder.with_name("elsewhere"))

    def test_what_is_gone_since_stops_nothing(self, moved, caplog):
        text = (LOCATED / "folder").read_text()
        locate()
        assert (LOCATED / "folder").read_text() == text
        assert "is not on this machine: what was read from it is still used" in caplog.text
        assert moved.exists()

    def test_a_clone_has_no_more_than_git_knows(self, moved, tmp_path, monkeypatch):
        text = (LOCATED / "folder").read_text()
        clone = tmp_path / "clone"
        shutil.copytree("data/watch/seen", clone / "data/watch/seen")
        shutil.copyfile("params.yaml", clone / "params.yaml")
        monkeypatch.chdir(clone)
        locate()
        assert (LOCATED / "folder").read_text() == text
        assert load_watched() == {}
        assert moved.exists()

    @pytest.mark.usefixtures("moved")
    def test_an_empty_folder_is_a_disk_that_is_not_mounted(self, tmp_path):
        (tmp_path / "pictures").mkdir()
        locate()

    @pytest.mark.usefixtures("moved")
    @pytest.mark.parametrize("asked", [{"data__path": "/elsewhere"}, {"data__layout": "flat"}, {"data__root": "cat"}])
    def test_whoever_asks_for_it_again_is_told(self, project, asked):
        project.set(**asked)
        with pytest.raises(PipelineError, match=r"^data\.path .* does not exist: expected a folder"):
            locate()

    @pytest.mark.usefixtures("moved")
    def test_pictures_outside_are_no_question_of_the_source(self, project, picture_folder):
        project.set(evaluate__outside_path=str(picture_folder({"cat": 1}, "outside")))
        locate()
        assert (OUTSIDE / "cat/000.png").exists()

    def test_it_is_watched_again_when_it_comes_back(self, moved, tmp_path):
        locate()
        assert load_watched()["source"] == tmp_path / "pictures"
        moved.rename(tmp_path / "pictures")
        locate()
        assert load_watched()["source"] == tmp_path / "pictures"

    def test_a_file_of_labels_that_is_gone_stops_nothing(self, project, picture_folder, tmp_path):
        folder = picture_folder({"all": 2})
        (tmp_path / "labels.csv").write_text("path,label\n000,cat\n001,dog\n")
        project.set(data__source="folder", data__path=str(folder), data__labels="../labels.csv")
        locate()
        text = (LOCATED / "labels").read_text()
        (tmp_path / "labels.csv").unlink()
        folder.rename(tmp_path / "elsewhere")
        locate()
        assert (LOCATED / "labels").read_text() == text

    def test_pictures_outside_are_kept_as_copies(self, project, picture_folder, tmp_path):
        folder = picture_folder({"cat": 1})
        project.set(evaluate__outside_path=str(folder))
        locate()
        folder.rename(tmp_path / "elsewhere")
        locate()
        assert (OUTSIDE / "cat/000.png").exists()

    def test_without_copies_the_way_to_them_is_named(self, project, picture_folder, tmp_path):
        folder = picture_folder({"cat": 1})
        project.set(evaluate__outside_path=str(folder))
        locate()
        folder.rename(tmp_path / "elsewhere")
        shutil.rmtree(OUTSIDE)
        with pytest.raises(PipelineError, match=r"nor its copy: run `dvc pull data/outside`$"):
            locate()


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


OUTSIDE = Path("data/outside")


class TestOutsidePictures:
    """evaluate.outside_path: a folder of pictures that are in no split."""

    def test_without_any_there_is_always_the_same_line(self, project):
        project.set(evaluate__outside_path=None)
        locate()
        text = (OUTSIDE / "none.txt").read_text()
        assert "evaluate.outside_path is null" in text
        locate()
        assert (OUTSIDE / "none.txt").read_text() == text

    def test_they_are_copied_and_their_folder_is_watched(self, project, picture_folder):
        folder = picture_folder({"cat": 1})
        (folder / "notes.txt").touch()
        os.mkfifo(folder / "pipe.png")
        project.set(evaluate__outside_path=str(folder))
        locate()
        assert load_watched()["outside"] == folder
        assert (OUTSIDE / "cat/000.png").read_bytes() == (folder / "cat/000.png").read_bytes()
        assert sorted(path.name for path in OUTSIDE.iterdir()) == ["cat"]

    def test_a_relative_path_starts_from_the_projects_folder(self, project, picture_folder):
        folder = picture_folder({"deep/down": 1})
        project.set(evaluate__outside_path="../pictures")
        locate()
        assert load_watched()["outside"].is_absolute()
        assert load_watched()["outside"].samefile(folder)

    def test_a_tilde_is_the_home_folder(self, project, picture_folder, monkeypatch):
        folder = picture_folder({"cat": 1})
        monkeypatch.setenv("HOME", str(folder.parent))
        project.set(evaluate__outside_path="~/pictures")
        locate()
        assert load_watched()["outside"].samefile(folder)

    def test_a_link_to_a_folder_is_allowed(self, project, picture_folder):
        (project.folder / "outside").symlink_to(picture_folder({"cat": 1}))
        project.set(evaluate__outside_path="outside")
        locate()
        assert (OUTSIDE / "cat/000.png").exists()

    def test_the_copies_are_removed_with_the_parameter_and_their_folder_stays(self, project, picture_folder):
        folder = picture_folder({"cat": 1})
        project.set(evaluate__outside_path=str(folder))
        locate()
        project.set(evaluate__outside_path=None)
        locate()
        assert [path.name for path in OUTSIDE.iterdir()] == ["none.txt"]
        assert (folder / "cat/000.png").exists()

    def test_the_source_of_the_data_set_is_watched_too(self, project, picture_folder):
        dataset, outside = picture_folder({"cat": 1, "dog": 1}, "dataset"), picture_folder({"cat": 1}, "outside")
        project.set(data__source="folder", data__path=str(dataset), evaluate__outside_path=str(outside))
        locate()
        assert load_watched() == {"source": dataset, "outside": outside}

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
        assert load_watched()["labels"].samefile(tmp_path / place)

    @pytest.mark.usefixtures("project")
    def test_without_a_table_there_is_always_the_same_line(self):
        locate()
        text = (LOCATED / "labels").read_text()
        assert "no file of labels" in text
        locate()
        assert (LOCATED / "labels").read_text() == text


class TestCorrections:
    @pytest.fixture
    def named(self, project, picture_folder, tmp_path) -> Path:
        """A file that prune.relabel names, located once."""
        (tmp_path / "mine.csv").write_text("name,label\ncat/000.png,dog\n")
        project.set(
            data__source="folder",
            data__path=str(picture_folder({"cat": 2, "dog": 2})),
            prune__relabel=str(tmp_path / "mine.csv"),
        )
        locate()
        return tmp_path / "mine.csv"

    def test_are_watched_and_copied(self, named):
        assert load_watched()["relabel"].samefile(named)
        assert "exclude" not in load_watched()
        assert (CORRECTIONS / "relabel.csv").read_bytes() == named.read_bytes()
        named.write_text("name,label\ncat/001.png,dog\n")
        seen = load_seen("relabel")
        locate()
        assert load_seen("relabel") != seen
        assert (CORRECTIONS / "relabel.csv").read_bytes() == named.read_bytes()

    def test_that_are_gone_are_used_as_they_were(self, named, caplog):
        named.unlink()
        locate()
        assert (CORRECTIONS / "relabel.csv").exists()
        assert "mine.csv' is not on this machine: what was read from it is still used" in caplog.text

    def test_a_clone_pulls_them(self, named, tmp_path, monkeypatch):
        named.unlink()
        clone = tmp_path / "clone"
        shutil.copytree("data/watch/seen", clone / "data/watch/seen")
        shutil.copyfile("params.yaml", clone / "params.yaml")
        monkeypatch.chdir(clone)
        with pytest.raises(PipelineError, match="run `dvc pull data/corrections`"):
            locate()
        shutil.copytree(tmp_path / "project/data/corrections", "data/corrections")
        locate()
        assert (CORRECTIONS / "relabel.csv").exists()

    @pytest.mark.usefixtures("named")
    def test_that_nobody_names_any_more_are_gone(self, project):
        project.set(prune__relabel=None)
        locate()
        assert [file.name for file in CORRECTIONS.iterdir()] == ["none.txt"]
        assert "relabel" not in load_watched()

    def test_of_a_file_that_was_never_here_are_refused(self, project):
        project.set(prune__exclude="no.csv")
        with pytest.raises(PipelineError, match=r"^prune\.exclude 'no\.csv' does not exist"):
            locate()


def test_where_pictures_are_kept_does_not_change_how_the_source_is_read(project, picture_folder):
    folder = picture_folder({"cat": 1, "dog": 1})
    project.set(data__source="folder", data__path=str(folder))
    locate()
    seen = load_seen("source")
    project.set(data__keep="reference")
    locate()
    assert load_seen("source") == seen
