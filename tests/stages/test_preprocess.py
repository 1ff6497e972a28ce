from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from pipeline.data.image import decode_image
from pipeline.data.manifest import load_manifest
from pipeline.data.raw import read_bytes
from pipeline.data.splits import load_splits
from pipeline.data.tfrecords import list_shards, load_dataset_facts
from pipeline.runtime.errors import PipelineError
from stages.download import download
from stages.preprocess import preprocess
from stages.prune import prune
from stages.split import split

CLASS_NAMES = ["bear, brown", "cat", "猫"]

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def prepared(project, picture_folder, make_image_bytes):
    """A project in which all stages before have run."""
    folder = picture_folder(dict.fromkeys(CLASS_NAMES, 30))
    (folder / "cat/grey.png").write_bytes(make_image_bytes(80, mode="L", size=(40, 30)))
    (folder / "cat/cmyk.jpg").write_bytes(make_image_bytes((9, 99, 9, 9), mode="CMYK", kind="JPEG"))
    project.set(
        families=["linear_svm"],
        data__source="folder",
        data__path=str(folder),
        preprocess__image_size=16,
        preprocess__num_shards=3,
        preprocess__num_workers=1,
    )
    for stage in (download, prune, split):
        stage()
    return project


def written(project) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (project.folder / "data/tfrecords").iterdir()}


def expected_pixels(name: str, resize: str = "stretch") -> np.ndarray:
    row = load_manifest().set_index("name").loc[name]
    data = read_bytes(row["shard"], row["offset"], row["size"])
    return decode_image(data, image_size=16, resize=resize)


def read_back(tf, split_name: str) -> dict[str, tuple[np.ndarray, int]]:
    """(pixels, label number) by name, as TensorFlow reads them."""
    kinds = {"image": tf.string, "name": tf.string, "label": tf.int64}
    features = {key: tf.io.FixedLenFeature([], kind) for key, kind in kinds.items()}
    records = {}
    for record in tf.data.TFRecordDataset(list_shards(split_name)):
        example = tf.io.parse_single_example(record, features)
        pixels = np.frombuffer(example["image"].numpy(), np.uint8).reshape(16, 16, 3)
        records[example["name"].numpy().decode()] = (pixels, int(example["label"]))
    return records


@pytest.mark.usefixtures("prepared")
def test_every_image_is_in_its_split_with_its_pixels_and_its_label(tensorflow):
    preprocess()
    table = load_splits()
    for name in ("train", "val", "test"):
        part = table[table["split"] == name].set_index("name")["label"].to_dict()
        records = read_back(tensorflow, name)
        assert {file: CLASS_NAMES[label] for file, (_, label) in records.items()} == part
        assert all((pixels == expected_pixels(file)).all() for file, (pixels, _) in records.items())


def test_the_bytes_are_the_same_for_any_number_of_workers(prepared):
    results = []
    for num_workers in (1, 2):
        prepared.set(preprocess__num_workers=num_workers)
        preprocess()
        results.append(written(prepared))
    assert results[0] == results[1]


def test_the_bytes_are_the_same_for_any_size_of_the_messages(prepared, monkeypatch):
    preprocess()
    before = written(prepared)
    monkeypatch.setattr("stages.preprocess._CHUNK_BYTES", 3 * 16 * 16 * 4)
    preprocess()
    assert written(prepared) == before


@pytest.mark.usefixtures("prepared")
def test_mean_and_deviation_are_those_of_the_training_pixels():
    preprocess()
    table = load_splits()
    pixels = np.stack([expected_pixels(name) for name in table.loc[table["split"] == "train", "name"]]).reshape(-1, 3)
    facts = load_dataset_facts()
    assert facts.channel_mean == pytest.approx(pixels.mean(axis=0), abs=1e-4)
    assert facts.channel_std == pytest.approx(pixels.std(axis=0), abs=1e-4)


@pytest.mark.usefixtures("prepared")
def test_the_facts_say_what_is_there():
    preprocess()
    facts, table = load_dataset_facts(), load_splits()
    assert facts.class_names == CLASS_NAMES
    assert facts.image_size == 16
    assert facts.resize == "stretch"
    assert facts.num_images == table["split"].value_counts().to_dict()
    for name, counts in facts.counts.items():
        assert counts == table.loc[table["split"] == name, "label"].value_counts().to_dict()


def test_each_split_has_its_shards_of_nearly_equal_size(prepared, tensorflow):
    preprocess()
    assert [name for name in sorted(written(prepared)) if name.startswith("val")] == [
        f"val-{i:05d}-of-00003.tfrecord" for i in range(3)
    ]
    sizes = [sum(1 for _ in tensorflow.data.TFRecordDataset(file)) for file in list_shards("train")]
    assert max(sizes) - min(sizes) <= 1


def test_more_shards_than_images_are_no_trouble(prepared, tensorflow):
    prepared.set(preprocess__num_shards=40)
    preprocess()
    assert len(list_shards("test")) == 40
    table = load_splits()
    assert set(read_back(tensorflow, "test")) == set(table.loc[table["split"] == "test", "name"])


@pytest.mark.usefixtures("prepared")
def test_classes_are_mixed_within_a_shard(tensorflow):
    preprocess()
    labels = [label for _, label in read_back(tensorflow, "train").values()]
    changes = sum(a != b for a, b in pairwise(labels))
    assert changes > len(labels) / 3


@pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
def test_the_policy_is_the_one_asked_for(prepared, tensorflow, resize):
    prepared.set(preprocess__resize=resize)
    preprocess()
    assert load_dataset_facts().resize == resize
    assert all(
        (pixels == expected_pixels(name, resize)).all() for name, (pixels, _) in read_back(tensorflow, "val").items()
    )


def test_without_a_size_it_is_the_sources_own(prepared):
    prepared.set(preprocess__image_size=None, sources__folder__image_size=24)
    preprocess()
    assert load_dataset_facts().image_size == 24


def test_pictures_of_one_colour_have_no_deviation(project, picture_folder, make_image_bytes):
    pictures = {
        f"{label}/{i}.png": make_image_bytes((10, 20, 30), size=(8 + i, 8 + row))
        for row, label in enumerate(("cat", "dog"))
        for i in range(40)
    }
    folder = picture_folder(pictures)
    project.set(
        families=["linear_svm"],
        data__source="folder",
        data__path=str(folder),
        preprocess__image_size=8,
        preprocess__num_workers=1,
    )
    for stage in (download, prune, split, preprocess):
        stage()
    assert load_dataset_facts().channel_mean == [10, 20, 30]
    assert load_dataset_facts().channel_std == [0, 0, 0]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_bytes_that_have_changed_since_prune_are_noticed_and_nothing_is_left(prepared, num_workers):
    preprocess()
    before = written(prepared)
    shard = prepared.folder / "data/raw/images-00000.tar"
    row = load_manifest().iloc[40]
    data = bytearray(shard.read_bytes())
    data[row["offset"] + 20] ^= 1
    shard.write_bytes(data)
    prepared.set(preprocess__num_workers=num_workers)
    with pytest.raises(PipelineError, match=r"has changed since prune: '.*' is another file"):
        preprocess()
    assert written(prepared) == before
    assert "tfrecords.partial" not in prepared.files()


@pytest.mark.usefixtures("make_image_bytes")
def test_a_picture_that_exif_turns_is_upright(project, picture_folder, tensorflow):
    exif = Image.Exif()
    exif[0x0112] = 6
    top_white = np.zeros((16, 16, 3), np.uint8)
    top_white[:8] = 255
    stored = np.ascontiguousarray(np.rot90(top_white))
    folder = picture_folder({"cat": 30, "dog": 30})
    Image.fromarray(stored).save(folder / "cat/turned.png", exif=exif)
    project.set(
        families=["linear_svm"],
        data__source="folder",
        data__path=str(folder),
        preprocess__image_size=16,
        preprocess__num_workers=1,
    )
    for stage in (download, prune, split, preprocess):
        stage()
    records = {name: pixels for s in ("train", "val", "test") for name, (pixels, _) in read_back(tensorflow, s).items()}
    assert (records["cat/turned.png"] == top_white).all()
