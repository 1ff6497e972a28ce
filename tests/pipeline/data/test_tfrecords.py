import numpy as np
import pytest

from pipeline.data.tfrecords import (
    DatasetFacts,
    compute_mean_and_deviation,
    cut_records,
    encode_record,
    list_shards,
    load_dataset_facts,
    read_records,
    record_length,
    save_dataset_facts,
)
from pipeline.runtime.errors import PipelineError
from tests.tfrecords import make_noise, write_records

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)


def encode(pixels: np.ndarray = PIXELS, label: int = 3, name: str = "cat/1.png") -> bytes:
    return encode_record(pixels.tobytes(), label=label, image_id="a" * 64, name=name)


def read_back(tf, file):
    """The records of a file, read and parsed by TensorFlow itself, which checks every checksum."""
    kinds = dict.fromkeys(("image", "image_id", "name"), tf.string) | {"label": tf.int64}
    features = {key: tf.io.FixedLenFeature([], kind) for key, kind in kinds.items()}
    for record in tf.data.TFRecordDataset(str(file)):
        yield {key: value.numpy() for key, value in tf.io.parse_single_example(record, features).items()}


def test_tensorflow_reads_back_pixels_label_and_names(tensorflow, tmp_path):
    (tmp_path / "x.tfrecord").write_bytes(encode())
    (record,) = read_back(tensorflow, tmp_path / "x.tfrecord")
    assert (np.frombuffer(record["image"], np.uint8).reshape(PIXELS.shape) == PIXELS).all()
    assert record["label"] == 3
    assert record["image_id"] == b"a" * 64
    assert record["name"] == b"cat/1.png"


@pytest.mark.parametrize("label", [0, 1, 127, 128, 999, 2**31])
def test_tensorflow_reads_back_every_label(tensorflow, tmp_path, label):
    (tmp_path / "x.tfrecord").write_bytes(encode(label=label))
    assert [record["label"] for record in read_back(tensorflow, tmp_path / "x.tfrecord")] == [label]


@pytest.mark.parametrize("name", ["猫/1.png", "bear, brown/1.png", "x" * 5000])
def test_tensorflow_reads_back_every_name(tensorflow, tmp_path, name):
    (tmp_path / "x.tfrecord").write_bytes(encode(name=name))
    assert [record["name"].decode() for record in read_back(tensorflow, tmp_path / "x.tfrecord")] == [name]


def test_records_can_be_concatenated(tensorflow, tmp_path):
    (tmp_path / "x.tfrecord").write_bytes(b"".join(encode(label=label) for label in range(20)))
    assert [record["label"] for record in read_back(tensorflow, tmp_path / "x.tfrecord")] == list(range(20))


def test_the_bytes_are_those_of_tensorflow(tensorflow, tmp_path):
    tf = tensorflow
    with tf.io.TFRecordWriter(str(tmp_path / "theirs.tfrecord")) as writer:
        for record in tf.data.TFRecordDataset(_write(tmp_path / "ours.tfrecord", encode())):
            writer.write(record.numpy())
    assert (tmp_path / "theirs.tfrecord").read_bytes() == encode()


@pytest.mark.parametrize("position", [0, 8, 12, 100, -1])
def test_tensorflow_notices_a_changed_byte(tensorflow, tmp_path, position):
    data = bytearray(encode())
    data[position] ^= 1
    with pytest.raises(tensorflow.errors.DataLossError):
        list(read_back(tensorflow, _write(tmp_path / "x.tfrecord", bytes(data))))


def test_the_same_image_gives_the_same_bytes():
    assert encode() == encode(PIXELS.copy())
    assert encode() != encode(label=4)


def test_the_memory_layout_of_pixels_does_not_matter():
    assert encode(np.asfortranarray(PIXELS)) == encode()


def test_the_shards_of_a_split_are_listed_in_order(tmp_path):
    names = [f"{split}-{i:05d}-of-00012.tfrecord" for split in ("train", "val", "test") for i in range(12)]
    for name in reversed(names):
        (tmp_path / name).touch()
    assert list_shards("train", tmp_path) == [str(tmp_path / name) for name in names[:12]]
    assert list_shards("test", tmp_path) == [str(tmp_path / name) for name in names[24:]]


def test_facts_are_loaded_as_they_were_saved(tmp_path):
    counts = {split: {"Käfer": 2, "猫": 1} for split in ("train", "val", "test")}
    facts = DatasetFacts(
        class_names=["Käfer", "猫"],
        num_images=dict.fromkeys(counts, 3),
        counts=counts,
        image_size=32,
        resize="crop",
        channel_mean=[1.5, 2.25, 3.0],
        channel_std=[0.5, 0.25, 0.125],
        range="minmax",
        digest="d" * 64,
    )
    save_dataset_facts(facts, tmp_path)
    assert load_dataset_facts(tmp_path) == facts
    assert facts.num_classes == 2
    assert "猫" in (tmp_path / "dataset.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"surplus": 1}'])
def test_facts_that_something_else_wrote_are_one_line(tmp_path, content):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(PipelineError, match=r"dataset.json can't be read .*dvc repro -f preprocess`$"):
        load_dataset_facts(tmp_path)


def test_mean_and_standard_deviation_are_those_of_the_pixels_in_the_histogram():
    pixels = np.random.default_rng(0).integers(0, 256, (5000, 3))
    histogram = np.stack([np.bincount(pixels[:, channel], minlength=256) for channel in range(3)])
    mean, std = compute_mean_and_deviation(histogram)
    assert mean == pytest.approx(pixels.mean(axis=0), abs=1e-4)
    assert std == pytest.approx(pixels.std(axis=0), abs=1e-4)


def _write(file, data: bytes) -> str:
    file.write_bytes(data)
    return str(file)


@pytest.mark.parametrize("image_size", [8, 32, 150])
@pytest.mark.parametrize("label", [0, 127, 128, 20_000])
@pytest.mark.parametrize("name", ["a.png", "métier/" + "x" * 150 + ".png"])
def test_the_length_of_a_record_is_known_without_its_pixels(image_size: int, label: int, name: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (image_size, image_size, 3), dtype=np.uint8)
    record = encode_record(pixels.tobytes(), label=label, image_id="a" * 64, name=name)
    assert record_length(image_size, label=label, image_id="a" * 64, name=name) == len(record)


class TestReading:
    """`read_records`, without TensorFlow."""

    def test_a_record_is_read_as_it_was_encoded(self, tmp_path):
        square = PIXELS[:9, :9]
        file = _write(tmp_path / "x.tfrecord", encode(square))
        (record,) = read_records(file, 9)
        assert (record.pixels == square).all()
        assert (record.pixels.shape, record.pixels.dtype) == ((9, 9, 3), np.uint8)
        assert (record.label, record.image_id, record.name) == (3, "a" * 64, "cat/1.png")

    @pytest.mark.parametrize("label", [0, 127, 128, 2**31])
    @pytest.mark.parametrize("name", ["猫/1.png", "NA/bear, brown.png", "x" * 5000])
    def test_every_label_and_name_is_read_back(self, tmp_path, label, name):
        file = _write(tmp_path / "x.tfrecord", encode(PIXELS[:9, :9], label=label, name=name))
        assert [(record.label, record.name) for record in read_records(file, 9)] == [(label, name)]

    def test_records_are_read_in_order(self, tmp_path):
        file = _write(tmp_path / "x.tfrecord", b"".join(encode(PIXELS[:9, :9], label=label) for label in range(20)))
        assert [record.label for record in read_records(file, 9)] == list(range(20))

    @pytest.mark.parametrize("most", [1, 3, 20, 99])
    def test_a_file_is_read_in_parts_as_well(self, tmp_path, most):
        names = [f"{'long' * label}.png" for label in range(20)]  # records of different lengths
        records = [encode(PIXELS[:9, :9], label=label, name=name) for label, name in enumerate(names)]
        file = _write(tmp_path / "x.tfrecord", b"".join(records))
        parts = list(cut_records(file, most))
        assert [count for _, count in parts] == [len(names[i : i + most]) for i in range(0, 20, most)]
        read = [record for begin, count in parts for record in read_records(file, 9, begin=begin, count=count)]
        assert [record.name for record in read] == names

    def test_an_empty_shard_has_no_parts(self, tmp_path):
        assert list(cut_records(_write(tmp_path / "x.tfrecord", b""), 5)) == []

    def test_an_empty_shard_has_no_records(self, tmp_path):
        assert list(read_records(_write(tmp_path / "x.tfrecord", b""), 9)) == []

    def test_records_are_read_one_at_a_time(self, tmp_path):
        file = _write(tmp_path / "x.tfrecord", encode(PIXELS[:9, :9], label=5) + b"bytes after the first record")
        assert next(read_records(file, 9)).label == 5

    @pytest.mark.usefixtures("tensorflow")
    def test_records_are_those_that_tensorflow_reads(self, tmp_path):
        from pipeline.data.batches import load_split, read_names

        labels = np.arange(11) % 3
        folder = tmp_path / "tfrecords"
        write_records(folder, class_names=["a", "b", "c"], num_shards=3, train=(make_noise(11, 8), labels))
        records = [record for file in list_shards("train", folder) for record in read_records(file, 8)]
        images, numbers = load_split("train", folder=folder)
        assert (np.stack([record.pixels for record in records]) == images).all()
        assert [record.label for record in records] == numbers.tolist()
        assert ([record.image_id for record in records], [record.name for record in records]) == read_names(
            "train", folder=folder
        )
