"""Decodes, turns upright, converts to RGB and resizes every image, once, into data/tfrecords, on all cores.

The bytes do not depend on the number of workers, and the memory not on the number of images.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

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


@dataclass(frozen=True)
class Encoded:
    """Records of a chunk, and the sums over its pixels (per channel, of values and of squares)."""

    records: bytes
    sums: np.ndarray
    squares: np.ndarray
    pixels: int


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

    Sums are of integers, hence exact, whatever the order in which they are added.
    """
    sums, squares, pixels = np.zeros(3, np.uint64), np.zeros(3, np.uint64), 0
    planned: list[Chunk] = []

    def remember() -> Iterator[Chunk]:
        for chunk in chunks:
            planned.append(chunk)
            yield chunk

    with progress_bar(total=num_images, desc="preprocess", unit=" images") as progress:
        for encoded in map_in_order(encode_chunk, remember(), num_workers):
            chunk = planned.pop(0)
            with (folder / chunk.file).open("ab") as file:
                file.write(encoded.records)
            if chunk.file.startswith("train-"):
                sums, squares, pixels = sums + encoded.sums, squares + encoded.squares, pixels + encoded.pixels
            progress.update(len(chunk.rows))
    mean = sums / pixels
    return _rounded(mean), _rounded(np.sqrt(squares / pixels - mean**2))


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) for value in values]


def encode_chunk(chunk: Chunk) -> Encoded:
    """Decodes and encodes the images of one chunk; runs in a worker."""
    records, sums, squares, pixels = [], np.zeros(3, np.uint64), np.zeros(3, np.uint64), 0
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
        records.append(encode_record(image, label=label, image_id=image_id, name=name))
        values = image.reshape(-1, 3).astype(np.uint32)
        sums += values.sum(axis=0, dtype=np.uint64)
        squares += (values * values).sum(axis=0, dtype=np.uint64)
        pixels += len(values)
    return Encoded(b"".join(records), sums, squares, pixels)


if __name__ == "__main__":
    run_verb(preprocess, __doc__)
