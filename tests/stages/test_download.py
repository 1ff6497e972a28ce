import io
import logging
import zipfile

import pytest

from pipeline.data.raw import load_facts, load_index, read_bytes
from pipeline.runtime.errors import PipelineError
from stages.download import download

pytestmark = pytest.mark.usefixtures("one_core", "cache", "pauses")


def stored() -> dict[str, bytes]:
    rows = load_index().query("reason == ''").itertuples()
    return {row.name: read_bytes(row.shard, row.offset, row.size) for row in rows}


def raw_bytes(project) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (project.folder / "data/raw").iterdir()}


@pytest.fixture
def folder(project, picture_folder):
    folder = picture_folder(
        {"train/cat": 3, "train/dog": 2, "test/cat": 1, "train/cat/notes.txt": b"meow", "stray.png": b""}
    )
    project.set(families=["linear_svm"], data__source="folder", data__path=str(folder))
    return folder


def test_a_folder_becomes_a_few_files_with_the_same_bytes(project, folder, caplog):
    caplog.set_level(logging.INFO)
    download()
    pictures = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.glob("t*/*/*.png")}
    assert stored() == pictures
    assert project.files() == ["raw", "raw/images-00000.tar", "raw/index.csv", "raw/source.json"]
    assert load_facts() == {"source": "folder"}
    assert caplog.messages == ["6 files from folder"]


@pytest.mark.usefixtures("folder")
def test_other_files_are_in_the_index_with_a_reason():
    download()
    index = load_index().set_index("name")
    assert "extension '.txt'" in index.loc["train/cat/notes.txt", "reason"]
    assert index.loc["stray.png", "reason"] == "lies in no class folder"


@pytest.mark.usefixtures("folder")
def test_the_same_folder_gives_the_same_bytes(project):
    download()
    first = raw_bytes(project)
    download()
    assert raw_bytes(project) == first


def test_a_folder_and_an_archive_of_it_give_the_same_bytes(project, folder, tmp_path):
    download()
    from_folder = raw_bytes(project)
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    project.set(families=["linear_svm"], data__source="archive", data__path=str(tmp_path / "pictures.zip"))
    download()
    from_archive = raw_bytes(project)
    assert from_archive.keys() == from_folder.keys()
    assert all(from_archive[name] == from_folder[name] for name in from_folder if name != "source.json")


def test_an_archive_is_downloaded_from_an_address(project, server, make_image_bytes):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("cat/1.png", "dog/1.png"):
            archive.writestr(name, make_image_bytes(seed=len(name)))
    server.files["/pictures.zip"] = buffer.getvalue()
    project.set(families=["linear_svm"], data__source="archive", data__path=f"{server.url}/pictures.zip")
    download()
    assert sorted(stored()) == ["cat/1.png", "dog/1.png"]


def test_scenes_are_drawn(project):
    project.set(families=["linear_svm"], sources__scenes__images_per_class=1, sources__scenes__image_size=16)
    download()
    assert len(stored()) == 6


def test_a_wrong_checksum_leaves_no_files(project, server):
    server.files["/pictures.zip"] = b"anything"
    project.set(
        families=["linear_svm"], data__source="archive", data__path=f"{server.url}/pictures.zip", data__sha256="0" * 64
    )
    with pytest.raises(PipelineError, match="wrong checksum"):
        download()
    assert [name for name in project.files() if name.startswith("raw")] == []


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({}, "contains no files"),
        ({"1.png": b"x", "2.png": b"y"}, "no class folders"),
        ({"cat/notes.txt": b"x", "dog/notes.txt": b"y"}, "has no image"),
        ({"train/cat/1.png": b"x", "test/cat/1.png": b"y", "lion/1.png": b"z"}, "mixes splits"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_folder_without_classes_keeps_the_earlier_images(project, picture_folder, layout, message):
    download()
    before = raw_bytes(project)
    project.set(families=["linear_svm"], data__path=str(picture_folder(layout, name="other")))
    with pytest.raises(PipelineError, match=message):
        download()
    assert raw_bytes(project) == before
    assert "raw.partial" not in project.files()
