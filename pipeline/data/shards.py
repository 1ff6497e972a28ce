"""Writes data/tfrecords: plans which image goes into which shard, and decodes and encodes on all cores.

The bytes do not depend on the number of workers, nor does memory on the number of images.
"""

import hashlib
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config.types import Encoding
from pipeline.data.deep_pixels import ValueRange
from pipeline.data.image import BadImageError, compute_image_id, decode_pillow
from pipeline.data.manifest import hash_uniform
from pipeline.data.pixel_encoding import LOSSLESS, decode_picture, encode_pixels, is_lossy
from pipeline.data.raw import read_many
from pipeline.data.splits import SPLIT_NAMES
from pipeline.data.tfrecords import DatasetFacts, compute_mean_and_deviation, encode_record, record_length
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import reach_disk, write_aside
from pipeline.runtime.processes import Runner, map_in_order
from pipeline.runtime.progress import progress_bar

logger = logging.getLogger(__name__)

_COUNTS = ".counts"  # beside a finished shard, until all are: the histogram of its training pixels
_CHUNK_BYTES = 4 << 20  # decoded pixels per message between processes
_COLUMNS = ("name", "image_id", "label_number", "shard", "offset", "size")

Row = tuple[str, str, int, str, int, int]  # _COLUMNS of one image


@dataclass(frozen=True)
class Chunk:
    """Images whose records are written to one file, one after the other. is_last: of this file. begin: of raw pixels, the byte
    at which they start; of encoded ones, whose length is not known, how many images there are before them."""

    file: str
    begin: int
    rows: list[Row]
    image_size: int
    resize: str
    value_range: ValueRange = "auto"
    encoding: Encoding = "raw"
    quality: int = LOSSLESS
    is_last: bool = True


Task = tuple[Chunk, Path | None]


@dataclass(frozen=True)
class Encoded:
    """What has become of a chunk. histogram: of the training pixels, int64 (3, 256), all 0 in other splits. records: what is
    still to be appended to its file."""

    histogram: np.ndarray
    images: int
    records: bytes


def plan_chunks(
    table: pd.DataFrame,
    class_names: list[str],
    *,
    image_size: int,
    resize: str,
    num_shards: int,
    value_range: ValueRange = "auto",
    encoding: Encoding = "raw",
    quality: int = LOSSLESS,
) -> Iterator[Chunk]:
    """Cuts each split into shards of equal size, and each shard into chunks.

    table: image_id, name, label, split, shard, offset, size; one row per image. The order within a split is a hash of the
    images' content, so that classes are mixed.
    """
    number_of = {name: number for number, name in enumerate(class_names)}
    table = table.assign(_order=hash_uniform(table["image_id"], "order"), label_number=table["label"].map(number_of))
    table = table.sort_values(["_order", "name"])
    for split in SPLIT_NAMES:
        part = table[table["split"] == split]
        for shard, positions in enumerate(np.array_split(np.arange(len(part)), num_shards)):
            file = f"{split}-{shard:05d}-of-{num_shards:05d}.tfrecord"
            whole = Chunk(file, 0, [], image_size, resize, value_range, encoding, quality)
            yield from _cut_shard(part.iloc[positions], whole)


def _cut_shard(shard: pd.DataFrame, whole: Chunk) -> Iterator[Chunk]:
    """At least one chunk, so that a shard without images gets its file too. whole: a chunk but for its rows."""
    size = max(1, _CHUNK_BYTES // (3 * whole.image_size**2))
    begin = 0
    for start in range(0, max(1, len(shard)), size):
        chosen = shard.iloc[start : start + size]
        rows: list[Row] = list(zip(*(chosen[column].tolist() for column in _COLUMNS), strict=True))
        yield replace(whole, begin=begin, rows=rows, is_last=start + size >= len(shard))
        begin += sum(_measure(row, whole.image_size) for row in rows) if whole.encoding == "raw" else len(rows)


def _measure(row: Row, image_size: int) -> int:
    name, image_id, label, *_ = row
    return record_length(image_size, label=label, image_id=image_id, name=name)


def count_images(table: pd.DataFrame, class_names: list[str]) -> dict[str, dict[str, int]]:
    """Split to class to number of images. table: label, split; one row per image."""
    counts = {split: table.loc[table["split"] == split, "label"].value_counts() for split in SPLIT_NAMES}
    return {split: {label: int(count.get(label, 0)) for label in class_names} for split, count in counts.items()}


def compute_data_digest(table: pd.DataFrame, facts: DatasetFacts) -> str:
    """What a model is trained on, as 64 hex digits: each image's content, class and split, and how it became pixels. Neither
    names of files nor shards change it. table: image_id, label, split; one row per image."""
    how = [facts.class_names, facts.image_size, facts.resize, facts.range, facts.channel_mean, facts.channel_std]
    if facts.is_lossy:
        how += [facts.encoding, facts.quality]
    images = sorted(zip(table["split"], table["image_id"], table["label"], strict=True))
    digest = hashlib.sha256(json.dumps(how).encode())
    for image in images:
        digest.update(json.dumps(image).encode())
    return digest.hexdigest()


def write_shards(
    chunks: Iterator[Chunk], num_images: int, folder: Path, *, num_workers: int | None, runner: Runner | None = None
) -> tuple[list[float], list[float]]:
    """Encodes chunks on all cores. Returns the channel means and standard deviations of the training images.

    Workers write records of raw pixels straight into the shards: a pipe, or one file per worker, would copy them twice more.
    Those of encoded pixels are smaller, and come through the pipe; so do all from a runner's, as two machines that write into
    one file of a network's file system overwrite what the other wrote near by. Shards that a run which was killed has finished
    stay as they are; one that is not finished is called `.partial`.
    """
    if finished := len(list(folder.glob(f"*{_COUNTS}"))):
        logger.info("preprocess goes on: %d shards are there from a run that ended early", finished)
    waiting: deque[Chunk] = deque()  # whose results are to come, in this order
    counts = np.zeros((3, 256), np.int64)
    with progress_bar(total=num_images, desc="preprocess", unit=" images") as progress:
        tasks = _list_tasks(chunks, folder, waiting, progress.update, sends=runner is not None)
        for encoded in map_in_order(encode_chunk, tasks, num_workers, runner=runner, singles=_list_singles):
            counts += encoded.histogram
            progress.update(encoded.images)
            chunk = waiting.popleft()
            if chunk.encoding != "raw" or runner is not None:
                with (folder / f"{chunk.file}.partial").open("ab" if chunk.begin else "wb") as file:
                    file.write(encoded.records)
            if chunk.is_last:
                _finish(folder / chunk.file, counts)
                counts = np.zeros_like(counts)
    notes = sorted(folder.glob(f"*{_COUNTS}"))
    total = sum((np.array(json.loads(note.read_text()), np.int64) for note in notes), np.zeros((3, 256), np.int64))
    for note in notes:
        note.unlink()
    return compute_mean_and_deviation(total)


def _list_tasks(
    chunks: Iterator[Chunk], folder: Path, waiting: deque[Chunk], skip: Callable[[int], object], *, sends: bool
) -> Iterator[Task]:
    """The chunks of shards that are not finished, also appended to `waiting`. skip: is told how many other images there are.
    sends: see `encode_chunk`."""
    for chunk in chunks:
        if (folder / chunk.file).exists() and (folder / f"{chunk.file}{_COUNTS}").exists():
            skip(len(chunk.rows))
        else:
            waiting.append(chunk)
            yield chunk, None if sends or chunk.encoding != "raw" else folder


def _list_singles(task: Task) -> list[tuple[str, Task]]:
    chunk, folder = task
    return [(row[0], (replace(chunk, rows=[row]), folder)) for row in chunk.rows]


def _finish(shard: Path, counts: np.ndarray) -> None:
    """Gives it its name, and then notes its histogram: with both, it is finished."""
    partial = shard.with_name(f"{shard.name}.partial")
    reach_disk(partial)
    partial.replace(shard)
    with write_aside(shard.with_name(f"{shard.name}{_COUNTS}")) as note:
        note.write_text(json.dumps(counts.tolist()))


def encode_chunk(task: Task) -> Encoded:
    """Decodes the images of one chunk; writes their records into its file in a folder, or sends them, without one. Runs in a
    worker."""
    chunk, folder = task
    histogram = np.zeros(3 * 256, np.int64)
    if folder is not None:
        records = b""
        # Not open(…, "wb"), which would truncate what other workers have written.
        place = os.open(folder / f"{chunk.file}.partial", os.O_WRONLY | os.O_CREAT, 0o666)
        with os.fdopen(place, "wb", 1 << 20) as file:
            file.seek(chunk.begin)
            file.writelines(_make_records(chunk, histogram))
    else:
        records = b"".join(_make_records(chunk, histogram))
    return Encoded(histogram.reshape(3, 256), len(chunk.rows), records)


def _make_records(chunk: Chunk, histogram: np.ndarray) -> Iterator[bytes]:
    """One of each image. histogram: int64 (3 * 256,), to which training pixels are added, as a model will see them."""
    is_training, loses = chunk.file.startswith("train-"), is_lossy(chunk.encoding, chunk.quality)
    contents = read_many(row[3:] for row in chunk.rows)
    for row, data in zip(chunk.rows, contents, strict=True):
        name, image_id, label, *_ = row
        _check_unchanged(row, data)
        try:
            picture = decode_pillow(
                data, image_size=chunk.image_size, resize=chunk.resize, value_range=chunk.value_range
            )
        except BadImageError as error:
            raise PipelineError(f"{name!r} passed prune but {error}: please report this file as a bug") from error
        pixels = encode_pixels(picture, chunk.encoding, chunk.quality)
        if is_training:
            histogram += (decode_picture(pixels, chunk.encoding) if loses else picture).histogram()
        yield encode_record(pixels, label=label, image_id=image_id, name=name)


def _check_unchanged(row: Row, data: bytes) -> None:
    name, image_id, _, shard, *_ = row
    if compute_image_id(data) != image_id:
        raise PipelineError(
            f"data/raw/{shard} has changed since prune: {name!r} is a different file now; run `dvc repro -f download`"
        )
