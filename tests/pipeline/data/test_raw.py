import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.data import raw
from pipeline.data.raw import INDEX_COLUMNS, load_facts, load_index, load_labels, read_bytes, save_raw
from pipeline.runtime.errors import PipelineError
from pipeline.sources.raw_image import RawImage

FACTS = {"source": "folder"}
IMAGES = [
    RawImage("cat/1.png", "cat", "train", b"first"),
    RawImage("cat/notes.txt", "cat", "train", None, "not an image file: extension '.txt'"),
    RawImage("dog/2.png", "dog", "test", b"second" * 1000),
    RawImage("dog/3.png", "dog", "test", b""),
]


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "data" / "raw"


def stored(folder: Path) -> dict[str, bytes]:
    """The bytes of every image, located by the index."""
    index = load_index(folder)
    assert load_labels(folder).tolist() == index["label"].tolist()
    rows = index[index["reason"] == ""].itertuples()
    return {row.name: read_bytes(row.shard, row.offset, row.size, folder) for row in rows}


def everything(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_bytes_are_unchanged(folder):
    assert save_raw(IMAGES, FACTS, folder) == 3
    assert stored(folder) == {image.name: image.data for image in IMAGES if image.data is not None}


def test_the_index_has_one_row_per_file_in_the_order_of_the_source(folder):
    save_raw(IMAGES, FACTS, folder)
    index = load_index(folder)
    assert load_labels(folder).tolist() == index["label"].tolist()
    assert list(index.columns) == INDEX_COLUMNS
    assert index["name"].tolist() == [image.name for image in IMAGES]
    assert index["label"].tolist() == ["cat", "cat", "dog", "dog"]
    assert index["source_split"].tolist() == ["train", "train", "test", "test"]


def test_a_file_without_bytes_has_a_reason_and_no_location(folder):
    save_raw(IMAGES, FACTS, folder)
    row = load_index(folder).iloc[1]
    assert row["reason"] == "not an image file: extension '.txt'"
    assert row["shard"] == ""
    assert row[["offset", "size"]].isna().all()


@pytest.mark.parametrize("size", [1, 511, 512, 513, 10_240, 100_000])
def test_the_location_is_right_for_any_size(folder, size):
    images = [RawImage(f"cat/{i}.png", "cat", "", bytes([i]) * (size + i)) for i in range(3)]
    save_raw(images, FACTS, folder)
    assert list(stored(folder).values()) == [image.data for image in images]


@pytest.mark.parametrize(
    "name",
    [
        "polar bear",
        "Käfer",
        "猫" * 60,
        "bear, brown",
        'so "called"',
        "NA",
        "nan",
        "null",
        "None",
        "007",
        " x ",
        "x\ny",
        "-1",
    ],
)
def test_names_are_loaded_as_they_were_saved(folder, name):
    save_raw([RawImage(f"{name}/1.png", name, "", b"x")], FACTS, folder)
    row = load_index(folder).iloc[0]
    assert (row["name"], row["label"]) == (f"{name}/1.png", name)
    assert stored(folder) == {f"{name}/1.png": b"x"}


def test_a_shard_is_an_ordinary_tar(folder):
    save_raw(IMAGES, FACTS, folder)
    with tarfile.open(folder / "images-00000.tar") as tar:
        assert tar.getnames() == ["cat/1.png", "dog/2.png", "dog/3.png"]
        assert tar.extractfile("cat/1.png").read() == b"first"


@pytest.mark.parametrize("sizes", [[0], [1, 512, 513], [9_000], [8_192, 100_000, 7]])
def test_a_shard_is_byte_for_byte_what_tarfile_writes(folder, sizes):
    names = ["cat/1.png", "Käfer/猫.png", f"dog/{'long name ' * 20}.png"]
    images = [RawImage(name, "cat", "", b"x" * size) for name, size in zip(names, sizes, strict=False)]
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for image in images:
            member = tarfile.TarInfo(image.name)
            member.size = len(image.data)
            tar.addfile(member, io.BytesIO(image.data))
    save_raw(images, FACTS, folder)
    assert (folder / "images-00000.tar").read_bytes() == expected.getvalue()


@pytest.mark.parametrize("root", [None, "../pictures"])
def test_a_folder_gives_the_same_bytes_as_images_that_were_read_before(tmp_path, monkeypatch, root):
    monkeypatch.setattr(raw, "_SHARD_BYTES", 10_000)
    data = {f"cat/{number}.png": bytes([number]) * 1000 * number for number in range(12)}
    (tmp_path / "pictures/cat").mkdir(parents=True)
    for path, content in data.items():
        (tmp_path / "pictures" / path).write_bytes(content)
    listed = [
        RawImage(f"a {path}", "cat", "", None, path=path, folder=str(tmp_path / "pictures"), size=len(content))
        for path, content in data.items()
    ]
    ready = [replace(image, data=data[image.path], folder="") for image in listed]
    for name, images in (("listed", listed), ("ready", ready)):
        assert save_raw(images, FACTS, tmp_path / name, root=root) == len(data)
    assert everything(tmp_path / "listed") == everything(tmp_path / "ready")
    assert len(list((tmp_path / "listed").glob("*.tar"))) == (5 if root is None else 0)


def test_the_same_images_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_raw(iter(IMAGES), FACTS, tmp_path / name)
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


def test_many_bytes_need_several_shards(folder, monkeypatch):
    monkeypatch.setattr(raw, "_SHARD_BYTES", 10_000)
    images = [RawImage(f"cat/{i}.png", "cat", "", bytes([i]) * 4000) for i in range(10)]
    save_raw(images, FACTS, folder)
    shards = sorted(file.name for file in folder.glob("*.tar"))
    assert len(shards) == 4
    assert sorted(set(load_index(folder)["shard"])) == shards
    assert list(stored(folder).values()) == [image.data for image in images]


def test_many_images_make_few_files(folder):
    save_raw((RawImage(f"cat/{i}.png", "cat", "", b"x") for i in range(500)), FACTS, folder)
    assert sorted(everything(folder)) == ["images-00000.tar", "index.csv", "source.json"]


def test_facts_are_loaded_as_they_were_saved(folder):
    save_raw(IMAGES, FACTS | {"url": "näher"}, folder)
    assert load_facts(folder) == FACTS | {"url": "näher"}
    assert json.loads((folder / "source.json").read_text()) == load_facts(folder)


@pytest.mark.parametrize("images", [[], [IMAGES[1]]])
def test_a_source_without_images_is_refused_and_leaves_no_files(folder, images):
    with pytest.raises(PipelineError, match="source 'folder' has no image: expected <class>/"):
        save_raw(images, FACTS, folder)
    assert list(folder.parent.iterdir()) == []


def test_a_source_without_images_says_why_its_files_are_none(folder):
    images = [RawImage(f"cat/{n}.png", "cat", "", None, "a link" if n < 2 else "empty") for n in range(5)]
    with pytest.raises(PipelineError, match=r"received 3 file\(s\) \(empty\), 2 file\(s\) \(a link\)$"):
        save_raw(images, FACTS, folder)


@pytest.mark.parametrize(
    "error", [PipelineError("half-way"), OSError(28, "No space left on device"), KeyboardInterrupt()]
)
def test_a_source_that_fails_midway_leaves_the_old_images_only(folder, error):
    def broken() -> Iterator[RawImage]:
        yield IMAGES[0]
        raise error

    save_raw(IMAGES, FACTS, folder)
    before = everything(folder)
    with pytest.raises(type(error)):
        save_raw(broken(), FACTS, folder)
    assert everything(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["raw"]


def test_a_full_disk_leaves_no_files(folder, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.data.raw._ShardWriter.write", full)
    with pytest.raises(OSError, match="No space left"):
        save_raw(IMAGES, FACTS, folder)
    assert list(folder.parent.iterdir()) == []


def test_new_images_replace_all_old_ones(folder):
    save_raw(IMAGES, FACTS, folder)
    save_raw(IMAGES[:1], FACTS, folder)
    assert stored(folder) == {"cat/1.png": b"first"}


class TestGroups:
    """Of images that belong together: a patient's, a camera's."""

    def test_without_groups_nothing_is_added(self, folder):
        save_raw(IMAGES, FACTS, folder)
        assert sorted(everything(folder)) == ["images-00000.tar", "index.csv", "source.json"]
        assert list(load_index(folder).columns) == INDEX_COLUMNS

    def test_with_groups_the_index_has_a_column_and_its_file_is_the_same(self, folder, tmp_path):
        save_raw(IMAGES, FACTS, tmp_path / "without")
        save_raw([replace(IMAGES[0], group="007"), *IMAGES[1:3], replace(IMAGES[3], group="x, y")], FACTS, folder)
        assert sorted(everything(folder)) == ["groups.csv", "images-00000.tar", "index.csv", "source.json"]
        assert load_index(folder)["group"].tolist() == ["007", "", "", "x, y"]
        assert everything(folder)["index.csv"] == everything(tmp_path / "without")["index.csv"]

    def test_times_are_kept_as_the_source_writes_them(self, folder):
        save_raw(
            [replace(IMAGES[0], time="2024:05:31 18:02:11"), *IMAGES[1:3], replace(IMAGES[3], time="007")],
            FACTS,
            folder,
        )
        assert load_index(folder)["time"].tolist() == ["2024:05:31 18:02:11", "", "", "007"]
        assert "group" not in load_index(folder)


def test_facts_may_grow_until_the_last_image(folder):
    facts = dict(FACTS)

    def images() -> Iterator[RawImage]:
        facts["classes"] = 2
        yield from IMAGES

    save_raw(images(), facts, folder)
    assert load_facts(folder) == FACTS | {"classes": 2}
