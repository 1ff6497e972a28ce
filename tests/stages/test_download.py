import io
import logging
import shutil
import zipfile
from pathlib import Path

import pytest

from pipeline.data.manifest import load_manifest
from pipeline.data.raw import load_facts, load_index, read_bytes
from pipeline.runtime.errors import PipelineError
from stages.download import download
from stages.prune import prune

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
    facts = load_facts()
    assert facts["source"] == "folder"
    assert facts["reading"]["classes"] == {"cat": 4, "dog": 2}
    assert facts["reading"]["splits"] == {"train": 5, "test": 1}
    assert caplog.messages == [
        "folder 'pictures': 2 classes: cat 4, dog 2",
        "splits: train 5, test 1",
        "not used: 1 file(s), such as 'stray.png' (lies in no class folder)",
        "not used: 1 file(s), such as 'train/cat/notes.txt' (not an image file: extension '.txt')",
        "folder 'pictures': split test has no picture of class dog",
        "6 files from folder",
    ]


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


class TestLabels:
    """data.labels: a CSV file that says what the pictures are."""

    @pytest.fixture
    def labelled(self, project, picture_folder) -> Path:
        folder = picture_folder({"part_1": 3, "part_2": 2, "about.txt": b"x"})
        rows = [
            f"{number},{'nv' if number % 2 else 'mel'},{patient}" for number, patient in ((0, "p"), (1, "p"), (2, "q"))
        ]
        for number, file in enumerate(sorted(folder.rglob("*.png"))):
            file.rename(file.with_name(f"{number}.png"))
        (folder / "meta.csv").write_text("\n".join(["image_id,dx,patient", *rows, "99,nv,r"]) + "\n")
        columns = {"path": "image_id", "label": "dx", "split": "split", "group": "patient", "time": None}
        project.set(families=["linear_svm"], data__source="folder", data__path=str(folder))
        project.set(data__labels="meta.csv", data__label_columns=columns)
        return folder

    @pytest.mark.usefixtures("labelled")
    def test_labels_and_groups_reach_the_index(self):
        download()
        index = load_index().set_index("name")
        assert index["label"].to_dict() == {"part_1/0.png": "mel", "part_1/1.png": "nv", "part_1/2.png": "mel"}
        assert index["group"].to_dict() == {"part_1/0.png": "p", "part_1/1.png": "p", "part_1/2.png": "q"}

    @pytest.mark.usefixtures("labelled")
    def test_how_many_rows_matched_is_said_and_kept(self, caplog):
        caplog.set_level(logging.INFO)
        download()
        assert "meta.csv: 3 of 4 rows have a file, and 3 of 5 pictures a row" in caplog.messages
        assert "folder 'pictures': 1 rows of meta.csv have no file, such as row 5: '99'" in caplog.messages
        assert load_facts()["reading"]["notes"] == ["meta.csv: 3 of 4 rows have a file, and 3 of 5 pictures a row"]

    @pytest.mark.parametrize("kind", ["zip", "tar.gz"])
    def test_an_archive_with_the_table_in_it_gives_the_same(self, project, labelled, tmp_path, kind):
        download()
        from_folder = load_index(), stored()
        packed = shutil.make_archive(str(tmp_path / "packed"), {"zip": "zip", "tar.gz": "gztar"}[kind], labelled)
        project.set(data__source="archive", data__path=packed)
        download()
        assert load_index()[["name", "label", "group"]].equals(from_folder[0][["name", "label", "group"]])
        assert stored() == from_folder[1]

    def test_the_manifest_has_the_groups(self, labelled):
        with (labelled / "meta.csv").open("a") as file:
            file.write("3,nv,\n")
        download()
        prune()
        manifest = load_manifest().set_index("name")
        assert manifest["group"].to_dict() == {
            "part_1/0.png": "p",
            "part_1/1.png": "p",
            "part_1/2.png": "q",
            "part_2/3.png": "",
        }
