"""data/tfrecords: decoded images as TFRecords of tf.train.Example, written without TensorFlow.

Importing TensorFlow would cost every worker four seconds and 300 MB. The framing is sixteen bytes per record, and the protobuf
library encodes the message from the same definition that TensorFlow uses.
"""

import json
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from pipeline.config.types import Encoding
from pipeline.data.deep_pixels import ValueRange
from pipeline.data.pixel_encoding import LOSSLESS, decode_pixels, is_lossy
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.paths import TFRECORDS

DATASET_FILE = "dataset.json"
_HEAD = 12  # bytes before a message: its length and a checksum of the length
_Field = descriptor_pb2.FieldDescriptorProto


@cache
def _example_class() -> Any:
    """tensorflow.Example with the two kinds of feature used here (tensorflow/core/example/{example,feature}.proto)."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="records", syntax="proto3")
    _add_field(file.message_type.add(name="BytesList"), "value", 1, _Field.TYPE_BYTES, repeated=True)
    _add_field(file.message_type.add(name="Int64List"), "value", 1, _Field.TYPE_INT64, repeated=True)
    feature = file.message_type.add(name="Feature")
    _add_field(feature, "bytes_list", 1, ".records.BytesList")
    _add_field(feature, "int64_list", 3, ".records.Int64List")
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    _add_field(entry, "key", 1, _Field.TYPE_STRING)
    _add_field(entry, "value", 2, ".records.Feature")
    _add_field(features, "feature", 1, ".records.Features.FeatureEntry", repeated=True)
    _add_field(file.message_type.add(name="Example"), "features", 1, ".records.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("records.Example"))


def _add_field(message: Any, name: str, number: int, kind: int | str, *, repeated: bool = False) -> None:
    """kind: one of _Field's types, or the name of a message."""
    label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    if isinstance(kind, str):
        message.field.add(name=name, number=number, label=label, type=_Field.TYPE_MESSAGE, type_name=kind)
    else:
        message.field.add(name=name, number=number, label=label, type=kind)


def encode_record(pixels: bytes, *, label: int, image_id: str, name: str) -> bytes:
    """One TFRecord, framing and checksums included, ready to be appended to a file.

    pixels: uint8 (height, width, 3), row by row, or what `encode_pixels` has made of them. The Example holds `image` (these),
    `label` (int64), `image_id`, `name`.
    """
    example = _example_class()()
    feature = example.features.feature
    feature["image"].bytes_list.value.append(pixels)
    feature["label"].int64_list.value.append(label)
    feature["image_id"].bytes_list.value.append(image_id.encode())
    feature["name"].bytes_list.value.append(name.encode())
    message = example.SerializeToString(deterministic=True)
    length = struct.pack("<Q", len(message))
    return b"".join([length, _checksum(length), message, _checksum(message)])


def record_length(image_size: int, *, label: int, image_id: str, name: str) -> int:
    """Bytes of the record of an image of `image_size` pixels, each side, as raw pixels; known before it is decoded."""
    return _record_length(image_size, label, len(image_id.encode()), len(name.encode()))


@cache
def _record_length(image_size: int, label: int, id_bytes: int, name_bytes: int) -> int:
    blank = bytes(image_size * image_size * 3)
    return len(encode_record(blank, label=label, image_id="i" * id_bytes, name="n" * name_bytes))


def _checksum(data: bytes) -> bytes:
    """TFRecord's masked CRC-32C."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


@dataclass(frozen=True)
class Record:
    """data: the pixels as they are in the file. label: index into class_names."""

    data: bytes
    label: int
    image_id: str
    name: str
    image_size: int
    encoding: Encoding = "raw"

    @cached_property
    def pixels(self) -> np.ndarray:
        """uint8 (image_size, image_size, 3), RGB."""
        return decode_pixels(self.data, self.encoding, self.image_size)


def read_records(
    file: str | Path, image_size: int, encoding: Encoding = "raw", *, begin: int = 0, count: int | None = None
) -> Iterator[Record]:
    """Reads what `encode_record` wrote, one record at a time, without TensorFlow. begin: the byte at which the first one
    starts. count: None: all from there on."""
    with Path(file).open("rb") as content:
        content.seek(begin)
        while count != 0 and (head := content.read(_HEAD)):
            example = _example_class().FromString(content.read(struct.unpack("<Q", head[:8])[0]))
            content.seek(4, 1)  # skips the checksum: DVC has hashed the whole file
            feature = example.features.feature
            yield Record(
                feature["image"].bytes_list.value[0],
                feature["label"].int64_list.value[0],
                feature["image_id"].bytes_list.value[0].decode(),
                feature["name"].bytes_list.value[0].decode(),
                image_size,
                encoding,
            )
            count = None if count is None else count - 1


def cut_records(file: str | Path, most: int) -> Iterator[tuple[int, int]]:
    """A file in parts of `most` records, the last one perhaps smaller: (the byte at which it begins, its records). Reads only
    lengths."""
    with Path(file).open("rb") as content:
        begin = count = 0
        while head := content.read(_HEAD):
            count += 1
            end = content.seek(struct.unpack("<Q", head[:8])[0] + 4, 1)
            if count == most:
                yield begin, count
                begin, count = end, 0
        if count:
            yield begin, count


def read_messages(split: str, first: int, count: int, folder: Path = TFRECORDS) -> Iterator[bytes]:
    """The messages of some images of a split, as TensorFlow would read them: from number `first` on, 0 to the number of images.
    What comes before them is skipped unread."""
    return read_chosen(split, range(first, first + count), folder)


def read_chosen(split: str, rows: Sequence[int], folder: Path = TFRECORDS) -> Iterator[bytes]:
    """The same of any images. rows: their numbers, from 0, each larger than the one before."""
    files, total = list_shards(split, folder), load_dataset_facts(folder).num_images[split]
    begin = 0
    for number, file in enumerate(files):
        end = begin + total // len(files) + (number < total % len(files))  # as numpy.array_split cuts
        chosen = rows[bisect_left(rows, begin) : bisect_left(rows, end)]
        if chosen:
            yield from _read_part(Path(file), [row - begin for row in chosen])
        begin = end


def _read_part(file: Path, rows: list[int]) -> Iterator[bytes]:
    with file.open("rb") as content:
        wanted = iter(rows)
        row = next(wanted)
        for number in range(rows[-1] + 1):
            length = struct.unpack("<Q", content.read(_HEAD)[:8])[0]
            if number == row:
                yield content.read(length)
                row = next(wanted, -1)
                length = 0
            content.seek(length + 4, 1)


def list_shards(split: str, folder: Path = TFRECORDS) -> list[str]:
    """The files of one split, in order."""
    return [str(file) for file in sorted(folder.glob(f"{split}-*.tfrecord"))]


@dataclass(frozen=True)
class DatasetFacts:
    """dataset.json: what is in the TFRecords.

    class_names: sorted; a label is an index into this list. num_images: split to images. counts: split to class to images.
    image_size: pixels, each side. resize: stretch, crop or letterbox. channel_mean, channel_std: mean and standard deviation
    of the training images, red, green, blue, 0 to 255. range: as preprocess.range. digest: of all this and of which image is
    in which split, see pipeline.data.shards; empty where no model file is made from the data, as in folds. encoding: of the
    pixels in the records, with its quality; both are in the file only where they are not raw.
    """

    class_names: list[str]
    num_images: dict[str, int]
    counts: dict[str, dict[str, int]]
    image_size: int
    resize: str
    channel_mean: list[float]
    channel_std: list[float]
    range: ValueRange = "auto"
    digest: str = ""
    encoding: Encoding = "raw"
    quality: int = LOSSLESS

    @property
    def is_lossy(self) -> bool:
        """Whether the records have other pixels than those that their images were decoded to."""
        return is_lossy(self.encoding, self.quality)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


def load_dataset_facts(folder: Path = TFRECORDS) -> DatasetFacts:
    """Reads what `save_dataset_facts` wrote. Raises PipelineError where something else stands there."""
    file = folder / DATASET_FILE
    try:
        return DatasetFacts(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise PipelineError(
            f"{file} can't be read ({type(error).__name__}): expected what this version of preprocess writes; run "
            "`dvc repro -f preprocess`"
        ) from error


def save_dataset_facts(facts: DatasetFacts, folder: Path) -> None:
    """Writes dataset.json."""
    content = asdict(facts)
    if facts.encoding == "raw":  # as before there were others: nothing that depends on the file runs again
        del content["encoding"], content["quality"]
    (folder / DATASET_FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def compute_mean_and_deviation(histogram: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel, 0 to 255, four digits. histogram: int64 (3, 256), so that sums are exact."""
    values = np.arange(256)
    pixels = histogram.sum(axis=1)
    mean = histogram @ values / pixels
    deviation = np.sqrt(np.maximum(histogram @ values**2 / pixels - mean**2, 0))
    return [round(float(value), 4) for value in mean], [round(float(value), 4) for value in deviation]
