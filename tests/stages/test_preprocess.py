from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.groups import load_groups
from pipeline.data.image import decode_image
from pipeline.data.manifest import load_manifest
from pipeline.data.raw import read_bytes
from pipeline.data.splits import load_splits
from pipeline.data.tfrecords import list_shards, load_dataset_facts, read_records
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import SPLITS as SPLITS_FILE
from pipeline.runtime.paths import TFRECORDS
from stages.download import download
from stages.preprocess import preprocess
from stages.prune import prune
from stages.split import split

CLASS_NAMES = ["bear, brown", "cat", "猫"]
SPLITS = ("train", "val", "test")

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def prepare(project):
    """Runs all earlier stages on a folder of class folders."""

    def run(folder, **parameters) -> None:
        project.set(
            families=["linear_svm"],
            data__source="folder",
            data__path=str(folder),
            preprocess__image_size=16,
            preprocess__num_shards=3,
            preprocess__num_workers=1,
        )
        project.set(**parameters)
        for stage in (download, prune, split):
            stage()

    return run


@pytest.fixture
def prepared(project, prepare, picture_folder, make_image_bytes):
    """A project in which all earlier stages have run."""
    folder = picture_folder(dict.fromkeys(CLASS_NAMES, 30))
    (folder / "cat/grey.png").write_bytes(make_image_bytes(80, mode="L", size=(40, 30)))
    (folder / "cat/cmyk.jpg").write_bytes(make_image_bytes((9, 99, 9, 9), mode="CMYK", kind="JPEG"))
    prepare(folder)
    return project


def written(project) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (project.folder / "data/tfrecords").iterdir()}


def expected_pixels(name: str, resize: str = "stretch") -> np.ndarray:
    row = load_manifest().set_index("name").loc[name]
    data = read_bytes(row["shard"], row["offset"], row["size"])
    return decode_image(data, image_size=16, resize=resize)


def read_back(tf, split_name: str) -> dict[str, tuple[np.ndarray, int]]:
    """(pixels, label index) by name, as TensorFlow reads them."""
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
    for name in SPLITS:
        part = table[table["split"] == name].set_index("name")["label"].to_dict()
        records = read_back(tensorflow, name)
        assert {file: CLASS_NAMES[label] for file, (_, label) in records.items()} == part
        assert all((pixels == expected_pixels(file)).all() for file, (pixels, _) in records.items())


@pytest.mark.usefixtures("prepared")
def test_dataset_json_describes_the_records():
    preprocess()
    facts, table = load_dataset_facts(), load_splits()
    assert facts.class_names == CLASS_NAMES
    assert facts.image_size == 16
    assert (facts.resize, facts.range) == ("stretch", "auto")
    assert facts.num_images == table["split"].value_counts().to_dict()
    for name, counts in facts.counts.items():
        assert counts == table.loc[table["split"] == name, "label"].value_counts().to_dict()
    pixels = np.stack([expected_pixels(name) for name in table.loc[table["split"] == "train", "name"]]).reshape(-1, 3)
    assert facts.channel_mean == pytest.approx(pixels.mean(axis=0), abs=1e-4)
    assert facts.channel_std == pytest.approx(pixels.std(axis=0), abs=1e-4)


def test_the_digest_is_that_of_the_pictures_not_of_how_they_are_stored(prepared):
    preprocess()
    digest = load_dataset_facts().digest
    assert len(digest) == 64
    prepared.set(preprocess__num_shards=2)
    preprocess()
    assert load_dataset_facts().digest == digest
    prepared.set(preprocess__resize="crop")
    preprocess()
    assert load_dataset_facts().digest != digest


def test_the_number_of_shards_is_a_parameter(prepared):
    prepared.set(preprocess__num_shards=2)
    preprocess()
    expected = [f"{name}-{i:05d}-of-00002.tfrecord" for name in ("test", "train", "val") for i in (0, 1)]
    assert sorted(written(prepared)) == ["dataset.json", *expected]


@pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
def test_the_resize_policy_is_a_parameter(prepared, tensorflow, resize):
    prepared.set(preprocess__resize=resize)
    preprocess()
    assert load_dataset_facts().resize == resize
    assert all(
        (pixels == expected_pixels(name, resize)).all() for name, (pixels, _) in read_back(tensorflow, "val").items()
    )


def test_pictures_that_stay_where_they_are_give_the_same_bytes(prepare, project, picture_folder):
    folder = picture_folder(dict.fromkeys(CLASS_NAMES, 30))
    prepare(folder)
    preprocess()
    expected, splits = written(project), SPLITS_FILE.read_bytes()
    prepare(folder, data__keep="reference")
    assert list(Path("data/raw").glob("*.tar")) == []
    preprocess()
    assert (written(project), SPLITS_FILE.read_bytes()) == (expected, splits)
    (folder / load_manifest()["name"].iloc[7]).write_bytes(b"another")
    with pytest.raises(PipelineError, match="is not the file that was listed"):
        preprocess()
    assert written(project) == expected, "nothing half"


@pytest.mark.parametrize(("encoding", "quality"), [("jpeg", 90), ("webp", 100)])
def test_the_encoding_of_pixels_is_a_parameter(prepared, encoding, quality):
    preprocess()
    raw, digest = sum(map(len, written(prepared).values())), load_dataset_facts().digest
    assert "encoding" not in (TFRECORDS / "dataset.json").read_text()
    prepared.set(preprocess__encoding=encoding, preprocess__quality=quality)
    preprocess()
    facts = load_dataset_facts()
    assert (facts.encoding, facts.quality) == (encoding, quality)
    assert (facts.digest == digest) == (encoding == "webp"), "lossless: a model of raw pixels is one of these"
    names = [
        record.name for name in SPLITS for file in list_shards(name) for record in read_records(file, 16, encoding)
    ]
    assert sorted(names) == sorted(load_splits()["name"])
    assert sum(map(len, written(prepared).values())) != raw


def test_null_means_the_image_size_of_the_source(prepared):
    prepared.set(preprocess__image_size=None, sources__folder__image_size=24)
    preprocess()
    assert load_dataset_facts().image_size == 24


def test_images_of_one_colour_have_a_standard_deviation_of_0(prepare, picture_folder, make_image_bytes):
    images = {
        f"{label}/{i}.png": make_image_bytes((10, 20, 30), size=(8 + i, 8 + row))
        for row, label in enumerate(("cat", "dog"))
        for i in range(40)
    }
    prepare(picture_folder(images), preprocess__image_size=8)
    preprocess()
    assert load_dataset_facts().channel_mean == [10, 20, 30]
    assert load_dataset_facts().channel_std == [0, 0, 0]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_changed_bytes_are_an_error_that_keeps_the_old_records(prepared, num_workers):
    preprocess()
    before = written(prepared)
    shard = prepared.folder / "data/raw/images-00000.tar"
    row = load_manifest().iloc[40]
    data = bytearray(shard.read_bytes())
    data[row["offset"] + 20] ^= 1
    shard.write_bytes(data)
    prepared.set(preprocess__num_workers=num_workers)
    with pytest.raises(PipelineError, match=r"has changed since prune: '.*' is a different file now"):
        preprocess()
    assert written(prepared) == before
    assert "tfrecords.partial" not in prepared.files()


def test_an_image_that_exif_turns_is_upright(prepare, picture_folder, tensorflow):
    exif = Image.Exif()
    exif[0x0112] = 6
    top_white = np.zeros((16, 16, 3), np.uint8)
    top_white[:8] = 255
    stored = np.ascontiguousarray(np.rot90(top_white))
    folder = picture_folder({"cat": 30, "dog": 30})
    Image.fromarray(stored).save(folder / "cat/turned.png", exif=exif)
    prepare(folder)
    preprocess()
    records = {name: pixels for s in SPLITS for name, (pixels, _) in read_back(tensorflow, s).items()}
    assert (records["cat/turned.png"] == top_white).all()


def test_groups_are_kept_for_the_folds_of_cross_validation(project, prepare, picture_folder):
    folder = picture_folder({"cat": 40, "dog": 40})
    rows = [(f"{label}/{i:03d}.png", label, f"patient {i // 4}", f"{i}") for label in ("cat", "dog") for i in range(40)]
    lines = [",".join(row) for row in [("path", "label", "group", "time"), *rows]]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    prepare(folder, data__labels="labels.csv", split__group="column", split__order="time")
    preprocess()
    groups = load_groups()
    assert {name: groups[name] for name, *_ in rows} == {name: group for name, _, group, _ in rows}
    assert "groups.csv" in written(project)


def test_without_groups_no_file_of_them_is_written(prepared):
    preprocess()
    assert "groups.csv" not in written(prepared)
