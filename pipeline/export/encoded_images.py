"""The test images as a user's program gets them, as files' bytes, beside the pixels that the model was measured on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.image import compute_image_id, decode_image
from pipeline.data.manifest import load_manifest
from pipeline.data.raw import read_many
from pipeline.data.tfrecords import DatasetFacts, list_shards, read_records
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import RAW


@dataclass(frozen=True)
class EncodedImage:
    """data: the file's bytes. pixels: uint8 (size, size, 3), as preprocess has made them, before a lossy encoding. label: index
    into class_names."""

    name: str
    data: bytes
    pixels: np.ndarray
    label: int


def read_encoded(split: str, facts: DatasetFacts) -> Iterator[EncodedImage]:
    """Every image of a split, in the order of data/tfrecords. Raises PipelineError where data/raw has other files."""
    manifest = load_manifest().set_index(["image_id", "name"])
    places = dict(zip(manifest.index, manifest[["shard", "offset", "size"]].itertuples(index=False), strict=True))
    for shard in list_shards(split):
        records = list(read_records(shard, facts.image_size, facts.encoding))
        where = [_locate(places, record.image_id, record.name) for record in records]
        for record, data in zip(records, read_many(where), strict=True):
            if compute_image_id(data) != record.image_id:
                raise PipelineError(
                    f"{RAW} has another file than {record.name!r} was when it was preprocessed: expected the same bytes; run "
                    "`dvc repro -f download`"
                )
            pixels = _decode(data, facts) if facts.is_lossy else record.pixels
            yield EncodedImage(record.name, data, pixels, record.label)


def _decode(data: bytes, facts: DatasetFacts) -> np.ndarray:
    return decode_image(data, image_size=facts.image_size, resize=facts.resize, value_range=facts.range)


def _locate(places: dict, image_id: str, name: str) -> tuple[str, int, int]:
    if (image_id, name) not in places:
        raise PipelineError(
            f"data/manifest.csv has no {name!r}, which is in data/tfrecords: expected both of the same run; run "
            "`dvc repro preprocess`"
        )
    shard, offset, size = places[image_id, name]
    return str(shard), int(offset), int(size)


def read_calibration(shards: list[str], num_images: int, facts: DatasetFacts, count: int) -> np.ndarray:
    """uint8 (up to count, size, size, 3): images at equal distances. shards: of training, num_images in all."""
    rows = set(np.linspace(0, num_images - 1, min(count, num_images)).round().astype(int).tolist())
    records = (record for shard in shards for record in read_records(Path(shard), facts.image_size, facts.encoding))
    return np.stack([record.pixels for row, record in enumerate(records) if row in rows])
