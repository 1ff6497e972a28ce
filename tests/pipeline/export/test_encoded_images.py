from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.config.types import Encoding
from pipeline.data.image import compute_image_id, decode_image
from pipeline.data.pixel_encoding import encode_pixels
from pipeline.data.raw import save_raw
from pipeline.data.tfrecords import DatasetFacts, encode_record, list_shards, read_records, save_dataset_facts
from pipeline.export.encoded_images import read_calibration, read_encoded
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import MANIFEST, RAW, TFRECORDS
from pipeline.sources.raw_image import RawImage

SIZE, COUNT = 16, 5
FACTS = DatasetFacts(["cat", "dog"], {"test": COUNT}, {}, SIZE, "stretch", [], [])


@pytest.fixture
def pictures(tmp_path, monkeypatch, make_image_bytes) -> dict[str, bytes]:
    """Name to bytes, in data/raw, the manifest and, in another order, two shards of data/tfrecords."""
    monkeypatch.chdir(tmp_path)
    pictures = {f"cat/{i}.png": make_image_bytes(seed=i) for i in range(COUNT)}
    save_raw([RawImage(name, "cat", "", data) for name, data in pictures.items()], {"source": "folder"})
    write_manifest(pictures)
    TFRECORDS.mkdir()
    for shard, names in enumerate([[*pictures][:1:-1], [*pictures][:2]]):
        records = [
            encode_record(
                decode(pictures[name]).tobytes(), label=shard, image_id=compute_image_id(pictures[name]), name=name
            )
            for name in names
        ]
        (TFRECORDS / f"test-0000{shard}-of-00002.tfrecord").write_bytes(b"".join(records))
    save_dataset_facts(FACTS, TFRECORDS)
    return pictures


def decode(data: bytes) -> np.ndarray:
    return decode_image(data, image_size=SIZE, resize="stretch")


def write_manifest(pictures: dict[str, bytes]) -> None:
    index = dict(line.split(",", 1) for line in (RAW / "index.csv").read_text().splitlines()[1:])
    rows = ["image_id,name,label,source_split,width,height,mode,shard,offset,size"]
    for name, data in pictures.items():
        _, _, shard, offset, size, _ = index[name].split(",")
        rows.append(f"{compute_image_id(data)},{name},cat,,32,24,RGB,{shard},{offset},{size}")
    MANIFEST.write_text("\n".join(rows) + "\n")


def test_bytes_pixels_and_labels_belong_together(pictures):
    images = list(read_encoded("test", FACTS))
    assert [image.name for image in images] == ["cat/4.png", "cat/3.png", "cat/2.png", "cat/0.png", "cat/1.png"]
    assert [image.label for image in images] == [0, 0, 0, 1, 1]
    for image in images:
        assert image.data == pictures[image.name]
        np.testing.assert_array_equal(image.pixels, decode(image.data))


def test_another_file_under_the_same_name_is_an_error(pictures):
    tar = next(RAW.glob("*.tar"))
    tar.write_bytes(tar.read_bytes().replace(pictures["cat/3.png"][-40:], bytes(40)))
    with pytest.raises(
        PipelineError, match=r"data/raw has another file than 'cat/3\.png' was .* `dvc repro -f download`"
    ):
        list(read_encoded("test", FACTS))


def test_an_image_that_the_manifest_lacks_is_an_error(pictures):
    write_manifest({name: data for name, data in pictures.items() if name != "cat/1.png"})
    with pytest.raises(PipelineError, match=r"data/manifest\.csv has no 'cat/1\.png', which is in data/tfrecords"):
        list(read_encoded("test", FACTS))


@pytest.mark.parametrize(("count", "rows"), [(1, [0]), (2, [0, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])])
def test_calibration_takes_images_at_equal_distances(pictures, count, rows):
    images = [image.pixels for image in read_encoded("test", FACTS)]
    chosen = read_calibration(list_shards("test"), len(pictures), FACTS, count)
    np.testing.assert_array_equal(chosen, np.stack([images[row] for row in rows]))


def encode_shards(encoding: Encoding, quality: int) -> DatasetFacts:
    """Writes the records anew with other pixels, and returns what dataset.json says of them."""
    for shard in list_shards("test"):
        records = list(read_records(shard, SIZE))
        Path(shard).write_bytes(
            b"".join(
                encode_record(
                    encode_pixels(Image.fromarray(record.pixels), encoding, quality),
                    label=record.label,
                    image_id=record.image_id,
                    name=record.name,
                )
                for record in records
            )
        )
    return replace(FACTS, encoding=encoding, quality=quality)


@pytest.mark.parametrize(("encoding", "quality"), [("jpeg", 50), ("webp", 100)])
def test_the_pixels_are_those_of_the_file_before_a_lossy_encoding(pictures, encoding, quality):
    facts = encode_shards(encoding, quality)
    for image in read_encoded("test", facts):
        np.testing.assert_array_equal(image.pixels, decode(pictures[image.name]))
    calibration = read_calibration(list_shards("test"), COUNT, facts, COUNT)
    records = [record for shard in list_shards("test") for record in read_records(shard, SIZE, encoding)]
    np.testing.assert_array_equal(calibration, np.stack([record.pixels for record in records]))
