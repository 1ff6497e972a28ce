"""Decodes, turns upright, converts to RGB and resizes every image, once, into data/tfrecords, on all cores.

The bytes do not depend on the number of workers, and the memory not on the number of images.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from stages.cli import run_verb
from stages.dataset.manifest import hash_uniform, load_manifest
from stages.dataset.raw import read_bytes
from stages.dataset.records import DATASET_FILE, TFRECORDS, encode_record
from stages.dataset.splits import SPLIT_NAMES, load_splits
from stages.errors import PipelineError
from stages.files import folder_aside
from stages.images import BadImageError, compute_image_id, decode_image
from stages.params import load_params
from stages.processes import map_in_order
from stages.progress import progress_bar

_CHUNK_BYTES = 4 << 20  # decoded pixels a message between processes


@dataclass(frozen=True)
class Chunk:
    """Images that go to one shard, one after the other: (name, image_id, label number, shard, offset, size) each."""

    file: str
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
        facts = {
            "class_names": class_names,
            "num_images": {name: int(count.sum()) for name, count in counts.items()},
            "counts": {name: {label: int(count[label]) for label in class_names} for name, count in counts.items()},
            "image_size": image_size,
            "resize": settings.resize,
            "channel_mean": mean,
            "channel_std": std,
        }
        (folder / DATASET_FILE).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
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
            for start in range(0, max(1, len(positions)), size):
                rows = part.iloc[positions[start : start + size]]
                columns = [rows[c].tolist() for c in ("name", "image_id", "_number", "shard", "offset", "size")]
                yield Chunk(file, list(zip(*columns, strict=True)), image_size, resize)


def write_shards(
    chunks: Iterator[Chunk], num_images: int, folder: Path, *, num_workers: int | None
) -> tuple[list[float], list[float]]:
    """Encodes chunks on all cores and appends them in order. Returns the training split's channel mean and deviation.

    Workers write to files of their own: through a pipe, the pixels would be copied twice more, 64 KB at a time.
    """
    histogram = np.zeros((3, 256), np.int64)
    planned: list[tuple[Chunk, Path]] = []

    def number_parts() -> Iterator[tuple[Chunk, Path]]:
        for number, chunk in enumerate(chunks):
            planned.append((chunk, folder / f"part-{number}"))
            yield planned[-1]

    with progress_bar(total=num_images, desc="preprocess", unit=" images") as progress:
        for counts in map_in_order(encode_chunk, number_parts(), num_workers):
            chunk, part = planned.pop(0)
            with (folder / chunk.file).open("ab") as shard, part.open("rb") as records:
                shutil.copyfileobj(records, shard, 1 << 20)
            part.unlink()
            if chunk.file.startswith("train-"):
                histogram += counts
            progress.update(len(chunk.rows))
    return compute_mean_and_deviation(histogram)


def compute_mean_and_deviation(histogram: np.ndarray) -> tuple[list[float], list[float]]:
    """Of each channel, 0 to 255, four digits. histogram: int64 (3, 256), pixels of each value; sums of integers are exact."""
    values = np.arange(256)
    pixels = histogram.sum(axis=1)
    mean = histogram @ values / pixels
    deviation = np.sqrt(np.maximum(histogram @ values**2 / pixels - mean**2, 0))
    return [round(float(value), 4) for value in mean], [round(float(value), 4) for value in deviation]


def encode_chunk(task: tuple[Chunk, Path]) -> np.ndarray:
    """Decodes the images of one chunk and writes their records to a file; runs in a worker. Returns how many pixels of
    each channel have each value, int64 (3, 256)."""
    chunk, part = task
    histogram = np.zeros(3 * 256, np.int64)
    with part.open("wb") as file:
        for name, image_id, label, shard, offset, size in chunk.rows:
            data = read_bytes(shard, offset, size)
            if compute_image_id(data) != image_id:
                raise PipelineError(
                    f"data/raw/{shard} has changed since prune: {name!r} is another file; run `dvc repro -f download`"
                )
            try:
                image = decode_image(data, image_size=chunk.image_size, resize=chunk.resize)
            except BadImageError as error:
                raise PipelineError(f"{name!r} passed prune but {error}: please report this file as a bug") from error
            file.write(encode_record(image, label=label, image_id=image_id, name=name))
            histogram += Image.fromarray(image).histogram()
    return histogram.reshape(3, 256)


if __name__ == "__main__":
    run_verb(preprocess, __doc__)
