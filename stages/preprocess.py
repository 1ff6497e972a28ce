"""Decodes, turns upright, converts to RGB and resizes every image, once, into data/tfrecords, on all cores.

The bytes do not depend on the number of workers, and the memory not on the number of images.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config.reader import load_params
from pipeline.data.image import BadImageError, compute_image_id, decode_picture
from pipeline.data.manifest import hash_uniform, load_manifest
from pipeline.data.raw import read_many
from pipeline.data.splits import SPLIT_NAMES, load_splits
from pipeline.data.tfrecords import (
    DatasetFacts,
    compute_mean_and_deviation,
    encode_record,
    record_length,
    save_dataset_facts,
)
from pipeline.runtime.cli import run_verb
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.files import folder_aside
from pipeline.runtime.paths import TFRECORDS
from pipeline.runtime.processes import map_in_order
from pipeline.runtime.progress import progress_bar

_CHUNK_BYTES = 4 << 20  # decoded pixels a message between processes


@dataclass(frozen=True)
class Chunk:
    """Images whose records lie in one file, one after the other from byte `begin` on: (name, image_id, label number, shard,
    offset, size) each."""

    file: str
    begin: int
    rows: list[tuple[str, str, int, str, int, int]]
    image_size: int
    resize: str


def preprocess() -> None:
    params = load_params()
    settings, image_size = params.preprocess, params.image_size
    table = load_splits().merge(load_manifest().drop(columns=["label"]), on=["image_id", "name"], validate="1:1")
    class_names = sorted(table["label"].unique())
    chunks = plan_chunks(
        table, class_names, image_size=image_size, resize=settings.resize, num_shards=settings.num_shards
    )
    with folder_aside(TFRECORDS) as folder:
        mean, std = write_shards(chunks, len(table), folder, num_workers=settings.num_workers)
        counts = {name: table[table["split"] == name]["label"].value_counts() for name in SPLIT_NAMES}
        facts = DatasetFacts(
            class_names=class_names,
            num_images={name: int(count.sum()) for name, count in counts.items()},
            counts={name: {label: int(count[label]) for label in class_names} for name, count in counts.items()},
            image_size=image_size,
            resize=settings.resize,
            channel_mean=mean,
            channel_std=std,
        )
        save_dataset_facts(facts, folder)
    print(f"{len(table):,} images of {len(class_names)} classes at {image_size} px")


def plan_chunks(
    table: pd.DataFrame, class_names: list[str], *, image_size: int, resize: str, num_shards: int
) -> Iterator[Chunk]:
    """Cuts each split into shards of equal size, and these into chunks, in an order drawn by content: classes are mixed."""
    number_of = {name: number for number, name in enumerate(class_names)}
    table = table.assign(_order=hash_uniform(table["image_id"], "order"), _number=table["label"].map(number_of))
    table = table.sort_values(["_order", "name"])
    size = max(1, _CHUNK_BYTES // (3 * image_size * image_size))
    for split in SPLIT_NAMES:
        part = table[table["split"] == split]
        for shard, positions in enumerate(np.array_split(np.arange(len(part)), num_shards)):
            file = f"{split}-{shard:05d}-of-{num_shards:05d}.tfrecord"
            begin = 0
            for start in range(0, max(1, len(positions)), size):
                chosen = part.iloc[positions[start : start + size]]
                columns = [chosen[c].tolist() for c in ("name", "image_id", "_number", "shard", "offset", "size")]
                rows = list(zip(*columns, strict=True))
                yield Chunk(file, begin, rows, image_size, resize)
                begin += sum(
                    record_length(image_size, label=label, image_id=image_id, name=name)
                    for name, image_id, label, *_ in rows
                )


def write_shards(
    chunks: Iterator[Chunk], num_images: int, folder: Path, *, num_workers: int | None
) -> tuple[list[float], list[float]]:
    """Encodes chunks on all cores. Returns the training split's channel mean and deviation.

    Each worker writes its records where they belong: through a pipe or a file of their own they would be copied twice more.
    """
    histogram = np.zeros((3, 256), np.int64)
    tasks = ((chunk, folder) for chunk in chunks)
    with progress_bar(total=num_images, desc="preprocess", unit=" images") as progress:
        for counts, written in map_in_order(encode_chunk, tasks, num_workers):
            histogram += counts
            progress.update(written)
    return compute_mean_and_deviation(histogram)


def encode_chunk(task: tuple[Chunk, Path]) -> tuple[np.ndarray, int]:
    """Decodes the images of one chunk and writes their records into its file; runs in a worker. Returns how many training
    pixels of each channel have each value, int64 (3, 256), and how many images it wrote."""
    chunk, folder = task
    histogram, counts = np.zeros(3 * 256, np.int64), chunk.file.startswith("train-")
    # Not "wb", which would cut off what other workers have written.
    with os.fdopen(os.open(folder / chunk.file, os.O_WRONLY | os.O_CREAT, 0o666), "wb", 1 << 20) as file:
        file.seek(chunk.begin)
        contents = read_many(row[3:] for row in chunk.rows)
        for (name, image_id, label, shard, *_), data in zip(chunk.rows, contents, strict=True):
            if compute_image_id(data) != image_id:
                raise PipelineError(
                    f"data/raw/{shard} has changed since prune: {name!r} is another file; run `dvc repro -f download`"
                )
            try:
                picture = decode_picture(data, image_size=chunk.image_size, resize=chunk.resize)
            except BadImageError as error:
                raise PipelineError(f"{name!r} passed prune but {error}: please report this file as a bug") from error
            file.write(encode_record(picture.tobytes(), label=label, image_id=image_id, name=name))
            if counts:
                histogram += picture.histogram()
    return histogram.reshape(3, 256), len(chunk.rows)


if __name__ == "__main__":
    run_verb(preprocess, __doc__)
